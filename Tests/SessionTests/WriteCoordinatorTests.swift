import Logging
import ResultCache
import SQLAnalysis
import Telemetry
import Testing

@testable import Session

@Suite("WriteCoordinator")
struct WriteCoordinatorTests {
    private let cells = CellTable()
    private let coordinator: WriteCoordinator

    init() {
        coordinator = WriteCoordinator(
            cells: cells, metrics: ProxyMetrics(version: "test"), upstream: ScriptedUpstream(),
            logger: Logger(label: "test"))
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
}
