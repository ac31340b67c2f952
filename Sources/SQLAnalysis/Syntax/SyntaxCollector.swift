import Telemetry

/// Walks a query's tree and collects what it names into `SyntaxFacts`.
///
/// Knows every node that PostgreSQL 15's grammar can put into a query. A node that it does not
/// know makes the statement opaque.
struct SyntaxCollector {
    var facts: SyntaxFacts
    /// Names of the common table expressions that are visible, innermost scope last.
    private var scopes: [Set<String>] = []
    private var selectDepth = 0
    private let sql: String
    private var metUnknownNode = false

    /// - Parameter sql: the whole text; without it some constants are not seen as such.
    init(kind: SyntaxFacts.Kind, sql: String = "") {
        self.sql = sql
        facts = SyntaxFacts(kind: kind)
    }

    func finish() -> SyntaxFacts {
        metUnknownNode ? SyntaxFacts(kind: .opaque(mayEndTransaction: false)) : facts
    }

    private static let identityFunctions: Set<String> = [
        "SVFOP_CURRENT_ROLE", "SVFOP_CURRENT_USER", "SVFOP_USER", "SVFOP_SESSION_USER",
    ]

    static func relationName(_ fields: SyntaxTree?) -> RelationName? {
        guard let name = fields?["relname"]?.text else { return nil }
        return RelationName(schema: fields?["schemaname"]?.text, name: name)
    }

    /// Walks a tagged node, a list of them, or NULL (an empty object).
    mutating func walk(_ tree: SyntaxTree?) {
        guard let tree else { return }
        switch tree {
        case .array(let elements):
            for element in elements { walk(element) }
        case .object(let members):
            if let (tag, fields) = tree.node {
                visit(tag, fields)
            } else if !members.isEmpty {
                metUnknownNode = true
            }
        case .string, .integer, .boolean, .null: break
        }
    }

    private mutating func visit(_ tag: String, _ fields: SyntaxTree) {
        switch tag {
        case "SelectStmt": select(fields)
        case "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt":
            modify(tag, fields)
        case "RangeVar": read(fields)
        case "A_Const": literal(fields)
        case "ColumnRef": columnReference(fields)
        case "FuncCall": call(fields)
        case "A_Expr": expression(fields)
        case "TypeCast":
            cast(of: fields["arg"], to: fields["typeName"])
            walk(fields["arg"])
        case "ColumnDef":
            // In a column definition list: the function's text becomes this type.
            noteAlias(fields["colname"]?.text)
            cast(of: nil, to: fields["typeName"])
        case "A_Indirection":
            walk(fields["arg"])
            for step in fields["indirection"]?.elements ?? [] {
                if let name = step.fields(of: "String")?["sval"]?.text {
                    noteColumn(name)
                } else {
                    walk(step)
                }
            }
        case "SubLink":
            noteOperator(fields["operName"]?.names ?? ["="])
            walk(fields["testexpr"])
            walk(fields["subselect"])
        case "SortBy":
            if let names = fields["useOp"]?.names { noteOperator(names) }
            walk(fields["node"])
        case "JoinExpr":
            noteOperator(["="])
            plain(fields)
        case "ResTarget":
            // The outermost names are seen by nobody inside the statement.
            if selectDepth > 1 { noteAlias(fields["name"]?.text) }
            plain(fields)
        case "RangeFunction":
            facts.readsFunction = true
            plain(fields)
        case "ParamRef":
            facts.parameterUses[(fields["number"]?.integer ?? 0) - 1, default: 0] += 1
        case "LockingClause":
            facts.takesRowLocks = true
            facts.bypass(.lockingClause)
        case "RangeTableSample":
            facts.bypass(.tableSample)
            plain(fields)
        case "SQLValueFunction":
            // Who asks is part of the cache's key; the time and the current schema are not.
            if !Self.identityFunctions.contains(fields["op"]?.text ?? "") {
                facts.bypass(.currentTimeOrUser)
            }
        case "XmlExpr", "XmlSerialize", "RangeTableFunc", "RangeTableFuncCol", "CurrentOfExpr":
            facts.bypass(.unsupportedSyntax)
            facts.hasUnprovenTimeCast = true
            plain(fields)
        case "A_ArrayExpr", "A_Indices", "A_Star", "BoolExpr", "BooleanTest", "CaseExpr",
            "CaseWhen", "CoalesceExpr", "CollateClause", "GroupingFunc", "GroupingSet",
            "IndexElem", "List", "MergeWhenClause", "MinMaxExpr", "MultiAssignRef",
            "NamedArgExpr", "NullTest", "RangeSubselect", "RowExpr",
            "SetToDefault", "WindowDef", "String", "Integer", "Float", "Boolean", "BitString",
            "TypeName":
            plain(fields)
        default:
            metUnknownNode = true
        }
    }

    /// Walks the fields of a node that needs nothing special. Fields that hold a struct without
    /// its tag are known by their names.
    private mutating func plain(_ fields: SyntaxTree) {
        for member in fields.members {
            switch member.value {
            case .array: walk(member.value)
            case .object(let inner):
                if member.value.node != nil {
                    walk(member.value)
                    continue
                }
                switch member.name {
                case "alias", "join_using_alias": aliases(member.value)
                case "typeName": cast(of: nil, to: member.value)
                case "over", "infer", "onConflictClause": plain(member.value)
                default: if !inner.isEmpty { metUnknownNode = true }
                }
            case .string, .integer, .boolean, .null: break
            }
        }
    }

    // MARK: Statements

    private mutating func select(_ fields: SyntaxTree) {
        selectDepth += 1
        defer { selectDepth -= 1 }
        inScope(of: fields["withClause"]) { collector in
            let scopes = collector.scopes
            let scope = KeyScopeReader.scope(
                from: fields["fromClause"], where: fields["whereClause"], sql: collector.sql,
                isCommonTable: { name in scopes.contains { $0.contains(name) } })
            if let scope { collector.facts.keyScopes.append(scope) }
            for member in fields.members {
                switch member.name {
                case "withClause": break
                case "larg", "rarg": collector.select(member.value)
                case "intoClause": collector.facts.bypass(.notARead)
                default: collector.walk(member.value)
                }
            }
        }
    }

    private mutating func modify(_ tag: String, _ fields: SyntaxTree) {
        selectDepth += 1
        defer { selectDepth -= 1 }
        guard let target = Self.relationName(fields["relation"]) else {
            metUnknownNode = true
            return
        }
        facts.bypass(.notARead)
        aliases(fields["relation"]?["alias"])
        inScope(of: fields["withClause"]) { collector in
            collector.write(tag, fields, target)
            for member in fields.members {
                switch member.name {
                case "withClause", "relation": break
                case "onConflictClause": collector.plain(member.value)
                default: collector.walk(member.value)
                }
            }
        }
    }

    private mutating func write(_ tag: String, _ fields: SyntaxTree, _ target: RelationName) {
        let scopes = scopes
        let rows = KeyScopeReader.rows(
            tag, fields, sql: sql,
            isCommonTable: { name in scopes.contains { $0.contains(name) } })
        var actions: [WriteTarget.Action] = []
        switch tag {
        case "InsertStmt":
            actions = [.insert]
            if let clause = fields["onConflictClause"],
                clause["action"]?.text == "ONCONFLICT_UPDATE"
            {
                actions.append(.update(KeyScopeReader.assignedColumns(clause["targetList"])))
            }
        case "UpdateStmt":
            actions = [.update(KeyScopeReader.assignedColumns(fields["targetList"]))]
        case "DeleteStmt": actions = [.delete]
        default: actions = [.change]
        }
        for action in actions {
            facts.writes.insert(WriteTarget(relation: target, action: action, rows: rows))
        }
    }

    /// Walks a WITH clause, then `body` with its names in scope.
    ///
    /// Without RECURSIVE a query sees only the names before it: in `WITH t AS (SELECT * FROM t)`
    /// the inner `t` is a table.
    private mutating func inScope(
        of with: SyntaxTree?, _ body: (inout SyntaxCollector) -> Void
    ) {
        guard let with else {
            body(&self)
            return
        }
        let queries = (with["ctes"]?.elements ?? []).compactMap {
            $0.fields(of: "CommonTableExpr")
        }
        if queries.count != with["ctes"]?.elements?.count { metUnknownNode = true }
        scopes.append([])
        if with["recursive"]?.isTrue == true {
            scopes[scopes.count - 1] = Set(queries.compactMap { $0["ctename"]?.text })
        }
        for query in queries {
            walk(query["ctequery"])
            for name in query["aliascolnames"]?.names ?? [] { noteAlias(name) }
            search(query)
            if let name = query["ctename"]?.text { scopes[scopes.count - 1].insert(name) }
        }
        body(&self)
        scopes.removeLast()
    }

    /// SEARCH and CYCLE add columns of their own and compare rows.
    private mutating func search(_ query: SyntaxTree) {
        guard query["search_clause"] != nil || query["cycle_clause"] != nil else { return }
        noteOperator(["="])
        noteOperator(["<"])
        noteAlias(query["search_clause"]?["search_seq_column"]?.text)
        noteAlias(query["cycle_clause"]?["cycle_mark_column"]?.text)
        noteAlias(query["cycle_clause"]?["cycle_path_column"]?.text)
        walk(query["cycle_clause"]?["cycle_mark_value"])
        walk(query["cycle_clause"]?["cycle_mark_default"])
    }

    private mutating func read(_ fields: SyntaxTree) {
        aliases(fields["alias"])
        guard let relation = Self.relationName(fields) else {
            metUnknownNode = true
            return
        }
        let isCommonTable =
            relation.schema == nil && scopes.contains { $0.contains(relation.name) }
        if isCommonTable { return }
        facts.reads.insert(relation)
        facts.occurrences[relation, default: 0] += 1
    }

    // MARK: Expressions

    private mutating func literal(_ fields: SyntaxTree) {
        guard let text = fields["sval"]?["sval"]?.text else { return }
        if RelativeTime.isMentioned(in: text) { facts.hasRelativeTimeLiteral = true }
    }

    private mutating func columnReference(_ fields: SyntaxTree) {
        // Every part: `t.f` may be a column, a whole row, or function f applied to t.
        for part in fields["fields"]?.elements ?? [] {
            if let name = part.fields(of: "String")?["sval"]?.text { noteColumn(name) }
        }
    }

    private mutating func noteColumn(_ name: String) {
        facts.columns.insert(name)
        switch name {
        case "ctid", "xmin", "xmax", "cmin", "cmax": facts.bypass(.systemColumn)
        // From PostgreSQL 16 on no column but a function, which this grammar does not know.
        case "system_user": facts.bypass(.currentTimeOrUser)
        default: break
        }
    }

    private mutating func call(_ fields: SyntaxTree) {
        let arguments = fields["args"]?.elements ?? []
        if let use = Self.functionUse(fields) {
            facts.functions.insert(knownSetting(use, arguments) ?? use)
            if arguments.count == 1, use.schema == nil || use.schema == "pg_catalog" {
                // A type's name called like a function is a cast.
                let type = TypeUse(schema: use.schema, name: use.name)
                if type.isTime { requireTimeValue(arguments[0]) }
            }
        } else {
            metUnknownNode = true
        }
        plain(fields)
    }

    /// `current_setting('name' [, missing_ok])` where the session knows the setting's value: it is
    /// part of the cache's key, or has a dot in its name.
    private mutating func knownSetting(
        _ use: FunctionUse, _ arguments: [SyntaxTree]
    ) -> FunctionUse? {
        guard use.name == "current_setting", use.schema == nil || use.schema == "pg_catalog",
            use.argumentCount == 1 || use.argumentCount == 2,
            let written = Self.text(arguments[0]), written.utf8.allSatisfy({ $0 < 0x80 })
        else { return nil }
        let name = written.lowercased()
        if name.contains(".") {
            facts.settingsRead.insert(name)
        } else if !KnownSettings.inKey.contains(name) {
            return nil
        }
        return FunctionUse(
            schema: use.schema, name: use.name, argumentCount: use.argumentCount,
            readsKnownSetting: true)
    }

    /// A string constant, also `'…'::text` as the server prints one.
    private static func text(_ expression: SyntaxTree) -> String? {
        if let cast = expression.fields(of: "TypeCast") {
            guard
                cast["typeName"]?["names"]?.names == ["text"]
                    || cast["typeName"]?["names"]?.names == ["pg_catalog", "text"]
            else { return nil }
            return cast["arg"].flatMap(text)
        }
        return expression.fields(of: "A_Const")?["sval"]?["sval"]?.text
    }

    private static func functionUse(_ fields: SyntaxTree) -> FunctionUse? {
        guard let names = fields["funcname"]?.names, let name = names.last, names.count <= 3 else {
            return nil
        }
        let isExact =
            fields["func_variadic"]?.isTrue != true && fields["agg_within_group"]?.isTrue != true
        return FunctionUse(
            schema: names.count > 1 ? names[names.count - 2] : nil, name: name,
            argumentCount: isExact ? fields["args"]?.elements?.count ?? 0 : nil)
    }

    private mutating func expression(_ fields: SyntaxTree) {
        switch fields["kind"]?.text {
        case "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN", "AEXPR_BETWEEN_SYM", "AEXPR_NOT_BETWEEN_SYM":
            for name in ["<", ">", "<=", ">="] { noteOperator([name]) }
        default:
            noteOperator(fields["name"]?.names ?? [])
        }
        walk(fields["lexpr"])
        walk(fields["rexpr"])
    }

    private mutating func noteOperator(_ names: [String]) {
        guard let name = names.last else {
            metUnknownNode = true
            return
        }
        facts.operators.insert(name)
    }

    /// A relation's alias is no column; the names that it gives to columns are.
    private mutating func aliases(_ alias: SyntaxTree?) {
        for name in alias?["colnames"]?.names ?? [] { noteAlias(name) }
    }

    private mutating func noteAlias(_ name: String?) {
        if let name { facts.aliases.insert(name) }
    }

    // MARK: Casts

    /// `argument` is nil where the value's type cannot be seen (it may be text).
    private mutating func cast(of argument: SyntaxTree?, to type: SyntaxTree?) {
        guard let names = type?["names"]?.names, let name = names.last,
            type?["pct_type"]?.isTrue != true
        else {
            facts.types.insert(TypeUse(schema: "", name: ""))
            facts.hasUnprovenTimeCast = true
            return
        }
        let use = TypeUse(schema: names.count > 1 ? names[names.count - 2] : nil, name: name)
        facts.types.insert(use)
        guard use.isTime else { return }
        if let argument { requireTimeValue(argument) } else { facts.hasUnprovenTimeCast = true }
    }

    /// Notes what must hold for `expression` not to be text at run time: a text `today` turned
    /// into a date depends on the day. Constants are checked as literals, parameters when bound.
    private mutating func requireTimeValue(_ expression: SyntaxTree) {
        guard let (tag, fields) = expression.node else {
            facts.hasUnprovenTimeCast = true
            return
        }
        switch tag {
        case "A_Const", "ParamRef": break
        case "ColumnRef":
            if let name = fields["fields"]?.elements?.last?.fields(of: "String")?["sval"]?.text {
                facts.timeCastColumns.insert(name)
            } else {
                facts.hasUnprovenTimeCast = true
            }
        case "TypeCast":
            let name = fields["typeName"]?["names"]?.names?.last ?? ""
            if !TypeUse(name: name).isTime, name != "interval" { facts.hasUnprovenTimeCast = true }
        case "A_ArrayExpr":
            for element in fields["elements"]?.elements ?? [] { requireTimeValue(element) }
        case "CoalesceExpr", "MinMaxExpr":
            for argument in fields["args"]?.elements ?? [] { requireTimeValue(argument) }
        case "A_Expr":
            // The sum or difference of a time and something is no text.
            guard fields["kind"]?.text == "AEXPR_OP", let left = fields["lexpr"],
                let name = fields["name"]?.names?.last, name == "+" || name == "-"
            else {
                facts.hasUnprovenTimeCast = true
                return
            }
            requireTimeValue(left)
        case "FuncCall":
            guard let use = Self.functionUse(fields) else { return }
            if ["min", "max"].contains(use.name), let argument = fields["args"]?.elements?.first {
                requireTimeValue(argument)
            } else {
                facts.timeCastFunctions.insert(use)
            }
        default:
            facts.hasUnprovenTimeCast = true
        }
    }
}
