/// What is known of every row that a transaction touches in one relation family, as it was and as
/// it becomes.
package protocol PinnedRows {
    associatedtype Value: CellKey

    /// The values, each at most once, that `column` has in these rows; nil where it may have any.
    /// NULL is left out: no key is equal to it.
    func values(of column: String) -> [Value]?
}

/// What a write window has to cover.
package enum WriteCoverage<Pins: PinnedRows> {
    /// Some rows of some relation families, each named once.
    case relations([(relation: String, pins: Pins)])
    /// All that the database holds.
    case everything
    /// That, and the catalog: what statements mean.
    case everythingAndCatalog
}
