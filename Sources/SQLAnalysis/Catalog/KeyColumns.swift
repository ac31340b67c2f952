/// The columns of one relation, as far as telling its rows apart by keys needs them.
package struct KeyColumns: Sendable {
    /// In the relation's order.
    package private(set) var names: [String] = []
    /// Those that can be keyed by. A generated column cannot: it changes unassigned.
    package private(set) var types: [String: KeyType] = [:]
    /// Those whose values may be cut when they are assigned.
    package private(set) var limited: Set<String> = []
    /// The columns of primary and unique keys, the best key first.
    package private(set) var uniqueKeys: [[String]] = []
    package private(set) var foreignKeyColumns: Set<String> = []
    /// The first columns of indexes.
    package private(set) var leadingColumns: Set<String> = []
    /// ON CONFLICT may find a row whose key has other bytes.
    package private(set) var hasLooseUniqueIndex = false

    private var ambiguous: Set<String> = []

    /// By the relation's OID.
    ///
    /// - Parameter familyOf: tells a relation's family. A column that is generated in one table of
    ///   a family may be a plain one in its parent, and then changes unassigned there as well.
    static func all(
        in rows: CatalogRows, familyOf: (UInt32) -> UInt32 = { $0 }
    ) -> [UInt32: KeyColumns] {
        var all: [UInt32: KeyColumns] = [:]
        var generated: [UInt32: Set<String>] = [:]
        for column in rows.attributes where column.isGenerated {
            generated[familyOf(column.relation), default: []].insert(column.name)
        }
        // `a = b` may mean a user's function if it can take one of the server's types.
        let hasOwnEquality = rows.operators.contains {
            $0.name == "="
                && ($0.left < CatalogBuilder.firstUserOID || $0.right < CatalogBuilder.firstUserOID)
        }
        for column in rows.attributes {
            all[column.relation, default: KeyColumns()].add(column, isKeyable: !hasOwnEquality)
        }
        for relation in all.keys {
            all[relation]?.forbid(generated[familyOf(relation)] ?? [])
        }
        for key in rows.foreignKeys {
            all[key.referencing]?.foreignKeyColumns.formUnion(key.referencingColumns)
        }
        var unique: [UInt32: [CatalogRows.Index]] = [:]
        for index in rows.indexes {
            if let first = index.columns.first {
                all[index.relation]?.leadingColumns.insert(first)
            }
            if index.isUnique { unique[index.relation, default: []].append(index) }
        }
        for (relation, indexes) in unique {
            let best = indexes.sorted {
                ($0.isPrimary ? 0 : 1, $0.columns.count, $0.columns.joined(separator: "\0"))
                    < ($1.isPrimary ? 0 : 1, $1.columns.count, $1.columns.joined(separator: "\0"))
            }
            all[relation]?.uniqueKeys = best.map(\.columns)
        }
        for relation in rows.looseUniqueIndexes { all[relation]?.hasLooseUniqueIndex = true }
        return all
    }

    private mutating func add(_ column: CatalogRows.Attribute, isKeyable: Bool) {
        // Text is compared by canonical equivalence here, names by their bytes in the server: one
        // name may stand for two columns.
        if names.contains(column.name) { ambiguous.insert(column.name) }
        names.append(column.name)
        if column.hasModifier { limited.insert(column.name) }
        guard isKeyable, !column.isGenerated, column.hasDeterministicCollation,
            let type = KeyType(columnType: column.type)
        else { return }
        types[column.name] = type
    }

    private mutating func forbid(_ generated: Set<String>) {
        for column in ambiguous.union(generated) { types[column] = nil }
    }

    // MARK: Choosing

    /// The rows that have these values, by the columns that most likely tell few of them apart.
    /// (Any choice is right; writes pin the columns of primary and unique keys best.)
    func scope(_ pins: [String: [KeyOperand]]) -> RowScope {
        let keys = uniqueKeys.filter { $0.allSatisfy { pins[$0] != nil } }
        let single = pins.keys.sorted { (rank($0), $0) < (rank($1), $1) }.map { [$0] }
        for columns in keys + single {
            if let scope = Self.scope(columns.sorted(), pins) { return scope }
        }
        return .all
    }

    private func rank(_ column: String) -> Int {
        if types[column] == .boolean { return 4 }
        if uniqueKeys.contains(where: { $0.contains(column) }) { return 0 }
        if foreignKeyColumns.contains(column) { return 1 }
        return leadingColumns.contains(column) ? 2 : 3
    }

    /// Every combination of the columns' values; nil if they are too many.
    private static func scope(
        _ columns: [String], _ pins: [String: [KeyOperand]]
    ) -> RowScope? {
        var tuples: [[KeyOperand]] = [[]]
        for column in columns {
            let operands = pins[column] ?? []
            guard tuples.count * operands.count <= KeyedRows.maximumTuples else { return nil }
            tuples = tuples.flatMap { tuple in operands.map { tuple + [$0] } }
        }
        return .keyed(KeyedRows(columns: columns, tuples: tuples))
    }
}

extension KeyType {
    /// The key type of a column; nil for types whose equality is not that of a canonical form.
    /// Domains have OIDs of their own.
    init?(columnType oid: UInt32) {
        switch oid {
        case 16: self = .boolean
        case 20: self = .integer(width: 8)
        case 21: self = .integer(width: 2)
        case 23: self = .integer(width: 4)
        // text, varchar; with a deterministic collation, which the caller sees to.
        case 25, 1_043: self = .text
        case 1_082: self = .date
        case 2_950: self = .uuid
        default: return nil
        }
    }

    /// Whether values of both are compared as one kind.
    func isComparable(with other: KeyType) -> Bool {
        switch (self, other) {
        case (.integer, .integer): true
        default: self == other
        }
    }
}
