/// What operands stand for in one execution.
extension KeyOperand {
    package var isParameter: Bool {
        switch self {
        case .value, .null: false
        case .parameter, .anyElement: true
        }
    }

    /// The values that it is equal to; none for NULL, nil where they are not known for certain.
    package func values(in parameters: some KeyParameters) -> [KeyValue]? {
        switch self {
        case .value(let value): [value]
        case .null: []
        case .parameter(let index, let type): parameters.values(at: index, as: type, isArray: false)
        case .anyElement(let index, let type): parameters.values(at: index, as: type, isArray: true)
        }
    }
}

extension KeyedRows {
    package var namesParameters: Bool { tuples.contains { $0.contains(where: \.isParameter) } }

    /// The tuples of values that the rows have, of those that have no NULL in them: nothing is
    /// equal to that. nil where they are not known, or more than `maximumTuples`.
    package func values(in parameters: some KeyParameters) -> [[KeyValue]]? {
        var all: [[KeyValue]] = []
        for tuple in tuples {
            var expanded: [[KeyValue]] = [[]]
            for operand in tuple {
                guard let values = operand.values(in: parameters),
                    expanded.count * values.count <= Self.maximumTuples
                else { return nil }
                expanded =
                    values.count == 1
                    ? expanded.map { $0 + values }
                    : expanded.flatMap { start in values.map { start + [$0] } }
            }
            all += expanded
            guard all.count <= Self.maximumTuples else { return nil }
        }
        return all
    }
}

extension RowPins {
    package var namesParameters: Bool {
        columns.values.contains { $0.contains(where: \.isParameter) }
    }

    /// The pins of one execution: constants in place of parameters. A column of which a parameter
    /// cannot be read is not pinned.
    package func bound(to parameters: some KeyParameters) -> RowPins {
        var bound: [String: Set<KeyOperand>] = [:]
        columns: for (column, operands) in columns {
            var values: Set<KeyOperand> = []
            for operand in operands {
                guard let read = operand.values(in: parameters) else { continue columns }
                for value in read { values.insert(.value(value)) }
            }
            bound[column] = values
        }
        return RowPins(bound)
    }
}

extension WriteSet {
    package var namesParameters: Bool {
        guard case .relations(let relations) = self else { return false }
        return relations.values.contains(where: \.namesParameters)
    }

    /// What one execution may change.
    package func bound(to parameters: some KeyParameters) -> WriteSet {
        guard case .relations(let relations) = self else { return self }
        return .relations(relations.mapValues { $0.bound(to: parameters) })
    }
}
