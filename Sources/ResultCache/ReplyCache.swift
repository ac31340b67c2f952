import Mutants
import NIOCore
import Synchronization

/// What became of a fill.
package enum StoreOutcome: Sendable {
    /// In the cache; the reply may also be handed to those who wait for it.
    case stored(CachedReply)
    /// A cell has moved since the lease was given, or a writer is in flight.
    case invalidated
    /// Larger than an entry may be, or than a shard can hold.
    case tooLarge
}

/// Replies by key, served only while nothing that they depend on has changed.
///
/// The key is opaque here: it must hold everything that the answer's bytes depend on apart from
/// the contents of the relations, length-prefixed, because equality of keys is equality of bytes.
///
/// Sharded by hash, a `Mutex` each, held for one table operation; cells are checked and entries
/// freed outside of it. Methods may be called from any thread. `now` and expiries are
/// nanoseconds of one monotonic clock of the caller's choice.
///
/// Memory. `limits.memory` is a hard limit on what the cache holds: blocks as the allocator
/// rounds them, objects, hash and ghost tables. It is divided evenly among the shards, so one
/// shard evicts while another may have room left. Not counted, because no longer or not yet in
/// the cache: one entry per thread that is storing, and evicted replies that are still on their
/// way to a client.
package final class ReplyCache: Sendable {
    private struct Shard: ~Copyable {
        let state: Mutex<CacheShard>
    }

    // Sendable: set once, and each shard's state is behind its mutex. A pointer and not an array
    // of classes: the hit path counts no references but the reply's.
    nonisolated(unsafe) private let shards: UnsafeMutablePointer<Shard>
    package let shardCount: Int
    private let memory: Atomic<Int>
    private let maximumEntry: Atomic<Int>
    /// Nanoseconds for which expired entries are kept, though `lookup` does not find them.
    private let retention = Atomic<UInt64>(0)
    private let resizing = Mutex(())
    /// Told of every answer that is stored; nil where nobody mirrors them.
    private let log: MirrorLog?
    private let sweepPosition = Mutex(SweepPosition())

    private struct SweepPosition {
        var shard = 0
        var bucket = 0
    }

    /// - Parameter shardCount: the most shards to make. Rounded down to a power of two, and
    ///   halved until each shard's part of `limits.memory` holds four entries of
    ///   `limits.maximumEntry`. It stays as it is when the limits change later.
    package init(limits: CacheLimits, shardCount: Int = 64, log: MirrorLog? = nil) {
        self.log = log
        let limits = limits.clamped
        var count = 1
        while count * 2 <= min(shardCount, 1024),
            limits.memory / (count * 2) / 4 >= limits.maximumEntry
        {
            count *= 2
        }
        self.shardCount = count
        shards = .allocate(capacity: count)
        for index in 0..<count {
            let shard = CacheShard(limit: limits.memory / count)
            (shards + index).initialize(to: Shard(state: Mutex(shard)))
        }
        memory = Atomic(limits.memory)
        maximumEntry = Atomic(limits.maximumEntry)
    }

    deinit {
        shards.deinitialize(count: shardCount)
        shards.deallocate()
    }

    /// The hash to give to all other methods. Keyed with a secret of this process, so that no
    /// client can construct collisions. Allocates nothing.
    package static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(bytes: key)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    /// The reply stored under exactly `key`, if it is unexpired and none of its cells has moved.
    /// A dead one is removed and counted; one with a writer in flight stays, because the writer
    /// may abort.
    ///
    /// The cells are read after this call began and before it returns; that is the instant at
    /// which the database would have given this answer. So call it after the statement arrived,
    /// and when no earlier reply of the session is outstanding.
    package func lookup(
        _ key: UnsafeRawBufferPointer, hash: UInt64, now: UInt64
    ) -> CachedReply? {
        let shard = shard(of: hash)
        guard let reply = shard.pointee.state.withLock({ $0.hit(key, hash: hash) }) else {
            return nil
        }
        if reply.isCurrent, !reply.isExpired(at: now) { return reply }
        var released = ReleasedReplies()
        shard.pointee.state.withLock { state in
            state.removeIfDead(reply, now: removalTime(now), releasing: &released)
        }
        return nil
    }

    /// `lookup` without its effects: neither the entry's standing nor a counter changes.
    package func peek(
        _ key: UnsafeRawBufferPointer, hash: UInt64, now: UInt64
    ) -> CachedReply? {
        let found = shard(of: hash).pointee.state.withLock {
            $0.find(key, hash: hash)?.takeUnretainedValue()
        }
        guard let found, found.isCurrent, !found.isExpired(at: now) else { return nil }
        return found
    }

    /// How things stand with the entry under exactly `key`; like `peek`, without effects.
    package func standing(
        of key: UnsafeRawBufferPointer, hash: UInt64, now: UInt64
    ) -> EntryStanding {
        let found = shard(of: hash).pointee.state.withLock {
            $0.find(key, hash: hash)?.takeUnretainedValue()
        }
        guard let found else { return .none }
        if found.isInvalidated { return .invalidated }
        if found.isExpired(at: now) { return .expired }
        return found.isCurrent ? .current(found) : .writerInFlight(found)
    }

    /// Expired entries are removed so much later than they expire; nanoseconds.
    package func setRetention(_ nanoseconds: UInt64) {
        retention.store(nanoseconds, ordering: .relaxed)
    }

    /// What has expired by then may go.
    private func removalTime(_ now: UInt64) -> UInt64 {
        let retention = retention.load(ordering: .relaxed)
        return now > retention ? now - retention : 0
    }

    /// Drops `reply` if it is still in the cache.
    package func remove(_ reply: CachedReply) {
        var released = ReleasedReplies()
        shard(of: reply.hash).pointee.state.withLock { $0.remove(reply, releasing: &released) }
    }

    /// Stores a complete and good reply, copying `key`, `rowDescription` and `body`.
    ///
    /// `lease` must have been captured before the first byte of the query was sent. `expiry` is
    /// `.max` for never.
    package func store(
        key: UnsafeRawBufferPointer, hash: UInt64, rowDescription: ByteBuffer?, body: ByteBuffer,
        lease: FillLease, expiry: UInt64, now: UInt64
    ) -> StoreOutcome {
        let shard = shard(of: hash)
        let lease = Mutant.noRecheckAtFill.isActive ? lease.cells.capture() ?? lease : lease
        let rowDescriptionLength = rowDescription?.readableBytes ?? 0
        let length = CachedReply.blockLength(
            cells: lease.cells.count, key: key.count, rowDescription: rowDescriptionLength,
            body: body.readableBytes)
        let limits = limits
        guard let length,
            key.count + rowDescriptionLength + body.readableBytes <= limits.maximumEntry,
            CachedReply.cost(blockLength: length)
                <= CacheShard.largestCost(limit: limits.memory / shardCount)
        else { return shard.pointee.state.withLock { $0.refuseOversized() } }
        guard lease.isValid else {
            return shard.pointee.state.withLock { $0.refuseInvalidated() }
        }
        let reply = CachedReply(
            key: key, hash: hash, rowDescription: rowDescription, body: body, lease: lease,
            expiry: expiry, now: now)
        var released = ReleasedReplies()
        let outcome = shard.pointee.state.withLock { state in
            state.insert(reply, lease: lease, now: now, releasing: &released)
        }
        if let log, case .stored(let reply) = outcome { log.stored(reply) }
        return outcome
    }

    private func shard(of hash: UInt64) -> UnsafeMutablePointer<Shard> {
        // Bits that neither the shard's buckets nor its ghosts are chosen by.
        shards + (Int(truncatingIfNeeded: hash &>> 40) & (shardCount - 1))
    }
}

// MARK: - Housekeeping

extension ReplyCache {
    /// The limits in force.
    package var limits: CacheLimits {
        CacheLimits(
            memory: memory.load(ordering: .relaxed),
            maximumEntry: maximumEntry.load(ordering: .relaxed))
    }

    /// Changes the limits. On return the cache holds no more than the new ones allow. A larger
    /// `maximumEntry` is only used as far as a shard can hold it; entries already stored stay
    /// when it becomes smaller.
    package func setLimits(_ limits: CacheLimits) {
        let limits = limits.clamped
        resizing.withLock { _ in
            memory.store(limits.memory, ordering: .relaxed)
            maximumEntry.store(limits.maximumEntry, ordering: .relaxed)
            for index in 0..<shardCount {
                var isDone = false
                while !isDone {
                    // A bounded number per hold of the lock; freed between two holds.
                    var released = ReleasedReplies()
                    isDone = shards[index].state.withLock { state in
                        state.shrink(
                            to: limits.memory / shardCount, atMost: 256, releasing: &released)
                    }
                }
            }
        }
    }

    /// The entries of one shard, those that are worth the most first.
    package func entries(ofShard index: Int) -> [CachedReply] {
        shards[index].state.withLock { $0.allReplies() }
    }

    /// Forgets everything.
    package func removeAll() {
        for index in 0..<shardCount {
            var released = ReleasedReplies()
            shards[index].state.withLock { $0.removeAll(releasing: &released) }
        }
    }

    /// Removes expired and invalidated entries that nobody asks for any more. Visits about
    /// `budget` entries and empty buckets, going on where the last call ended, and at most each
    /// once. Returns how many entries it removed.
    package func sweep(now: UInt64, budget: Int) -> Int {
        let now = removalTime(now)
        var position = sweepPosition.withLock { $0 }
        var budget = budget
        var removed = 0
        var shardsLeft = shardCount
        while budget > 0, shardsLeft > 0 {
            // A bounded number per hold of the lock; freed between two holds.
            var part = min(budget, 128)
            budget -= part
            var released = ReleasedReplies()
            let next = shards[position.shard].state.withLock { state in
                state.sweep(from: position.bucket, budget: &part, now: now, releasing: &released)
            }
            budget += part
            removed += released.count
            if let next {
                position.bucket = next
            } else {
                position = SweepPosition(shard: (position.shard + 1) % shardCount, bucket: 0)
                shardsLeft -= 1
            }
        }
        sweepPosition.withLock { $0 = position }
        return removed
    }

    /// The counters of all shards, read one shard after the other.
    package var statistics: CacheStatistics {
        var total = CacheStatistics()
        for index in 0..<shardCount {
            total += shards[index].state.withLock { $0.statistics }
        }
        return total
    }
}
