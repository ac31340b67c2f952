import Logging
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Testing
import Upstream

@testable import Session

@Suite("WriteCoordinator")
struct WriteCoordinatorTests {
    private let cells = CellTable()
    private let coordinator: WriteCoordinator

    init() {
        coordinator = WriteCoordinator(
            cells: cells, metrics: ProxyMetrics(version: "test"), upstream: ScriptedUpstream(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private var schema: VersionCell { cells.cell(.schema(database: "db")) }
    private var catalog: VersionCell { cells.cell(.catalog(database: "db")) }
    private func table(_ name: String) -> VersionCell {
        cells.cell(.all(database: "db", relation: name))
    }

    private func open(_ writeSet: WriteSet, version: UInt64? = nil) throws -> OpenWindow {
        try #require(
            try coordinator.open(
                writeSet, database: "db", catalogVersion: version ?? catalog.current))
    }

    @Test("a write moves its tables alone")
    func narrow() throws {
        let window = try open(.relations([RelationIdentifier("a")]))
        #expect(table("a").writersInFlight == 1)
        #expect(table("b").writersInFlight == 0)
        #expect(schema.writersInFlight == 0)
        let before = table("a").version
        coordinator.close(window, committed: true)
        #expect(table("a").version == before + 1)
        #expect(table("a").writersInFlight == 0)
    }

    @Test("nothing to write opens nothing")
    func nothing() throws {
        #expect(
            try coordinator.open(.nothing, database: "db", catalogVersion: catalog.current) == nil)
    }

    @Test("a write set decided from an older catalog covers the whole database")
    func olderCatalog() throws {
        let old = catalog.current
        coordinator.close(try open(.everythingAndCatalog), committed: true)
        let window = try open(.relations([RelationIdentifier("a")]), version: old)
        #expect(schema.writersInFlight == 1)
        coordinator.close(window, committed: true)
        #expect(schema.writersInFlight == 0)
    }

    @Test("a write that begins while the catalog is being changed covers the whole database")
    func duringCatalogChange() throws {
        let change = try open(.everythingAndCatalog)
        let window = try open(.relations([RelationIdentifier("a")]))
        #expect(schema.writersInFlight == 2)
        coordinator.close(change, committed: true)
        coordinator.close(window, committed: true)
        #expect(schema.writersInFlight == 0)
    }

    @Test("an aborted catalog change leaves every version as it was")
    func abortedChange() throws {
        let before = (schema.current, catalog.current)
        coordinator.close(try open(.everythingAndCatalog), committed: false)
        #expect((schema.current, catalog.current) == before)
    }

    @Test("two catalog changes wait for the same older write, and both let go of it")
    func twoHoldovers() throws {
        let write = try open(.relations([RelationIdentifier("a")]))
        coordinator.close(try open(.everythingAndCatalog), committed: true)
        coordinator.close(try open(.everythingAndCatalog), committed: true)
        #expect(schema.writersInFlight == 2)
        coordinator.close(write, committed: true)
        #expect(schema.writersInFlight == 0)
    }

    @Test("at level trace each window's end is logged, with what it covered and how it ended")
    func log() throws {
        let recorder = LogRecorder()
        let upstream = EndedUpstream()
        let coordinator = WriteCoordinator(
            cells: cells, metrics: ProxyMetrics(version: "test"), upstream: upstream,
            logger: recorder.logger(level: .trace))
        func open(_ writeSet: WriteSet) throws -> OpenWindow {
            try #require(
                try coordinator.open(
                    writeSet, database: "db", catalogVersion: catalog.current))
        }
        let pins = RowPins(["id": [.value(.integer(4711))]])
        let narrow = try open(.relations([RelationIdentifier("b"): pins, .init("a"): pins]))
        coordinator.close(narrow, committed: true, processID: 7)
        coordinator.close(try open(.everything), committed: false)
        coordinator.outcomeUnknown(
            [try open(.relations([RelationIdentifier("a")]))],
            key: BackendKey(processID: 8, secret: 4712), database: "db")

        let lines = recorder.lines.filter { $0.message == "write window closed" }
        #expect(lines.allSatisfy { $0.level == .trace && $0.metadata["database"] == "db" })
        #expect(lines.map { $0.metadata["covers"] } == ["a,b", "*", "a"])
        #expect(lines.map { $0.metadata["outcome"] } == ["committed", "aborted", "unknown"])
        #expect(lines.map { $0.metadata["pid"] } == ["7", nil, "8"])
        let orders = try lines.map { try #require(UInt64($0.metadata["order"] ?? "")) }
        #expect(orders == [orders[0], orders[0] + 1, orders[0] + 2])
        for line in lines {
            let opened = try #require(UInt64(line.metadata["opened"] ?? ""))
            let closed = try #require(UInt64(line.metadata["closed"] ?? ""))
            // 2020 and 2100: microseconds, and not another unit.
            #expect(opened > 1_577_836_800_000_000 && closed < 4_102_444_800_000_000)
            #expect(opened <= closed)
            #expect(line.metadata.values.allSatisfy { !$0.contains("471") || $0.count > 10 })
        }
    }

    @Test("above level trace windows are not logged")
    func noLog() throws {
        let recorder = LogRecorder()
        let coordinator = WriteCoordinator(
            cells: cells, metrics: ProxyMetrics(version: "test"), upstream: ScriptedUpstream(),
            logger: recorder.logger(level: .debug))
        let window = try #require(
            try coordinator.open(.everything, database: "db", catalogVersion: catalog.current))
        coordinator.close(window, committed: true)
        #expect(recorder.lines.isEmpty)
    }
}

/// An upstream whose sessions are known to have ended as soon as that is asked.
private struct EndedUpstream: Upstream {
    let analyzer: any StatementAnalyzer = ScriptedAnalyzer()
    let settingsProbe: String? = nil

    func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink {
        preconditionFailure("no link is needed")
    }

    func checkReachable() async throws {}
    func shutDown() async {}
    func waitUntilEnded(_ key: BackendKey?, database: String) async throws {}

    func whenEnded(
        _ key: BackendKey?, database: String, _ then: @escaping @Sendable () -> Void
    ) {
        then()
    }
}
