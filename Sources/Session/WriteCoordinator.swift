import Logging
import Mutants
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry
import Upstream

/// A write window as a session holds it: until it has it closed, or hands it on.
final class OpenWindow: Sendable {
    let registered: RegisteredWindow
    /// When it was opened, where that is logged: microseconds since 1970.
    fileprivate let openedAt: UInt64?

    fileprivate init(_ registered: RegisteredWindow, openedAt: UInt64?) {
        self.registered = registered
        self.openedAt = openedAt
    }

    deinit {
        assert(registered.isOver, "a write window was lost: its relations are never cached again")
    }
}

/// Opens and closes the write windows of all sessions, and keeps those of unknown outcome open
/// until there is proof (design §4, Window).
///
/// Thread-safe. What it decides is decided by its `WindowRegistry`; what is added here is the rest
/// of the world: errors, metrics, the log, the upstream's word on sessions that were lost.
package final class WriteCoordinator: Sendable {
    package let registry: WindowRegistry
    private let metrics: ProxyMetrics
    private let upstream: any Upstream
    private let right: ServingRight
    private let logger: Logger

    package init(
        cells: CellTable, metrics: ProxyMetrics, upstream: any Upstream,
        right: ServingRight = ServingRight(), logger: Logger
    ) {
        self.right = right
        registry = WindowRegistry(cells: cells)
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
        guard let coverage = writeSet.coverage else { return nil }
        // The node that is followed opens one, and tells of it. One more here would only keep out
        // what that stores meanwhile.
        if right.isFollowing { return nil }
        guard
            let registered = registry.open(
                coverage, database: database, catalogVersion: catalogVersion)
        else {
            throw PostgresError(
                .tooManyConnections, "too many writes in flight through the proxy",
                hint: "Retry the statement.")
        }
        metrics.writeWindows.increment()
        metrics.writeWindowsOpen.increment()
        guard logger.logLevel <= .trace else {
            return OpenWindow(registered, openedAt: nil)
        }
        logger.trace(
            "write window opened",
            metadata: ["database": "\(database)", "order": "\(registered.order)"])
        return OpenWindow(registered, openedAt: WallClock.microseconds)
    }

    /// Closes a window whose outcome is known. `processID` is that of the upstream session, where
    /// it is known.
    func close(_ open: OpenWindow, committed: Bool, processID: Int32? = nil) {
        close(open, committed ? .committed : .aborted, processID)
    }

    private func close(_ open: OpenWindow, _ outcome: Outcome, _ processID: Int32?) {
        registry.close(open.registered, committed: outcome != .aborted)
        metrics.writeWindowsOpen.decrement()
        log(open, outcome, processID)
    }

    /// Keeps windows whose connection ended before their outcome was known open until the upstream
    /// session is proven to have ended; however long that takes.
    func outcomeUnknown(_ windows: [OpenWindow], key: BackendKey?, database: String) {
        guard !windows.isEmpty else { return }
        for _ in windows { metrics.unknownOutcomes.increment() }
        logger.warning(
            "connection lost during a write: its relations are not cached until the outcome is known",
            metadata: ["database": "\(database)", "windows": "\(windows.count)"])
        if Mutant.windowReleasedWithLink.isActive {
            for window in windows { close(window, committed: false) }
            return
        }
        upstream.whenEnded(key, database: database) { [self] in
            for window in windows { close(window, .unknown, key?.processID) }
            logger.notice(
                "outcome settled: the upstream session has ended",
                metadata: ["database": "\(database)"])
        }
    }

    // MARK: The log

    private enum Outcome: String {
        case committed, aborted, unknown
    }

    /// What an auditor needs to compare windows with what the server's own log of changes says.
    private func log(_ window: OpenWindow, _ outcome: Outcome, _ processID: Int32?) {
        guard let openedAt = window.openedAt else { return }
        let registered = window.registered
        let covers =
            registered.coversEverything ? "*" : registered.relations.sorted().joined(separator: ",")
        var metadata: Logger.Metadata = [
            "database": "\(registered.database)", "order": "\(registered.order)",
            "opened": "\(openedAt)", "closed": "\(WallClock.microseconds)",
            "outcome": "\(outcome.rawValue)", "covers": "\(covers)",
        ]
        if let processID { metadata["pid"] = "\(processID)" }
        logger.trace("write window closed", metadata: metadata)
    }
}
