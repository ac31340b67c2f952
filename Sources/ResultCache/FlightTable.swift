import Synchronization

/// Single flight: identical misses share one execution upstream.
///
/// Why an answer that was asked for before a follower came may be given to it. Let the leader have
/// captured its lease at c, before its query was sent, and the follower its own at f, after its
/// statement arrived; the query ran on a snapshot s, c < s, and the reply is sent after s and f.
/// A follower is accepted only if both leases name the same cells and the same sum, so on none of
/// these cells was a writer in flight at c or at f, nor was any window on them closed as committed
/// in between: whatever opened between c and f was aborted before f. A commit becomes visible only
/// within its window, so no commit on these cells became visible between c and f, which means that
/// the relations' contents at s, if s < f, are those at f. The linearization point is max(s, f):
/// it lies after the follower's arrival and before its reply. That holds whether or not the reply
/// could be stored: what moves cells after f may at most put s after f.
///
/// A query that arrives with another lease must not follow. Where the running flight's lease
/// has lost its validity and the newcomer's has not, the newcomer leads a flight of its own that
/// those after it can join: otherwise every read that arrives between a write and the end of an
/// old, slow execution would run alone, which is the stampede that this exists to prevent.
///
/// Lock order: a shard's, then a flight's. Callbacks run outside of both. There are never more
/// flights than misses being executed.
package final class FlightTable: Sendable {
    struct Key: Hashable, Sendable {
        let bytes: [UInt8]
        let hash: UInt64

        func hash(into hasher: inout Hasher) {
            hasher.combine(hash)
        }
    }

    private final class Shard: Sendable {
        let flights = Mutex<[Key: FlightState]>([:])
    }

    private let shards: [Shard]
    private let maximumFollowers: Int

    /// - Parameters:
    ///   - shardCount: rounded down to a power of two between 1 and 1024.
    ///   - maximumFollowers: how many may wait for one flight; the others run alone.
    package init(shardCount: Int = 64, maximumFollowers: Int = 1024) {
        var count = 1
        while count * 2 <= min(shardCount, 1024) { count *= 2 }
        shards = (0..<count).map { _ in Shard() }
        self.maximumFollowers = max(0, maximumFollowers)
    }

    /// How many flights others could join now.
    package var count: Int {
        shards.reduce(0) { total, shard in total + shard.flights.withLock { $0.count } }
    }

    /// Decides who executes a miss. `key` and `hash` are those of the lookup that missed; `lease`
    /// was captured after the statement arrived and before anything is sent for it.
    ///
    /// `onEnd` is called at most once, only if the role is `follower`, from the thread that ends
    /// the flight; possibly before this returns to its caller. It must not block: hop to the
    /// session's event loop. The leader stores its reply before it finishes, so whoever misses
    /// after the flight has ended finds the reply in the cache, or has another lease.
    package func join(
        key: UnsafeRawBufferPointer, hash: UInt64, lease: FillLease,
        onEnd: @escaping @Sendable (FlightOutcome) -> Void
    ) -> FlightRole {
        let key = Key(bytes: Array(key), hash: hash)
        return shard(of: hash).flights.withLock { flights in
            if let running = flights[key] {
                switch running.admit(lease, maximumFollowers: maximumFollowers, onEnd: onEnd) {
                case .accepted(let ticket): return .follower(ticket)
                case .full: return .independent
                case .otherLease:
                    guard !running.lease.isValid, lease.isValid else { return .independent }
                case .ended: break
                }
            }
            let state = FlightState(lease: lease)
            flights[key] = state
            return .leader(Flight(state: state, key: key, table: self))
        }
    }

    /// Takes a flight that ends off the table, unless another one has taken its place.
    func remove(_ state: FlightState, key: Key) {
        shard(of: key.hash).flights.withLock { flights in
            if flights[key] === state { flights[key] = nil }
        }
    }

    private func shard(of hash: UInt64) -> Shard {
        shards[Int(truncatingIfNeeded: hash &>> 40) & (shards.count - 1)]
    }
}
