/// The syntax pass: text to facts, without knowing the catalog.
package enum SyntaxAnalysis {
    /// The facts of every statement in `sql`, in order; empty for an empty query.
    package static func facts(of sql: String) throws(PgQuery.Failure) -> [SyntaxFacts] {
        try PgQuery.parse(sql).map { StatementReader(sql: sql).facts(of: $0.tree) }
    }
}
