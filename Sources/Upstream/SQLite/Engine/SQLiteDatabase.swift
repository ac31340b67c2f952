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
    let logger: Logger

    /// Grows with every schema change that this process made or noticed.
    private let schemaEpochWord = Atomic<UInt64>(1)
    private let schemas = Mutex<(epoch: UInt64, schema: SQLiteSchema)?>(nil)

    /// Throws a `PostgresError` that an operator can act on, where the file is missing, is not a
    /// SQLite database, or cannot be opened.
    init(path: String, settings: SQLiteUpstreamSettings, cells: CellTable, logger: Logger) throws {
        let identity = try FileIdentity(path: path)
        var isReadOnly = access(path, W_OK) != 0
        do {
            try Self.prepareFile(path, readOnly: isReadOnly, settings)
        } catch let error as PostgresError where !isReadOnly && error.sqlState == .readOnlyTransaction {
            // Writable by its permissions but not in fact: a read-only file system.
            isReadOnly = true
            try Self.prepareFile(path, readOnly: true, settings)
        }
        let name = settings.databaseName
            ?? URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        let readOnly = isReadOnly
        let busyTimeout = settings.busyTimeout
        let openReader: @Sendable () throws -> SQLiteConnection = {
            try SQLiteConnection(path: path, readOnly: true, busyTimeout: busyTimeout)
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

    var schemaEpoch: UInt64 { schemaEpochWord.load(ordering: .sequentiallyConsistent) }

    func schemaChanged() {
        schemaEpochWord.add(1, ordering: .sequentiallyConsistent)
    }

    /// The schema as of `connection`, read once per schema epoch.
    func schema(on connection: SQLiteConnection) throws -> SQLiteSchema {
        let epoch = schemaEpoch
        if let known = schemas.withLock({ $0 }), known.epoch == epoch { return known.schema }
        let schema = try SQLiteSchema.load(from: connection.handle)
        // Not that of a transaction which has changed it and may yet roll back.
        if !connection.isInTransaction { schemas.withLock { $0 = (epoch, schema) } }
        return schema
    }

    /// Notices what other processes have committed since the last look, and makes everything
    /// cached before stale. On the writer's thread only, on its connection: `data_version` ignores
    /// the commits of the connection that asks.
    ///
    /// What this promises: after a foreign commit, answers cached before it are served for no
    /// longer than `externalWriteCheck` plus the time of one check while any link is open; a write
    /// through the proxy always looks first, after it has taken the write lock.
    func checkForeignWrites(_ connection: SQLiteConnection, isWriting: Bool = false) throws {
        // Inside a write transaction nobody else can commit, and its beginning has looked.
        guard isWriting || !connection.isInTransaction else { return }
        let change = try foreignWrites.check(connection)
        guard change != .none else { return }
        if change == .schema || change == .file { schemaChanged() }
        cells.invalidate(catalogToo: change != .data)
        if change == .file {
            logger.error("the SQLite database file was replaced; restart to use the new one")
        }
    }
}
