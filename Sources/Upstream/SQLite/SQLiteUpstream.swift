import Foundation
import Logging
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Synchronization

/// A SQLite database file that speaks PostgreSQL's protocol through its links.
///
/// Writes by other processes are noticed before an answer is served from memory (`commitWatch`), or
/// within `SQLiteUpstreamSettings.externalWriteCheck`, and before and after each write of our own:
/// everything cached before is then stale.
package final class SQLiteUpstream: Upstream {
    private let database: SQLiteDatabase
    private let sqliteAnalyzer: SQLiteAnalyzer
    private let links = Mutex(Links())

    private struct Links {
        var nextProcessID: Int32 = 1
        /// Runs from the first link to the shutdown, whether links are open or not: answers in
        /// the cache are given to sessions that have none.
        var check: RepeatedTask?
        var isShutDown = false
    }

    /// Opens the file, which must exist, and turns its write-ahead log on. Blocks for a moment:
    /// call at start-up. Throws a `PostgresError` whose message and hint an operator can act on.
    package init(
        path: String, settings: SQLiteUpstreamSettings = SQLiteUpstreamSettings(),
        cells: CellTable, logger: Logger
    ) throws {
        database = try SQLiteDatabase(
            path: path, settings: settings, cells: cells, logger: logger)
        sqliteAnalyzer = SQLiteAnalyzer(database: database)
    }

    /// The name under which clients connect, and by which `CellName` knows the database.
    package var databaseName: String { database.name }

    package var analyzer: any StatementAnalyzer { sqliteAnalyzer }

    package var commitWatch: CommitWatch? { database.commitWatch }

    /// No answer of SQLite's depends on a setting, and those that transactions depend on are only
    /// changed by statements that analysis can read.
    package var settingsProbe: String? { nil }

    package func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink {
        let box = ReplyBox()
        let replies = ReplyStream(limit: database.settings.replyLimit, eventLoop: eventLoop) {
            box.link?.deliver($0)
        }
        var failure: PostgresError?
        var settings = SessionSettings(user: startup.user)
        do {
            guard startup.database == database.name else {
                throw PostgresError(
                    "3D000", "database \"\(startup.database)\" does not exist",
                    hint: "This server has one database, named \"\(database.name)\".")
            }
            try StartupSettings.apply(startup.parameters, to: &settings)
        } catch {
            failure = SQLiteSession.reportable(error)
        }
        let key = BackendKey(
            processID: nextProcessID(eventLoop), secret: Int32.random(in: .min ... .max))
        let session = SQLiteSession(
            database: database, analyzer: sqliteAnalyzer, key: key, user: startup.user,
            settings: settings, replies: replies, eventLoop: eventLoop)
        return SQLiteLink(
            database: database, eventLoop: eventLoop, delegate: delegate, replyBox: box,
            replies: replies, session: session, failure: failure)
    }

    package func checkReachable() async throws {
        try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Void, any Error>) in
            database.writer.submit { [database] connection in
                continuation.resume(
                    with: connection.flatMap { connection in
                        Result { try database.checkForeignWrites(connection) }
                    })
            }
        }
    }

    /// Returns at once: a statement's outcome is always known before its link is over.
    package func waitUntilEnded(_ key: BackendKey?, database: String) async throws {
        try Task.checkCancellation()
    }

    package func contents(
        _ question: ContentsQuestion, during body: @escaping @Sendable () -> Void
    ) async -> [String: String]? {
        await database.contents(during: body)
    }

    /// Ends the threads after what they are doing. No link can be made afterwards.
    package func shutDown() async {
        links.withLock { links in
            links.isShutDown = true
            return links.check.take()
        }?.cancel()
        database.readers.stop()
        for worker in [database.writer, database.analysis] {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                worker.stop { continuation.resume() }
            }
        }
    }

    // MARK: The periodic check

    private func nextProcessID(_ eventLoop: any EventLoop) -> Int32 {
        links.withLock { links in
            if links.check == nil, !links.isShutDown {
                let interval = TimeAmount(database.checkInterval)
                let pending = SharedFlag(false)
                links.check = eventLoop.scheduleRepeatedTask(
                    initialDelay: interval, delay: interval
                ) { [weak database] check in
                    guard let database else {
                        check.cancel()
                        return
                    }
                    // One at a time, however long the writer is busy.
                    guard !pending.exchange(true) else { return }
                    database.writer.submit { connection in
                        _ = pending.exchange(false)
                        guard case .success(let connection) = connection else { return }
                        database.lookNow(connection)
                    }
                }
            }
            let id = links.nextProcessID
            links.nextProcessID = id == Int32.max ? 1 : id + 1
            return id
        }
    }
}

/// A flag that closures can share.
private final class SharedFlag: Sendable {
    private let value: Atomic<Bool>
    init(_ value: Bool) { self.value = Atomic(value) }
    func exchange(_ new: Bool) -> Bool { value.exchange(new, ordering: .sequentiallyConsistent) }
}
