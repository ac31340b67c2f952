import Logging
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Synchronization
import Telemetry
import Upstream

/// A write window as a session holds it: which coordinator opened it, and its place in order.
final class OpenWindow: Sendable {
    let order: UInt64
    let window: WriteWindow
    let database: String
    /// Whether it covers the catalog: its end changes what other windows should have covered.
    let coversCatalog: Bool

    init(order: UInt64, window: WriteWindow, database: String, coversCatalog: Bool) {
        self.order = order
        self.window = window
        self.database = database
        self.coversCatalog = coversCatalog
    }
}

/// Opens and closes the write windows of all sessions, and keeps those of unknown outcome open
/// until there is proof (design §4, Window).
///
/// Thread-safe; its mutex is held for a few dictionary operations and never while a window's
/// owner is called.
package final class WriteCoordinator: Sendable {
    private struct State {
        var nextOrder: UInt64 = 1
        /// Windows that cover named relations only, by order.
        var narrow: Set<UInt64> = []
        /// Catalog changes that have ended while narrow windows of the time before were open. What
        /// those cover was decided from the old catalog (a trigger may have been added since), so
        /// nothing may be answered from memory until they have closed as well.
        var heldOver: [(waitingFor: Set<UInt64>, window: WriteWindow)] = []
    }

    private let state = Mutex(State())
    private let cells: CellTable
    private let metrics: ProxyMetrics
    private let upstream: any Upstream
    private let logger: Logger

    package init(
        cells: CellTable, metrics: ProxyMetrics, upstream: any Upstream, logger: Logger
    ) {
        self.cells = cells
        self.metrics = metrics
        self.upstream = upstream
        self.logger = logger
    }

    /// Opens a window over what `writeSet` may change. Call before the first byte that can commit
    /// is sent. Returns nil for an empty write set.
    ///
    /// `catalogVersion` is what the write set was decided from: where the catalog has moved since,
    /// or is being changed, the window covers the whole database. Throws where the limit of
    /// writers in flight is reached.
    func open(
        _ writeSet: WriteSet, database: String, catalogVersion: UInt64
    ) throws(PostgresError) -> OpenWindow? {
        if case .nothing = writeSet { return nil }
        let catalog = cells.cell(.catalog(database: database))
        let schema = cells.cell(.schema(database: database))
        let relations: [VersionCell]
        switch writeSet {
        case .nothing, .everything, .everythingAndCatalog:
            relations = []
        case .relations(let identifiers):
            relations = identifiers.keys.map {
                cells.cell(.all(database: database, relation: $0.rawValue))
            }
        }
        // The order of a narrow window is taken before the catalog is looked at: a catalog change
        // that is missed by the look ends later, and then waits for this window.
        let order = state.withLock { state in
            let order = state.nextOrder
            state.nextOrder += 1
            if !relations.isEmpty { state.narrow.insert(order) }
            return order
        }
        var covered = relations
        let coversCatalog = writeSet == .everythingAndCatalog
        if coversCatalog {
            // Roles and their memberships belong to all databases of a server.
            covered += [catalog, cells.cell(.cluster)]
        }
        if relations.isEmpty || catalog.writersInFlight > 0 || catalog.current != catalogVersion {
            covered.append(schema)
        }
        guard let window = WriteWindow.open(CellSet(covered)) else {
            state.withLock { _ = $0.narrow.remove(order) }
            throw PostgresError(
                .tooManyConnections, "too many writes in flight through the proxy",
                hint: "Retry the statement.")
        }
        metrics.writeWindows.increment()
        return OpenWindow(
            order: order, window: window, database: database, coversCatalog: coversCatalog)
    }

    /// Closes a window whose outcome is known.
    func close(_ open: OpenWindow, committed: Bool) {
        let finished: [WriteWindow] = state.withLock { state in
            state.narrow.remove(open.order)
            var finished: [WriteWindow] = []
            for index in state.heldOver.indices.reversed() {
                state.heldOver[index].waitingFor.remove(open.order)
                if state.heldOver[index].waitingFor.isEmpty {
                    finished.append(state.heldOver.remove(at: index).window)
                }
            }
            return finished
        }
        if open.coversCatalog, committed {
            closeCatalogChange(open)
        } else {
            open.window.close(committed ? .committed : .aborted)
        }
        for window in finished { window.close(.committed) }
    }

    /// A committed catalog change: its cells open again over the schema at once if narrow windows
    /// are still out, so that there is no moment without one.
    private func closeCatalogChange(_ open: OpenWindow) {
        let schema = CellSet([cells.cell(.schema(database: open.database))])
        let holdover = WriteWindow.open(schema)
        open.window.close(.committed)
        guard let holdover else { return }
        let isHeld = state.withLock { state in
            guard !state.narrow.isEmpty else { return false }
            state.heldOver.append((state.narrow, holdover))
            return true
        }
        if !isHeld { holdover.close(.aborted) }
    }

    /// Keeps windows whose connection ended before their outcome was known open until the upstream
    /// session is proven to have ended; however long that takes.
    func outcomeUnknown(_ windows: [OpenWindow], key: BackendKey?, database: String) {
        guard !windows.isEmpty else { return }
        for _ in windows { metrics.unknownOutcomes.increment() }
        logger.warning(
            "connection lost during a write: its relations are not cached until the outcome is known",
            metadata: ["database": "\(database)", "windows": "\(windows.count)"])
        upstream.whenEnded(key, database: database) { [self] in
            for window in windows { close(window, committed: true) }
            logger.notice(
                "outcome settled: the upstream session has ended",
                metadata: ["database": "\(database)"])
        }
    }
}
