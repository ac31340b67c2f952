import ResultCache
import SQLAnalysis

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
