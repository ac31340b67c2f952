import PostgresWire

extension CatalogTranslator {
    mutating func expression(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        try nested { translator throws(PostgresError) in
            try translator.expressionUnguarded(node)
        }
    }

    private mutating func expressionUnguarded(
        _ node: SyntaxNode
    ) throws(PostgresError) -> Expression {
        switch node.kind {
        case "ColumnRef": return try resolve(node.names("fields"))
        case "A_Const": return try constant(node)
        case "ParamRef": return try parameter(node)
        case "TypeCast":
            guard let argument = node.node("arg"), let name = node.bare("typeName", as: "TypeName")
            else { throw Self.unsupported("this cast") }
            return try cast(expression(argument), to: Self.typeOID(name))
        case "A_Expr": return try operation(node)
        case "BoolExpr": return try boolean(node)
        case "NullTest":
            let isNull = node.text("nulltesttype") == "IS_NULL"
            let argument = try expression(node.required("arg"))
            return Expression("(\(argument.sql) IS \(isNull ? "" : "NOT ")NULL)", CatalogType.bool)
        case "BooleanTest": return try booleanTest(node)
        case "CaseExpr": return try caseExpression(node)
        case "CoalesceExpr", "MinMaxExpr": return try variadic(node)
        case "CollateClause": return try expression(node.required("arg"))
        case "FuncCall": return try call(node)
        case "SubLink": return try subLink(node)
        case "SQLValueFunction": return try sessionValue(node)
        case "A_ArrayExpr": return try arrayConstructor(node)
        case "A_Indirection": return try indirection(node)
        default: throw Self.unsupported("this expression (\(node.kind))")
        }
    }

    private func constant(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        if node.flag("isnull") { return Expression("NULL", CatalogType.unknown) }
        if let text = node.stringConstant {
            var result = Expression(SQLQuoting.literal(text), CatalogType.unknown)
            result.constant = text
            return result
        }
        if node.integerConstant != nil {
            guard let number = integer(node) else { throw Self.unsupported("this number") }
            return Expression("(\(number))", CatalogType.int4)
        }
        if let flag = node.bare("boolval", as: "Boolean") {
            return Expression(flag.flag("boolval") ? "1" : "0", CatalogType.bool)
        }
        if let number = node.bare("fval", as: "Float") {
            let text = number.text("fval")
            return Expression(text, Int64(text) == nil ? CatalogType.numeric : CatalogType.int8)
        }
        throw Self.unsupported("a bit string")
    }

    private mutating func parameter(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let number = node.integer("number")
        // SQLite's own limit.
        guard (1...32766).contains(number) else {
            throw PostgresError("42P02", "there is no parameter $\(number)")
        }
        parameterCount = max(parameterCount, number)
        var result = Expression("?\(number)", CatalogType.unknown)
        result.parameter = number
        return result
    }

    // MARK: Operators

    private mutating func operation(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let name = node.names("name").last ?? ""
        switch node.text("kind") {
        case "AEXPR_OP": return try plainOperation(node, name)
        case "AEXPR_OP_ANY", "AEXPR_OP_ALL":
            return try arrayOperation(node, name, isAll: node.text("kind") == "AEXPR_OP_ALL")
        case "AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT":
            let (left, right) = try operands(node)
            let isNot = node.text("kind") == "AEXPR_DISTINCT"
            return Expression(
                "(\(left.sql) IS \(isNot ? "NOT " : "")\(right.sql))", CatalogType.bool)
        case "AEXPR_NULLIF":
            let (left, right) = try operands(node)
            return Expression("nullif(\(left.sql), \(right.sql))", left.type)
        case "AEXPR_IN":
            var left = try expression(node.required("lexpr"))
            var items: [String] = []
            for item in try node.required("rexpr").nodes("items") {
                let right = try expression(item)
                left = try coerce(left, to: right.type)
                items.append(try coerce(right, to: left.type).sql)
            }
            let word = name == "<>" ? "NOT IN" : "IN"
            return Expression(
                "(\(left.sql) \(word) (\(items.joined(separator: ", "))))", CatalogType.bool)
        case "AEXPR_LIKE", "AEXPR_ILIKE": return try like(node, name)
        case "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN":
            let left = try expression(node.required("lexpr"))
            let bounds = try node.required("rexpr").nodes("items")
            guard bounds.count == 2 else { throw Self.unsupported("this BETWEEN") }
            let low = try coerce(expression(bounds[0]), to: left.type)
            let high = try coerce(expression(bounds[1]), to: left.type)
            let not = node.text("kind") == "AEXPR_NOT_BETWEEN" ? "NOT " : ""
            return Expression(
                "(\(left.sql) \(not)BETWEEN \(low.sql) AND \(high.sql))", CatalogType.bool)
        default: throw Self.unsupported("the operator \(name)")
        }
    }

    private mutating func operands(
        _ node: SyntaxNode
    ) throws(PostgresError) -> (Expression, Expression) {
        let left = try expression(node.required("lexpr"))
        let right = try expression(node.required("rexpr"))
        return try unify(left, right)
    }

    private mutating func plainOperation(
        _ node: SyntaxNode, _ name: String
    ) throws(PostgresError) -> Expression {
        guard node.has("lexpr") else {
            let right = try expression(node.required("rexpr"))
            guard name == "-" || name == "+" else { throw Self.unsupported("the operator \(name)") }
            return Expression("(\(name)\(right.sql))", right.type)
        }
        let (left, right) = try operands(node)
        return try Self.combine(left, name, right)
    }

    static func combine(
        _ left: Expression, _ name: String, _ right: Expression
    ) throws(PostgresError) -> Expression {
        let isArray =
            CatalogType.byOID[left.type]?.isArray == true
            || CatalogType.byOID[right.type]?.isArray == true
        switch name {
        case "=", "<>", "!=", "<", ">", "<=", ">=":
            return Expression("(\(left.sql) \(name) \(right.sql))", CatalogType.bool)
        case "+", "-", "*", "/", "%":
            let type = left.type == CatalogType.unknown ? right.type : left.type
            return Expression("(\(left.sql) \(name) \(right.sql))", type)
        case "||" where isArray:
            return Expression(
                "\(CatalogFunction.Internal.concatenateArrays)(\(left.sql), \(right.sql))",
                left.type == CatalogType.unknown ? right.type : left.type)
        case "||":
            return Expression("(\(left.sql) || \(right.sql))", CatalogType.text)
        case "@>" where isArray:
            return Expression(
                "\(CatalogFunction.Internal.containsArray)(\(left.sql), \(right.sql))",
                CatalogType.bool)
        case "<@" where isArray:
            return Expression(
                "\(CatalogFunction.Internal.containsArray)(\(right.sql), \(left.sql))",
                CatalogType.bool)
        case "~", "!~", "~*", "!~*":
            let ignoresCase = name.hasSuffix("*") ? 1 : 0
            let matches =
                "\(CatalogFunction.Internal.matches)(\(left.sql), \(right.sql), \(ignoresCase))"
            return Expression(
                name.hasPrefix("!") ? "(NOT \(matches))" : matches, CatalogType.bool)
        case "~~":
            return Expression("(\(left.sql) LIKE \(right.sql) ESCAPE '\\')", CatalogType.bool)
        case "!~~":
            return Expression("(\(left.sql) NOT LIKE \(right.sql) ESCAPE '\\')", CatalogType.bool)
        case "->", "->>":
            return Expression("(\(left.sql) \(name) \(right.sql))", CatalogType.text)
        case "&", "|", "<<", ">>":
            return Expression("(\(left.sql) \(name) \(right.sql))", left.type)
        default: throw unsupported("the operator \(name)")
        }
    }

    private mutating func like(
        _ node: SyntaxNode, _ name: String
    ) throws(PostgresError) -> Expression {
        let left = try expression(node.required("lexpr"))
        var pattern = try node.required("rexpr")
        var escape = "'\\'"
        if pattern.kind == "FuncCall", pattern.names("funcname").last == "like_escape" {
            let arguments = pattern.nodes("args")
            guard arguments.count == 2 else { throw Self.unsupported("this ESCAPE") }
            pattern = arguments[0]
            escape = try expression(arguments[1]).sql
        }
        let right = try coerce(expression(pattern), to: CatalogType.text)
        let not = name.hasPrefix("!") ? "NOT " : ""
        guard node.text("kind") == "AEXPR_ILIKE" else {
            return Expression(
                "(\(left.sql) \(not)LIKE \(right.sql) ESCAPE \(escape))", CatalogType.bool)
        }
        return Expression(
            "(lower(\(left.sql)) \(not)LIKE lower(\(right.sql)) ESCAPE \(escape))",
            CatalogType.bool)
    }

    /// `left op ANY (array)` and `left op ALL (array)`.
    private mutating func arrayOperation(
        _ node: SyntaxNode, _ name: String, isAll: Bool
    ) throws(PostgresError) -> Expression {
        let left = try expression(node.required("lexpr"))
        let array = try node.required("rexpr")
        let elementType = left.type == CatalogType.unknown ? CatalogType.text : left.type
        let arrayType = CatalogType.byOID[elementType]?.array ?? CatalogType.textArray
        let right = try coerce(
            expression(array), to: arrayType == 0 ? CatalogType.textArray : arrayType)
        let item = freshAlias()
        let definition = CatalogType.byOID[right.type]
        let element = Expression("\(item).value", definition?.element ?? CatalogType.text)
        let typedLeft = try coerce(left, to: element.type)
        let list = "SELECT \(item).value FROM json_each(\(right.sql)) AS \(item)"
        if name == "=", !isAll {
            return Expression("(\(typedLeft.sql) IN (\(list)))", CatalogType.bool)
        }
        if name == "<>" || name == "!=", isAll {
            return Expression("(\(typedLeft.sql) NOT IN (\(list)))", CatalogType.bool)
        }
        let test = try Self.combine(typedLeft, name, element).sql
        let each = "SELECT 1 FROM json_each(\(right.sql)) AS \(item) WHERE"
        return Expression(
            isAll ? "(NOT EXISTS (\(each) NOT \(test)))" : "(EXISTS (\(each) \(test)))",
            CatalogType.bool)
    }

    private mutating func boolean(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        var parts: [String] = []
        for argument in node.nodes("args") {
            parts.append(try coerce(expression(argument), to: CatalogType.bool).sql)
        }
        switch node.text("boolop") {
        case "NOT_EXPR": return Expression("(NOT \(parts.first ?? "NULL"))", CatalogType.bool)
        case "OR_EXPR": return Expression("(\(parts.joined(separator: " OR ")))", CatalogType.bool)
        default: return Expression("(\(parts.joined(separator: " AND ")))", CatalogType.bool)
        }
    }

    private mutating func booleanTest(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let argument = try coerce(expression(node.required("arg")), to: CatalogType.bool).sql
        switch node.text("booltesttype") {
        case "IS_TRUE": return Expression("(\(argument) IS 1)", CatalogType.bool)
        case "IS_NOT_TRUE": return Expression("(\(argument) IS NOT 1)", CatalogType.bool)
        case "IS_FALSE": return Expression("(\(argument) IS 0)", CatalogType.bool)
        case "IS_NOT_FALSE": return Expression("(\(argument) IS NOT 0)", CatalogType.bool)
        case "IS_UNKNOWN": return Expression("(\(argument) IS NULL)", CatalogType.bool)
        default: return Expression("(\(argument) IS NOT NULL)", CatalogType.bool)
        }
    }

    // MARK: Conditionals, arrays, subqueries

    /// Gives all branches the type of the first one that has a type.
    private mutating func harmonised(
        _ branches: [Expression]
    ) throws(PostgresError) -> (texts: [String], type: UInt32) {
        let type = branches.first { $0.type != CatalogType.unknown }?.type ?? CatalogType.unknown
        var texts: [String] = []
        for branch in branches { texts.append(try coerce(branch, to: type).sql) }
        return (texts, type)
    }

    private mutating func caseExpression(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let subject = try node.node("arg").map { node throws(PostgresError) in
            try expression(node)
        }
        var conditions: [String] = []
        var results: [Expression] = []
        for branch in node.nodes("args") {
            let condition = try expression(branch.required("expr"))
            if let subject {
                conditions.append(try unify(subject, condition).1.sql)
            } else {
                conditions.append(try coerce(condition, to: CatalogType.bool).sql)
            }
            results.append(try expression(branch.required("result")))
        }
        if let other = node.node("defresult") { results.append(try expression(other)) }
        let (texts, type) = try harmonised(results)
        var sql = "CASE" + (subject.map { " \($0.sql)" } ?? "")
        for (position, condition) in conditions.enumerated() {
            sql += " WHEN \(condition) THEN \(texts[position])"
        }
        if texts.count > conditions.count { sql += " ELSE \(texts[conditions.count])" }
        return Expression("(\(sql) END)", type)
    }

    private mutating func variadic(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        var arguments: [Expression] = []
        for argument in node.nodes("args") { arguments.append(try expression(argument)) }
        let (texts, type) = try harmonised(arguments)
        if texts.count == 1 { return Expression(texts[0], type) }
        let list = texts.joined(separator: ", ")
        guard node.kind == "MinMaxExpr" else { return Expression("coalesce(\(list))", type) }
        // SQLite's min and max give NULL where any argument is NULL; these ignore NULLs.
        let function = node.text("op") == "IS_LEAST" ? "min" : "max"
        let rows = texts.map { "SELECT \($0) AS v" }.joined(separator: " UNION ALL ")
        return Expression("(SELECT \(function)(v) FROM (\(rows)))", type)
    }

    private mutating func arrayConstructor(
        _ node: SyntaxNode
    ) throws(PostgresError) -> Expression {
        var elements: [Expression] = []
        for element in node.nodes("elements") { elements.append(try expression(element)) }
        let (texts, type) = try harmonised(elements)
        let element = type == CatalogType.unknown ? CatalogType.text : type
        guard let array = CatalogType.byOID[element]?.array, array != 0 else {
            throw Self.unsupported("this array")
        }
        return Expression("json_array(\(texts.joined(separator: ", ")))", array)
    }

    private mutating func indirection(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let array = try expression(node.required("arg"))
        let steps = node.nodes("indirection")
        guard steps.count == 1, steps[0].kind == "A_Indices", !steps[0].flag("is_slice"),
            let definition = CatalogType.byOID[array.type],
            definition.isArray || definition.isVector
        else { throw Self.unsupported("this subscript") }
        let index = try coerce(expression(steps[0].required("uidx")), to: CatalogType.int4)
        let offset = definition.isVector ? 0 : 1
        return Expression(
            "(CASE WHEN \(index.sql) >= \(offset) THEN "
                + "json_extract(\(array.sql), '$[' || (\(index.sql) - \(offset)) || ']') END)",
            definition.element)
    }

    private mutating func subLink(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let (sql, columns) = try select(node.required("subselect"))
        let type = columns.first?.type ?? CatalogType.unknown
        switch node.text("subLinkType") {
        case "EXISTS_SUBLINK": return Expression("EXISTS (\(sql))", CatalogType.bool)
        case "EXPR_SUBLINK": return Expression("(\(sql))", type)
        case "ARRAY_SUBLINK":
            let element = type == CatalogType.unknown ? CatalogType.text : type
            guard let array = CatalogType.byOID[element]?.array, array != 0,
                let column = columns.first
            else { throw Self.unsupported("this ARRAY") }
            let name = SQLQuoting.identifier(column.name)
            return Expression(
                "coalesce((SELECT \(CatalogAggregate.array)('', \(name), '') FROM (\(sql))), '[]')",
                array)
        case "ANY_SUBLINK":
            let name = node.names("operName").last ?? "="
            guard name == "=" else { throw Self.unsupported("\(name) ANY") }
            let left = try coerce(expression(node.required("testexpr")), to: type)
            return Expression("(\(left.sql) IN (\(sql)))", CatalogType.bool)
        default: throw Self.unsupported("this subquery")
        }
    }

    // MARK: Session values

    private func sessionValue(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        switch node.text("op") {
        case "SVFOP_CURRENT_USER", "SVFOP_SESSION_USER", "SVFOP_USER", "SVFOP_CURRENT_ROLE":
            return Expression("current_user()", CatalogType.name)
        case "SVFOP_CURRENT_CATALOG": return Expression("current_database()", CatalogType.name)
        case "SVFOP_CURRENT_SCHEMA": return Expression("current_schema()", CatalogType.name)
        case "SVFOP_CURRENT_DATE": return Expression("date('now')", CatalogType.date)
        case "SVFOP_CURRENT_TIMESTAMP", "SVFOP_CURRENT_TIMESTAMP_N":
            return Self.now
        case "SVFOP_LOCALTIMESTAMP", "SVFOP_LOCALTIMESTAMP_N":
            return Expression("strftime('%Y-%m-%d %H:%M:%f', 'now')", CatalogType.timestamp)
        default: throw Self.unsupported("this time function")
        }
    }

    static let now = Expression(
        "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '+00')", CatalogType.timestamptz)
}

extension SyntaxNode {
    /// A field that the grammar always fills; a tree without it is refused.
    func required(_ name: String) throws(PostgresError) -> SyntaxNode {
        guard let node = node(name) else {
            throw CatalogTranslator.unsupported("this \(kind)")
        }
        return node
    }
}
