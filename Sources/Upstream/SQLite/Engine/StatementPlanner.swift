import CSQLite
import PostgresWire
import SQLAnalysis

/// Makes the plan of one statement on a connection. On that connection's thread.
struct StatementPlanner {
    let connection: SQLiteConnection
    let schema: SQLiteSchema
    /// As the connection was told by `refreshSchema`.
    let schemaVersion: Int64

    func plan(_ source: String, session: EmulatedSession) throws -> StatementPlan {
        if let control = try ControlStatementReader.read(source) {
            return StatementPlan(
                source: source, action: .control(control), columns: Self.columns(of: control),
                schemaVersion: schemaVersion)
        }
        if let described = try SessionQuestions.describe(
            source, session: session, schema: schema)
        {
            return StatementPlan(
                source: source, action: .emulated,
                columns: described.columns.map {
                    ResultColumn(name: $0.name, type: PostgresType(oid: $0.typeOID) ?? .text)
                }, parameterTypes: described.parameters, schemaVersion: schemaVersion)
        }
        return try sqlPlan(source)
    }

    /// The types of `$1…$n` of a statement that SQLite runs; 0 where nothing is known.
    func parameterTypes(of source: String) throws -> [UInt32] {
        try sqlPlan(source).parameterTypes
    }

    private static func columns(of control: ControlStatement) -> [ResultColumn] {
        guard case .show(let name) = control else { return [] }
        if name.lowercased() == "all" {
            return ["name", "setting", "description"].map { ResultColumn(name: $0, type: .text) }
        }
        return [ResultColumn(name: SessionSettings.canonicalName(name) ?? name, type: .text)]
    }

    private func sqlPlan(_ source: String) throws -> StatementPlan {
        let rewritten = SQLiteText.rewrite(source)
        let statement: CompiledStatement
        do {
            statement = try connection.compile(rewritten.sql)
        } catch var error as PostgresError {
            // A position in the rewritten text says nothing about the client's.
            if rewritten.sql != source { error.position = nil }
            throw error
        }
        // The protocol counts them in 16 bits; SQLite takes any number for a name.
        guard statement.parameterCount <= Int(UInt16.max) else {
            throw PostgresError(.programLimitExceeded, "a parameter number is above 65535")
        }
        let words = StatementSplitter.leadingWords(source)
        let tree = (try? PgQuery.parse(source))?.first?.tree
        var inference = TypeInference(
            columnType: { columnType($0, $1) }, tableColumns: { tableColumns($0) })
        let targets = tree.map { inference.statement($0) } ?? []
        var parameterTypes = [UInt32](repeating: 0, count: statement.parameterCount)
        for (number, type) in inference.parameters
        where number >= 1 && number <= parameterTypes.count {
            parameterTypes[number - 1] = type.oid
        }
        for (number, oid) in rewritten.parameterTypes
        where number >= 1 && number <= parameterTypes.count {
            parameterTypes[number - 1] = oid
        }
        let tag = Self.tag(words, statement)
        return StatementPlan(
            source: source,
            action: .sql(
                .init(
                    sql: rewritten.sql, shape: statement.shape, isReadOnly: statement.isReadOnly,
                    changesSchema: statement.record.changesSchema,
                    takesLock: StatementSplitter.hasLockingClause(source), tag: tag)),
            columns: columns(of: statement, targets), parameterTypes: parameterTypes,
            schemaVersion: schemaVersion)
    }

    // MARK: Columns

    /// Names and types: the table column's where there is one, else the tree's.
    private func columns(
        of statement: CompiledStatement, _ targets: [TypeInference.Target]
    ) -> [ResultColumn] {
        let count = statement.columnCount
        let aligned = Self.align(targets, to: count)
        return (0..<count).map { index in
            let target = aligned[index]
            let name = target?.name ?? statement.columnName(index)
            if let declared = statement.declaredType(index) {
                let type = SQLiteDeclaredType(declared)
                return ResultColumn(
                    name: name, type: PostgresType(oid: type.typeOID) ?? .text,
                    modifier: type.modifier)
            }
            return ResultColumn(name: name, type: target?.type ?? .text)
        }
    }

    /// Lays the targets over the columns: from the front up to a `*` that could not be expanded,
    /// from the back behind it.
    private static func align(
        _ targets: [TypeInference.Target], to count: Int
    ) -> [TypeInference.Target?] {
        var aligned = [TypeInference.Target?](repeating: nil, count: count)
        guard let star = targets.firstIndex(where: { $0.name == nil }) else {
            if targets.count == count { return targets }
            return aligned
        }
        for (index, target) in targets[..<star].enumerated() where index < count {
            aligned[index] = target
        }
        for (index, target) in targets.reversed().enumerated() {
            guard target.name != nil, count - 1 - index >= star else { break }
            aligned[count - 1 - index] = target
        }
        return aligned
    }

    private func columnType(_ table: String, _ column: String) -> PostgresType? {
        for relation in schema.relations where relation.name.lowercased() == table.lowercased() {
            guard
                let found = relation.columns.first(where: {
                    $0.name.lowercased() == column.lowercased()
                })
            else { return nil }
            // A view's computed column has no declared type.
            if found.declaredType.isEmpty { return nil }
            return PostgresType(oid: found.type.typeOID)
        }
        return nil
    }

    private func tableColumns(_ table: String) -> [String] {
        schema.relations.first { $0.name.lowercased() == table.lowercased() }?
            .columns.map(\.name) ?? []
    }

    // MARK: Tags

    private static func tag(_ words: [String], _ statement: CompiledStatement) -> CommandTag {
        switch words.first {
        case "INSERT", "REPLACE": return .insert
        case "UPDATE": return .update
        case "DELETE": return .delete
        case "TRUNCATE": return .fixed("TRUNCATE TABLE")
        case "EXPLAIN", "ANALYZE", "REINDEX": return .fixed(words[0])
        case "PRAGMA": return .select
        case "CREATE", "DROP", "ALTER":
            let skipped: Set<String> = ["UNIQUE", "OR", "REPLACE", "VIRTUAL", "TEMP", "TEMPORARY"]
            let object = words.dropFirst().first { !skipped.contains($0) } ?? ""
            return .fixed("\(words[0]) \(object)")
        default: break
        }
        if statement.isReadOnly { return .select }
        switch statement.record.firstWrite {
        case SQLITE_UPDATE: return .update
        case SQLITE_DELETE: return .delete
        default: return .insert
        }
    }
}
