import Testing

@testable import ResultCache

@Suite("Cells, leases and windows")
struct WriteWindowTests {
    private let table = CellTable()

    private func set(_ names: String...) -> CellSet {
        CellSet(names.map { table.cell(.all(database: "d", relation: $0)) })
    }

    @Test("A set holds each cell once, in whatever order it was made")
    func sets() {
        #expect(set("a", "b", "a") == set("b", "a"))
        #expect(set("a", "b", "a").count == 2)
        #expect(set("a").union(set("b")) == set("a", "b"))
        #expect(set("a").union(set("a")) == set("a"))
        #expect(set().union(set("a")) == set("a"))
        #expect(set("a").union(set()) == set("a"))
        #expect(set().isEmpty)
        #expect(!set("a").isEmpty)
    }

    @Test("A committed window moves each of its cells by one version")
    func committed() throws {
        let cells = set("a", "b")
        let lease = try #require(cells.capture())
        let window = try #require(WriteWindow.open(cells))
        for cell in cells.cells {
            #expect(cell.writersInFlight == 1)
            #expect(cell.version == 0)
        }
        #expect(cells.capture() == nil)
        #expect(!lease.isValid)
        window.close(.committed)
        for cell in cells.cells {
            #expect(cell.writersInFlight == 0)
            #expect(cell.version == 1)
        }
        #expect(!lease.isValid)
        let next = try #require(cells.capture())
        #expect(next.isValid)
        #expect(next.sum == 2 << 20)
    }

    @Test("An aborted window leaves every word and every lease as it was")
    func aborted() throws {
        let cells = set("a", "b")
        let lease = try #require(cells.capture())
        let window = try #require(WriteWindow.open(set("a")))
        #expect(!lease.isValid)
        window.close(.aborted)
        #expect(lease.isValid)
        #expect(cells.capture() == lease)
    }

    @Test("Windows on one cell count one another, and each ends for itself")
    func overlapping() throws {
        let cells = set("a")
        let first = try #require(WriteWindow.open(cells))
        let second = try #require(WriteWindow.open(cells))
        #expect(cells.cells[0].writersInFlight == 2)
        first.close(.committed)
        #expect(cells.cells[0].writersInFlight == 1)
        #expect(cells.cells[0].version == 1)
        #expect(cells.capture() == nil)
        second.close(.aborted)
        #expect(cells.capture() != nil)
        #expect(cells.cells[0].version == 1)
    }

    @Test("A window concerns only leases that share a cell with it")
    func disjoint() throws {
        let lease = try #require(set("a", "b").capture())
        let other = try #require(WriteWindow.open(set("c")))
        #expect(lease.isValid)
        other.close(.committed)
        #expect(lease.isValid)
        let touching = try #require(WriteWindow.open(set("b", "c")))
        #expect(!lease.isValid)
        touching.close(.committed)
        #expect(!lease.isValid)
    }

    @Test("One cell's commits cannot make up for another's")
    func sumsDoNotCancel() throws {
        // Versions (1, 0) and (0, 1) have the same sum, but only the first can follow the first.
        let both = set("a", "b")
        try #require(WriteWindow.open(set("a"))).close(.committed)
        let lease = try #require(both.capture())
        try #require(WriteWindow.open(set("b"))).close(.committed)
        #expect(!lease.isValid)
        for _ in 0..<1000 {
            try #require(WriteWindow.open(set("a"))).close(.committed)
            #expect(!lease.isValid)
        }
    }

    @Test("A window that was dropped without an outcome keeps its cells closed")
    func dropped() throws {
        let cells = set("a")
        do {
            let window = try #require(WriteWindow.open(cells))
            _ = window
        }
        #expect(cells.capture() == nil)
    }

    @Test("Above the limit of windows per cell, open counts nothing and says so")
    func limit() throws {
        let crowded = set("a")
        let windows = try (0..<3).map { _ in
            try #require(WriteWindow.open(crowded, maximumPerCell: 3))
        }
        let before = set("a", "b", "c").cells.map(\.current)
        #expect(WriteWindow.open(set("a", "b", "c"), maximumPerCell: 3) == nil)
        #expect(set("a", "b", "c").cells.map(\.current) == before)
        #expect(set("b", "c").capture() != nil)
        windows[1].close(.aborted)
        #expect(WriteWindow.open(crowded, maximumPerCell: 3) != nil)
    }

    @Test("The limit leaves room for every thread to overstep it before it can carry")
    func limitIsFarFromCarrying() {
        let room = Int(VersionCell.writerMask) - WriteWindow.maximumPerCell
        #expect(room > 500_000)
    }

    @Test("Closing a window twice stops the process")
    func closedTwice() async {
        await #expect(processExitsWith: .failure) {
            let table = CellTable()
            let window = WriteWindow.open(CellSet([table.cell(.schema(database: "d"))]))
            window?.close(.committed)
            window?.close(.committed)
        }
    }

    @Test("After many windows from several threads, versions are the commits and writers are none")
    func concurrency() async {
        let cells = set("a", "b", "c")
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for round in 0..<5_000 {
                        let part = CellSet([cells.cells[round % 3], cells.cells[task % 3]])
                        WriteWindow.open(part)?.close(round % 2 == 0 ? .committed : .aborted)
                    }
                }
            }
        }
        var expected = [0, 0, 0]
        for task in 0..<4 {
            for round in stride(from: 0, to: 5_000, by: 2) {
                for index in Set([round % 3, task % 3]) { expected[index] += 1 }
            }
        }
        #expect(cells.cells.map { Int($0.version) } == expected)
        #expect(cells.cells.allSatisfy { $0.writersInFlight == 0 })
    }
}
