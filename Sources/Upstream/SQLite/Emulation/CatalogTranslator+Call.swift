import PostgresWire

extension CatalogTranslator {
    /// Functions of PostgreSQL that SQLite's own stand for, with the result's type: 0 is the
    /// first argument's type.
    private static let builtIn: [String: (name: String, type: UInt32)] = [
        "length": ("length", CatalogType.int4), "char_length": ("length", CatalogType.int4),
        "octet_length": ("length", CatalogType.int4), "abs": ("abs", 0),
        "round": ("round", CatalogType.numeric), "substring": ("substr", CatalogType.text),
        "substr": ("substr", CatalogType.text), "replace": ("replace", CatalogType.text),
        "btrim": ("trim", CatalogType.text), "ltrim": ("ltrim", CatalogType.text),
        "rtrim": ("rtrim", CatalogType.text), "strpos": ("instr", CatalogType.int4),
        "position": ("instr", CatalogType.int4),
        "json_build_object": ("json_object", CatalogType.json),
        "jsonb_build_object": ("json_object", CatalogType.jsonb),
        "json_build_array": ("json_array", CatalogType.json),
        "min": ("min", 0), "max": ("max", 0), "sum": ("sum", CatalogType.int8),
        "avg": ("avg", CatalogType.numeric), "bool_and": ("min", CatalogType.bool),
        "every": ("min", CatalogType.bool), "bool_or": ("max", CatalogType.bool),
        "row_number": ("row_number", CatalogType.int8), "rank": ("rank", CatalogType.int8),
        "dense_rank": ("dense_rank", CatalogType.int8),
        "json_agg": ("json_group_array", CatalogType.json),
    ]

    /// Whether a function is one that only the emulation can answer.
    static func isCatalogFunction(_ name: String) -> Bool {
        name.hasPrefix("pg_") && name != "pg_sleep"
            || CatalogFunction.named(name) != nil && !sharedWithSQLite.contains(name)
    }

    /// Functions above that SQLite has as well, so that they alone do not make a question.
    private static let sharedWithSQLite: Set<String> = [
        "lower", "upper", "concat", "concat_ws", "format", "split_part", "starts_with",
    ]

    mutating func call(_ node: SyntaxNode) throws(PostgresError) -> Expression {
        let names = node.names("funcname")
        guard let name = names.last,
            names.count == 1 || names[0] == "pg_catalog" || names[0] == "information_schema"
        else { throw Self.unsupported("the function \(names.joined(separator: "."))") }
        if name == "array_agg" || name == "string_agg" { return try aggregate(node, name) }
        var arguments: [Expression] = []
        for argument in node.nodes("args") { arguments.append(try expression(argument)) }
        switch name {
        case "count":
            let distinct = node.flag("agg_distinct") ? "DISTINCT " : ""
            let list = node.flag("agg_star") ? "*" : distinct + (arguments.first?.sql ?? "*")
            return Expression("count(\(list))\(try suffix(node))", CatalogType.int8)
        case "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp":
            return Self.now
        case "age": return Expression("0", CatalogType.int4)
        case "strpos", "position":
            for position in arguments.indices {
                arguments[position] = try coerce(arguments[position], to: CatalogType.text)
            }
        default: break
        }
        if let builtIn = Self.builtIn[name] {
            let type = builtIn.type == 0 ? arguments.first?.type ?? CatalogType.text : builtIn.type
            let distinct = node.flag("agg_distinct") ? "DISTINCT " : ""
            let list = arguments.map(\.sql).joined(separator: ", ")
            return Expression("\(builtIn.name)(\(distinct)\(list))\(try suffix(node))", type)
        }
        guard let function = CatalogFunction.named(name), !node.has("over") else {
            throw Self.unsupported("the function \(name)")
        }
        for position in arguments.indices {
            let wanted =
                function.parameterTypes.indices.contains(position)
                ? function.parameterTypes[position] : 0
            if wanted != 0 {
                arguments[position] = try coerce(arguments[position], to: wanted)
            } else if name.hasPrefix("array_") || name == "cardinality", position == 0 {
                arguments[position] = try coerce(arguments[position], to: CatalogType.textArray)
            }
        }
        // A name in place of an OID: has_table_privilege('t', …), pg_get_viewdef('v').
        let list = arguments.map(\.sql).joined(separator: ", ")
        let type =
            function.resultType == 0
            ? arguments.first { $0.type != CatalogType.unknown }?.type ?? CatalogType.textArray
            : function.resultType
        return Expression("\(name)(\(list))", type)
    }

    /// FILTER and OVER.
    private mutating func suffix(_ node: SyntaxNode) throws(PostgresError) -> String {
        var sql = ""
        if let condition = node.node("agg_filter") {
            sql += " FILTER (WHERE \(try expression(condition).sql))"
        }
        guard let window = node.bare("over", as: "WindowDef") else { return sql }
        guard window.text("name").isEmpty else { throw Self.unsupported("a named window") }
        var parts: [String] = []
        var partition: [String] = []
        for item in window.nodes("partitionClause") { partition.append(try expression(item).sql) }
        if !partition.isEmpty {
            parts.append("PARTITION BY \(partition.joined(separator: ", "))")
        }
        var order: [String] = []
        for item in window.nodes("orderClause") { order.append(try sortTerm(item, aliases: [:])) }
        if !order.isEmpty { parts.append("ORDER BY \(order.joined(separator: ", "))") }
        return sql + " OVER (\(parts.joined(separator: " ")))"
    }

    private mutating func aggregate(
        _ node: SyntaxNode, _ name: String
    ) throws(PostgresError) -> Expression {
        let arguments = node.nodes("args")
        guard let first = arguments.first, !node.has("over") else {
            throw Self.unsupported("this \(name)")
        }
        let value = try expression(first)
        var options = node.flag("agg_distinct") ? "d" : ""
        var keys: [String] = []
        for item in node.nodes("agg_order") {
            let isDescending = item.text("sortby_dir") == "SORTBY_DESC"
            switch (isDescending, item.text("sortby_nulls")) {
            case (false, "SORTBY_NULLS_FIRST"): options += "A"
            case (false, _): options += "a"
            case (true, "SORTBY_NULLS_LAST"): options += "Z"
            case (true, _): options += "z"
            }
            keys.append(try expression(item.required("node")).sql)
        }
        let separator: Expression
        if name == "string_agg", arguments.count == 2 {
            separator = try expression(arguments[1])
        } else {
            separator = Expression("''", CatalogType.text)
        }
        let function = name == "string_agg" ? CatalogAggregate.string : CatalogAggregate.array
        let list = (["'\(options)'", value.sql, separator.sql] + keys).joined(separator: ", ")
        let sql = "\(function)(\(list))\(try suffix(node))"
        guard name == "array_agg" else { return Expression(sql, CatalogType.text) }
        let element = value.type == CatalogType.unknown ? CatalogType.text : value.type
        guard let array = CatalogType.byOID[element]?.array, array != 0 else {
            throw Self.unsupported("this array_agg")
        }
        return Expression(sql, array)
    }
}
