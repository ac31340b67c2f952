/// Finds the tables that the statements in a body change, by PostgreSQL's own grammars.
///
/// The words in the body keep watch over it: each INSERT, UPDATE, DELETE, MERGE, TRUNCATE, REFRESH
/// (and, in SQL, INTO) among them must be found in a tree again. A body with one too few, with a
/// statement that is not understood, or with text that does not parse has no known targets.
struct FunctionBodyReader {
    /// Blocks, branches and loops in a body that is read.
    private static let maximumBlocks = 500

    /// The statements of PL/pgSQL that do nothing but run the expressions in them. Not among them:
    /// EXECUTE in its forms, COMMIT and ROLLBACK.
    private static let statements: Set<String> = [
        "PLpgSQL_stmt_block", "PLpgSQL_stmt_assign", "PLpgSQL_stmt_if", "PLpgSQL_stmt_case",
        "PLpgSQL_stmt_loop", "PLpgSQL_stmt_while", "PLpgSQL_stmt_fori", "PLpgSQL_stmt_fors",
        "PLpgSQL_stmt_forc", "PLpgSQL_stmt_foreach_a", "PLpgSQL_stmt_exit", "PLpgSQL_stmt_return",
        "PLpgSQL_stmt_return_next", "PLpgSQL_stmt_return_query", "PLpgSQL_stmt_raise",
        "PLpgSQL_stmt_assert", "PLpgSQL_stmt_execsql", "PLpgSQL_stmt_getdiag",
        "PLpgSQL_stmt_open", "PLpgSQL_stmt_fetch", "PLpgSQL_stmt_close", "PLpgSQL_stmt_perform",
    ]

    private var targets: Set<WriteTarget> = []
    private var found: [String: Int] = [:]

    /// What the function changes by its own statements; nil where that cannot be told.
    static func targets(
        of function: CatalogRows.Function, _ words: FunctionBodyScanner.Words
    ) -> Set<WriteTarget>? {
        switch function.language {
        case "sql": targets(ofSQL: function.source, words)
        case "plpgsql":
            targets(
                ofPLpgSQL: function.definition.isEmpty
                    ? definition(ofBody: function.source) : function.definition, words)
        default: words.changes.isEmpty ? [] : nil
        }
    }

    /// - Parameter text: statements, or the body of a SQL-standard function.
    static func targets(
        ofSQL text: String, _ words: FunctionBodyScanner.Words
    ) -> Set<WriteTarget>? {
        guard !words.changes.isEmpty else { return [] }
        var reader = FunctionBodyReader()
        if let statements = try? PgQuery.parse(text) {
            guard statements.allSatisfy({ reader.read($0.tree, in: text) }) else { return nil }
        } else {
            let definition = "CREATE FUNCTION f() RETURNS int LANGUAGE sql " + text
            guard let statement = try? PgQuery.parse(definition).first,
                let body = statement.tree.fields(of: "CreateFunctionStmt")?["sql_body"],
                reader.readStandardBody(body, in: definition)
            else { return nil }
        }
        return reader.explained(words)
    }

    /// - Parameter definition: a whole CREATE FUNCTION or CREATE PROCEDURE.
    static func targets(
        ofPLpgSQL definition: String, _ words: FunctionBodyScanner.Words
    ) -> Set<WriteTarget>? {
        guard !words.changes.isEmpty else { return [] }
        var reader = FunctionBodyReader()
        guard words.blocks <= maximumBlocks, let tree = try? PgQuery.parsePLpgSQL(definition),
            reader.readPLpgSQL(tree)
        else { return nil }
        return reader.explained(words)
    }

    /// A definition for a body that comes without one.
    static func definition(ofBody body: String, returning type: String = "trigger") -> String {
        var tag = "$body$"
        while body.contains(tag) { tag = "$b" + tag.dropFirst() }
        return "CREATE FUNCTION f() RETURNS \(type) LANGUAGE plpgsql AS \(tag)\(body)\(tag)"
    }

    /// The targets, if there is a statement for each word.
    private func explained(_ words: FunctionBodyScanner.Words) -> Set<WriteTarget>? {
        words.changes.allSatisfy { word, count in found[word, default: 0] >= count }
            ? targets : nil
    }

    // MARK: SQL

    private mutating func read(_ statement: SyntaxTree, in sql: String) -> Bool {
        let facts = StatementReader(sql: sql).facts(of: statement)
        switch facts.kind {
        case .query, .dataModification, .harmless, .locking, .setting: break
        case .transaction, .temporaryObject, .definition, .opaque: return false
        }
        targets.formUnion(facts.writes.map(\.ofAnyRow))
        count(statement)
        return true
    }

    /// BEGIN ATOMIC … END, which is a list of a list of statements, or RETURN.
    private mutating func readStandardBody(_ body: SyntaxTree, in sql: String) -> Bool {
        if let elements = body.elements {
            return elements.allSatisfy { readStandardBody($0, in: sql) }
        }
        if let list = body.fields(of: "List") {
            return (list["items"]?.elements ?? []).allSatisfy { readStandardBody($0, in: sql) }
        }
        if let value = body.fields(of: "ReturnStmt") {
            var collector = SyntaxCollector(kind: .query)
            collector.walk(value["returnval"])
            let facts = collector.finish()
            count(value)
            targets.formUnion(facts.writes.map(\.ofAnyRow))
            return facts.kind == .query
        }
        return body.members.isEmpty || read(body, in: sql)
    }

    /// Counts the words that stand in the text for what is in the tree.
    private mutating func count(_ tree: SyntaxTree) {
        switch tree {
        case .array(let elements): for element in elements { count(element) }
        case .object(let members):
            for member in members {
                countWords(member.name, member.value)
                count(member.value)
            }
        case .string, .integer, .boolean, .null: break
        }
    }

    private mutating func countWords(_ name: String, _ value: SyntaxTree) {
        func note(_ words: String...) { for word in words { found[word, default: 0] += 1 } }
        switch name {
        case "InsertStmt": note("insert", "into")
        case "UpdateStmt": note("update")
        case "DeleteStmt": note("delete")
        case "MergeStmt": note("merge", "into")
        case "TruncateStmt": note("truncate")
        case "RefreshMatViewStmt": note("refresh")
        case "onConflictClause":
            if value["action"]?.text == "ONCONFLICT_UPDATE" { note("update") }
        case "LockingClause":
            let strength = value["strength"]?.text
            if strength == "LCS_FORUPDATE" || strength == "LCS_FORNOKEYUPDATE" { note("update") }
        case "MergeWhenClause":
            switch value["commandType"]?.text {
            case "CMD_INSERT": note("insert")
            case "CMD_UPDATE": note("update")
            case "CMD_DELETE": note("delete")
            default: break
            }
        default: break
        }
    }

    // MARK: PL/pgSQL

    private mutating func readPLpgSQL(_ tree: SyntaxTree) -> Bool {
        switch tree {
        case .array(let elements): return elements.allSatisfy { readPLpgSQL($0) }
        case .object(let members):
            return members.allSatisfy { member in
                if member.name == "PLpgSQL_expr" {
                    return member.value["query"]?.text.map { readExpression($0) } ?? false
                }
                if member.name.hasPrefix("PLpgSQL_stmt_"), !Self.statements.contains(member.name) {
                    return false
                }
                return readPLpgSQL(member.value)
            }
        case .string, .integer, .boolean, .null: return true
        }
    }

    /// A statement, what can follow SELECT (PL/pgSQL puts it there to evaluate it), or such a
    /// thing behind a variable and `:=`.
    private mutating func readExpression(_ text: String) -> Bool {
        for sql in [text, "SELECT " + text] {
            if let statements = try? PgQuery.parse(sql), !statements.isEmpty {
                return statements.allSatisfy { read($0.tree, in: sql) }
            }
        }
        guard let value = assigned(in: text), let statements = try? PgQuery.parse(value) else {
            return false
        }
        // The variable's subscripts are left out: their words, if any, remain unexplained.
        return statements.allSatisfy { read($0.tree, in: value) }
    }

    private func assigned(in text: String) -> String? {
        guard let tokens = try? PgQuery.scan(text) else { return nil }
        let bytes = Array(text.utf8)
        for token in tokens where token.kind == .op || token.kind == .punctuation(0x3d) {
            let spelling = bytes[token.start..<token.end]
            if spelling.elementsEqual(":=".utf8) || spelling.elementsEqual("=".utf8) {
                return "SELECT " + String(decoding: bytes[token.end...], as: UTF8.self)
            }
        }
        return nil
    }
}
