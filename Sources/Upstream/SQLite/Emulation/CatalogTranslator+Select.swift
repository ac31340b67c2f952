import PostgresWire

extension CatalogTranslator {
    /// Translates a SELECT, VALUES or set operation into SQL and its result columns; the columns'
    /// `sql` is their quoted name. `known` is called with the columns of a set operation's first
    /// part before the second is translated: a recursive query refers to them.
    mutating func select(
        _ statement: SyntaxNode, isTopLevel: Bool = false,
        known: ((inout CatalogTranslator, [Column]) -> Void)? = nil
    ) throws(PostgresError) -> (sql: String, columns: [Column]) {
        try nested { translator throws(PostgresError) in
            try translator.selectUnguarded(statement, isTopLevel: isTopLevel, known: known)
        }
    }

    private mutating func selectUnguarded(
        _ statement: SyntaxNode, isTopLevel: Bool,
        known: ((inout CatalogTranslator, [Column]) -> Void)?
    ) throws(PostgresError) -> (sql: String, columns: [Column]) {
        let outerTables = commonTables
        let outerScopes = scopes
        defer {
            commonTables = outerTables
            scopes = outerScopes
        }
        var sql = ""
        if let with = statement.bare("withClause", as: "WithClause") {
            sql = try commonTableExpressions(with)
        }
        let columns: [Column]
        // Set operations sort by their result columns alone.
        var isSetOperation = false
        var mayAlias: [String: UInt32] = [:]
        if statement.text("op") != "SETOP_NONE", !statement.text("op").isEmpty {
            isSetOperation = true
            let body: String
            (body, columns) = try setOperation(statement, known: known)
            sql += body
        } else if statement.has("valuesLists") {
            let body: String
            (body, columns) = try values(statement)
            sql += body
        } else {
            let body: String
            (body, columns) = try plainSelect(statement)
            sql += body
        }
        for column in columns { mayAlias[column.name] = column.type }
        let sort = statement.nodes("sortClause")
        if !sort.isEmpty {
            var terms: [String] = []
            for item in sort {
                terms.append(
                    try sortTerm(item, aliases: mayAlias, aliasesOnly: isSetOperation))
            }
            sql += " ORDER BY " + terms.joined(separator: ", ")
        }
        if let limit = statement.node("limitCount") {
            sql += " LIMIT " + (try coerce(expression(limit), to: CatalogType.int8).sql)
        } else if statement.has("limitOffset") {
            sql += " LIMIT -1"
        }
        if let offset = statement.node("limitOffset") {
            sql += " OFFSET " + (try coerce(expression(offset), to: CatalogType.int8).sql)
        }
        return (sql, columns)
    }

    private mutating func setOperation(
        _ statement: SyntaxNode, known: ((inout CatalogTranslator, [Column]) -> Void)?
    ) throws(PostgresError) -> (String, [Column]) {
        guard let left = statement.bare("larg", as: "SelectStmt"),
            let right = statement.bare("rarg", as: "SelectStmt")
        else { throw Self.unsupported("this set operation") }
        let word: String
        switch (statement.text("op"), statement.flag("all")) {
        case ("SETOP_UNION", true): word = "UNION ALL"
        case ("SETOP_UNION", false): word = "UNION"
        case ("SETOP_INTERSECT", false): word = "INTERSECT"
        case ("SETOP_EXCEPT", false): word = "EXCEPT"
        default: throw Self.unsupported("this set operation")
        }
        let (leftSQL, leftColumns) = try operand(left)
        known?(&self, leftColumns)
        let (rightSQL, rightColumns) = try operand(right, isRight: true)
        guard leftColumns.count == rightColumns.count else {
            throw PostgresError(.syntaxError, "each query must have the same number of columns")
        }
        var columns = leftColumns
        for position in columns.indices where columns[position].type == CatalogType.unknown {
            columns[position].type = rightColumns[position].type
        }
        return ("\(leftSQL) \(word) \(rightSQL)", columns)
    }

    /// A part of a set operation. SQLite's compounds associate to the left and have no
    /// parentheses, so that whatever is more than a plain SELECT is wrapped.
    private mutating func operand(
        _ statement: SyntaxNode, isRight: Bool = false
    ) throws(PostgresError) -> (String, [Column]) {
        let (sql, columns) = try select(statement)
        let isCompound = statement.text("op") != "SETOP_NONE" && !statement.text("op").isEmpty
        let needsWrapping =
            statement.has("sortClause") || statement.has("limitCount")
            || statement.has("limitOffset") || statement.has("withClause")
            || (isCompound && isRight)
        return (needsWrapping ? "SELECT * FROM (\(sql))" : sql, columns)
    }

    private mutating func values(
        _ statement: SyntaxNode
    ) throws(PostgresError) -> (String, [Column]) {
        var rows: [String] = []
        var columns: [Column] = []
        for list in statement.nodes("valuesLists") {
            var targets: [String] = []
            for (position, item) in list.nodes("items").enumerated() {
                let value = try expression(item)
                let name = "column\(position + 1)"
                if columns.count == position {
                    columns.append(
                        Column(name: name, sql: SQLQuoting.identifier(name), type: value.type))
                }
                targets.append("\(value.sql) AS \(SQLQuoting.identifier(name))")
            }
            rows.append("SELECT " + targets.joined(separator: ", "))
        }
        return (rows.joined(separator: " UNION ALL "), columns)
    }

    private mutating func commonTableExpressions(
        _ with: SyntaxNode
    ) throws(PostgresError) -> String {
        var parts: [String] = []
        for item in with.nodes("ctes") {
            guard let query = item.node("ctequery"), query.kind == "SelectStmt" else {
                throw Self.unsupported("a data-modifying WITH")
            }
            let name = item.text("ctename")
            let aliases = item.names("aliascolnames")
            let (sql, columns) = try select(query) { translator, columns in
                guard with.flag("recursive") else { return }
                translator.commonTables[name] = Self.renamed(columns, aliases)
            }
            let renamed = Self.renamed(columns, aliases)
            commonTables[name] = renamed
            let list = renamed.map { SQLQuoting.identifier($0.name) }.joined(separator: ", ")
            parts.append("\(SQLQuoting.identifier(name))(\(list)) AS (\(sql))")
        }
        return "WITH \(with.flag("recursive") ? "RECURSIVE " : "")"
            + parts.joined(separator: ", ") + " "
    }

    static func renamed(_ columns: [Column], _ names: [String]) -> [Column] {
        columns.enumerated().map { position, column in
            var column = column
            if names.indices.contains(position) { column.name = names[position] }
            column.sql = SQLQuoting.identifier(column.name)
            return column
        }
    }

    private mutating func plainSelect(
        _ statement: SyntaxNode
    ) throws(PostgresError) -> (String, [Column]) {
        guard !statement.has("intoClause") else { throw Self.unsupported("SELECT INTO") }
        scopes.append([])
        var from: [String] = []
        for item in statement.nodes("fromClause") { from.append(try source(item)) }

        var distinct = ""
        if statement.has("distinctClause") {
            guard statement.nodes("distinctClause").isEmpty else {
                throw Self.unsupported("DISTINCT ON")
            }
            distinct = "DISTINCT "
        }
        var columns: [Column] = []
        var targets: [String] = []
        var unnested: String?
        for target in statement.nodes("targetList") {
            guard let value = target.node("val") else { continue }
            if value.kind == "ColumnRef", value.names("fields").last == "*" {
                for column in try expandStar(value.names("fields")) {
                    targets.append("\(column.sql) AS \(SQLQuoting.identifier(column.name))")
                    columns.append(column)
                }
                continue
            }
            let name = target.text("name").isEmpty ? Self.name(of: value) : target.text("name")
            let translated: Expression
            if let set = try rows(of: value, driver: &unnested, from: &from) {
                translated = set
            } else {
                translated = try expression(value)
            }
            targets.append("\(translated.sql) AS \(SQLQuoting.identifier(name))")
            columns.append(Column(name: name, sql: "", type: translated.type))
        }
        for position in columns.indices {
            columns[position].sql = SQLQuoting.identifier(columns[position].name)
        }
        // PostgreSQL allows an empty list of targets; SQLite does not.
        if targets.isEmpty { targets.append("1") }
        var sql = "SELECT \(distinct)\(targets.joined(separator: ", "))"
        if !from.isEmpty { sql += " FROM " + from.joined(separator: ", ") }
        if let condition = statement.node("whereClause") {
            sql += " WHERE " + (try coerce(expression(condition), to: CatalogType.bool).sql)
        }
        let groups = statement.nodes("groupClause")
        if !groups.isEmpty {
            guard unnested == nil else { throw Self.unsupported("unnest with GROUP BY") }
            var terms: [String] = []
            for group in groups { terms.append(try groupTerm(group, columns)) }
            sql += " GROUP BY " + terms.joined(separator: ", ")
        }
        if let having = statement.node("havingClause") {
            sql += " HAVING " + (try expression(having).sql)
        }
        return (sql, columns)
    }

    private mutating func groupTerm(
        _ node: SyntaxNode, _ columns: [Column]
    ) throws(PostgresError) -> String {
        if let position = node.integerConstant { return String(position) }
        if node.kind == "ColumnRef", let name = node.names("fields").first,
            node.names("fields").count == 1
        {
            if let resolved = try? resolve([name]) { return resolved.sql }
            if columns.contains(where: { $0.name == name }) { return SQLQuoting.identifier(name) }
        }
        return try expression(node).sql
    }

    /// `aliases` are the result columns, which a bare name in ORDER BY means first.
    mutating func sortTerm(
        _ item: SyntaxNode, aliases: [String: UInt32], aliasesOnly: Bool = false
    ) throws(PostgresError) -> String {
        guard let node = item.node("node") else { throw Self.unsupported("this ORDER BY") }
        let term: String
        if let position = node.integerConstant {
            term = String(position)
        } else if node.kind == "ColumnRef", node.names("fields").count == 1,
            let name = node.names("fields").first, aliases[name] != nil
        {
            term = SQLQuoting.identifier(name)
        } else if aliasesOnly {
            throw Self.unsupported("this ORDER BY")
        } else {
            term = try expression(node).sql
        }
        let isDescending = item.text("sortby_dir") == "SORTBY_DESC"
        let nullsFirst: Bool
        switch item.text("sortby_nulls") {
        case "SORTBY_NULLS_FIRST": nullsFirst = true
        case "SORTBY_NULLS_LAST": nullsFirst = false
        default: nullsFirst = isDescending
        }
        return term + (isDescending ? " DESC" : "") + " NULLS \(nullsFirst ? "FIRST" : "LAST")"
    }

    /// A set-returning function among the targets becomes `json_each` in FROM; several run in
    /// step, as positions of the first one's array. Nil for any other expression.
    private mutating func rows(
        of node: SyntaxNode, driver: inout String?, from: inout [String]
    ) throws(PostgresError) -> Expression? {
        guard node.kind == "FuncCall", let function = node.names("funcname").last,
            ["unnest", "generate_subscripts", "generate_series"].contains(function)
        else { return nil }
        let arguments = node.nodes("args")
        var array: Expression
        if function == "generate_series" {
            array = try series(arguments)
        } else {
            guard let first = arguments.first else { throw Self.unsupported(function) }
            array = try coerce(expression(first), to: CatalogType.textArray)
        }
        let definition = CatalogType.byOID[array.type]
        let alias: String
        if let driver {
            alias = driver
        } else {
            alias = freshAlias()
            driver = alias
            from.append("json_each(\(array.sql)) AS \(alias)")
        }
        if function == "generate_subscripts" {
            // The dimension; there is but one.
            if arguments.count > 1 {
                _ = try coerce(expression(arguments[1]), to: CatalogType.int4)
            }
            // Vectors count from 0, arrays from 1.
            let isVector = definition?.isVector ?? false
            return Expression("(\(alias).key + \(isVector ? 0 : 1))", CatalogType.int4)
        }
        return Expression(
            "json_extract(\(array.sql), '$[' || \(alias).key || ']')",
            definition?.element ?? CatalogType.text)
    }

    mutating func series(_ arguments: [SyntaxNode]) throws(PostgresError) -> Expression {
        var texts: [String] = []
        for argument in arguments {
            texts.append(try coerce(expression(argument), to: CatalogType.int4).sql)
        }
        return Expression(
            "\(CatalogFunction.Internal.series)(\(texts.joined(separator: ", ")))",
            CatalogType.int4Array)
    }

    /// The name that PostgreSQL gives to a target without an alias (`FigureColname`).
    static func name(of node: SyntaxNode) -> String {
        figuredName(of: node)?.text ?? "?column?"
    }

    /// A weak name gives way to the name of a cast or CASE around it.
    private static func figuredName(of node: SyntaxNode) -> (text: String, isWeak: Bool)? {
        func strong(_ text: String?) -> (text: String, isWeak: Bool)? { text.map { ($0, false) } }
        switch node.kind {
        case "ColumnRef": return strong(node.names("fields").last)
        case "FuncCall": return strong(node.names("funcname").last)
        case "TypeCast":
            let inner = node.node("arg").flatMap(figuredName)
            if let inner, !inner.isWeak { return inner }
            let type = node.bare("typeName", as: "TypeName")?.names("names").last
            return type.map { ($0, true) } ?? inner
        case "CollateClause": return node.node("arg").flatMap(figuredName)
        case "A_Indirection":
            if let last = node.nodes("indirection").last, last.kind == "String" {
                return strong(last.text("sval"))
            }
            return node.node("arg").flatMap(figuredName)
        case "CaseExpr":
            if let inner = node.node("defresult").flatMap(figuredName), !inner.isWeak {
                return inner
            }
            return ("case", true)
        case "CoalesceExpr": return strong("coalesce")
        case "MinMaxExpr": return strong(node.text("op") == "IS_LEAST" ? "least" : "greatest")
        case "A_ArrayExpr": return strong("array")
        case "A_Expr" where node.text("kind") == "AEXPR_NULLIF": return strong("nullif")
        case "RowExpr": return strong("row")
        case "SQLValueFunction":
            let name = node.text("op").dropFirst("SVFOP_".count).lowercased()
            return strong(name.hasSuffix("_n") ? String(name.dropLast(2)) : name)
        case "SubLink":
            switch node.text("subLinkType") {
            case "EXISTS_SUBLINK": return strong("exists")
            case "ARRAY_SUBLINK": return strong("array")
            case "EXPR_SUBLINK":
                guard let target = node.node("subselect")?.nodes("targetList").first else {
                    return nil
                }
                return target.text("name").isEmpty
                    ? target.node("val").flatMap(figuredName) : strong(target.text("name"))
            default: return nil
            }
        default: return nil
        }
    }
}
