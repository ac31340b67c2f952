import TestSupport

/// Random statements on the tables of `KeyTruthSchema`, most of which have conditions that make
/// keys. Some of them are errors.
struct RandomStatements {
    struct Leaf {
        let name: String
        let columns: [String]
    }

    private var random: SeededGenerator
    /// The values of `$1`, `$2` …
    private(set) var parameters: [String] = []
    private var leaves: [Leaf] = []

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
    }

    mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &random)]
    }

    // MARK: Reads

    mutating func select() -> String {
        parameters = []
        leaves = []
        let trees = chance(20) ? 2 : 1
        var from: [String] = []
        for _ in 0..<trees { from.append(tree(Int.random(in: 1...(4 - trees), using: &random))) }
        var sql = "SELECT " + pick(["*", "*", "count(*)", "1"]) + " FROM "
        sql += from.joined(separator: ", ")
        if chance(85) { sql += " WHERE " + conditions(leaves, 1...3) }
        return sql
    }

    private mutating func tree(_ count: Int) -> String {
        if count == 1 { return leaf() }
        let first = leaves.count
        let leftCount = Int.random(in: 1..<count, using: &random)
        let left = tree(leftCount)
        let right = tree(count - leftCount)
        let kind = pick(["", "", "LEFT ", "LEFT ", "RIGHT ", "FULL ", "CROSS ", "NATURAL LEFT "])
        var sql = "(" + left + " " + kind + "JOIN " + right
        let inside = Array(leaves[first...])
        if kind == "FULL " {
            sql += " ON " + column(inside) + " = " + column(inside)
        } else if !kind.hasPrefix("NATURAL"), !kind.hasPrefix("CROSS") {
            sql += chance(25) ? " USING (x)" : " ON " + conditions(inside, 1...2)
        }
        return sql + ")"
    }

    private mutating func leaf() -> String {
        let name = "t\(leaves.count)"
        if chance(8) {
            leaves.append(Leaf(name: name, columns: ["x", "y"]))
            return "(SELECT x, y FROM c WHERE \(pick(["z = 1", "x = 2", "true"]))) \(name)"
        }
        let table = chance(8) ? pick(KeyTruthSchema.views) : pick(KeyTruthSchema.read)
        leaves.append(Leaf(name: name, columns: table.columns))
        return "\(table.name) \(name)"
    }

    // MARK: Conditions

    private mutating func conditions(_ leaves: [Leaf], _ count: ClosedRange<Int>) -> String {
        (0..<Int.random(in: count, using: &random)).map { _ in condition(leaves) }
            .joined(separator: " AND ")
    }

    private mutating func condition(_ leaves: [Leaf]) -> String {
        let column = column(leaves)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: return column + " = " + constant(for: column)
        case 35..<40: return constant(for: column) + " = " + column
        case 40..<48:
            return column + " IN (" + constant(for: column) + ", " + constant(for: column) + ")"
        case 48..<52: return column + " = ANY (ARRAY[1, 2])"
        case 52..<78: return column + " = " + self.column(leaves)
        case 78..<82: return column + " > 1"
        case 82..<86: return column + " IS NULL"
        case 86..<90:
            return "(" + condition(leaves) + " OR " + condition(leaves) + ")"
        case 90..<92: return "NOT (" + condition(leaves) + ")"
        case 92..<95:
            let other = self.column(leaves)
            return "(\(column), \(other)) = (\(constant(for: column)), \(constant(for: other)))"
        case 95..<98:
            return "EXISTS (SELECT FROM c k WHERE k.x = \(column) AND k.y = 1)"
        default: return "\(column) IN (SELECT z FROM c k WHERE k.x = 2 AND \(column) = k.y)"
        }
    }

    private mutating func column(_ leaves: [Leaf]) -> String {
        let leaf = pick(leaves)
        let column = pick(leaf.columns)
        return chance(15) ? column : leaf.name + "." + column
    }

    mutating func constant(for column: String) -> String {
        let isText = column.hasSuffix("s") || column.hasSuffix("v")
        // Spaces that varchar(3) drops.
        let texts = column.hasSuffix("v") ? ["p", "pq    "] : ["p", "q"]
        let value = isText ? pick(texts) : String(Int.random(in: 0...4, using: &random))
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5: return isText ? "'\(value)'" : value
        case 5: return "'\(value)'"
        case 6: return isText ? "'\(value)'::text" : "\(value)::bigint"
        case 7: return isText ? "'\(value)'" : "-1"
        default:
            parameters.append(value)
            return "$\(parameters.count)"
        }
    }

    // MARK: Writes

    mutating func write() -> String {
        parameters = []
        if chance(10) { return "WITH z AS (\(single())) \(single())" }
        return single()
    }

    private mutating func single() -> String {
        let table = pick(KeyTruthSchema.written)
        leaves = [Leaf(name: table.name, columns: table.columns)]
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5:
            var sql = "UPDATE \(table.name) SET "
            var assigned = Array(
                table.assignable.shuffled(using: &random).prefix(chance(70) ? 1 : 2))
            if assigned.count == 2, chance(20) {
                sql += "(\(assigned[0]), \(assigned[1])) = (1, 2)"
                assigned = []
            }
            sql += assigned.map { $0 + " = " + assignment(to: $0) }.joined(separator: ", ")
            if chance(30) { sql += " FROM " + others() }
            return sql + (chance(95) ? " WHERE " + conditions(leaves, 1...3) : "")
        case 5..<7:
            var sql = "DELETE FROM \(table.name)"
            if chance(30) { sql += " USING " + others() }
            return sql + (chance(95) ? " WHERE " + conditions(leaves, 1...3) : "")
        default: return insert(table)
        }
    }

    private mutating func others() -> String {
        let sql = tree(Int.random(in: 1...2, using: &random))
        return sql
    }

    private mutating func assignment(to column: String) -> String {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: "NULL"
        case 1: "DEFAULT"
        case 2: column == "s" || column == "v" ? "'p ' || ''" : "\(column) + 1"
        case 3 where column == "v": "'pq    '"
        default: constant(for: column)
        }
    }

    private mutating func insert(_ table: KeyTruthSchema.Table) -> String {
        let columns = table.assignable.shuffled(using: &random)
            .prefix(Int.random(in: 1...table.assignable.count, using: &random))
        let rows = (0..<(chance(70) ? 1 : 2)).map { _ in
            "("
                + columns.map { chance(90) ? constant(for: $0) : assignment(to: $0) }
                .joined(separator: ", ") + ")"
        }
        var sql = "INSERT INTO \(table.name) "
        if columns.count < table.assignable.count || chance(50) || table.columns != table.assignable
            || Array(columns) != table.assignable
        {
            sql += "(" + columns.joined(separator: ", ") + ") "
        }
        sql += "VALUES " + rows.joined(separator: ", ")
        switch Int.random(in: 0..<10, using: &random) {
        case 0: sql += " ON CONFLICT DO NOTHING"
        case 1..<7:
            sql += " ON CONFLICT (\(pick(table.keys))) DO UPDATE SET "
            let column = pick(table.assignable)
            sql += column + " = "
            sql += chance(40) ? "excluded.\(column)" : constant(for: column)
        default: break
        }
        return sql
    }
}
