import CSQLite
import PostgresWire
import SQLAnalysis
import Telemetry

/// Compiles the statements of one text on the analyzer's connection and reads their profiles off
/// the authorizer's record. On the analysis thread.
struct SQLiteProfiler {
    let connection: SQLiteConnection
    let database: SQLiteDatabase
    let user: String
    /// As declared at Parse.
    var declaredTypes: [UInt32] = []

    func profiles(of sql: String) -> [StatementProfile] {
        StatementSplitter.split(sql).map(profile)
    }

    private func profile(of source: String) -> StatementProfile {
        do {
            if let control = try ControlStatementReader.read(source) {
                return Self.profile(of: control)
            }
            // Compiling alone would go by the schema that the connection saw last.
            let schema = try database.schema(on: connection)
            let session = EmulatedSession(
                user: user, database: database.name, settings: [:], backendProcessID: 0,
                serverVersion: SessionSettings.serverVersion)
            if try SessionQuestions.describe(source, session: session, schema: schema) != nil {
                return Self.questionProfile(source)
            }
            let rewritten = SQLiteText.rewrite(source).sql
            let statement = try connection.compile(rewritten)
            return profile(of: source, statement, schema)
        } catch {
            return Self.unreadable((error as? PostgresError)?.sqlState)
        }
    }

    /// It will most likely fail when it runs, unless the session's own transaction makes it work:
    /// then it may write anything.
    private static func unreadable(_ state: SQLState?) -> StatementProfile {
        StatementProfile(
            kind: .opaque, writeSet: .everythingAndCatalog,
            bypassReason: state == .undefinedTable ? .unknownRelation : .unparsed)
    }

    /// `set_config` is the one question that changes the session. No answer depends on a setting
    /// here, except that those on transactions decide which answers may be given in them.
    private static func questionProfile(_ source: String) -> StatementProfile {
        let lowered = source.lowercased()
        if lowered.contains("set_config"), lowered.contains("transaction") || lowered.contains("$")
        {
            return StatementProfile(
                kind: .setting(.unknown), bypassReason: .sessionState, taintsSession: true)
        }
        return StatementProfile(kind: .harmless, bypassReason: .systemCatalog)
    }

    // MARK: Control statements

    private static func profile(of control: ControlStatement) -> StatementProfile {
        switch control {
        case .transaction(let request):
            return StatementProfile(
                kind: .transaction(command(request)), mayEndTransaction: false)
        case .setTransaction(let modes, let isSessionDefault):
            if isSessionDefault {
                return StatementProfile(
                    kind: .setting(
                        modes.isolation.map {
                            .set(name: "default_transaction_isolation", value: "\(text($0))")
                        } ?? .set(name: "default_transaction_read_only", value: "on")))
            }
            return StatementProfile(
                kind: .transaction(.setTransaction(isolation: modes.isolation)))
        case .set(let name, let value, let isLocal):
            let name = name.lowercased()
            guard let value else { return StatementProfile(kind: .setting(.reset(name: name))) }
            return StatementProfile(
                kind: .setting(isLocal ? .setLocal(name: name) : .set(name: name, value: value)))
        case .resetAll: return StatementProfile(kind: .setting(.resetAll))
        case .discard(let all, _):
            return StatementProfile(kind: all ? .setting(.discardAll) : .harmless)
        case .vacuum(rewritesFile: true, _):
            // It may give other rowids to tables without an INTEGER PRIMARY KEY.
            return StatementProfile(kind: .write, writeSet: .everythingAndCatalog)
        case .show, .prepare, .deallocate, .nothing, .vacuum, .unsupported:
            return StatementProfile(kind: .harmless)
        case .lockTable: return StatementProfile(kind: .locking, bypassReason: .lockingClause)
        case .execute:
            // What it names is known to the session alone.
            return StatementProfile(
                kind: .opaque, writeSet: .everythingAndCatalog, bypassReason: .sessionState)
        }
    }

    private static func text(_ isolation: IsolationLevel) -> String {
        switch isolation {
        case .readUncommitted: "read uncommitted"
        case .readCommitted: "read committed"
        case .repeatableRead: "repeatable read"
        case .serializable: "serializable"
        }
    }

    private static func command(
        _ request: ControlStatement.TransactionRequest
    ) -> TransactionCommand {
        switch request {
        case .begin(let modes, _): .begin(isolation: modes.isolation)
        case .commit(let chain): .commit(chain: chain)
        case .rollback(let chain): .rollback(chain: chain)
        case .savepoint: .savepoint
        case .release: .releaseSavepoint
        case .rollbackTo: .rollbackToSavepoint
        }
    }

    // MARK: Statements that SQLite runs

    private func profile(
        of source: String, _ statement: CompiledStatement, _ schema: SQLiteSchema
    ) -> StatementProfile {
        let record = statement.record
        if record.changesSchema {
            return StatementProfile(kind: .write, writeSet: .everythingAndCatalog)
        }
        let objects = SchemaObjects(connection: connection)
        let reads = readSet(record, objects, schema)
        if statement.isReadOnly {
            let reason = bypassReason(source, record, reads)
            return StatementProfile(
                kind: StatementSplitter.hasLockingClause(source) ? .locking : .read,
                readSet: reads.relations,
                dependencies: reason == nil
                    ? dependencies(source, statement, reads.relations, schema) : nil,
                bypassReason: reason, hasTimeTypedParameters: false)
        }
        var written: Set<RelationIdentifier> = []
        for table in record.writtenTables {
            // A virtual table writes to tables of its own, behind the authorizer's back.
            if objects.kind(of: table) == .virtualTable {
                return StatementProfile(
                    kind: .write, readSet: reads.relations, writeSet: .everything)
            }
            written.insert(RelationIdentifier(table.lowercased()))
        }
        let pins = pins(source, statement, written, schema) ?? .anyRow
        return StatementProfile(
            kind: .write, readSet: reads.relations,
            writeSet: .relations(Dictionary(uniqueKeysWithValues: written.map { ($0, pins) })))
    }

    // MARK: Rows

    /// The rows that a read depends on; nil for all of what it reads.
    private func dependencies(
        _ source: String, _ statement: CompiledStatement, _ relations: [Relation],
        _ schema: SQLiteSchema
    ) -> [RowDependency]? {
        // A view's name among what is read, or a common table expression's, is one too many.
        guard relations.count == 1, let relation = relations.first,
            Set(statement.record.readTables.map(\.asciiLowercased)).count == 1,
            let facts = KeyedRowReader.facts(of: source),
            let reader = rowReader(of: relation.identifier, source, statement, schema)
        else { return nil }
        return [RowDependency(relation: relation.identifier, scope: reader.scope(of: facts))]
    }

    /// What is known of the rows that a write touches; nil where it writes to several tables, or
    /// to one that it may touch other rows of.
    private func pins(
        _ source: String, _ statement: CompiledStatement, _ written: Set<RelationIdentifier>,
        _ schema: SQLiteSchema
    ) -> RowPins? {
        guard written.count == 1, let table = written.first,
            let facts = KeyedRowReader.facts(of: source)
        else { return nil }
        return rowReader(of: table, source, statement, schema)?.pins(of: facts)
    }

    private func rowReader(
        of table: RelationIdentifier, _ source: String, _ statement: CompiledStatement,
        _ schema: SQLiteSchema
    ) -> KeyedRowReader? {
        guard let table = try? RowidTable(named: table.rawValue, on: connection) else { return nil }
        var types: [UInt32] = []
        if statement.parameterCount > 0 {
            let planner = StatementPlanner(
                connection: connection, schema: schema, schemaVersion: 0)
            guard let inferred = try? planner.parameterTypes(of: source) else { return nil }
            types = PreparedStatement.parameterTypes(declared: declaredTypes, inferred: inferred)
        }
        return KeyedRowReader(table: table, parameterTypes: types)
    }

    private struct Reads {
        var relations: [Relation] = []
        var reason: BypassReason?
    }

    private func readSet(
        _ record: AuthorizerRecord, _ objects: SchemaObjects, _ schema: SQLiteSchema
    ) -> Reads {
        var reads = Reads()
        for table in record.readTables.sorted() {
            switch objects.kind(of: table) {
            case .table:
                let identifier = RelationIdentifier(table.lowercased())
                guard !reads.relations.contains(where: { $0.identifier == identifier }) else {
                    continue
                }
                // Where no column is read the authorizer has the statement's spelling.
                let name =
                    schema.relations.first { $0.name.lowercased() == identifier.rawValue }?.name
                reads.relations.append(
                    Relation(identifier: identifier, name: name ?? table, schema: ""))
            // What it reads is reported by itself.
            case .view: break
            case .systemTable: reads.reason = reads.reason ?? .systemCatalog
            case .virtualTable: reads.reason = reads.reason ?? .virtualTable
            // Functions of their arguments alone.
            case .harmlessModule: break
            // The name of a common table expression.
            case .none: break
            }
        }
        return reads
    }

    private func bypassReason(
        _ source: String, _ record: AuthorizerRecord, _ reads: Reads
    ) -> BypassReason? {
        if StatementSplitter.hasLockingClause(source) { return .lockingClause }
        if !record.pragmas.isEmpty { return .systemCatalog }
        if let reason = reads.reason { return reason }
        for function in record.functions.sorted() {
            if let reason = CacheableFunctions.bypassReason(function) { return reason }
        }
        return reads.relations.isEmpty ? .noRelation : nil
    }
}

/// What a name in the authorizer's record stands for.
struct SchemaObjects {
    enum Kind {
        case table, view, virtualTable, systemTable, harmlessModule
    }

    let connection: SQLiteConnection

    /// nil: nothing of that name exists, as with a common table expression.
    func kind(of name: String) -> Kind? {
        let lowered = name.lowercased()
        if lowered.hasPrefix("sqlite_") { return .systemTable }
        if lowered.hasPrefix("pragma_") { return .systemTable }
        if ["json_each", "json_tree"].contains(lowered) { return .harmlessModule }
        let found = try? count(
            """
            SELECT CASE WHEN type = 'view' THEN 2 WHEN lower(sql) LIKE 'create virtual%' THEN 3
            WHEN type = 'table' THEN 1 END FROM sqlite_schema
            WHERE name = $1 COLLATE NOCASE AND type IN ('table', 'view')
            """, name)
        switch found ?? 0 {
        case 1: return .table
        case 2: return .view
        case 3: return .virtualTable
        default: break
        }
        let modules =
            (try? count(
                "SELECT count(*) FROM pragma_module_list WHERE name = $1 COLLATE NOCASE", name))
            ?? 1
        return modules > 0 ? .virtualTable : nil
    }

    private func count(_ sql: String, _ name: String) throws -> Int64 {
        let statement = try connection.statement(sql)
        defer { statement.reset() }
        try statement.bind([.text(name)])
        guard try connection.step(statement) else { return 0 }
        return sqlite3_column_int64(statement.handle, 0)
    }
}

/// The built-in functions whose result depends on their arguments alone.
enum CacheableFunctions {
    /// Default deny: nil only for a function on the list.
    static func bypassReason(_ function: String) -> BypassReason? {
        if deterministic.contains(function) { return nil }
        // A date function of a column may meet the value 'now' there.
        if timeFunctions.contains(function) { return .currentTimeOrUser }
        if volatile.contains(function) { return .volatileFunction }
        return .userDefinedFunction
    }

    private static let timeFunctions: Set<String> = [
        "date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff",
        "current_date", "current_time", "current_timestamp",
    ]

    private static let volatile: Set<String> = [
        "random", "randomblob", "changes", "total_changes", "last_insert_rowid",
    ]

    private static let deterministic: Set<String> = [
        "abs", "char", "coalesce", "concat", "concat_ws", "format", "glob", "hex", "ifnull", "iif",
        "instr", "length", "like", "likelihood", "likely", "lower", "ltrim", "max", "min", "nullif",
        "octet_length", "printf", "quote", "replace", "round", "rtrim", "sign", "substr",
        "substring", "trim", "typeof", "unicode", "unlikely", "upper", "zeroblob", "unhex",
        // Aggregates and window functions.
        "avg", "count", "group_concat", "string_agg", "sum", "total", "row_number", "rank",
        "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value",
        "last_value", "nth_value",
        // Mathematics.
        "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "ceiling", "cos",
        "cosh", "degrees", "exp", "floor", "ln", "log", "log10", "log2", "mod", "pi", "pow",
        "power", "radians", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
        // JSON.
        "json", "json_array", "json_array_length", "json_extract", "->", "->>", "json_insert",
        "json_object", "json_patch", "json_quote", "json_remove", "json_replace", "json_set",
        "json_type", "json_valid", "json_group_array", "json_group_object",
    ]
}
