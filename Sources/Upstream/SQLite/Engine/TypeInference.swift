import PostgresWire
import SQLAnalysis

/// Works out, from PostgreSQL's syntax tree, the types of result columns and parameters that
/// SQLite itself has no opinion on, and the names that PostgreSQL would give to columns.
///
/// A rule of thumb with a safe end: a column without a type is announced as text, which any value
/// can be shown as.
struct TypeInference {
    /// Something in FROM: its alias and how to find the type of one of its columns.
    private struct Source {
        let alias: String
        let columns: Columns
        enum Columns {
            case table(String)
            case query([(name: String, type: PostgresType?)])
        }
    }

    /// What a name can refer to; `outer` for correlated subqueries.
    private final class Scope {
        var sources: [Source] = []
        var commonTables: [String: [(name: String, type: PostgresType?)]] = [:]
        let outer: Scope?
        init(outer: Scope?) { self.outer = outer }
    }

    struct Target {
        /// nil for `*`.
        let name: String?
        let type: PostgresType?
    }

    /// The declared type of a table's or view's column; nil where there is none.
    let columnType: (_ table: String, _ column: String) -> PostgresType?
    /// The columns of a table in order, for INSERT without a list.
    let tableColumns: (_ table: String) -> [String]

    private(set) var parameters: [Int: PostgresType] = [:]
    private var depth = 0
    private static let depthLimit = 200

    init(
        columnType: @escaping (String, String) -> PostgresType?,
        tableColumns: @escaping (String) -> [String]
    ) {
        self.columnType = columnType
        self.tableColumns = tableColumns
    }

    /// The targets of a statement's result; empty where it has none.
    mutating func statement(_ tree: SyntaxTree) -> [Target] {
        statement(tree, Scope(outer: nil))
    }

    private mutating func statement(_ tree: SyntaxTree, _ scope: Scope) -> [Target] {
        guard let (tag, fields) = tree.node, depth < Self.depthLimit else { return [] }
        depth += 1
        defer { depth -= 1 }
        switch tag {
        case "SelectStmt": return select(fields, scope)
        case "InsertStmt": return insert(fields, scope)
        case "UpdateStmt": return update(fields, scope)
        case "DeleteStmt": return delete(fields, scope)
        case "CreateTableAsStmt", "ViewStmt", "ExplainStmt":
            if let query = fields["query"] { _ = statement(query, scope) }
            return []
        default: return []
        }
    }

    // MARK: Statements

    private mutating func select(_ fields: SyntaxTree, _ outer: Scope) -> [Target] {
        let scope = Scope(outer: outer)
        with(fields, scope)
        limits(fields, scope)
        if let left = fields["larg"], let right = fields["rarg"] {
            let lefts = select(left, scope)
            let rights = select(right, scope)
            return lefts.enumerated().map { index, target in
                let other = index < rights.count ? rights[index].type : nil
                return Target(name: target.name, type: Self.common(target.type, other))
            }
        }
        if let rows = fields["valuesLists"]?.elements {
            return values(rows, scope)
        }
        for item in fields["fromClause"]?.elements ?? [] { from(item, scope) }
        let targets = targetList(fields["targetList"], scope)
        condition(fields["whereClause"], scope)
        condition(fields["havingClause"], scope)
        for item in (fields["groupClause"]?.elements ?? []) + (fields["sortClause"]?.elements ?? [])
        {
            _ = infer(item.fields(of: "SortBy")?["node"] ?? item, scope)
        }
        return targets
    }

    private mutating func values(_ rows: [SyntaxTree], _ scope: Scope) -> [Target] {
        var types: [PostgresType?] = []
        for row in rows {
            for (index, value) in (row.fields(of: "List")?["items"]?.elements ?? []).enumerated() {
                let type = infer(value, scope)
                if index < types.count {
                    types[index] = Self.common(types[index], type)
                } else {
                    types.append(type)
                }
            }
        }
        return types.enumerated().map { Target(name: "column\($0 + 1)", type: $1) }
    }

    private mutating func insert(_ fields: SyntaxTree, _ outer: Scope) -> [Target] {
        let scope = Scope(outer: outer)
        with(fields, scope)
        guard let table = fields["relation"]?["relname"]?.text else { return [] }
        let listed = (fields["cols"]?.elements ?? []).compactMap {
            $0.fields(of: "ResTarget")?["name"]?.text
        }
        let columns = listed.isEmpty ? tableColumns(table) : listed
        let types = columns.map { columnType(table, $0) }
        if let query = fields["selectStmt"]?.fields(of: "SelectStmt") {
            for row in query["valuesLists"]?.elements ?? [] {
                for (index, value) in (row.fields(of: "List")?["items"]?.elements ?? [])
                    .enumerated()
                {
                    assign(value, index < types.count ? types[index] : nil, scope)
                }
            }
            if query["valuesLists"] == nil {
                for (index, target) in (query["targetList"]?.elements ?? []).enumerated() {
                    if let value = target.fields(of: "ResTarget")?["val"], index < types.count {
                        hint(value, types[index])
                    }
                }
                _ = select(query, scope)
            }
        }
        scope.sources.append(
            Source(alias: alias(fields["relation"], table), columns: .table(table)))
        if let conflict = fields["onConflictClause"] {
            let scope = Scope(outer: scope)
            scope.sources.append(Source(alias: "excluded", columns: .table(table)))
            assignments(conflict["targetList"], table, scope)
            condition(conflict["whereClause"], scope)
        }
        return targetList(fields["returningList"], scope)
    }

    private mutating func update(_ fields: SyntaxTree, _ outer: Scope) -> [Target] {
        let scope = Scope(outer: outer)
        with(fields, scope)
        guard let table = fields["relation"]?["relname"]?.text else { return [] }
        scope.sources.append(
            Source(alias: alias(fields["relation"], table), columns: .table(table)))
        for item in fields["fromClause"]?.elements ?? [] { from(item, scope) }
        assignments(fields["targetList"], table, scope)
        condition(fields["whereClause"], scope)
        return targetList(fields["returningList"], scope)
    }

    private mutating func delete(_ fields: SyntaxTree, _ outer: Scope) -> [Target] {
        let scope = Scope(outer: outer)
        with(fields, scope)
        guard let table = fields["relation"]?["relname"]?.text else { return [] }
        scope.sources.append(
            Source(alias: alias(fields["relation"], table), columns: .table(table)))
        for item in fields["usingClause"]?.elements ?? [] { from(item, scope) }
        condition(fields["whereClause"], scope)
        return targetList(fields["returningList"], scope)
    }

    private mutating func assignments(_ list: SyntaxTree?, _ table: String, _ scope: Scope) {
        for target in list?.elements ?? [] {
            guard let target = target.fields(of: "ResTarget"), let name = target["name"]?.text,
                let value = target["val"]
            else { continue }
            assign(value, columnType(table, name), scope)
        }
    }

    private mutating func assign(_ value: SyntaxTree, _ type: PostgresType?, _ scope: Scope) {
        hint(value, type)
        _ = infer(value, scope)
    }

    private mutating func with(_ fields: SyntaxTree, _ scope: Scope) {
        for table in fields["withClause"]?["ctes"]?.elements ?? [] {
            guard let table = table.fields(of: "CommonTableExpr"),
                let name = table["ctename"]?.text,
                let query = table["ctequery"]
            else { continue }
            let aliases = table["aliascolnames"]?.names ?? []
            // A recursive one refers to itself: its first part gives the types.
            if let first = query.fields(of: "SelectStmt")?["larg"] {
                scope.commonTables[name] = columns(select(first, scope), aliases)
            }
            scope.commonTables[name] = columns(statement(query, scope), aliases)
        }
    }

    private func columns(
        _ targets: [Target], _ aliases: [String]
    ) -> [(name: String, type: PostgresType?)] {
        targets.enumerated().map { index, target in
            (index < aliases.count ? aliases[index] : target.name ?? "*", target.type)
        }
    }

    private mutating func limits(_ fields: SyntaxTree, _ scope: Scope) {
        for name in ["limitCount", "limitOffset"] {
            if let value = fields[name] { assign(value, .int8, scope) }
        }
    }

    private mutating func condition(_ tree: SyntaxTree?, _ scope: Scope) {
        guard let tree else { return }
        hint(tree, .bool)
        _ = infer(tree, scope)
    }

    // MARK: FROM

    private func alias(_ relation: SyntaxTree?, _ fallback: String) -> String {
        relation?["alias"]?["aliasname"]?.text ?? fallback
    }

    private mutating func from(_ item: SyntaxTree, _ scope: Scope) {
        guard let (tag, fields) = item.node, depth < Self.depthLimit else { return }
        depth += 1
        defer { depth -= 1 }
        switch tag {
        case "RangeVar":
            guard let name = fields["relname"]?.text else { return }
            let common = fields["schemaname"] == nil ? commonTable(name, scope) : nil
            scope.sources.append(
                Source(
                    alias: alias(fields, name),
                    columns: common.map { .query($0) } ?? .table(name)))
        case "RangeSubselect":
            guard let query = fields["subquery"] else { return }
            let aliases = fields["alias"]?["colnames"]?.names ?? []
            scope.sources.append(
                Source(
                    alias: alias(fields, ""),
                    columns: .query(columns(statement(query, scope), aliases))))
        case "JoinExpr":
            if let left = fields["larg"] { from(left, scope) }
            if let right = fields["rarg"] { from(right, scope) }
            condition(fields["quals"], scope)
        default: break
        }
    }

    private func commonTable(
        _ name: String, _ scope: Scope
    ) -> [(name: String, type: PostgresType?)]? {
        var scope: Scope? = scope
        while let current = scope {
            if let found = current.commonTables[name] { return found }
            scope = current.outer
        }
        return nil
    }

    private mutating func targetList(_ list: SyntaxTree?, _ scope: Scope) -> [Target] {
        (list?.elements ?? []).flatMap { element -> [Target] in
            guard let target = element.fields(of: "ResTarget"), let value = target["val"] else {
                return [Target(name: nil, type: nil)]
            }
            if let column = value.fields(of: "ColumnRef"),
                column["fields"]?.elements?.last?.fields(of: "A_Star") != nil
            {
                return star(column, scope)
            }
            let type = infer(value, scope)
            return [Target(name: target["name"]?.text ?? ColumnNaming.name(of: value), type: type)]
        }
    }

    /// The columns behind `*`, where they are known here; else one target without a name.
    private func star(_ column: SyntaxTree, _ scope: Scope) -> [Target] {
        let qualifier = column["fields"]?.elements?.dropLast().last?.fields(of: "String")?["sval"]?
            .text
        let sources = scope.sources.filter { qualifier == nil || $0.alias == qualifier }
        var targets: [Target] = []
        for source in sources {
            switch source.columns {
            case .query(let columns):
                guard !columns.contains(where: { $0.name == "*" }) else {
                    return [Target(name: nil, type: nil)]
                }
                targets += columns.map { Target(name: $0.name, type: $0.type) }
            case .table(let table):
                let names = tableColumns(table)
                guard !names.isEmpty else { return [Target(name: nil, type: nil)] }
                targets += names.map { Target(name: $0, type: columnType(table, $0)) }
            }
        }
        return targets.isEmpty ? [Target(name: nil, type: nil)] : targets
    }

    // MARK: Expressions

    /// Gives a parameter its type, unless it has one.
    private mutating func hint(_ tree: SyntaxTree, _ type: PostgresType?) {
        guard let type, let number = tree.fields(of: "ParamRef")?["number"]?.integer else { return }
        if parameters[number] == nil { parameters[number] = type }
    }

    private mutating func infer(_ tree: SyntaxTree, _ scope: Scope) -> PostgresType? {
        guard depth < Self.depthLimit, let (tag, fields) = tree.node else { return nil }
        depth += 1
        defer { depth -= 1 }
        switch tag {
        case "ParamRef": return parameters[fields["number"]?.integer ?? 0]
        case "A_Const": return constant(fields)
        case "ColumnRef": return reference(fields, scope)
        case "TypeCast": return cast(fields, scope)
        case "A_Expr": return operation(fields, scope)
        case "BoolExpr":
            for argument in fields["args"]?.elements ?? [] { condition(argument, scope) }
            return .bool
        case "NullTest", "BooleanTest":
            if let argument = fields["arg"] { _ = infer(argument, scope) }
            return .bool
        case "FuncCall": return call(fields, scope)
        case "CoalesceExpr", "MinMaxExpr":
            return commonType(fields["args"]?.elements ?? [], scope)
        case "CaseExpr": return caseExpression(fields, scope)
        case "SubLink": return sublink(fields, scope)
        case "SQLValueFunction": return valueFunction(fields)
        case "CollateClause": return fields["arg"].flatMap { infer($0, scope) }
        case "RowExpr":
            for argument in fields["args"]?.elements ?? [] { _ = infer(argument, scope) }
            return nil
        default: return nil
        }
    }

    private func constant(_ fields: SyntaxTree) -> PostgresType? {
        if fields["isnull"]?.isTrue == true { return nil }
        if fields["ival"] != nil { return .int4 }
        if let text = fields["fval"]?["fval"]?.text {
            // SQLite has no decimal literal: it is a double.
            return Int64(text) == nil ? .float8 : .int8
        }
        return fields["boolval"] != nil ? .bool : .text
    }

    private func reference(_ fields: SyntaxTree, _ scope: Scope) -> PostgresType? {
        guard let names = fields["fields"]?.names, let column = names.last else { return nil }
        let qualifier = names.count > 1 ? names[names.count - 2] : nil
        var scope: Scope? = scope
        while let current = scope {
            for source in current.sources where qualifier == nil || source.alias == qualifier {
                switch source.columns {
                case .table(let table):
                    if let type = columnType(table, column) { return type }
                case .query(let columns):
                    if let found = columns.first(where: { $0.name == column }) { return found.type }
                }
            }
            scope = current.outer
        }
        return nil
    }

    private mutating func cast(_ fields: SyntaxTree, _ scope: Scope) -> PostgresType? {
        guard let name = fields["typeName"]?["names"]?.names?.last else { return nil }
        var type = PostgresType(named: name)
        if fields["typeName"]?["arrayBounds"] != nil { type = type?.arrayType }
        if let argument = fields["arg"] { assign(argument, type, scope) }
        return type
    }

    private mutating func operation(_ fields: SyntaxTree, _ scope: Scope) -> PostgresType? {
        let name = fields["name"]?.names?.last ?? ""
        let left = fields["lexpr"]
        let right = fields["rexpr"]
        var leftType = left.flatMap { infer($0, scope) }
        var rightTypes: [PostgresType?] = []
        let items = right?.fields(of: "List")?["items"]?.elements
        for item in items ?? [right].compactMap({ $0 }) {
            hint(item, name == "||" ? .text : leftType)
            rightTypes.append(infer(item, scope))
        }
        let rightType = rightTypes.compactMap { $0 }.first
        if let left {
            hint(left, name == "||" ? .text : rightType)
            leftType = leftType ?? infer(left, scope)
        }
        switch fields["kind"]?.text {
        case "AEXPR_OP", nil: break
        case "AEXPR_NULLIF": return leftType
        default: return .bool
        }
        switch name {
        case "=", "<>", "!=", "<", "<=", ">", ">=", "~", "~*", "!~", "!~*", "~~", "!~~":
            return .bool
        case "||": return .text
        case "+", "-", "*", "/", "%":
            return Self.arithmetic(leftType, rightType, isUnary: left == nil)
        case "&", "|", "#", "<<", ">>": return .int8
        case "->": return leftType == .jsonb ? .jsonb : .json
        case "->>": return .text
        default: return nil
        }
    }

    private static func arithmetic(
        _ left: PostgresType?, _ right: PostgresType?, isUnary: Bool
    ) -> PostgresType? {
        guard let right else { return left }
        guard let left else { return isUnary ? right : nil }
        if left == right { return left }
        let rank: (PostgresType) -> Int = { type in
            switch type {
            case .int2, .int4, .int8: 1
            case .numeric: 2
            case .float4, .float8: 3
            default: 0
            }
        }
        guard rank(left) > 0, rank(right) > 0 else { return nil }
        // Two whole numbers give one; in SQLite all whole numbers have 64 bits.
        if rank(left) == 1, rank(right) == 1 { return .int8 }
        return rank(left) >= rank(right) ? left : right
    }

    /// The type that two branches of one expression share; nil where they differ in kind.
    private static func common(_ left: PostgresType?, _ right: PostgresType?) -> PostgresType? {
        guard let left else { return right }
        guard let right else { return left }
        return left == right ? left : arithmetic(left, right, isUnary: false) ?? .text
    }

    private mutating func commonType(_ trees: [SyntaxTree], _ scope: Scope) -> PostgresType? {
        var type: PostgresType?
        for tree in trees { type = Self.common(type, infer(tree, scope)) }
        for tree in trees { hint(tree, type) }
        return type
    }

    private mutating func caseExpression(_ fields: SyntaxTree, _ scope: Scope) -> PostgresType? {
        var results: [SyntaxTree] = []
        let subject = fields["arg"].flatMap { infer($0, scope) }
        for branch in fields["args"]?.elements ?? [] {
            guard let branch = branch.fields(of: "CaseWhen") else { continue }
            if let test = branch["expr"] {
                hint(test, subject ?? .bool)
                _ = infer(test, scope)
            }
            if let result = branch["result"] { results.append(result) }
        }
        if let fallback = fields["defresult"] { results.append(fallback) }
        return commonType(results, scope)
    }

    private mutating func sublink(_ fields: SyntaxTree, _ scope: Scope) -> PostgresType? {
        let targets = fields["subselect"].map { statement($0, scope) } ?? []
        if let test = fields["testexpr"] { assign(test, targets.first?.type, scope) }
        return fields["subLinkType"]?.text == "EXPR_SUBLINK" ? targets.first?.type : .bool
    }

    private func valueFunction(_ fields: SyntaxTree) -> PostgresType? {
        switch fields["op"]?.text {
        case "SVFOP_CURRENT_DATE": .date
        case "SVFOP_CURRENT_TIME", "SVFOP_CURRENT_TIME_N", "SVFOP_LOCALTIME",
            "SVFOP_LOCALTIME_N":
            .time
        case "SVFOP_CURRENT_TIMESTAMP", "SVFOP_CURRENT_TIMESTAMP_N": .timestamptz
        case "SVFOP_LOCALTIMESTAMP", "SVFOP_LOCALTIMESTAMP_N": .timestamp
        default: .name
        }
    }

    private mutating func call(_ fields: SyntaxTree, _ scope: Scope) -> PostgresType? {
        let name = fields["funcname"]?.names?.last?.lowercased() ?? ""
        let arguments = fields["args"]?.elements ?? []
        let expected = FunctionTypes.parameters(of: name)
        var types: [PostgresType?] = []
        for (index, argument) in arguments.enumerated() {
            if let expected { hint(argument, expected[min(index, expected.count - 1)]) }
            types.append(infer(argument, scope))
        }
        if let filter = fields["agg_filter"] { condition(filter, scope) }
        return FunctionTypes.result(of: name, arguments: types)
    }
}
