import ResultCache

/// The answers of a cache at one moment, to be written to a file. While it exists their memory is not
/// given back, whatever the cache evicts: at most as much as the cache may hold.
package struct SnapshotCollection: Sendable {
    private let replies: [CachedReply]
    /// When they were found, on the clock of their expiries.
    private let collected: UInt64

    package static let empty = SnapshotCollection(replies: [], collected: 0)

    private init(replies: [CachedReply], collected: UInt64) {
        self.replies = replies
        self.collected = collected
    }

    /// All that would be answered from memory now: no writer in flight on what it depends on.
    package init(of cache: ReplyCache, now: UInt64) {
        let shards = (0..<cache.shardCount).map { cache.entries(ofShard: $0) }
        var replies: [CachedReply] = []
        // Each shard has its own order: the first of all of them come before the second.
        for rank in 0..<(shards.map(\.count).max() ?? 0) {
            for shard in shards where rank < shard.count {
                let reply = shard[rank]
                if reply.isCurrent, !reply.isExpired(at: now) { replies.append(reply) }
            }
        }
        self.init(replies: replies, collected: now)
    }

    package var isEmpty: Bool { replies.isEmpty }

    /// Logins that some of them are of, of different users or databases, at most so many.
    package func logins(
        in identities: SessionIdentityTable, cells: CellTable, limit: Int
    ) -> [(user: String, database: String)] {
        var seen: Set<UInt64> = []
        var logins: [(user: String, database: String)] = []
        for record in records(cells) where seen.insert(record.identities.now).inserted {
            let identity = SessionIdentity(number: record.identities.now)
            guard let known = identities.components(of: identity),
                !logins.contains(where: { $0 == (known.user, known.database) })
            else { continue }
            logins.append((known.user, known.database))
            if logins.count == limit { break }
        }
        return logins
    }

    /// Appends everything. Returns how many answers there are: not those whose identity was
    /// forgotten, or that have more cells or settings than a reader takes.
    package func write(
        to writer: inout SnapshotWriter, provenance: SnapshotProvenance, cells: CellTable,
        identities: SessionIdentityTable
    ) throws(SnapshotError) -> Int {
        try writer.append(.provenance(provenance))
        var known: [UInt64: SessionIdentityTable.Components?] = [:]
        var named: Set<Int> = []
        // Twice over all answers, rather than to hold a second copy of their keys.
        for record in records(cells) {
            for number in record.bothIdentities where known[number] == nil {
                let found = identities.components(of: SessionIdentity(number: number))
                known[number] = .some(found.flatMap { $0.isPortable ? $0 : nil })
            }
            named.formUnion(record.cells.compactMap(\.ordinal))
        }
        for (number, name) in cells.names(from: 0).enumerated() where named.contains(number) {
            try writer.append(.cell(UInt32(number), name))
        }
        for (number, components) in known.sorted(by: { $0.key < $1.key }) {
            if let components { try writer.append(.identity(number, components)) }
        }
        var count = 0
        for record in records(cells)
        where record.bothIdentities.allSatisfy({ (known[$0] ?? nil) != nil }) {
            try writer.append(.reply(record))
            count += 1
        }
        try writer.append(.end(replies: UInt64(count)))
        return count
    }

    private func records(_ cells: CellTable) -> some Sequence<ReplyRecord> {
        replies.lazy.compactMap { ReplyRecord($0, cells: cells, now: collected) }
    }
}

extension ReplyRecord {
    fileprivate var bothIdentities: [UInt64] { [identities.now, identities.atParse] }
}
