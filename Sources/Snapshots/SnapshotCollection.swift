import ResultCache

/// The answers of a cache at one moment, to be written to a file.
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

    /// A login that some of them are of.
    package func login(
        in identities: SessionIdentityTable, cells: CellTable
    ) -> SessionIdentityTable.Components? {
        for reply in replies {
            guard let record = ReplyRecord(reply, cells: cells, now: collected) else { continue }
            let identity = SessionIdentity(number: record.identities.now)
            if let known = identities.components(of: identity) { return known }
        }
        return nil
    }

    /// Appends everything. Returns how many answers there are: not those whose identity was
    /// forgotten, or that have more cells or settings than a reader takes.
    package func write(
        to writer: inout SnapshotWriter, provenance: SnapshotProvenance, cells: CellTable,
        identities: SessionIdentityTable
    ) throws(SnapshotError) -> Int {
        try writer.append(.provenance(provenance))
        var components: [UInt64: SessionIdentityTable.Components?] = [:]
        var numbers: Set<Int> = []
        var records: [ReplyRecord] = []
        for reply in replies {
            guard let record = ReplyRecord(reply, cells: cells, now: collected) else { continue }
            let named = [record.identities.now, record.identities.atParse]
            for number in named where components[number] == nil {
                let found = identities.components(of: SessionIdentity(number: number))
                components[number] = .some(found.flatMap { $0.settings.count <= 4096 ? $0 : nil })
            }
            guard named.allSatisfy({ components[$0] ?? nil != nil }) else { continue }
            numbers.formUnion(record.cells.compactMap(\.ordinal))
            records.append(record)
        }
        for (number, name) in cells.names(from: 0).enumerated() where numbers.contains(number) {
            try writer.append(.cell(UInt32(number), name))
        }
        for (number, known) in components.sorted(by: { $0.key < $1.key }) {
            if let known { try writer.append(.identity(number, known)) }
        }
        for record in records { try writer.append(.reply(record)) }
        try writer.append(.end(replies: UInt64(records.count)))
        return records.count
    }
}
