/// Quoting of names and texts in SQL.
enum SQLQuoting {
    /// Always in double quotes.
    static func identifier(_ name: String) -> String {
        "\""
            + name.split(separator: "\"", omittingEmptySubsequences: false).joined(
                separator: "\"\"")
            + "\""
    }

    static func literal(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
            + "'"
    }

    /// In double quotes where PostgreSQL's `quote_ident` would put them.
    static func identifierIfNeeded(_ name: String) -> String {
        let isPlain =
            !name.isEmpty
            && name.utf8.allSatisfy {
                (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f
            } && !(0x30...0x39).contains(name.utf8.first ?? 0x30) && !reserved.contains(name)
        return isPlain ? name : identifier(name)
    }

    /// PostgreSQL 15's reserved words. https://www.postgresql.org/docs/15/sql-keywords-appendix.html
    private static let reserved: Set<String> = Set(
        """
        all analyse analyze and any array as asc asymmetric authorization binary both case cast \
        check collate collation column concurrently constraint create cross current_catalog \
        current_date current_role current_schema current_time current_timestamp current_user \
        default deferrable desc distinct do else end except false fetch for foreign freeze from \
        full grant group having ilike in initially inner intersect into is isnull join lateral \
        leading left like limit localtime localtimestamp natural not notnull null offset on only \
        or order outer overlaps placing primary references returning right select session_user \
        similar some symmetric table tablesample then to trailing true union unique user using \
        variadic verbose when where window with between bigint bit boolean char character coalesce \
        dec decimal exists extract float greatest grouping inout int integer interval least \
        national nchar none normalize nullif numeric out overlay position precision real row setof \
        smallint substring time timestamp treat trim values varchar
        """.split(separator: " ").map(String.init))
}
