import CSQLite
import PostgresWire
import Synchronization

/// PostgreSQL's catalog as tables of an in-memory SQLite database, built from a schema at the
/// first question.
///
/// `@unchecked Sendable`: `connection`, `failure`, `session` and `functions` are touched only
/// under `lock` (and in `deinit`, when nobody else can hold a reference).
final class CatalogDatabase: @unchecked Sendable {
    /// Steps of SQLite's virtual machine, in thousands, that one question may take: catalogs are
    /// small, so that only a runaway join needs more.
    private static let maximumThousandSteps = 50_000
    /// Rows of one answer.
    private static let maximumRows = 200_000

    private let lock = Mutex(())
    private let relations: [SQLiteSchema.Relation]
    let objects: CatalogObjects
    private let session: CatalogSession
    private var functions: [CatalogFunctionBox] = []
    private var connection: OpaquePointer?
    private var stepsLeft = 0

    init(relations: [SQLiteSchema.Relation]) {
        self.relations = relations
        self.objects = CatalogObjects(relations: relations)
        self.session = CatalogSession(objects: objects)
    }

    deinit {
        if let connection { sqlite3_close_v2(connection) }
    }

    /// Runs a translated question. Parameters are bound as text by their number. May be called on
    /// any thread that may block for some milliseconds.
    func run(
        _ sql: String, parameters: [String?], session asking: EmulatedSession
    ) throws(PostgresError) -> (rows: [[CatalogValue]], changes: [EmulatedAnswer.SettingChange]) {
        try locked { connection throws(PostgresError) in
            session.begin(asking)
            stepsLeft = Self.maximumThousandSteps
            let statement = try prepare(sql, on: connection)
            for index in 0..<min(statement.parameterCount, parameters.count) {
                statement.bind(parameters[index], at: index + 1)
            }
            var rows: [[CatalogValue]] = []
            do throws(PostgresError) {
                while try statement.step() {
                    guard rows.count < Self.maximumRows else {
                        throw PostgresError(
                            .programLimitExceeded, "the catalog query returns too many rows")
                    }
                    rows.append((0..<statement.columnCount).map { statement.value($0) })
                }
            } catch {
                if stepsLeft <= 0 {
                    throw PostgresError(
                        .programLimitExceeded, "the catalog query takes too many steps")
                }
                throw session.failure ?? error
            }
            return (rows, session.settingChanges)
        }
    }

    /// Throws where the translated question is not one that SQLite understands.
    func check(_ sql: String) throws(PostgresError) {
        try locked { connection throws(PostgresError) in _ = try prepare(sql, on: connection) }
    }

    private func prepare(
        _ sql: String, on connection: OpaquePointer
    ) throws(PostgresError) -> CatalogStatement {
        do throws(PostgresError) {
            return try CatalogStatement(sql, on: connection)
        } catch {
            throw PostgresError(
                .featureNotSupported,
                "this catalog query is not supported with an embedded SQLite database",
                detail: error.message)
        }
    }

    private func locked<Value>(
        _ body: (OpaquePointer) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        try lock.withLock { _ throws(PostgresError) in try body(open()) }
    }

    private func open() throws(PostgresError) -> OpaquePointer {
        if let connection { return connection }
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY
        // NOMUTEX: the lock above serialises all use.
        guard
            sqlite3_open_v2(":memory:", &opened, flags | SQLITE_OPEN_NOMUTEX, nil) == SQLITE_OK,
            let opened
        else {
            sqlite3_close_v2(opened)
            throw PostgresError(.outOfMemory, "cannot open the catalog database")
        }
        do throws(PostgresError) {
            functions = CatalogFunction.all.map { CatalogFunctionBox($0, session: session) }
            for function in functions { try function.register(on: opened) }
            try CatalogAggregate.register(on: opened)
            try CatalogContents(relations: relations).write(to: opened)
        } catch {
            functions = []
            sqlite3_close_v2(opened)
            throw error
        }
        sqlite3_progress_handler(
            opened, 1000,
            { pointer in
                guard let pointer else { return 0 }
                let database = Unmanaged<CatalogDatabase>.fromOpaque(pointer).takeUnretainedValue()
                database.stepsLeft -= 1
                return database.stepsLeft > 0 ? 0 : 1
            }, Unmanaged.passUnretained(self).toOpaque())
        stepsLeft = Self.maximumThousandSteps
        connection = opened
        return opened
    }
}
