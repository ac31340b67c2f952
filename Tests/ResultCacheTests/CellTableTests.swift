import Testing

@testable import ResultCache

@Suite("Cell table")
struct CellTableTests {
    private func relation(_ name: String, in database: String = "d") -> CellName {
        .all(database: database, relation: name)
    }

    @Test("A name has one cell for ever, and different names have different cells")
    func identity() {
        let table = CellTable()
        let names: [CellName] = [
            .schema(database: "d"), .catalog(database: "d"), relation("r"), relation("s"),
            .schema(database: "e"), relation("r", in: "e"), relation("", in: "dr"),
        ]
        let cells = names.map { table.cell($0) }
        #expect(Set(cells).count == names.count)
        #expect(names.map { table.cell($0) } == cells)
        #expect(table.count == names.count)
        for cell in cells { #expect(cell.current == 0) }
    }

    @Test("The columns by which a relation is read have a cell for each list, in its order")
    func wideCells() {
        func wide(_ columns: String..., relation: String = "r") -> CellName {
            .wide(database: "d", relation: relation, columns: columns)
        }
        let table = CellTable(capacity: 5)
        let names = [
            wide("a"), wide("b"), wide("a", "b"), wide("b", "a"), wide("a", relation: "s"),
        ]
        #expect(Set(names.map { table.cell($0) }).count == names.count)
        #expect(table.overflows == 0)
        #expect(table.cell(wide("c")) == table.cell(.schema(database: "d")))
        #expect(table.overflows == 1)
    }

    @Test("Every hash has a key cell, unmoved, and the table's size is how many there are")
    func keyCells() {
        let table = CellTable(keyCells: 5)
        let cells = Set((0..<100).map { table.keyCell(hash: $0) })
        #expect(cells.count == 8)
        #expect(cells.allSatisfy { $0.current == 0 })
        #expect(table.keyCell(hash: -1) == table.keyCell(hash: 7))
        #expect(table.keyCell(hash: .min) == table.keyCell(hash: 0))
        #expect(CellTable(keyCells: 0).keyCell(hash: 12345).current == 0)
    }

    @Test("Threads that ask for the first key cell at once get the same")
    func firstKeyCell() async {
        for _ in 0..<50 {
            let table = CellTable(keyCells: 16)
            let cells = await withTaskGroup(of: VersionCell.self) { group in
                for _ in 0..<4 { group.addTask { table.keyCell(hash: 3) } }
                return await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(cells.count == 1)
        }
    }

    @Test("Cells of more than one chunk do not overlap")
    func chunks() {
        let table = CellTable()
        let cells = (0..<500).map { table.cell(relation("\($0)")) }
        let addresses = cells.map { UInt(bitPattern: $0.word) }.sorted()
        for (a, b) in zip(addresses, addresses.dropFirst()) { #expect(b - a >= 64) }
    }

    @Test("A full table gives a new relation its database's schema cell and counts that")
    func overflow() {
        let table = CellTable(capacity: 2)
        let first = table.cell(relation("a"))
        let second = table.cell(relation("b"))
        #expect(table.overflows == 0)

        let third = table.cell(relation("c"))
        let elsewhere = table.cell(relation("c", in: "e"))
        #expect(third == table.cell(.schema(database: "d")))
        #expect(elsewhere == table.cell(.schema(database: "e")))
        #expect(third != elsewhere)
        #expect(table.cell(relation("c")) == third)
        #expect(table.overflows == 3)

        #expect(table.cell(relation("a")) == first)
        #expect(table.cell(relation("b")) == second)
        #expect(table.cell(.catalog(database: "f")) != table.cell(.schema(database: "f")))
        #expect(table.overflows == 3)
    }

    @Test("A write to a relation without a cell of its own invalidates its whole database")
    func overflowInvalidatesEverything() throws {
        let table = CellTable(capacity: 1)
        let reader = CellSet([table.cell(.schema(database: "d")), table.cell(relation("a"))])
        let lease = try #require(reader.capture())
        let window = try #require(WriteWindow.open(CellSet([table.cell(relation("other"))])))
        #expect(!lease.isValid)
        window.close(.committed)
        #expect(!lease.isValid)
    }

    @Test("Threads that ask for the same names get the same cells")
    func concurrency() async {
        let table = CellTable(capacity: 300)
        let answers = await withTaskGroup(of: [VersionCell].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    (0..<400).map { table.cell(.all(database: "d", relation: "\($0)")) }
                }
            }
            var answers: [[VersionCell]] = []
            for await answer in group { answers.append(answer) }
            return answers
        }
        // Which names were too late depends on the schedule, but not from one caller to the next.
        #expect(Set(answers).count == 1)
        #expect(table.count == 301)
    }
}
