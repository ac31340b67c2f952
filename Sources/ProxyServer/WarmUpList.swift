import ResultCache
import Snapshots

/// Statements to be run again, the most valuable first, and who asked for them.
struct WarmUpList: Sendable {
    let statements: [WarmUpStatement]
    let identities: [UInt64: SessionIdentityTable.Components]
    /// Those of the snapshot that cannot be run again: prepared under other settings than they ran
    /// with.
    let skipped: Int

    init(_ image: SnapshotImage, limit: Int) {
        let chosen = image.replies.prefix(limit)
        statements = chosen.compactMap(WarmUpStatement.init)
        identities = image.identities
        skipped = chosen.count - statements.count
    }
}
