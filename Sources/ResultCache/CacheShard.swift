/// One shard's table: entries by key, and which of them to keep. Used under the shard's lock.
///
/// Lookup is by a chained hash table whose links are in the entries. Eviction is S3-FIFO (Yang,
/// Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023): a new
/// entry enters a small queue, a tenth of the bytes; at its end it moves to the main queue if it
/// was hit more than once, and otherwise leaves, remembered by the ghost table; one that comes
/// back while remembered enters the main queue directly. At the end of the main queue an entry
/// that was hit goes round again, each time for one hit less. So a scan of answers that nobody
/// asks for twice passes through a tenth of the memory.
struct CacheShard: ~Copyable, @unchecked Sendable {
    // Sendable: it only ever lives inside its shard's mutex.

    private static let smallestTable = 16
    static let highestFrequency: UInt8 = 3

    /// Chain heads. Each non-nil chain member carries one reference count, held by the shard.
    private var buckets = UnsafeMutableBufferPointer<ReplyPointer?>(start: nil, count: 0)
    private var ghosts = GhostTable(capacity: 0)
    private var small = ReplyQueue(.small)
    private var main = ReplyQueue(.main)
    private var counters = CacheStatistics()
    /// Bytes for entries and tables together.
    private var limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    deinit {
        for bucket in buckets {
            var next = bucket
            while let pointer = next {
                next = pointer._withUnsafeGuaranteedRef { $0.nextInChain }
                pointer.release()
            }
        }
        buckets.deallocate()
    }

    private var entries: Int { small.count + main.count }

    private var bytes: Int { small.bytes + main.bytes + Self.tableBytes(buckets.count) }

    /// All entries: those first that were asked for most often since they entered their queue, of
    /// equal ones those of the main queue, and then the youngest.
    func allReplies() -> [CachedReply] {
        var byFrequency: [[CachedReply]] = [[], [], [], []]
        main.forEach { byFrequency[Int(min($0.frequency, 3))].append($0) }
        small.forEach { byFrequency[Int(min($0.frequency, 3))].append($0) }
        return Array(byFrequency.reversed().joined())
    }

    var statistics: CacheStatistics {
        var snapshot = counters
        snapshot.entries = entries
        snapshot.bytes = bytes
        return snapshot
    }

    /// What a table of `capacity` buckets and as many ghosts takes.
    private static func tableBytes(_ capacity: Int) -> Int {
        capacity == 0 ? 0 : 2 * HeapCost.block(capacity * 8)
    }

    /// An eighth of a shard is for its tables, so an entry above the rest can never fit. Nothing
    /// fits into a shard whose eighth does not hold the smallest table.
    static func largestCost(limit: Int) -> Int {
        tableBytes(smallestTable) <= limit / 8 ? limit - limit / 8 : -1
    }
}

// MARK: - Looking up

extension CacheShard {
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64) -> ReplyPointer? {
        guard !buckets.isEmpty else { return nil }
        var next = buckets[bucket(of: hash)]
        while let pointer = next {
            if pointer._withUnsafeGuaranteedRef({ $0.matches(key, hash: hash) }) {
                return pointer
            }
            next = pointer._withUnsafeGuaranteedRef { $0.nextInChain }
        }
        return nil
    }

    /// `find` for a read that will be answered: counts the hit, and gives a reference of its own.
    func hit(_ key: UnsafeRawBufferPointer, hash: UInt64) -> CachedReply? {
        guard let reply = find(key, hash: hash)?.takeUnretainedValue() else { return nil }
        // The common entry is at the top already: then nothing is written to its cache line.
        if reply.frequency < Self.highestFrequency { reply.frequency += 1 }
        return reply
    }

    private func bucket(of hash: UInt64) -> Int {
        Int(truncatingIfNeeded: hash) & (buckets.count - 1)
    }
}

// MARK: - Storing

extension CacheShard {
    /// Puts `reply` in, in place of what is under its key, making room for it first.
    mutating func insert(
        _ reply: CachedReply, lease: FillLease, now: UInt64,
        releasing released: inout ReleasedReplies
    ) -> StoreOutcome {
        guard reply.cost <= Self.largestCost(limit: limit) else { return refuseOversized() }
        if let old = find(reply.key, hash: reply.hash) {
            if !discardIfDead(old, now: now, releasing: &released) {
                counters.replacements += 1
                discard(old, releasing: &released)
            }
        }
        grow(reserving: reply.cost, now: now, releasing: &released)
        makeRoom(for: reply.cost, now: now, releasing: &released)

        // Last of all, and with the sum from before the query was sent. A window that opened
        // and closed since then has moved a version, so the sum differs. One that opens from
        // here on is harmless: while it is open, and after it has committed, the entry's sum is
        // not that of its cells. So this check only spares the memory of an entry born dead;
        // it is the stamp, taken before the query, that a stale answer cannot pass.
        guard lease.isValid else { return refuseInvalidated() }

        reply.frequency = 0
        let pointer = Unmanaged.passRetained(reply)
        let index = bucket(of: reply.hash)
        reply.nextInChain = buckets[index]
        buckets[index] = pointer
        if ghosts.remove(reply.hash) {
            main.append(pointer)
        } else {
            small.append(pointer)
        }
        counters.stores += 1
        return .stored(reply)
    }

    mutating func refuseOversized() -> StoreOutcome {
        counters.oversizedFills += 1
        return .tooLarge
    }

    mutating func refuseInvalidated() -> StoreOutcome {
        counters.invalidatedFills += 1
        return .invalidated
    }

    /// Doubles the tables when there are as many entries as buckets. Old and new tables exist
    /// together for a moment, so both have to fit; where that would take more than an eighth of
    /// the shard for the new ones, chains grow longer instead.
    private mutating func grow(
        reserving cost: Int, now: UInt64, releasing released: inout ReleasedReplies
    ) {
        guard entries >= buckets.count else { return }
        let capacity = max(Self.smallestTable, buckets.count * 2)
        guard Self.tableBytes(capacity) <= limit / 8,
            cost + Self.tableBytes(buckets.count) + Self.tableBytes(capacity) <= limit
        else { return }
        makeRoom(for: cost + Self.tableBytes(capacity), now: now, releasing: &released)
        resize(to: capacity)
    }

    private mutating func resize(to capacity: Int) {
        let old = buckets
        let new = UnsafeMutableBufferPointer<ReplyPointer?>.allocate(capacity: capacity)
        new.initialize(repeating: nil)
        buckets = new
        ghosts = ghosts.resized(to: capacity)
        for bucket in old {
            var next = bucket
            while let pointer = next {
                pointer._withUnsafeGuaranteedRef { reply in
                    next = reply.nextInChain
                    let index = self.bucket(of: reply.hash)
                    reply.nextInChain = buckets[index]
                    buckets[index] = pointer
                }
            }
        }
        old.deallocate()
    }
}

// MARK: - Leaving

extension CacheShard {
    /// Removes `reply` if it is still in the table and dead: invalidated or expired.
    mutating func removeIfDead(
        _ reply: CachedReply, now: UInt64, releasing released: inout ReleasedReplies
    ) {
        guard reply.place != .outside else { return }
        _ = discardIfDead(Unmanaged.passUnretained(reply), now: now, releasing: &released)
    }

    /// Removes `reply` if it is still in the table, whatever it is worth.
    mutating func remove(_ reply: CachedReply, releasing released: inout ReleasedReplies) {
        guard reply.place != .outside else { return }
        counters.removals += 1
        discard(Unmanaged.passUnretained(reply), releasing: &released)
    }

    mutating func removeAll(releasing released: inout ReleasedReplies) {
        while let pointer = main.tail ?? small.tail {
            counters.removals += 1
            discard(pointer, releasing: &released)
        }
        resize(to: 0)
    }

    /// Evicts at most `maximum` entries towards a new limit. Returns whether it is reached.
    mutating func shrink(
        to limit: Int, atMost maximum: Int, releasing released: inout ReleasedReplies
    ) -> Bool {
        self.limit = limit
        // Expiry is not judged here: 0 is before any.
        while bytes > limit, entries > 0, released.count < maximum {
            evict(now: 0, releasing: &released)
        }
        guard bytes <= limit || entries == 0 else { return false }
        if Self.tableBytes(buckets.count) > limit / 8 {
            var capacity = buckets.count
            while capacity > 0, Self.tableBytes(capacity) > limit / 8 {
                capacity = capacity > Self.smallestTable ? capacity / 2 : 0
            }
            if capacity == 0, entries > 0 {
                while entries > 0, released.count < maximum { evict(now: 0, releasing: &released) }
                guard entries == 0 else { return false }
            }
            resize(to: capacity)
        }
        return true
    }

    /// Visits entries from bucket `start` on and removes dead ones. Stops after about `budget`
    /// visits (an empty bucket is one, a chain is not broken off). Returns the bucket to go on
    /// with, or nil at the end of the shard.
    mutating func sweep(
        from start: Int, budget: inout Int, now: UInt64, releasing released: inout ReleasedReplies
    ) -> Int? {
        var index = start
        while index < buckets.count {
            guard budget > 0 else { return index }
            budget -= 1
            var next = buckets[index]
            while let pointer = next {
                next = pointer._withUnsafeGuaranteedRef { $0.nextInChain }
                _ = discardIfDead(pointer, now: now, releasing: &released)
                budget -= 1
            }
            index += 1
        }
        return nil
    }

    private mutating func makeRoom(
        for cost: Int, now: UInt64, releasing released: inout ReleasedReplies
    ) {
        while bytes + cost > limit, entries > 0 {
            evict(now: now, releasing: &released)
        }
    }

    /// One step of eviction: an entry leaves, or moves to the main queue, or has one hit less.
    private mutating func evict(now: UInt64, releasing released: inout ReleasedReplies) {
        let takesSmall = small.count > 0 && (small.bytes > limit / 10 || main.count == 0)
        guard let pointer = takesSmall ? small.tail : main.tail ?? small.tail,
            !discardIfDead(pointer, now: now, releasing: &released)
        else { return }
        let reply = pointer.takeUnretainedValue()
        if reply.place == .small, reply.frequency > 1 {
            small.remove(pointer)
            reply.frequency = 0
            main.append(pointer)
        } else if reply.place == .main, reply.frequency > 0 {
            main.remove(pointer)
            reply.frequency -= 1
            main.append(pointer)
        } else {
            if reply.place == .small { ghosts.insert(reply.hash) }
            counters.evictions += 1
            discard(pointer, releasing: &released)
        }
    }

    private mutating func discardIfDead(
        _ pointer: ReplyPointer, now: UInt64, releasing released: inout ReleasedReplies
    ) -> Bool {
        let reply = pointer.takeUnretainedValue()
        if reply.isInvalidated {
            counters.invalidations += 1
        } else if reply.isExpired(at: now) {
            counters.expirations += 1
        } else {
            return false
        }
        // Its answer is gone, but not the knowledge that it is asked for again and again: its
        // next answer need not prove itself anew.
        if reply.place == .main || reply.frequency > 1 { ghosts.insert(reply.hash) }
        discard(pointer, releasing: &released)
        return true
    }

    private mutating func discard(
        _ pointer: ReplyPointer, releasing released: inout ReleasedReplies
    ) {
        let reply = pointer.takeUnretainedValue()
        let index = bucket(of: reply.hash)
        if buckets[index]?.toOpaque() == pointer.toOpaque() {
            buckets[index] = reply.nextInChain
        } else {
            var previous = buckets[index]
            while let candidate = previous?.takeUnretainedValue() {
                if candidate.nextInChain?.toOpaque() == pointer.toOpaque() {
                    candidate.nextInChain = reply.nextInChain
                    break
                }
                previous = candidate.nextInChain
            }
        }
        reply.nextInChain = nil
        if reply.place == .small { small.remove(pointer) } else { main.remove(pointer) }
        released.add(pointer)
    }
}
