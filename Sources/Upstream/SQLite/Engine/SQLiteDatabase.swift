import CSQLite
import Foundation
import Logging
import NIOCore
import PostgresWire
import ResultCache
import Synchronization

/// The database file with its threads: one that writes, some that read, one that analyses.
final class SQLiteDatabase: Sendable {
    let path: String
    let name: String
    let settings: SQLiteUpstreamSettings
    let isReadOnly: Bool
    let cells: DatabaseCells
    let writer: SQLiteWorker
    let analysis: SQLiteWorker
    let readers: ReaderPool
    let gate: WriterGate
    let plans: PlanMemo
    let foreignWrites: ForeignWriteDetector
    /// nil where commits are looked for on a timer.
    let commitWatch: CommitWatch?
    let logger: Logger

    private let wasReplaced = Atomic(false)
    private let schemas = Mutex<(version: Int64, schema: SQLiteSchema)?>(nil)

    /// Throws a `PostgresError` that an operator can act on, where the file is missing, is not a
    /// SQLite database, or cannot be opened.
    init(path: String, settings: SQLiteUpstreamSettings, cells: CellTable, logger: Logger) throws {
        let identity = try FileIdentity(path: path)
        try FileSystem.checkIsLocal(path)
        var isReadOnly = access(path, W_OK) != 0
        do {
            try Self.prepareFile(path, readOnly: isReadOnly, settings)
        } catch let error as PostgresError
            where !isReadOnly && error.sqlState == .readOnlyTransaction
        {
            // Writable by its permissions but not in fact: a read-only file system.
            isReadOnly = true
            try Self.prepareFile(path, readOnly: true, settings)
        }
        let name =
            settings.databaseName
            ?? URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        let readOnly = isReadOnly
        let busyTimeout = settings.busyTimeout
        let openReader: @Sendable () throws -> SQLiteConnection = {
            let connection = try SQLiteConnection(
                path: path, readOnly: true, busyTimeout: busyTimeout)
            // Readers are opened as they are needed: not on a file put there meanwhile.
            guard try FileIdentity(path: path) == identity else { throw Self.replaced }
            return connection
        }
        self.path = path
        self.name = name
        self.settings = settings
        self.isReadOnly = isReadOnly
        self.logger = logger
        self.cells = DatabaseCells(table: cells, database: name)
        writer = SQLiteWorker(name: "sqlite-writer") {
            try SQLiteConnection(path: path, readOnly: readOnly, busyTimeout: busyTimeout)
        }
        analysis = SQLiteWorker(name: "sqlite-analysis") {
            // The analyzer answers within two seconds.
            try SQLiteConnection(path: path, readOnly: true, busyTimeout: .seconds(1))
        }
        readers = ReaderPool(
            base: settings.readers, maximum: settings.maximumReaders,
            maximumWaiting: settings.maximumWaiting
        ) { SQLiteWorker(name: "sqlite-reader", open: openReader) }
        gate = WriterGate(maximumWaiting: settings.maximumWaiting)
        plans = PlanMemo(capacity: settings.memoLimit)
        foreignWrites = ForeignWriteDetector(path: path, identity: identity)
        let checksEveryAnswer = settings.externalWriteCheck == .zero
        commitWatch =
            checksEveryAnswer
            ? try CommitWatch(path: path, busyTimeout: busyTimeout) : nil
        if checksEveryAnswer, commitWatch == nil {
            logger.notice(
                """
                the SQLite database is not in WAL mode: commits of other processes are noticed \
                every \(checkInterval.components.attoseconds / 1_000_000_000_000_000) ms only
                """)
        }
        try takeStock()
    }

    /// Sees where the file stands before anything can be cached from it: a commit between the
    /// first answer and a later first look would go unnoticed.
    private func takeStock() throws {
        commitWatch?.whenUnconfirmed { [weak self] in self?.lookForForeignWrites() }
        let isDone = DispatchSemaphore(value: 0)
        let failure = Mutex<(any Error)?>(nil)
        writer.submit { [self] connection in
            do {
                try checkForeignWrites(connection.get())
            } catch {
                failure.withLock { $0 = error }
            }
            isDone.signal()
        }
        isDone.wait()
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// How often the file is looked at. Where every answer from memory is checked, only to see
    /// that it was replaced.
    var checkInterval: Duration {
        if settings.externalWriteCheck > .zero { return settings.externalWriteCheck }
        return commitWatch == nil ? .milliseconds(50) : .seconds(1)
    }

    /// The longest wait for another process's lock in one piece. Between two, what it commits is
    /// noticed.
    var lockTurn: Duration {
        let turn =
            settings.externalWriteCheck > .zero ? settings.externalWriteCheck : .milliseconds(10)
        return min(turn, settings.busyTimeout)
    }

    /// Opens the file once, sees that it is a database, and turns the write-ahead log on, so that
    /// readers and the writer do not wait for each other.
    private static func prepareFile(
        _ path: String, readOnly: Bool, _ settings: SQLiteUpstreamSettings
    ) throws {
        let connection = try SQLiteConnection(
            path: path, readOnly: readOnly, busyTimeout: settings.busyTimeout)
        _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
        if !readOnly { try connection.configure("PRAGMA journal_mode = WAL") }
    }

    /// Throws once another file lies at the path: what is still open has no name any more, and
    /// what would be written to it would be lost.
    func checkNotReplaced() throws {
        guard wasReplaced.load(ordering: .relaxed) else { return }
        throw Self.replaced
    }

    private static let replaced = PostgresError(
        "58030", "the SQLite database file was replaced while it was in use",
        hint: "Restart the proxy to use the new file.")

    /// The schema as `connection` sees it, read once per version. Not for a transaction that has
    /// changed it.
    func schema(on connection: SQLiteConnection) throws -> SQLiteSchema {
        let version = try connection.refreshSchema()
        if let known = schemas.withLock({ $0 }), known.version == version { return known.schema }
        let schema = try SQLiteSchema.load(from: connection.handle)
        // Not that of a transaction which has changed it and may yet roll back.
        if !connection.isInTransaction { schemas.withLock { $0 = (version, schema) } }
        return schema
    }

    /// Notices what other processes have committed since the last look, and makes everything
    /// cached before stale. On the writer's thread only, on its connection: `data_version` ignores
    /// the commits of the connection that asks.
    ///
    /// What this promises: after a foreign commit, no answer cached before it is served to a
    /// statement that comes later (`CommitWatch`); where that is not checked for each answer, for
    /// no longer than `checkInterval` plus the time of one check. A write through the proxy always
    /// looks first, after it has taken the write lock, and again when it has committed.
    func checkForeignWrites(_ connection: SQLiteConnection, isWriting: Bool = false) throws {
        // Before the question: what is committed after this reading is not confirmed by it.
        let mark = commitWatch?.read()
        // Inside a write transaction nobody else can commit, and its beginning has looked.
        guard isWriting || !connection.isInTransaction else { return }
        let change = try foreignWrites.check(connection)
        if change == .file { wasReplaced.store(true, ordering: .sequentiallyConsistent) }
        if change != .none { cells.invalidate(catalogToo: change != .data) }
        if change == .file {
            logger.error("the SQLite database file was replaced; restart to use the new one")
        }
        // After the cells have moved. Of our own commits the windows take care.
        if let mark { commitWatch?.confirm(mark) }
    }

    /// Looks on the writer's thread, soon.
    private func lookForForeignWrites() {
        writer.submit { [weak self] connection in
            guard let self, case .success(let connection) = connection else { return }
            lookNow(connection)
        }
    }

    /// `checkForeignWrites` where nobody waits for its outcome.
    func lookNow(_ connection: SQLiteConnection) {
        do {
            try checkForeignWrites(connection)
        } catch {
            // What cannot be checked must not be served.
            cells.invalidate(catalogToo: true)
        }
    }

    deinit {
        readers.stop()
        writer.stop()
        analysis.stop()
    }
}
