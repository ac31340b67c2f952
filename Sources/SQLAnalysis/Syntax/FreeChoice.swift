/// Statements whose answer the database may choose: asked twice of the same data, they may answer
/// differently, and both answers are right.
package enum FreeChoice {
    /// Whether `sql` names anything that leaves a choice: which rows LIMIT, OFFSET, FETCH FIRST or
    /// DISTINCT ON keep, what order window functions and some aggregates see them in. By the text
    /// alone, anywhere in it; also true of a text that does not parse.
    package static func isMade(by sql: String) -> Bool {
        guard let statements = try? PgQuery.parse(sql) else { return true }
        return statements.contains { isMade(in: $0.tree) }
    }

    private static let fields: Set<String> = ["limitCount", "limitOffset", "over"]

    /// Their result depends on the order of their input.
    private static let orderedAggregates: Set<String> = [
        "array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg",
        "xmlagg", "group_concat", "json_group_array", "json_group_object",
    ]

    private static func isMade(in tree: SyntaxTree) -> Bool {
        if let elements = tree.elements { return elements.contains(where: isMade) }
        for member in tree.members {
            if fields.contains(member.name) { return true }
            // DISTINCT alone has one empty element.
            if member.name == "distinctClause",
                member.value.elements?.contains(where: { !$0.members.isEmpty }) ?? false
            {
                return true
            }
            if member.name == "FuncCall", let name = member.value["funcname"]?.names?.last,
                orderedAggregates.contains(name)
            {
                return true
            }
            if isMade(in: member.value) { return true }
        }
        return false
    }
}
