import CSQLite
import PostgresWire
import SQLAnalysis
import Synchronization

/// One connection to the database file, with its compiled statements. Confined to the thread of
/// its `SQLiteWorker`, except for `interrupt`.
final class SQLiteConnection: @unchecked Sendable {
    // Sendable: handed to jobs on its worker's thread only; SQLite's own mutexes are on as well.
    let handle: OpaquePointer
    let isReadOnly: Bool
    /// How long a call waits for another connection's lock.
    private var busyTimeout: Duration

    /// Compiled statements by their text, and the texts by last use.
    private var statements: [ExactText: CompiledStatement] = [:]
    private var uses: [ExactText: UInt64] = [:]
    private var clock: UInt64 = 0
    static let statementLimit = 256
    /// Of the schema that `statements` were compiled with; nil before the first look.
    private var schemaVersion: Int64?

    /// Where the authorizer writes to while a statement is compiled or run.
    private var record: AuthorizerRecord?
    /// Set while VACUUM runs, which attaches a database of its own.
    private var permitsAttach = false
    /// What may stop the running statement; read by SQLite's callbacks on this thread.
    private var cancellation: StatementCancellation?

    /// Opens the existing file at `path`. Throws what an operator should read.
    init(path: String, readOnly: Bool, busyTimeout: Duration) throws {
        var opened: OpaquePointer?
        let flags =
            (readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        guard code == SQLITE_OK, let opened else {
            let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(opened)
            throw PostgresError(
                .connectionFailure, "could not open the SQLite database \(path): \(message)")
        }
        self.handle = opened
        self.isReadOnly = readOnly
        self.busyTimeout = busyTimeout
        sqlite3_extended_result_codes(opened, 1)
        // PostgreSQL takes double quotes for names only.
        _ = mynah_sqlite3_db_config(opened, SQLITE_DBCONFIG_DQS_DML, 0)
        _ = mynah_sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_FKEY, 1)
        _ = mynah_sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1)
        _ = mynah_sqlite3_db_config(opened, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        // LIKE compares as PostgreSQL's does; the dialect's rewriting relies on it.
        try configure("PRAGMA case_sensitive_like = ON")
        installCallbacks()
    }

    deinit {
        statements.removeAll()
        sqlite3_close_v2(handle)
    }

    private func installCallbacks() {
        let context = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_set_authorizer(
            handle,
            { context, action, first, second, database, trigger in
                guard let context else { return SQLITE_DENY }
                let connection = Unmanaged<SQLiteConnection>.fromOpaque(context)
                    .takeUnretainedValue()
                if connection.permitsAttach { return SQLITE_OK }
                guard let record = connection.record else { return SQLITE_OK }
                return record.note(
                    action, first.map { String(cString: $0) }, second.map { String(cString: $0) },
                    database.map { String(cString: $0) }, trigger.map { String(cString: $0) })
            }, context)
        sqlite3_busy_handler(
            handle,
            { context, attempts in
                guard let context else { return 0 }
                let connection = Unmanaged<SQLiteConnection>.fromOpaque(context)
                    .takeUnretainedValue()
                return connection.waitForLock(attempt: attempts) ? 1 : 0
            }, context)
        // Every so many steps of SQLite's machine, about a millisecond: sees a cancel that came
        // just before the statement began, which sqlite3_interrupt would miss.
        sqlite3_progress_handler(
            handle, 10_000,
            { context in
                guard let context else { return 0 }
                let connection = Unmanaged<SQLiteConnection>.fromOpaque(context)
                    .takeUnretainedValue()
                return connection.cancellation?.isRequested == true ? 1 : 0
            }, context)
    }

    /// Waits a little for a lock that another connection holds; false when it is time to give up.
    private func waitForLock(attempt: Int32) -> Bool {
        let step = 2  // milliseconds
        if cancellation?.isRequested == true { return false }
        guard .milliseconds(Int(attempt) * step) < busyTimeout else { return false }
        sqlite3_sleep(Int32(step))
        return true
    }

    // MARK: The schema

    /// Sees to it that what is compiled from now on, and what is kept compiled, is of the schema
    /// that the file has now (in a transaction: that the transaction sees), and returns that
    /// schema's version. Compiling a statement does not look at the file by itself; running it
    /// does, when its columns have been announced already.
    /// https://www.sqlite.org/pragma.html#pragma_schema_version
    @discardableResult
    func refreshSchema() throws -> Int64 {
        let version = try integer("PRAGMA schema_version") ?? 0
        guard version != schemaVersion else { return version }
        for (sql, statement) in statements where sqlite3_stmt_busy(statement.handle) == 0 {
            statements[sql] = nil
            uses[sql] = nil
        }
        // Running anything that was compiled with the old schema makes SQLite read the new one.
        _ = try integer("SELECT rootpage FROM sqlite_schema LIMIT 1")
        schemaVersion = version
        return version
    }

    /// To be called when a schema change is rolled back: the next one gets the same version.
    func forgetSchemaVersion() {
        schemaVersion = nil
    }

    // MARK: Statements

    /// The compiled form of `sql` (one statement), from the cache where it is there and not in
    /// use. The caller resets it when done.
    func statement(_ sql: String) throws -> CompiledStatement {
        clock += 1
        if let known = statements[sql], sqlite3_stmt_busy(known.handle) == 0 {
            uses[sql] = clock
            return known
        }
        let compiled = try compile(sql)
        // One in use keeps its place; the second of its kind is not kept.
        if statements[sql] == nil {
            if statements.count >= Self.statementLimit { evict() }
            statements[sql] = compiled
            uses[sql] = clock
        }
        return compiled
    }

    private func evict() {
        // A quarter at once, so that a stream of new texts does not search each time.
        let oldest = uses.sorted { $0.value < $1.value }.prefix(Self.statementLimit / 4)
        for (sql, _) in oldest {
            if let statement = statements[sql], sqlite3_stmt_busy(statement.handle) != 0 {
                continue
            }
            statements[sql] = nil
            uses[sql] = nil
        }
    }

    func compile(_ sql: String) throws -> CompiledStatement {
        let record = AuthorizerRecord()
        self.record = record
        defer { self.record = nil }
        var prepared: OpaquePointer?
        var text = sql
        let code = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                sqlite3_prepare_v3(
                    handle, $0.baseAddress, Int32(clamping: $0.count),
                    UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
            }
        }
        guard code == SQLITE_OK else {
            if let refusal = record.refusal { throw Self.error(for: refusal) }
            throw SQLiteFailure.error(of: handle, code: code, sql: sql)
        }
        guard let prepared else {
            throw PostgresError(.syntaxError, "the statement is empty")
        }
        return CompiledStatement(handle: prepared, sql: sql, record: record)
    }

    private static func error(for refusal: AuthorizerRecord.Refusal) -> PostgresError {
        switch refusal {
        case .temporaryObject:
            PostgresError(
                .featureNotSupported, "temporary tables are not supported by the SQLite upstream",
                hint: "Use an ordinary table, or a common table expression.")
        case .attach:
            PostgresError(
                .featureNotSupported, "ATTACH and DETACH are not supported by the SQLite upstream",
                hint: "Configure one upstream per database file.")
        case .pragma:
            PostgresError(
                .featureNotSupported, "this PRAGMA is not supported by the SQLite upstream",
                hint: "PRAGMAs that only report something are.")
        }
    }

    /// One step. True for a row, false at the end. On failure the statement is reset.
    func step(_ statement: CompiledStatement) throws -> Bool {
        record = statement.record
        defer { record = nil }
        let code = sqlite3_step(statement.handle)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default:
            let error = SQLiteFailure.error(of: handle, code: code)
            sqlite3_reset(statement.handle)
            if cancellation?.isRequested == true,
                error.sqlState == .queryCanceled
                    || error.sqlState == .lockNotAvailable
            {
                throw cancellation?.error ?? error
            }
            throw error
        }
    }

    /// Runs a statement without parameters to its end.
    func execute(_ sql: String) throws {
        let statement = try statement(sql)
        defer { statement.reset() }
        while try step(statement) {}
    }

    /// Runs VACUUM, which nothing else may do while it lasts.
    func vacuum() throws {
        permitsAttach = true
        defer { permitsAttach = false }
        try execute("VACUUM")
    }

    /// The first column of the first row of a statement of ours, as an integer.
    func integer(_ sql: String) throws -> Int64? {
        let statement = try statement(sql)
        defer { statement.reset() }
        guard try step(statement) else { return nil }
        return sqlite3_column_int64(statement.handle, 0)
    }

    /// Compiles and runs a PRAGMA of ours, past the list of those that sessions may use.
    func configure(_ pragma: String) throws {
        let code = sqlite3_exec(handle, pragma, nil, nil, nil)
        guard code == SQLITE_OK else { throw SQLiteFailure.error(of: handle, code: code) }
    }

    /// Runs `body` with another limit on the wait for locks.
    func withBusyTimeout(_ timeout: Duration, _ body: () throws -> Void) rethrows {
        let usual = busyTimeout
        busyTimeout = timeout
        defer { busyTimeout = usual }
        try body()
    }

    /// Whether a transaction begun with BEGIN is open.
    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Rows changed by the last INSERT, UPDATE or DELETE itself (not by its triggers).
    var changes: Int64 { sqlite3_changes64(handle) }

    /// Runs `body` such that `cancellation` can stop it, from any thread.
    func whileCancellable<Result>(
        by cancellation: StatementCancellation, _ body: () throws -> Result
    ) throws -> Result {
        self.cancellation = cancellation
        cancellation.began(on: handle)
        defer {
            cancellation.ended()
            self.cancellation = nil
        }
        if cancellation.isRequested { throw cancellation.error }
        return try body()
    }
}
