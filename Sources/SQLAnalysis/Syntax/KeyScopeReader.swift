/// Reads FROM and WHERE clauses into `KeyScope`s, and the rows of INSERT, UPDATE and DELETE.
struct KeyScopeReader {
    /// More sources or conditions are not followed: resolving compares each with each.
    private static let maximumSources = 64
    private static let maximumConditions = 256

    private let literals: KeyLiteralReader
    /// Names that mean common table expressions here.
    private let isCommonTable: (String) -> Bool
    private var scope = KeyScope()

    init(sql: String, isCommonTable: @escaping (String) -> Bool) {
        literals = KeyLiteralReader(sql: sql)
        self.isCommonTable = isCommonTable
    }

    /// nil where nothing is said of any row.
    static func scope(
        from: SyntaxTree?, where condition: SyntaxTree?, target: SyntaxTree? = nil, sql: String,
        isCommonTable: @escaping (String) -> Bool
    ) -> KeyScope? {
        var reader = KeyScopeReader(sql: sql, isCommonTable: isCommonTable)
        if let target { reader.table(target, isTarget: true) }
        for item in from?.elements ?? [] { reader.source(item) }
        let all = 0..<reader.scope.sources.count
        reader.conjuncts(condition, visible: all, filtered: all)
        let scope = reader.scope
        guard !scope.conditions.isEmpty, scope.sources.count <= maximumSources,
            scope.conditions.count <= maximumConditions
        else { return nil }
        return scope
    }

    // MARK: FROM

    private mutating func source(_ item: SyntaxTree) {
        switch item.node {
        case ("RangeVar", let fields)?: table(fields, isTarget: false)
        case ("JoinExpr", let fields)?: join(fields)
        case (_, let fields)?: opaque(fields["alias"])
        case nil: opaque(nil)
        }
    }

    private mutating func opaque(_ alias: SyntaxTree?) {
        scope.sources.append(.init(relation: nil, name: alias?["aliasname"]?.text))
    }

    private mutating func table(_ fields: SyntaxTree, isTarget: Bool) {
        let alias = fields["alias"]
        guard let relation = SyntaxCollector.relationName(fields), alias?["colnames"] == nil,
            isTarget || relation.schema != nil || !isCommonTable(relation.name)
        else {
            opaque(alias)
            return
        }
        scope.sources.append(
            .init(relation: relation, name: alias?["aliasname"]?.text ?? relation.name))
    }

    /// A join's condition decides alone which rows of its inner or nullable sides get through, so
    /// rows that cannot meet it change nothing, whatever is joined around it. A row of the
    /// preserved side gets through in any case.
    private mutating func join(_ fields: SyntaxTree) {
        if fields["alias"] != nil {
            // Hides the names of its parts.
            opaque(fields["alias"])
            return
        }
        guard let left = fields["larg"], let right = fields["rarg"] else {
            opaque(nil)
            return
        }
        let start = scope.sources.count
        let hadOuterJoin = scope.hasOuterJoin
        scope.hasOuterJoin = false
        source(left)
        let middle = scope.sources.count
        source(right)
        let visible = start..<scope.sources.count
        let sidesAreInner = !scope.hasOuterJoin
        let filtered: Range<Int>
        switch fields["jointype"]?.text {
        case "JOIN_INNER": filtered = visible
        case "JOIN_LEFT": filtered = middle..<visible.upperBound
        case "JOIN_RIGHT": filtered = start..<middle
        default: filtered = start..<start
        }
        scope.hasOuterJoin =
            hadOuterJoin || !sidesAreInner || fields["jointype"]?.text != "JOIN_INNER"
        let names = fields["usingClause"]?.names ?? []
        if !names.isEmpty || fields["isNatural"]?.isTrue == true { scope.mergesColumns = true }
        // Below an outer join a merged column need not be the one that it looks like.
        if sidesAreInner {
            for name in names {
                add(
                    .merged(name, start..<middle, middle..<visible.upperBound), visible, filtered)
            }
        }
        conjuncts(fields["quals"], visible: visible, filtered: filtered)
    }

    private mutating func conjuncts(
        _ tree: SyntaxTree?, visible: Range<Int>, filtered: Range<Int>
    ) {
        guard let tree else { return }
        if let fields = tree.fields(of: "BoolExpr"), fields["boolop"]?.text == "AND_EXPR" {
            for part in fields["args"]?.elements ?? [] {
                conjuncts(part, visible: visible, filtered: filtered)
            }
            return
        }
        for comparison in literals.comparisons(tree) { add(comparison, visible, filtered) }
    }

    private mutating func add(
        _ comparison: KeyScope.Comparison, _ visible: Range<Int>, _ filtered: Range<Int>
    ) {
        guard scope.conditions.count <= Self.maximumConditions else { return }
        scope.conditions.append(
            .init(comparison: comparison, visible: visible, filtered: filtered))
    }

    // MARK: Writes

    /// The rows of an `InsertStmt`, `UpdateStmt`, `DeleteStmt` or `MergeStmt`.
    static func rows(
        _ tag: String, _ fields: SyntaxTree, sql: String,
        isCommonTable: @escaping (String) -> Bool
    ) -> WrittenRows {
        let literals = KeyLiteralReader(sql: sql)
        switch tag {
        case "InsertStmt": return inserted(fields, literals)
        case "UpdateStmt", "DeleteStmt":
            let others = tag == "UpdateStmt" ? fields["fromClause"] : fields["usingClause"]
            guard
                let scope = scope(
                    from: others, where: fields["whereClause"], target: fields["relation"],
                    sql: sql, isCommonTable: isCommonTable)
            else { return .any }
            var assigned: [String: KeyLiteral?] = [:]
            for target in fields["targetList"]?.elements ?? [] {
                guard let column = target.fields(of: "ResTarget"),
                    let name = column["name"]?.text
                else { return .any }
                // An element or a field of the column; or twice the same, which is an error.
                let isWhole = column["indirection"] == nil && assigned[name] == nil
                assigned[name] = .some(isWhole ? literals.literal(column["val"]) : nil)
            }
            return .matched(scope, assigned: assigned)
        default: return .any
        }
    }

    /// The columns that SET assigns.
    static func assignedColumns(_ targets: SyntaxTree?) -> Set<String> {
        Set((targets?.elements ?? []).compactMap { $0.fields(of: "ResTarget")?["name"]?.text })
    }

    private static func inserted(
        _ fields: SyntaxTree, _ literals: KeyLiteralReader
    ) -> WrittenRows {
        guard fields["override"]?.text ?? "OVERRIDING_NOT_SET" == "OVERRIDING_NOT_SET",
            let select = fields["selectStmt"]?.fields(of: "SelectStmt"),
            select.members.allSatisfy({
                ["valuesLists", "limitOption", "op"].contains($0.name)
            }), let rows = select["valuesLists"]?.elements, !rows.isEmpty
        else { return .any }
        var columns: [String]?
        if let targets = fields["cols"]?.elements {
            var names: [String] = []
            for target in targets {
                guard let column = target.fields(of: "ResTarget"), column["indirection"] == nil,
                    let name = column["name"]?.text
                else { return .any }
                names.append(name)
            }
            columns = names
        }
        var conflict: ConflictUpdate?
        if let clause = fields["onConflictClause"],
            clause["action"]?.text != "ONCONFLICT_NOTHING"
        {
            conflict = conflictUpdate(clause, literals)
            if conflict == nil { return .any }
        }
        return .inserted(
            columns: columns, values: values(rows, literals), conflict: conflict)
    }

    /// All values of each column; nil from the first that is no constant, or when they are many.
    private static func values(
        _ rows: [SyntaxTree], _ literals: KeyLiteralReader
    ) -> [Set<KeyLiteral>?] {
        var values: [Set<KeyLiteral>?] = []
        for (number, row) in rows.enumerated() {
            let items = row.fields(of: "List")?["items"]?.elements ?? []
            // Rows of different lengths are an error.
            if number == 0 { values = Array(repeating: Set<KeyLiteral>(), count: items.count) }
            guard items.count == values.count else { return [] }
            for (index, item) in items.enumerated() where values[index] != nil {
                if let literal = literals.literal(item) {
                    values[index]?.insert(literal)
                    if values[index]?.count ?? 0 > RowPins.maximumValues { values[index] = nil }
                } else {
                    values[index] = nil
                }
            }
        }
        return values
    }

    private static func conflictUpdate(
        _ clause: SyntaxTree, _ literals: KeyLiteralReader
    ) -> ConflictUpdate? {
        guard clause["action"]?.text == "ONCONFLICT_UPDATE", let infer = clause["infer"],
            infer["conname"] == nil
        else { return nil }
        var update = ConflictUpdate(target: [], assigned: [:])
        for element in infer["indexElems"]?.elements ?? [] {
            guard let fields = element.fields(of: "IndexElem") else { return nil }
            guard fields["collation"] == nil, fields["opclass"] == nil,
                let name = fields["name"]?.text
            else { continue }
            update.target.insert(name)
        }
        for target in clause["targetList"]?.elements ?? [] {
            guard let column = target.fields(of: "ResTarget"), let name = column["name"]?.text
            else { return nil }
            let isWhole = column["indirection"] == nil && update.assigned[name] == nil
            update.assigned[name] = isWhole ? assignment(column["val"], name, literals) : .unknown
        }
        return update
    }

    private static func assignment(
        _ value: SyntaxTree?, _ column: String, _ literals: KeyLiteralReader
    ) -> ConflictUpdate.Assignment {
        if let literal = literals.literal(value) { return .literal(literal) }
        let name = KeyLiteralReader.column(value)
        return name == ColumnName(qualifier: "excluded", name: column) ? .proposed : .unknown
    }
}
