import SQLAnalysis

/// A statement's text as SQLite is given it.
enum SQLiteText {
    /// The dialect's rewriting, and the statements that SQLite has under another name.
    static func rewrite(_ source: String) -> RewrittenStatement {
        let words = StatementSplitter.leadingWords(source, limit: 2)
        switch words.first {
        case "TRUNCATE":
            if let table = truncatedTable(source) {
                let name = table.replacing("\"", with: "\"\"")
                return RewrittenStatement(sql: "DELETE FROM \"\(name)\"", parameterTypes: [:])
            }
        case "EXPLAIN" where words.count > 1 && words[1] != "QUERY":
            // SQLite's own EXPLAIN lists the steps of its machine.
            var rewritten = SQLiteDialect.rewrite(source)
            if let range = rewritten.sql.firstRange(of: /(?i:explain)/) {
                rewritten.sql.replaceSubrange(range, with: "EXPLAIN QUERY PLAN")
            }
            return rewritten
        default: break
        }
        return SQLiteDialect.rewrite(source)
    }

    /// The one table of a TRUNCATE; nil for several, which SQLite then refuses.
    private static func truncatedTable(_ source: String) -> String? {
        guard let tree = (try? PgQuery.parse(source))?.first?.tree,
            let relations = tree.fields(of: "TruncateStmt")?["relations"]?.elements,
            relations.count == 1
        else { return nil }
        return relations[0].fields(of: "RangeVar")?["relname"]?.text
    }
}
