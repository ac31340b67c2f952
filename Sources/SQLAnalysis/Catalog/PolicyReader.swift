/// Reads the conditions of row-level security policies.
///
/// All that have a USING expression, whatever command and roles they are for: a read is subject to
/// a subset of them. Which subset follows from the catalog and the role.
/// https://www.postgresql.org/docs/15/sql-createpolicy.html
enum PolicyReader {
    /// By table; no value where one of its policies does not parse. A table with row-level security
    /// and no policy shows no rows: it has the empty list.
    static func facts(of rows: CatalogRows) -> [UInt32: [SyntaxFacts]] {
        var facts: [UInt32: [SyntaxFacts]] = [:]
        for row in rows.classes where row.hasRowSecurity { facts[row.oid] = [] }
        var unreadable: Set<UInt32> = []
        for policy in rows.policies {
            guard let condition = policy.condition else { continue }
            if let read = try? SyntaxAnalysis.facts(of: "SELECT (\(condition))"), read.count == 1 {
                facts[policy.relation, default: []] += read
            } else {
                unreadable.insert(policy.relation)
            }
        }
        for relation in unreadable { facts[relation] = nil }
        return facts
    }
}
