import SQLAnalysis

/// Rows in the tests' statements: `id=1,2` for values, `id=$1` for a parameter, `id=@1` for the
/// elements of one that is an array, `id=NULL`. Several such words make a composite key. Columns
/// are integers of four bytes, but `name` is text.
extension ScriptedAnalyzer {
    private static func keys(in sql: String) -> [(column: String, operands: [KeyOperand])] {
        sql.split(separator: " ").filter { $0.contains("=") }.map { word in
            let parts = word.split(separator: "=")
            let column = String(parts[0])
            let type: KeyType = column == "name" ? .text : .integer(width: 4)
            return (column, parts[1].split(separator: ",").map { operand($0, type) })
        }.sorted { $0.column < $1.column }
    }

    private static func operand(_ text: Substring, _ type: KeyType) -> KeyOperand {
        switch text.first {
        case "$": .parameter((Int(text.dropFirst()) ?? 0) - 1, type)
        case "@": .anyElement(ofParameter: (Int(text.dropFirst()) ?? 0) - 1, type)
        case "N": .null
        default:
            type == .text
                ? .value(.text(Array(text.utf8))) : .value(.integer(Int64(text) ?? 0))
        }
    }

    static func dependencies(in sql: String) -> [RowDependency] {
        let keys = keys(in: sql)
        guard !keys.isEmpty else { return [RowDependency(relation: table.identifier, scope: .all)] }
        var tuples: [[KeyOperand]] = [[]]
        for key in keys {
            tuples = tuples.flatMap { tuple in key.operands.map { tuple + [$0] } }
        }
        let rows = KeyedRows(columns: keys.map(\.column), tuples: tuples)
        return [RowDependency(relation: table.identifier, scope: .keyed(rows))]
    }

    static func pins(in sql: String) -> RowPins {
        RowPins(
            Dictionary(
                uniqueKeysWithValues: keys(in: sql).map { ($0.column, Set($0.operands)) }))
    }
}
