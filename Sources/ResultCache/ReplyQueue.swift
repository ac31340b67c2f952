typealias ReplyPointer = Unmanaged<CachedReply>

/// A first-in first-out queue of entries, linked through the entries themselves, so that any of
/// them can leave at once and nothing is allocated. Owned by one shard, used under its lock; the
/// shard's reference to an entry is not counted twice.
struct ReplyQueue: ~Copyable {
    let place: CachedReply.Place
    /// The newest entry.
    private var head: ReplyPointer?
    /// The oldest: the next to leave.
    private(set) var tail: ReplyPointer?
    private(set) var count = 0
    private(set) var bytes = 0

    init(_ place: CachedReply.Place) {
        self.place = place
    }

    mutating func append(_ pointer: ReplyPointer) {
        pointer._withUnsafeGuaranteedRef { reply in
            reply.place = place
            reply.previousInQueue = nil
            reply.nextInQueue = head
            count += 1
            bytes += reply.cost
        }
        if let head {
            head._withUnsafeGuaranteedRef { $0.previousInQueue = pointer }
        } else {
            tail = pointer
        }
        head = pointer
    }

    /// From the newest to the oldest.
    borrowing func forEach(_ body: (CachedReply) -> Void) {
        var next = head
        while let pointer = next {
            let reply = pointer.takeUnretainedValue()
            body(reply)
            next = reply.nextInQueue
        }
    }

    mutating func remove(_ pointer: ReplyPointer) {
        pointer._withUnsafeGuaranteedRef { reply in
            if let previous = reply.previousInQueue {
                previous._withUnsafeGuaranteedRef { $0.nextInQueue = reply.nextInQueue }
            } else {
                head = reply.nextInQueue
            }
            if let next = reply.nextInQueue {
                next._withUnsafeGuaranteedRef { $0.previousInQueue = reply.previousInQueue }
            } else {
                tail = reply.previousInQueue
            }
            reply.nextInQueue = nil
            reply.previousInQueue = nil
            reply.place = .outside
            count -= 1
            bytes -= reply.cost
        }
    }
}

/// Entries that have left the cache and are freed when this goes out of scope: after the shard's
/// lock, because freeing under it would make every reader of the shard wait.
struct ReleasedReplies: ~Copyable {
    private var head: ReplyPointer?
    private(set) var count = 0

    mutating func add(_ pointer: ReplyPointer) {
        pointer._withUnsafeGuaranteedRef { $0.nextInQueue = head }
        head = pointer
        count += 1
    }

    deinit {
        var next = head
        while let pointer = next {
            next = pointer._withUnsafeGuaranteedRef { $0.nextInQueue }
            pointer._withUnsafeGuaranteedRef { $0.nextInQueue = nil }
            pointer.release()
        }
    }
}
