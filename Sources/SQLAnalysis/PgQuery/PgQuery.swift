import CPgQuery

/// PostgreSQL's own grammar and scanner, through libpg_query.
///
/// Every function is a pure function of its text and may be called on any thread: the library
/// keeps its state per thread. Offsets are UTF-8 byte offsets into the text.
package enum PgQuery {
    /// The longest text, in bytes, that is analysed; a longer one is forwarded unparsed.
    package static let maximumLength = 256 * 1024

    /// Why a text could not be analysed. Holds nothing of the text.
    package enum Failure: Error, Hashable, Sendable {
        case tooLong
        /// A NUL byte, at which the C library would stop reading.
        case embeddedNUL
        /// Nested more deeply than is analysed.
        case tooDeep
        /// Not the grammar of PostgreSQL 15.
        case syntax
        /// The library answered with something that is not its documented format.
        case malformedTree
    }

    /// The parse trees of all statements in `sql`, in order.
    package static func parse(_ sql: String) throws(Failure) -> [ParsedStatement] {
        try checkLength(sql)
        try NestingGuard.check(sql)
        let result = pg_query_parse(sql)
        defer { pg_query_free_parse_result(result) }
        guard result.error == nil, let json = result.parse_tree else { throw .syntax }
        let tree = try SyntaxTreeReader.read(
            UnsafeRawBufferPointer(start: json, count: cStringLength(json)))
        guard let statements = tree["stmts"]?.elements else { return [] }
        let end = sql.utf8.count
        var parsed: [ParsedStatement] = []
        parsed.reserveCapacity(statements.count)
        for statement in statements {
            guard let body = statement["stmt"] else { throw .malformedTree }
            let start = min(max(statement["stmt_location"]?.integer ?? 0, 0), end)
            let length = statement["stmt_len"]?.integer ?? 0
            let stop = length > 0 ? min(start + min(length, end), end) : end
            parsed.append(ParsedStatement(tree: body, range: start..<max(start, stop)))
        }
        return parsed
    }

    /// A hash of the statement's shape: texts that differ only in constants, white space or
    /// comments share it.
    package static func fingerprint(_ sql: String) throws(Failure) -> UInt64 {
        try checkLength(sql)
        try NestingGuard.check(sql)
        let result = pg_query_fingerprint(sql)
        defer { pg_query_free_fingerprint_result(result) }
        guard result.error == nil else { throw .syntax }
        return result.fingerprint
    }

    /// The byte ranges of the statements in `sql`, by the scanner: it need not parse.
    package static func split(_ sql: String) throws(Failure) -> [Range<Int>] {
        try checkLength(sql)
        let result = pg_query_split_with_scanner(sql)
        defer { pg_query_free_split_result(result) }
        guard result.error == nil else { throw .syntax }
        let end = sql.utf8.count
        var ranges: [Range<Int>] = []
        for index in 0..<max(0, Int(result.n_stmts)) {
            guard let statement = result.stmts?[index]?.pointee else { throw .malformedTree }
            let start = min(max(Int(statement.stmt_location), 0), end)
            let length = Int(statement.stmt_len)
            ranges.append(start..<(length > 0 ? min(start + length, end) : end))
        }
        return ranges
    }

    /// The tokens of `sql`, comments included. Throws `.syntax` where a string or comment does
    /// not end.
    package static func scan(_ sql: String) throws(Failure) -> [Token] {
        try checkLength(sql)
        let result = pg_query_scan(sql)
        defer { pg_query_free_scan_result(result) }
        guard result.error == nil else { throw .syntax }
        guard let data = result.pbuf.data else { return [] }
        return try ScanResultReader.read(
            UnsafeRawBufferPointer(start: data, count: result.pbuf.len),
            textLength: sql.utf8.count)
    }

    private static func checkLength(_ sql: String) throws(Failure) {
        guard sql.utf8.count <= maximumLength else { throw .tooLong }
        guard !sql.utf8.contains(0) else { throw .embeddedNUL }
    }

    private static func cStringLength(_ pointer: UnsafePointer<CChar>) -> Int {
        var length = 0
        while pointer[length] != 0 { length += 1 }
        return length
    }
}

/// One statement of a text.
package struct ParsedStatement: Sendable {
    /// The tagged statement node, e.g. `SelectStmt`.
    package let tree: SyntaxTree
    /// Its bytes in the text, without the semicolon.
    package let range: Range<Int>
}
