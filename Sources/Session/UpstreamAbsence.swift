import Synchronization

/// Whether the upstream cannot be reached, and may for that reason be answered for from memory with
/// what is no longer certain (`cache.stale_if_error`): answers that have expired, or whose node has
/// lost its right to serve. What a write is known to have made wrong is never answered.
///
/// Read for statements that are not found in memory; atomic words.
package final class UpstreamAbsence: Sendable {
    /// Nanoseconds of the monotonic clock; 0: it is there.
    private let since = Atomic<UInt64>(0)
    private let limit = Atomic<UInt64>(0)

    package init() {}

    /// For how long answers are given without the upstream; nanoseconds, 0: not at all.
    package var allowance: UInt64 {
        get { limit.load(ordering: .relaxed) }
        set { limit.store(newValue, ordering: .relaxed) }
    }

    /// Whether it is away as far as is known.
    package var isAway: Bool { since.load(ordering: .relaxed) != 0 }

    /// It was found to be away, or there. Returns whether that is news.
    package func note(isAway: Bool, now: UInt64) -> Bool {
        guard isAway != self.isAway else { return false }
        since.store(isAway ? max(1, now) : 0, ordering: .relaxed)
        return true
    }

    /// How long it has been away, where answers may still be given without it; nanoseconds.
    func duration(now: UInt64) -> UInt64? {
        let since = since.load(ordering: .relaxed)
        guard since != 0, now >= since, now - since < allowance else { return nil }
        return now - since
    }
}
