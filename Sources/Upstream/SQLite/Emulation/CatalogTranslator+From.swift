import PostgresWire

extension CatalogTranslator {
    /// Translates an item of FROM and adds its sources to the innermost scope.
    mutating func source(_ node: SyntaxNode) throws(PostgresError) -> String {
        try nested { translator throws(PostgresError) in
            switch node.kind {
            case "RangeVar": return try translator.relation(node)
            case "RangeSubselect": return try translator.subselect(node)
            case "RangeFunction": return try translator.function(node)
            case "JoinExpr": return try translator.join(node)
            default: throw Self.unsupported("this item of FROM")
            }
        }
    }

    private mutating func add(_ source: Source) {
        guard !scopes.isEmpty else { return }
        scopes[scopes.count - 1].append(source)
    }

    private mutating func relation(_ node: SyntaxNode) throws(PostgresError) -> String {
        let name = node.text("relname")
        let schema = node.text("schemaname")
        let alias = node.bare("alias", as: "Alias")
        let shownName = alias?.text("aliasname") ?? name
        let storedName: String
        var columns: [Column]
        if schema.isEmpty, let common = commonTables[name] {
            storedName = name
            columns = common
        } else if let relation = CatalogRelation.lookUp(schema: schema, name: name) {
            storedName = relation.storedName
            columns = relation.columns.map { Column(name: $0.name, sql: "", type: $0.typeOID) }
        } else {
            let full = schema.isEmpty ? name : "\(schema).\(name)"
            throw PostgresError(.undefinedTable, "relation \"\(full)\" does not exist")
        }
        let storedColumns = columns.map(\.name)
        let aliases = alias?.names("colnames") ?? []
        for position in columns.indices {
            if aliases.indices.contains(position) { columns[position].name = aliases[position] }
            columns[position].sql =
                "\(SQLQuoting.identifier(shownName))."
                + SQLQuoting.identifier(storedColumns[position])
        }
        add(Source(name: shownName, columns: columns))
        return "\(SQLQuoting.identifier(storedName)) AS \(SQLQuoting.identifier(shownName))"
    }

    private mutating func subselect(_ node: SyntaxNode) throws(PostgresError) -> String {
        guard let query = node.node("subquery"), query.kind == "SelectStmt" else {
            throw Self.unsupported("this subquery")
        }
        // Sources to the left are visible to LATERAL subqueries alone, which SQLite lacks; the
        // scopes further out are visible to both.
        let siblings = scopes.popLast() ?? []
        let (sql, inner) = try select(query)
        scopes.append(siblings)
        let alias = node.bare("alias", as: "Alias")
        let name = alias?.text("aliasname") ?? ""
        let aliases = alias?.names("colnames") ?? []
        let columns = inner.enumerated().map { position, column in
            var column = column
            column.sql =
                "\(SQLQuoting.identifier(name)).\(SQLQuoting.identifier(column.name))"
            if aliases.indices.contains(position) { column.name = aliases[position] }
            return column
        }
        add(Source(name: name, columns: columns))
        return "(\(sql)) AS \(SQLQuoting.identifier(name))"
    }

    private mutating func function(_ node: SyntaxNode) throws(PostgresError) -> String {
        guard let call = node.nodes("functions").first?.nodes("items").first,
            node.nodes("functions").count == 1
        else { throw Self.unsupported("this function in FROM") }
        let alias = node.bare("alias", as: "Alias")
        let function =
            call.kind == "FuncCall" ? call.names("funcname").last ?? "" : Self.name(of: call)
        let name = alias?.text("aliasname") ?? function
        let quoted = SQLQuoting.identifier(name)
        let columnName = alias?.names("colnames").first ?? name
        let array: Expression
        switch function {
        case "unnest":
            guard let argument = call.nodes("args").first, call.nodes("args").count == 1 else {
                throw Self.unsupported("unnest of several arrays in FROM")
            }
            array = try coerce(expression(argument), to: CatalogType.textArray)
        case "generate_series": array = try series(call.nodes("args"))
        case "generate_subscripts":
            guard let argument = call.nodes("args").first else { throw Self.unsupported(function) }
            let inner = try expression(argument)
            let isVector = CatalogType.byOID[inner.type]?.isVector ?? false
            let value = Expression("(\(quoted).key + \(isVector ? 0 : 1))", CatalogType.int4)
            let column = Column(name: columnName, sql: value.sql, type: value.type)
            add(Source(name: name, columns: [column], scalar: value))
            return "json_each(\(inner.sql)) AS \(quoted)"
        default:
            let value = try expression(call)
            if CatalogType.byOID[value.type]?.isArray == true, function == "pg_partition_ancestors"
            {
                array = value
            } else {
                // A function of one value is a table of one row.
                let inner = SQLQuoting.identifier(columnName)
                let column = Column(name: columnName, sql: "\(quoted).\(inner)", type: value.type)
                add(
                    Source(
                        name: name, columns: [column],
                        scalar: Expression(column.sql, column.type)))
                return "(SELECT \(value.sql) AS \(inner)) AS \(quoted)"
            }
        }
        let element = CatalogType.byOID[array.type]?.element ?? CatalogType.text
        let value = Expression("\(quoted).value", element == 0 ? CatalogType.text : element)
        var columns = [Column(name: columnName, sql: value.sql, type: value.type)]
        if node.flag("ordinality") {
            let names = alias?.names("colnames") ?? []
            columns.append(
                Column(
                    name: names.count > 1 ? names[1] : "ordinality", sql: "(\(quoted).key + 1)",
                    type: CatalogType.int8))
        }
        add(Source(name: name, columns: columns, scalar: value))
        return "json_each(\(array.sql)) AS \(quoted)"
    }

    private mutating func join(_ node: SyntaxNode) throws(PostgresError) -> String {
        guard let left = node.node("larg"), let right = node.node("rarg"),
            !node.flag("isNatural"), !node.has("alias")
        else { throw Self.unsupported("this join") }
        let word: String
        switch node.text("jointype") {
        case "JOIN_INNER": word = "JOIN"
        case "JOIN_LEFT": word = "LEFT JOIN"
        case "JOIN_RIGHT": word = "RIGHT JOIN"
        case "JOIN_FULL": word = "FULL JOIN"
        default: throw Self.unsupported("this join")
        }
        let leftSQL = try source(left)
        var rightSQL = try source(right)
        if right.kind == "JoinExpr" { rightSQL = "(\(rightSQL))" }
        var sql = "\(leftSQL) \(word) \(rightSQL)"
        let using = node.names("usingClause")
        if !using.isEmpty {
            sql += " USING (\(using.map(SQLQuoting.identifier).joined(separator: ", ")))"
        } else if let condition = node.node("quals") {
            sql += " ON " + (try expression(condition).sql)
        }
        return sql
    }
}
