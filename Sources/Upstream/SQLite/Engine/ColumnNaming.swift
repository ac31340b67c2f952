import SQLAnalysis

/// The name that PostgreSQL gives to a result column without an alias (`FigureColname` of its
/// parser): applications read columns by it.
enum ColumnNaming {
    static func name(of tree: SyntaxTree) -> String {
        figure(tree, 0)?.name ?? "?column?"
    }

    /// A name and whether it is more than the name of a type, which anything better replaces.
    private static func figure(_ tree: SyntaxTree, _ depth: Int) -> (name: String, strong: Bool)? {
        guard depth < 100, let (tag, fields) = tree.node else { return nil }
        switch tag {
        case "ColumnRef":
            return fields["fields"]?.elements?.last?.fields(of: "String")?["sval"]?.text
                .map { ($0, true) }
        case "FuncCall": return fields["funcname"]?.names?.last.map { ($0, true) }
        case "A_Expr" where fields["kind"]?.text == "AEXPR_NULLIF": return ("nullif", true)
        case "TypeCast":
            if let argument = fields["arg"], let inner = figure(argument, depth + 1), inner.strong {
                return inner
            }
            return fields["typeName"]?["names"]?.names?.last.map { ($0, false) }
        case "CollateClause": return fields["arg"].flatMap { figure($0, depth + 1) }
        case "CaseExpr":
            if let fallback = fields["defresult"], let inner = figure(fallback, depth + 1),
                inner.strong
            {
                return inner
            }
            return ("case", false)
        case "CoalesceExpr": return ("coalesce", true)
        case "MinMaxExpr":
            return (fields["op"]?.text == "IS_LEAST" ? "least" : "greatest", true)
        case "A_ArrayExpr": return ("array", true)
        case "RowExpr": return ("row", true)
        case "SubLink": return sublink(fields, depth)
        case "SQLValueFunction":
            return fields["op"]?.text.map { operation in
                var name = operation.replacing("SVFOP_", with: "").lowercased()
                if name.hasSuffix("_n") { name.removeLast(2) }
                return (name, true)
            }
        default: return nil
        }
    }

    private static func sublink(
        _ fields: SyntaxTree, _ depth: Int
    ) -> (name: String, strong: Bool)? {
        switch fields["subLinkType"]?.text {
        case "EXISTS_SUBLINK": return ("exists", true)
        case "ARRAY_SUBLINK": return ("array", true)
        case "EXPR_SUBLINK":
            guard let query = fields["subselect"]?.fields(of: "SelectStmt"),
                let target = query["targetList"]?.elements?.first?.fields(of: "ResTarget")
            else { return nil }
            if let name = target["name"]?.text { return (name, true) }
            return target["val"].flatMap { figure($0, depth + 1) }
        default: return nil
        }
    }
}
