import SQLAnalysis

/// A statement in SQLite's dialect.
package struct RewrittenStatement: Hashable, Sendable {
    package var sql: String
    /// Types that casts give to `$n`, by number.
    package var parameterTypes: [Int: UInt32]
}

/// Turns what clients write in PostgreSQL's dialect into SQLite's, token by token.
///
/// What is not recognised with certainty stays as it is, so that SQLite refuses it rather than
/// doing something else. The connection must have `PRAGMA case_sensitive_like = ON`: LIKE then
/// compares as PostgreSQL's does, and ILIKE becomes LIKE over `lower(…)`.
package enum SQLiteDialect {
    /// Returns `sql` itself, after one look at its bytes, where there is nothing to do. May be
    /// called on any thread; a pure function of the text.
    package static func rewrite(_ sql: String) -> RewrittenStatement {
        let untouched = RewrittenStatement(sql: sql, parameterTypes: [:])
        guard mayNeedRewriting(sql), let tokens = try? PgQuery.scan(sql) else { return untouched }
        var rewriter = DialectRewriter(sql: sql, tokens: tokens)
        guard let rewritten = rewriter.rewrite() else { return untouched }
        return RewrittenStatement(sql: rewritten, parameterTypes: rewriter.parameterTypes)
    }

    /// Words that some rule looks at; a text with none of them, no `::` and no special string is
    /// SQLite's as it is.
    private static let telling: Set<String> = [
        "like", "ilike", "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp",
        "localtimestamp", "localtime", "current_timestamp", "current_time", "public", "pg_catalog",
        "date", "timestamp", "timestamptz", "for", "fetch", "only", "offset", "limit", "extract",
        "position", "substring", "cast", "any", "serial", "bigserial", "smallserial",
    ]

    static func mayNeedRewriting(_ sql: String) -> Bool {
        var word: [UInt8] = []
        word.reserveCapacity(24)
        var previous: UInt8 = 0
        for byte in sql.utf8 {
            let folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            if folded >= 0x61 && folded <= 0x7a || folded == 0x5f {
                if word.count < 24 { word.append(folded) }
                previous = byte
                continue
            }
            let isSpecialString =
                byte == UInt8(ascii: "'") && word == [UInt8(ascii: "e")]
                || byte == UInt8(ascii: "$") && (previous == byte || !word.isEmpty)
            let isCast = byte == UInt8(ascii: ":") && previous == byte
            if isSpecialString || isCast || isTelling(word) { return true }
            word.removeAll(keepingCapacity: true)
            previous = byte
        }
        return isTelling(word)
    }

    private static func isTelling(_ word: [UInt8]) -> Bool {
        guard word.count >= 3 else { return false }
        return telling.contains(String(decoding: word, as: UTF8.self))
    }
}
