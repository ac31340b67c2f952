import NIOCore
import ResultCache

/// Puts the answers of a snapshot back into a cache.
///
/// In two steps, between which the caller finds out whether the database is still the one that the
/// answers came from: the leases have to be older than that proof, so that a write which overlaps it
/// is noticed by the cache itself.
package struct SnapshotRestorer {
    private struct Prepared {
        let record: ReplyRecord
        let lease: FillLease
    }

    private let identities: [UInt64: SessionIdentity]
    private let prepared: [Prepared]
    /// Those that could not be prepared.
    package let skipped: Int

    /// Captures the leases. Answers are skipped that depend on something without a name here, or on
    /// what is being written.
    package init(
        _ image: SnapshotImage, cells table: CellTable, identities: SessionIdentityTable
    ) {
        self.identities = image.identities.mapValues { identities.identity(of: $0) }
        var leases: [[CellReference]: FillLease?] = [:]
        var prepared: [Prepared] = []
        for record in image.replies {
            guard image.identities[record.identities.now] != nil,
                image.identities[record.identities.atParse] != nil
            else { continue }
            let lease: FillLease?
            if let known = leases[record.cells] {
                lease = known
            } else {
                lease = Self.cells(record.cells, image, table)?.capture()
                leases[record.cells] = .some(lease)
            }
            guard let lease else { continue }
            prepared.append(Prepared(record: record, lease: lease))
        }
        self.prepared = prepared
        skipped = Int(clamping: image.replyCount) - prepared.count
    }

    /// The cells by their names. The place of a keyed value means nothing in another process, which
    /// hashes with a secret of its own: who depends on some rows of a relation depends on all of
    /// them here. Every keyed dependency also has the `wide` cell of its relation and columns, which
    /// says which relation that is.
    private static func cells(
        _ references: [CellReference], _ image: SnapshotImage, _ table: CellTable
    ) -> CellSet? {
        var cells: [VersionCell] = []
        var hasKeys = false
        var hasWide = false
        for reference in references {
            guard let ordinal = reference.ordinal else {
                hasKeys = true
                continue
            }
            guard let name = image.cells[UInt32(ordinal)] else { return nil }
            if case .wide(let database, let relation, _) = name {
                hasWide = true
                cells.append(table.cell(.all(database: database, relation: relation)))
            } else {
                cells.append(table.cell(name))
            }
        }
        guard !hasKeys || hasWide, !cells.isEmpty else { return nil }
        return CellSet(cells)
    }

    /// What became of the answers.
    package struct Outcome: Hashable, Sendable {
        package var restored = 0
        package var skipped = 0
        /// Their time to live was over, or cannot be told because the clock went backwards.
        package var expired = 0
    }

    /// Stores them. To be called once it is proven that they are true.
    ///
    /// - Parameters:
    ///   - age: nanoseconds since they were collected, by the clock on the wall; nil where that has
    ///     gone backwards: what has a time to live is then taken to have outlived it.
    ///   - now: of the clock of expiries.
    package func store(into cache: ReplyCache, age: UInt64?, now: UInt64) -> Outcome {
        var outcome = Outcome(restored: 0, skipped: skipped, expired: 0)
        // The most valuable come last: what is stored first is evicted first.
        for entry in prepared.reversed() {
            let record = entry.record
            var expiry = UInt64.max
            if let left = record.timeToLive {
                guard let age, left > age else {
                    outcome.expired += 1
                    continue
                }
                let (end, overflows) = now.addingReportingOverflow(left - age)
                expiry = overflows ? .max : end
            }
            guard let current = identities[record.identities.now],
                let atParse = identities[record.identities.atParse]
            else { continue }
            let key = record.key(now: current, atParse: atParse)
            let result = key.withUnsafeReadableBytes { bytes in
                cache.store(
                    key: bytes, hash: ReplyCache.hash(bytes), rowDescription: record.rowDescription,
                    body: record.body, lease: entry.lease, expiry: expiry, now: now)
            }
            if case .stored = result { outcome.restored += 1 } else { outcome.skipped += 1 }
        }
        return outcome
    }
}
