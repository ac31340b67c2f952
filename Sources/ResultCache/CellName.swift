/// What a version cell stands for.
///
/// `database` is whatever identifies one database of the upstream for as long as the process
/// lives. `relation` identifies a relation family within it (a table with its partitions and
/// inheritance parents and children); readers and writers must derive it in the same way.
package enum CellName: Hashable, Sendable {
    /// The top element of a database: every entry depends on it, and a write that cannot be seen
    /// through moves it.
    case schema(database: String)
    /// The DDL epoch: moves with the catalog alone, so less often than `schema`. Statement
    /// profiles depend on it.
    case catalog(database: String)
    /// Every row of one relation family.
    case all(database: String, relation: String)
    /// The rows of one relation family, for those who read it by the values of `columns`: moved by
    /// each write that may touch rows of which these values are not known. Several columns are one
    /// composite key; what is keyed by them in another order has another name.
    ///
    /// A single value's cell has no name: see `KeyedColumns`.
    case wide(database: String, relation: String, columns: [String])
}

extension CellName {
    /// What all databases of a server share: roles and their memberships. Every entry depends on
    /// it. (No database has an empty name.)
    package static var cluster: CellName { .schema(database: "") }
}
