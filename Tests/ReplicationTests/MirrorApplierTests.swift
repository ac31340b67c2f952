import NIOCore
import ResultCache
import Testing

@testable import Replication

@Suite("Applying what a mirror hears")
struct MirrorApplierTests {
    private let nowhere = MirrorLog.Position(epoch: 3, index: 10)

    @Test("Records before a beginning, and messages out of turn, are refused")
    func outOfTurn() throws {
        let early: [MirrorMessage] = [
            .opened(window: 1, cells: []), .closed(window: 1, committed: true), .nothing,
            .entriesEnd, .answer(1, age: 0),
        ]
        for message in early {
            let mirror = MirroredNode()
            mirror.applier.connected(hashKey: [UInt8](repeating: 1, count: 32))
            #expect(throws: MirrorProtocolError.self) { try mirror.applier.apply(message, now: 1) }
        }
        for message in try MirrorMessageTests.samples() {
            switch message {
            case .follow, .heartbeat, .acknowledge, .welcome, .refusal:
                let mirror = MirroredNode()
                try mirror.applier.apply(.begin(nowhere, open: []), now: 1)
                #expect(throws: MirrorProtocolError.self) {
                    try mirror.applier.apply(message, now: 1)
                }
            default: break
            }
        }
    }

    @Test("Cells and identities without a name are refused, and names out of order")
    func withoutNames() throws {
        let mirror = MirroredNode()
        let name = CellName.all(database: "d", relation: "r")
        try mirror.applier.apply(.cells(from: 0, [name]), now: 1)
        try mirror.applier.apply(.begin(nowhere, open: []), now: 1)
        let known = CellReference(rawValue: 0)
        let unknown = CellReference(rawValue: 1)
        let source = MirroredNode(epoch: 1)
        let reply = try #require(source.fill("r", "1"))
        var record = try #require(ReplyRecord(reply, cells: source.cells, now: 1))
        record.cells = [known]
        let wrong: [MirrorMessage] = [
            .opened(window: 1, cells: [known, unknown]), .cells(from: 0, [name]),
            .cells(from: 2, [name]), .stored(record), .entry(record),
            .begin(nowhere, open: [(window: 1, cells: [unknown])]),
        ]
        for message in wrong {
            #expect(throws: MirrorProtocolError.self) { try mirror.applier.apply(message, now: 1) }
        }
    }

    @Test("A window that is open already cannot be opened")
    func openedTwice() throws {
        let mirror = MirroredNode()
        try mirror.applier.apply(.begin(nowhere, open: []), now: 1)
        try mirror.applier.apply(.opened(window: 1, cells: []), now: 1)
        #expect(throws: MirrorProtocolError.self) {
            try mirror.applier.apply(.opened(window: 1, cells: []), now: 1)
        }
    }

    @Test("Every record counts, whether or not it had an effect")
    func positions() throws {
        let mirror = MirroredNode()
        try mirror.applier.apply(.begin(nowhere, open: []), now: 1)
        try mirror.applier.apply(.nothing, now: 1)
        try mirror.applier.apply(.closed(window: 99, committed: true), now: 1)
        try mirror.applier.apply(.opened(window: 1, cells: []), now: 1)
        #expect(mirror.applier.position.index == nowhere.index + 3)
        #expect(mirror.log.position == mirror.applier.position)
        mirror.right.extend(to: 100)
        #expect(mirror.right.covers(now: 1, seen: mirror.applier.position))
    }

    @Test("A beginning takes the right, drops what there was and closes what was open")
    func beginsAnew() throws {
        let source = MirroredNode(epoch: 1)
        source.fill("r", "1")
        let mirror = MirroredNode()
        let joined = try JoinedMirror(source, mirror)
        try joined.catchUp()
        try joined.prove(askedAt: 10)
        let reply = try #require(mirror.lookup("r"))
        let window = try #require(source.open("s"))
        try joined.catchUp()
        try mirror.applier.apply(.begin(nowhere, open: []), now: 20)
        #expect(mirror.right.deadline == 0)
        #expect(mirror.text("r") == nil)
        #expect(!reply.isCurrent)
        #expect(mirror.log.openWindows == 0)
        #expect(mirror.cellSet("s").capture() != nil)
        source.close(window)
    }

    @Test("Between two connections nothing may be answered, and windows stay open")
    func connectionEnds() throws {
        let source = MirroredNode(epoch: 1)
        let mirror = MirroredNode()
        let joined = try JoinedMirror(source, mirror)
        let window = try #require(source.open("r"))
        try joined.catchUp()
        try joined.prove(askedAt: 10)
        #expect(mirror.right.deadline > 0)
        mirror.applier.connected(hashKey: [UInt8](repeating: 2, count: 32))
        #expect(mirror.right.deadline == 0)
        #expect(!mirror.applier.hasBegun)
        #expect(mirror.cellSet("r").capture() == nil)
        source.close(window)
    }

    @Test("Whoever leads next moves the cells by which the mirror's entries are keyed")
    func keyedEntries() throws {
        let source = MirroredNode(epoch: 1)
        let mirror = MirroredNode()
        try fillByKey(source, column: "k")
        let joined = try JoinedMirror(source, mirror)
        try joined.catchUp()
        #expect(mirror.text("keyed") == "1")
        mirror.takeOver(isWarm: true, leasesEnd: 0, epoch: 2)
        let other = try #require(mirror.open("r", TouchedRows(columns: ["k": [2]])))
        mirror.close(other)
        #expect(mirror.text("keyed") == "1")
        let window = try #require(mirror.open("r", TouchedRows(columns: ["k": [1]])))
        mirror.close(window)
        #expect(mirror.text("keyed") == nil)
    }

    @Test(
        "Entries by columns that the mirror cannot know as keys do not outlive a take-over's writes"
    )
    func tooManyColumnLists() throws {
        let source = MirroredNode(epoch: 1)
        let mirror = MirroredNode()
        // Sessions of this node have read by as many lists of columns as there may be.
        for number in 0..<WindowRegistry.maximumColumnLists {
            _ = mirror.registry.keyed(by: ["c\(number)"], relation: "r", database: "d")
        }
        try fillByKey(source, column: "k")
        let joined = try JoinedMirror(source, mirror)
        try joined.catchUp()
        mirror.takeOver(isWarm: true, leasesEnd: 0, epoch: 2)
        let window = try #require(mirror.open("r", TouchedRows(columns: ["k": [1]])))
        mirror.close(window)
        #expect(mirror.text("keyed") == nil)
    }

    private func fillByKey(_ node: MirroredNode, column: String) throws {
        let columns = try #require(
            node.registry.keyed(by: [column], relation: "r", database: "d"))
        let cells = CellSet([
            node.cells.cell(.cluster), node.cells.cell(.schema(database: "d")), columns.wide,
            columns.cell(of: [1]),
        ])
        let lease = try #require(cells.capture())
        node.store("keyed", "1", under: lease)
    }
}
