import Testing

@testable import ResultCache

@Suite("Window registry")
struct WindowRegistryTests {
    private let table = CellTable()
    private let registry: WindowRegistry

    init() {
        registry = WindowRegistry(cells: table)
    }

    private var schema: VersionCell { table.cell(.schema(database: "d")) }
    private var all: VersionCell { table.cell(.all(database: "d", relation: "r")) }

    private func writers(_ columns: KeyedColumns, _ tuple: Int...) -> UInt64 {
        columns.cell(of: tuple).writersInFlight
    }

    @Test("A write that knows its keys moves these alone, and the relation as a whole")
    func pinned() throws {
        let id = try #require(registry.keyed(by: "id"))
        #expect(id.isReady)
        let window = try #require(registry.open("r", ["id": [1, 2]]))
        #expect(all.writersInFlight == 1)
        #expect(writers(id, 1) == 1)
        #expect(writers(id, 2) == 1)
        #expect(writers(id, 3) == 0)
        #expect(id.wide.writersInFlight == 0)
        #expect(schema.writersInFlight == 0)
        registry.close(window, committed: true)
        for cell in [all, id.cell(of: [1]), id.cell(of: [2])] {
            #expect(cell.current == 1 << VersionCell.writerBits)
        }
        #expect(id.cell(of: [3]).current == 0)
        #expect(id.wide.current == 0)
    }

    @Test("A write that does not know its keys moves the wide cell and no key")
    func unpinned() throws {
        let id = try #require(registry.keyed(by: "id"))
        let name = try #require(registry.keyed(by: "name"))
        let window = try #require(registry.open("r", ["id": [1]]))
        #expect(writers(id, 1) == 1)
        #expect(id.wide.writersInFlight == 0)
        #expect(name.wide.writersInFlight == 1)
        #expect(writers(name, 1) == 0)
        registry.close(window, committed: true)
        #expect(name.wide.version == 1)
    }

    @Test("A write whose rows have NULL as their key moves no cell of that column")
    func nullKey() throws {
        let id = try #require(registry.keyed(by: "id"))
        let window = try #require(registry.open("r", ["id": []]))
        #expect(window.cells == CellSet([all]))
        #expect(id.wide.writersInFlight == 0)
        registry.close(window, committed: true)
    }

    @Test("A composite key moves for each combination of its columns' values")
    func composite() throws {
        let pair = try #require(registry.keyed(by: "a", "b"))
        let window = try #require(registry.open("r", ["a": [1, 2], "b": [3, 4]]))
        for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] { #expect(writers(pair, a, b) == 1) }
        #expect(writers(pair, 3, 1) == 0)
        #expect(writers(pair, 1, 5) == 0)
        registry.close(window, committed: true)

        let half = try #require(registry.open("r", ["a": [1]]))
        #expect(pair.wide.writersInFlight == 1)
        #expect(writers(pair, 1, 3) == 0)
        registry.close(half, committed: true)
    }

    @Test("More keys than a window may have are the wide cell", arguments: [64, 65])
    func manyKeys(count: Int) throws {
        let id = try #require(registry.keyed(by: "id"))
        let window = try #require(registry.open("r", ["id": Array(0..<count)]))
        #expect(id.wide.writersInFlight == (count > 64 ? 1 : 0))
        #expect(writers(id, 0) == (count > 64 ? 0 : 1))
        registry.close(window, committed: true)

        let pair = try #require(registry.keyed(by: "a", "b"))
        let product = try #require(
            registry.open(
                "r", ["id": [0], "a": Array(0..<8), "b": Array(0..<(count / 8 + count % 8))]))
        #expect(pair.wide.writersInFlight == (count > 64 ? 1 : 0))
        registry.close(product, committed: true)
    }

    @Test("Each database, relation, list of columns and value has keys of its own")
    func names() throws {
        let lists = [
            try #require(registry.keyed(by: "a")), try #require(registry.keyed(by: "b")),
            try #require(registry.keyed(by: "a", of: "s")),
            try #require(registry.keyed(by: ["a"], relation: "r", database: "e")),
        ]
        // One chance in a million each that two share a cell.
        let cells = lists.flatMap { list in (0..<3).map { list.cell(of: [$0]) } + [list.wide] }
        #expect(Set(cells).count >= cells.count - 1)
        let pair = try #require(registry.keyed(by: "a", "b"))
        #expect(pair.cell(of: [1, 2]) != pair.cell(of: [2, 1]))
        #expect(registry.keyed(by: "a") === lists[0])
    }

    @Test("Columns are not ready before each older window over their relation has closed")
    func newlyKeyed() throws {
        let first = try #require(registry.open("r", ["id": [1]]))
        let second = try #require(registry.open("r"))
        let elsewhere = try #require(registry.open("s"))
        let otherDatabase = try #require(
            registry.open(
                WriteCoverage.relations([(relation: "r", pins: PinnedColumns.anyRow)]),
                database: "e", catalogVersion: 0))
        let everything = try #require(registry.openEverything())
        let id = try #require(registry.keyed(by: "id"))
        #expect(!id.isReady)
        // One that opens later covers them already: nothing waits for it.
        let later = try #require(registry.open("r", ["id": [1]]))
        #expect(writers(id, 1) == 1)
        registry.close(first, committed: true)
        #expect(!id.isReady)
        #expect(registry.keyed(by: "id") === id)
        registry.close(second, committed: false)
        #expect(id.isReady)
        // Exactly what it opened, although the columns are keyed by now.
        #expect(id.wide.current == 0)
        #expect(id.cell(of: [1]).version == 0)
        for window in [later, elsewhere, otherDatabase, everything] {
            registry.close(window, committed: true)
        }
        #expect(id.cell(of: [1]).current == 1 << VersionCell.writerBits)
    }

    @Test("A window that never closes keeps columns from becoming ready, and no others")
    func unknownOutcome() throws {
        let lost = try #require(registry.open("r"))
        let id = try #require(registry.keyed(by: "id"))
        let elsewhere = try #require(registry.keyed(by: "id", of: "s"))
        #expect(!id.isReady)
        #expect(elsewhere.isReady)
        for _ in 0..<3 { registry.close(try #require(registry.open("r")), committed: true) }
        #expect(!id.isReady)
        registry.close(lost, committed: true)
        #expect(id.isReady)
    }

    @Test("A relation is keyed by so many lists of columns and no more")
    func tooManyLists() throws {
        for number in 0..<WindowRegistry.maximumColumnLists {
            #expect(registry.keyed(by: "c\(number)") != nil)
        }
        #expect(registry.keyed(by: "one more") == nil)
        #expect(registry.keyed(by: "c0") != nil)
        #expect(registry.keyed(by: "one more", of: "s") != nil)
    }

    @Test("Columns for which the table has no cell are not keyed by")
    func fullTable() throws {
        let full = WindowRegistry(cells: CellTable(capacity: 0))
        #expect(full.keyed(by: "id") == nil)
    }

    @Test("A window refused for too many writers leaves nothing open and nobody waiting")
    func refused() throws {
        let cell = all
        for _ in 0..<WriteWindow.maximumPerCell { _ = cell.addWriter() }
        #expect(registry.open("r") == nil)
        for _ in 0..<WriteWindow.maximumPerCell { cell.removeWriter() }
        #expect(cell.current == 0)
        #expect(try #require(registry.keyed(by: "id")).isReady)
    }

    @Test("A write decided from an older catalog covers its keys and the whole database")
    func olderCatalog() throws {
        let id = try #require(registry.keyed(by: "id"))
        let window = try #require(registry.open("r", ["id": [1]], catalogVersion: 7))
        #expect(window.coversEverything)
        #expect(schema.writersInFlight == 1)
        #expect(writers(id, 1) == 1)
        registry.close(window, committed: true)
        #expect(schema.writersInFlight == 0)
    }

    @Test("Threads that write and key by columns at once leave no writer and no waiting column")
    func concurrency() async {
        let registry = registry
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<3 {
                group.addTask {
                    for round in 0..<500 {
                        let window = registry.open("r\(round % 50)", ["c0": [round], "c1": [task]])
                        _ = registry.keyed(by: "c\(round % 4)", of: "r\((round * 7) % 50)")
                        if let window { registry.close(window, committed: round % 3 == 0) }
                    }
                }
            }
        }
        for relation in 0..<50 {
            for column in 0..<4 {
                let columns = registry.keyed(by: "c\(column)", of: "r\(relation)")
                #expect(columns?.isReady == true)
                #expect(columns?.wide.writersInFlight == 0)
                for key in 0..<500 { #expect(columns?.cell(of: [key]).writersInFlight == 0) }
            }
        }
    }
}
