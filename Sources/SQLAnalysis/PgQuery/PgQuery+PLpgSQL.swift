import CPgQuery

extension PgQuery {
    /// The body of a PL/pgSQL function as PL/pgSQL's own grammar reads it, in libpg_query's JSON
    /// form: statements as `PLpgSQL_stmt_…`, embedded SQL as text in `PLpgSQL_expr`.
    ///
    /// The library has no catalog: variables of composite types, cursors and RETURN NEXT of a
    /// RETURNS TABLE function are syntax errors to it.
    ///
    /// - Parameter definition: the whole CREATE FUNCTION statement. The library descends into
    ///   blocks recursively: the caller bounds their number.
    /// https://www.postgresql.org/docs/15/plpgsql.html
    static func parsePLpgSQL(_ definition: String) throws(Failure) -> SyntaxTree {
        guard definition.utf8.count <= maximumLength else { throw .tooLong }
        guard !definition.utf8.contains(0) else { throw .embeddedNUL }
        try NestingGuard.check(definition)
        let result = pg_query_parse_plpgsql(definition)
        defer { pg_query_free_plpgsql_parse_result(result) }
        guard result.error == nil, let json = result.plpgsql_funcs else { throw .syntax }
        // The list is printed with line breaks around its one element, which the reader refuses.
        let text = String(cString: json)
        guard let start = text.utf8.firstIndex(of: UInt8(ascii: "{")),
            let end = text.utf8.lastIndex(of: UInt8(ascii: "}"))
        else { throw .malformedTree }
        let tree = Array(text.utf8[start...end]).withUnsafeBytes { bytes in
            Result { () throws(Failure) in try SyntaxTreeReader.read(bytes) }
        }
        return try tree.get()
    }
}
