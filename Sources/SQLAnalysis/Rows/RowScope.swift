/// Which rows of a relation family an answer depends on.
package enum RowScope: Hashable, Sendable {
    case all
    case keyed(KeyedRows)
}

/// The rows in which `columns` have, together, one of some tuples of values.
package struct KeyedRows: Hashable, Sendable {
    /// The most tuples that are told apart; a scope with more is all rows.
    package static let maximumTuples = 64

    /// Names of columns, sorted; several make a composite key.
    package let columns: [String]
    /// Each of as many operands as there are columns, in their order.
    package let tuples: [[KeyOperand]]

    package init(columns: [String], tuples: [[KeyOperand]]) {
        self.columns = columns
        self.tuples = tuples
    }
}

/// One relation family that an answer depends on, as often as it is read in a different scope.
package struct RowDependency: Hashable, Sendable {
    package let relation: RelationIdentifier
    package let scope: RowScope

    package init(relation: RelationIdentifier, scope: RowScope) {
        self.relation = relation
        self.scope = scope
    }
}

/// What is known of every row that a write touches in one relation family, as it was and as it
/// becomes: the values that some of its columns have. A column that is not in it may have any.
package struct RowPins: Hashable, Sendable {
    /// The most values of one column that are told apart; with more it is not pinned.
    package static let maximumValues = 64

    package let columns: [String: Set<KeyOperand>]

    package init(_ columns: [String: Set<KeyOperand>]) {
        self.columns = columns.filter { $0.value.count <= Self.maximumValues }
    }

    /// Any row.
    package static let anyRow = RowPins([:])

    /// What is known of every row that either touches.
    package func union(_ other: RowPins) -> RowPins {
        var both: [String: Set<KeyOperand>] = [:]
        for (column, values) in columns {
            guard let others = other.columns[column] else { continue }
            both[column] = values.union(others)
        }
        return RowPins(both)
    }
}
