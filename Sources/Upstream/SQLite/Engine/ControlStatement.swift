import PostgresWire
import SQLAnalysis

/// A statement about the session or its transaction, which SQLite is not asked about.
enum ControlStatement: Sendable {
    case transaction(TransactionRequest)
    case set(name: String, value: String?, isLocal: Bool)
    case setTransaction(TransactionModes, isSessionDefault: Bool)
    case show(String)
    case resetAll
    case discard(all: Bool, tag: String)
    case prepare(name: String, parameterTypes: [UInt32], statement: String)
    case execute(name: String, arguments: [SQLiteValue])
    case deallocate(name: String?)
    /// Done by doing nothing: CLOSE ALL, UNLISTEN.
    case nothing(tag: String)
    case lockTable
    case vacuum(rewritesFile: Bool, analyzes: Bool)
    case unsupported(PostgresError)

    /// BEGIN and what belongs to it.
    enum TransactionRequest: Sendable {
        case begin(TransactionModes, tag: String)
        case commit(chain: Bool)
        case rollback(chain: Bool)
        case savepoint(String)
        case release(String)
        case rollbackTo(String)
    }

    struct TransactionModes: Hashable, Sendable {
        var isolation: IsolationLevel?
        var isReadOnly: Bool?
    }
}

/// Recognises control statements by their first word, and reads them with PostgreSQL's grammar.
enum ControlStatementReader {
    private static let controlWords: Set<String> = [
        "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE",
        "EXECUTE", "DEALLOCATE", "SET", "SHOW", "RESET", "DISCARD", "CLOSE", "UNLISTEN", "LISTEN",
        "NOTIFY", "COPY", "DECLARE", "FETCH", "MOVE", "LOCK", "VACUUM", "GRANT", "REVOKE",
        "COMMENT", "CALL", "DO", "CLUSTER", "REFRESH", "IMPORT", "SECURITY", "LOAD", "CHECKPOINT",
        "REASSIGN", "MERGE", "ATTACH", "DETACH",
    ]

    /// nil: a statement for SQLite. Throws a syntax error for a control statement that is not
    /// PostgreSQL's grammar.
    static func read(_ source: String) throws -> ControlStatement? {
        let words = StatementSplitter.leadingWords(source, limit: 3)
        guard let first = words.first else { return nil }
        if let refusal = refusal(of: words) { return .unsupported(refusal) }
        guard controlWords.contains(first) else { return nil }
        let parsed: [ParsedStatement]
        do {
            parsed = try PgQuery.parse(source)
        } catch {
            // SQLite's own spellings.
            switch (first, words.dropFirst().first ?? "") {
            case ("BEGIN", "IMMEDIATE"), ("BEGIN", "EXCLUSIVE"), ("BEGIN", "DEFERRED"):
                return .transaction(.begin(.init(), tag: "BEGIN"))
            case ("VACUUM", "INTO"), ("ATTACH", _), ("DETACH", _):
                return .unsupported(unsupported("\(first) of files"))
            default: throw PostgresError(.syntaxError, "syntax error in \(first)")
            }
        }
        guard parsed.count == 1, let node = parsed[0].tree.node else {
            throw PostgresError(.syntaxError, "syntax error in \(first)")
        }
        return try read(node.tag, node.fields, source)
    }

    private static func unsupported(_ what: String) -> PostgresError {
        PostgresError(
            .featureNotSupported, "\(what) is not supported by the SQLite upstream",
            hint: "See the project's documentation on what the SQLite upstream can do.")
    }

    private static func refusal(of words: [String]) -> PostgresError? {
        guard words.count > 1, ["CREATE", "ALTER", "DROP"].contains(words[0]) else { return nil }
        let objects: Set<String> = [
            "EXTENSION", "ROLE", "USER", "DATABASE", "FUNCTION", "PROCEDURE", "SEQUENCE", "TYPE",
            "DOMAIN", "SCHEMA", "POLICY", "PUBLICATION", "SUBSCRIPTION", "SERVER", "AGGREGATE",
            "OPERATOR", "RULE", "MATERIALIZED", "TABLESPACE", "STATISTICS", "COLLATION", "CAST",
            "SYSTEM", "GROUP", "LANGUAGE", "FOREIGN",
        ]
        guard objects.contains(words[1]) else { return nil }
        return unsupported("\(words[0]) \(words[1])")
    }

    private static func read(
        _ tag: String, _ fields: SyntaxTree, _ source: String
    ) throws -> ControlStatement? {
        switch tag {
        case "TransactionStmt": return try transaction(fields)
        case "VariableSetStmt": return try variable(fields)
        case "VariableShowStmt": return .show(fields["name"]?.text ?? "")
        case "DiscardStmt":
            switch fields["target"]?.text {
            case "DISCARD_ALL": return .discard(all: true, tag: "DISCARD ALL")
            case "DISCARD_PLANS": return .discard(all: false, tag: "DISCARD PLANS")
            case "DISCARD_SEQUENCES": return .discard(all: false, tag: "DISCARD SEQUENCES")
            default: return .discard(all: false, tag: "DISCARD TEMP")
            }
        case "PrepareStmt": return try prepare(fields, source)
        case "ExecuteStmt":
            return .execute(
                name: fields["name"]?.text ?? "",
                arguments: try (fields["params"]?.elements ?? []).map(ConstantReader.value))
        case "DeallocateStmt": return .deallocate(name: fields["name"]?.text)
        case "ClosePortalStmt":
            guard let name = fields["portalname"]?.text else {
                return .nothing(tag: "CLOSE CURSOR ALL")
            }
            throw PostgresError(.invalidCursorName, "cursor \"\(name)\" does not exist")
        case "UnlistenStmt": return .nothing(tag: "UNLISTEN")
        case "LockStmt": return .lockTable
        case "CheckPointStmt": return .nothing(tag: "CHECKPOINT")
        case "VacuumStmt": return vacuum(fields)
        case "CopyStmt": return .unsupported(unsupported("COPY"))
        case "ListenStmt", "NotifyStmt": return .unsupported(unsupported("LISTEN/NOTIFY"))
        case "DeclareCursorStmt", "FetchStmt": return .unsupported(unsupported("a SQL cursor"))
        case "MergeStmt": return .unsupported(unsupported("MERGE"))
        case "CallStmt", "DoStmt": return .unsupported(unsupported("a procedure"))
        case "GrantStmt", "GrantRoleStmt": return .unsupported(unsupported("GRANT/REVOKE"))
        default: return .unsupported(unsupported("this statement"))
        }
    }

    // MARK: Transactions

    private static func transaction(_ fields: SyntaxTree) throws -> ControlStatement {
        let name = fields["savepoint_name"]?.text ?? ""
        let chain = fields["chain"]?.isTrue ?? false
        switch fields["kind"]?.text {
        case "TRANS_STMT_BEGIN":
            return .transaction(.begin(modes(fields["options"]), tag: "BEGIN"))
        case "TRANS_STMT_START":
            return .transaction(.begin(modes(fields["options"]), tag: "START TRANSACTION"))
        case "TRANS_STMT_COMMIT": return .transaction(.commit(chain: chain))
        case "TRANS_STMT_ROLLBACK": return .transaction(.rollback(chain: chain))
        case "TRANS_STMT_SAVEPOINT": return .transaction(.savepoint(name))
        case "TRANS_STMT_RELEASE": return .transaction(.release(name))
        case "TRANS_STMT_ROLLBACK_TO": return .transaction(.rollbackTo(name))
        default: return .unsupported(unsupported("two-phase commit"))
        }
    }

    /// Isolation and access mode out of a list of DefElem.
    private static func modes(_ options: SyntaxTree?) -> ControlStatement.TransactionModes {
        var modes = ControlStatement.TransactionModes()
        for option in options?.elements ?? [] {
            guard let element = option.fields(of: "DefElem") else { continue }
            switch element["defname"]?.text {
            case "transaction_isolation":
                modes.isolation = element["arg"].flatMap(ConstantReader.text).flatMap(isolation)
            case "transaction_read_only":
                modes.isReadOnly = element["arg"].flatMap(ConstantReader.integer).map { $0 != 0 }
            default: break
            }
        }
        return modes
    }

    static func isolation(_ name: String) -> IsolationLevel? {
        switch name.lowercased() {
        case "read uncommitted": .readUncommitted
        case "read committed": .readCommitted
        case "repeatable read": .repeatableRead
        case "serializable": .serializable
        default: nil
        }
    }

    // MARK: Settings

    private static func variable(_ fields: SyntaxTree) throws -> ControlStatement {
        let name = fields["name"]?.text ?? ""
        let isLocal = fields["is_local"]?.isTrue ?? false
        switch fields["kind"]?.text {
        case "VAR_SET_VALUE":
            let values = try (fields["args"]?.elements ?? []).map { argument in
                guard let text = ConstantReader.text(argument) else {
                    throw PostgresError(.syntaxError, "SET needs constants")
                }
                return text
            }
            // A list of names (search_path) is quoted as SHOW would print it.
            let value = values.count == 1 ? values[0] : values.map(quoted).joined(separator: ", ")
            switch name {
            case "transaction_isolation":
                return .setTransaction(.init(isolation: isolation(value)), isSessionDefault: false)
            case "transaction_read_only":
                return .setTransaction(
                    .init(isReadOnly: ["on", "true", "1"].contains(value.lowercased())),
                    isSessionDefault: false)
            default: return .set(name: name, value: value, isLocal: isLocal)
            }
        case "VAR_SET_DEFAULT", "VAR_RESET":
            return .set(name: name, value: nil, isLocal: isLocal)
        case "VAR_RESET_ALL": return .resetAll
        case "VAR_SET_MULTI":
            switch name {
            case "TRANSACTION":
                return .setTransaction(modes(fields["args"]), isSessionDefault: false)
            case "SESSION CHARACTERISTICS":
                return .setTransaction(modes(fields["args"]), isSessionDefault: true)
            default: return .unsupported(unsupported("SET \(name)"))
            }
        default: return .unsupported(unsupported("SET \(name) FROM CURRENT"))
        }
    }

    private static func quoted(_ name: String) -> String {
        let isPlain = name.utf8.allSatisfy {
            (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f
        }
        return isPlain && !name.isEmpty
            ? name : "\"\(name.replacing("\"", with: "\"\""))\""
    }

    // MARK: Others

    /// The text after AS is cut out of the source: the tree does not hold it.
    private static func prepare(_ fields: SyntaxTree, _ source: String) throws -> ControlStatement {
        let types = (fields["argtypes"]?.elements ?? []).map { type in
            type.fields(of: "TypeName")?["names"]?.names?.last
                .flatMap { PostgresType(named: $0) }?.oid ?? 0
        }
        let bytes = Array(source.utf8)
        // The first AS outside the list of types ends the head.
        var depth = 0
        for token in try PgQuery.scan(source) {
            switch token.kind {
            case .punctuation(UInt8(ascii: "(")): depth += 1
            case .punctuation(UInt8(ascii: ")")): depth -= 1
            case .keyword where depth == 0:
                guard
                    String(decoding: bytes[token.start..<token.end], as: UTF8.self)
                        .uppercased() == "AS"
                else { continue }
                let statement = String(decoding: bytes[token.end...], as: UTF8.self)
                return .prepare(
                    name: fields["name"]?.text ?? "", parameterTypes: types, statement: statement)
            default: break
            }
        }
        throw PostgresError(.syntaxError, "syntax error in PREPARE")
    }

    private static func vacuum(_ fields: SyntaxTree) -> ControlStatement? {
        // ANALYZE alone is SQLite's as well.
        guard fields["is_vacuumcmd"]?.isTrue == true else { return nil }
        let options = Set(
            (fields["options"]?.elements ?? []).compactMap {
                $0.fields(of: "DefElem")?["defname"]?.text
            })
        // Of one table, and without FULL, it only reclaims space for reuse in PostgreSQL; SQLite
        // does that by itself.
        let rewrites = fields["rels"]?.elements?.isEmpty ?? true || options.contains("full")
        return .vacuum(rewritesFile: rewrites, analyzes: options.contains("analyze"))
    }
}

/// Reads constants out of a syntax tree.
enum ConstantReader {
    /// The text that a constant stands for; nil for anything else.
    static func text(_ tree: SyntaxTree) -> String? {
        if let cast = tree.fields(of: "TypeCast"), let argument = cast["arg"] {
            return text(argument)
        }
        guard let value = try? value(tree) else { return nil }
        switch value {
        case .text(let text): return text
        case .integer(let integer): return String(integer)
        case .real(let real): return FloatText.float8(real)
        case .null, .blob: return nil
        }
    }

    static func integer(_ tree: SyntaxTree) -> Int64? {
        if case .integer(let integer)? = try? value(tree) { integer } else { nil }
    }

    static func value(_ tree: SyntaxTree) throws -> SQLiteValue {
        if let cast = tree.fields(of: "TypeCast"), let argument = cast["arg"] {
            return try value(argument)
        }
        if let expression = tree.fields(of: "A_Expr"), expression["lexpr"] == nil,
            expression["name"]?.names == ["-"], let operand = expression["rexpr"]
        {
            switch try value(operand) {
            case .integer(let integer): return .integer(0 &- integer)
            case .real(let real): return .real(-real)
            default: break
            }
        }
        guard let constant = tree.fields(of: "A_Const") else {
            throw PostgresError(
                .featureNotSupported, "only constants are supported here with SQLite behind")
        }
        if constant["isnull"]?.isTrue == true { return .null }
        if let integer = constant["ival"] { return .integer(Int64(integer["ival"]?.integer ?? 0)) }
        if let text = constant["fval"]?["fval"]?.text {
            return Int64(text).map(SQLiteValue.integer)
                ?? Double(text).map(SQLiteValue.real) ?? .text(text)
        }
        if let boolean = constant["boolval"] {
            return .integer(boolean["boolval"]?.isTrue == true ? 1 : 0)
        }
        return .text(constant["sval"]?["sval"]?.text ?? "")
    }
}
