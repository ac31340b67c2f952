import CSQLite
import PostgresWire

/// Turns SQLite's result codes into PostgreSQL's errors.
/// https://www.sqlite.org/rescode.html, https://www.postgresql.org/docs/15/errcodes-appendix.html
enum SQLiteFailure {
    /// The error that `connection` reports for its last call. Holds names of tables and columns,
    /// as SQLite words them, but no values.
    static func error(
        of connection: OpaquePointer, code: Int32? = nil, sql: String? = nil
    ) -> PostgresError {
        let extended = sqlite3_extended_errcode(connection)
        let code = code ?? extended
        let text = String(cString: sqlite3_errmsg(connection))
        var error = error(
            code: code == code & 0xff ? (extended & 0xff == code ? extended : code) : code,
            message: text)
        if error.sqlState == .syntaxError || error.sqlState == .undefinedColumn, let sql {
            error.position = position(sqlite3_error_offset(connection), in: sql)
        }
        return error
    }

    /// One-based character position of a byte offset; nil where SQLite does not know it.
    private static func position(_ offset: Int32, in sql: String) -> Int? {
        guard offset >= 0, Int(offset) <= sql.utf8.count else { return nil }
        let index = sql.utf8.index(sql.utf8.startIndex, offsetBy: Int(offset))
        return sql.unicodeScalars[..<index].count + 1
    }

    static func error(code: Int32, message: String) -> PostgresError {
        switch code {
        case 2067, 1555, 2579:  // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY, _ROWID
            return constraint(
                "23505", "duplicate key value violates unique constraint", message)
        case 1299:  // SQLITE_CONSTRAINT_NOTNULL
            return notNull(message)
        case 787:  // SQLITE_CONSTRAINT_FOREIGNKEY
            return PostgresError(
                "23503", "insert, update or delete violates a foreign key constraint")
        case 275:  // SQLITE_CONSTRAINT_CHECK
            return constraint("23514", "new row violates check constraint", message)
        case 1811:  // SQLITE_CONSTRAINT_TRIGGER: RAISE() in a trigger
            return PostgresError("P0001", message)
        case 3091:  // SQLITE_CONSTRAINT_DATATYPE
            return PostgresError("42804", message)
        default: break
        }
        switch code & 0xff {
        case SQLITE_ERROR: return generic(message)
        case SQLITE_CONSTRAINT: return PostgresError("23000", message)
        case SQLITE_BUSY, SQLITE_LOCKED:
            return PostgresError(
                .lockNotAvailable, "canceling statement due to lock timeout",
                detail: "Another process or connection holds the database's write lock.")
        case SQLITE_FULL:
            return PostgresError("53100", "could not write to the database: the disk is full")
        case SQLITE_READONLY:
            return PostgresError(
                .readOnlyTransaction, "cannot write: the database file is read-only")
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return PostgresError(
                "XX001", "the database file is damaged: \(message)",
                hint: "Run PRAGMA integrity_check with the sqlite3 tool.")
        case SQLITE_INTERRUPT:
            return PostgresError(.queryCanceled, "canceling statement due to user request")
        case SQLITE_TOOBIG:
            return PostgresError(.programLimitExceeded, "string or blob too big")
        case SQLITE_MISMATCH: return PostgresError("42804", message)
        case SQLITE_NOMEM: return PostgresError(.outOfMemory, "out of memory")
        case SQLITE_AUTH: return PostgresError("42501", "not authorized")
        case SQLITE_RANGE: return PostgresError(.protocolViolation, message)
        case SQLITE_IOERR, SQLITE_CANTOPEN: return PostgresError("58030", message)
        default: return PostgresError(.internalError, message)
        }
    }

    /// SQLITE_ERROR tells its cause only in words.
    private static func generic(_ message: String) -> PostgresError {
        if let name = suffix(of: message, after: "no such table: ") {
            return PostgresError(.undefinedTable, "relation \"\(name)\" does not exist")
        }
        if let name = suffix(of: message, after: "no such column: ") {
            return PostgresError(.undefinedColumn, "column \"\(name)\" does not exist")
        }
        if message.hasPrefix("table "), let range = split(message, " has no column named ") {
            return PostgresError(
                .undefinedColumn,
                "column \"\(range.1)\" of relation \"\(range.0.dropFirst(6))\" does not exist")
        }
        if let name = suffix(of: message, after: "no such function: ") {
            return PostgresError("42883", "function \(name) does not exist")
        }
        if let name = suffix(of: message, after: "ambiguous column name: ") {
            return PostgresError("42702", "column reference \"\(name)\" is ambiguous")
        }
        for kind in ["index", "view", "trigger"] {
            if let name = suffix(of: message, after: "no such \(kind): ") {
                return PostgresError(.undefinedObject, "\(kind) \"\(name)\" does not exist")
            }
        }
        if message.hasSuffix(" already exists") {
            return PostgresError(
                "42P07", message.replacing("table ", with: "relation ", maxReplacements: 1))
        }
        if message.hasPrefix("near ") || message.hasPrefix("unrecognized token")
            || message == "incomplete input"
        {
            return PostgresError(
                .syntaxError,
                message.hasPrefix("near ")
                    ? reorderedSyntaxError(message) : message)
        }
        if message.hasPrefix("wrong number of arguments to function") {
            return PostgresError("42883", message)
        }
        if message.contains("values for") && message.contains("columns")
            || message.hasSuffix("do not have the same number of result columns")
        {
            return PostgresError(.syntaxError, message)
        }
        if message.hasPrefix("misuse of aggregate") {
            return PostgresError("42803", message)
        }
        if message == "integer overflow" {
            return PostgresError("22003", "bigint out of range")
        }
        if message == "malformed JSON" {
            return PostgresError("22P02", "invalid input syntax for type json")
        }
        if message.contains("too many") || message.contains("too large")
            || message.contains("parser stack overflow")
        {
            return PostgresError(.programLimitExceeded, message)
        }
        if message == "query aborted" {
            return PostgresError(.queryCanceled, "canceling statement due to user request")
        }
        return PostgresError("42000", message)
    }

    /// `near "x": syntax error` in PostgreSQL's order.
    private static func reorderedSyntaxError(_ message: String) -> String {
        guard let range = split(message, ": "), range.1 == "syntax error" else { return message }
        return "syntax error at or \(range.0)"
    }

    private static func notNull(_ message: String) -> PostgresError {
        guard let target = suffix(of: message, after: "NOT NULL constraint failed: "),
            let (table, column) = split(String(target), ".")
        else { return PostgresError("23502", message) }
        return PostgresError(
            "23502",
            "null value in column \"\(column)\" of relation \"\(table)\" violates not-null constraint"
        )
    }

    private static func constraint(
        _ state: SQLState, _ words: String, _ message: String
    ) -> PostgresError {
        guard let (_, target) = split(message, "constraint failed: ") else {
            return PostgresError(state, message)
        }
        return PostgresError(
            state, "\(words) \"\(constraintName(String(target), state))\"",
            detail: "SQLite reports: \(message).")
    }

    /// A name as PostgreSQL would have given the constraint: `table_column_key`.
    private static func constraintName(_ target: String, _ state: SQLState) -> String {
        guard state == "23505", target.contains(".") else { return target }
        let columns = target.split(separator: ",").compactMap { part in
            part.split(separator: ".", maxSplits: 1)
        }
        guard let table = columns.first?.first else { return target }
        let names = columns.compactMap { $0.count > 1 ? String($0[1]) : nil }
        let trimmed = String(table).trimmingPrefix { $0 == " " }
        return ([String(trimmed)] + names + ["key"]).joined(separator: "_")
    }

    private static func suffix(of text: String, after prefix: String) -> Substring? {
        text.hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil
    }

    private static func split(_ text: String, _ separator: String) -> (Substring, Substring)? {
        guard let range = text.firstRange(of: separator) else { return nil }
        return (text[..<range.lowerBound], text[range.upperBound...])
    }
}
