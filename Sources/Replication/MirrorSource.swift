import ResultCache

/// What a node that can be followed has to offer: its log, its cache, and what their numbers mean.
package struct MirrorSource: Sendable {
    package let log: MirrorLog
    package let cache: ReplyCache
    package let cells: CellTable
    package let identities: SessionIdentityTable
    package let right: ServingRight
    /// Takes notice of what others have committed meanwhile, where that can be told. False where it is
    /// still being looked at.
    package let notice: @Sendable () -> Bool

    package init(
        log: MirrorLog, cache: ReplyCache, cells: CellTable, identities: SessionIdentityTable,
        right: ServingRight, notice: @escaping @Sendable () -> Bool = { true }
    ) {
        self.log = log
        self.cache = cache
        self.cells = cells
        self.identities = identities
        self.right = right
        self.notice = notice
    }
}
