import ResultCache
import SQLAnalysis

extension KeyValue: CellKey {
    package func write(to bytes: inout [UInt8]) {
        switch self {
        case .integer(let value): Int(value).write(to: &bytes)
        case .boolean(let value): bytes.append(value ? 1 : 0)
        case .date(let value): Int(value).write(to: &bytes)
        case .uuid(let value): bytes.append(contentsOf: value)
        case .text(let value):
            Int(value.count).write(to: &bytes)
            bytes.append(contentsOf: value)
        }
    }
}

extension RowPins: PinnedRows {
    /// A parameter that has not been bound may have any value.
    package func values(of column: String) -> [KeyValue]? {
        guard let operands = columns[column] else { return nil }
        var values: [KeyValue] = []
        values.reserveCapacity(operands.count)
        for operand in operands {
            switch operand {
            case .value(let value): values.append(value)
            case .null: break
            case .parameter, .anyElement: return nil
            }
        }
        return values
    }
}

extension WriteSet {
    /// What a window over it has to cover; nil if nothing.
    var coverage: WriteCoverage<RowPins>? {
        switch self {
        case .nothing: nil
        case .relations(let relations):
            .relations(relations.map { (relation: $0.key.rawValue, pins: $0.value) })
        case .everything: .everything
        case .everythingAndCatalog: .everythingAndCatalog
        }
    }
}
