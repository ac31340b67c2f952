import Mutants
import Synchronization

/// Which followers hold a lease, and which records they have acknowledged: what a commit has to
/// wait for where mirrors are synchronous.
///
/// A follower that holds a lease answers reads from memory; a write must not become visible before
/// it knows of it, or its lease has run out. `now` is nanoseconds of the monotonic clock. Thread-safe.
package final class FollowerTable: Sendable {
    private struct Follower {
        var acknowledged: UInt64
        var leaseEnd: UInt64
    }

    private struct Waiter {
        let index: UInt64
        let then: @Sendable () -> Void
    }

    private struct State {
        var followers: [UInt64: Follower] = [:]
        var waiters: [Waiter] = []
    }

    /// Whether commits wait at all.
    package let isSynchronous: Bool
    /// How long a lease is, in nanoseconds.
    package let lease: UInt64
    private let state: Mutex<State>

    /// What a follower's clock may run slower than this one's while it holds a lease: one part in
    /// this many.
    private static let clockDrift: UInt64 = 50

    /// - Parameter now: where given, a lease that an earlier process may have promised somebody is
    ///   taken to have been promised just then.
    package init(isSynchronous: Bool, lease: UInt64, now: UInt64?) {
        self.isSynchronous = isSynchronous
        self.lease = lease
        var state = State()
        if let now, isSynchronous {
            state.followers[0] = Follower(
                acknowledged: 0, leaseEnd: now + lease + lease / Self.clockDrift)
        }
        self.state = Mutex(state)
    }

    /// A follower's heartbeat is about to be answered, at an instant at which nothing is appended to
    /// the log: it holds a lease from here on, and knows, before it uses that, of all that has been
    /// appended.
    package func grant(_ follower: UInt64, acknowledged: UInt64, now: UInt64) {
        state.withLock { state in
            let end = now + lease + lease / Self.clockDrift
            state.followers[follower] = Follower(
                acknowledged: max(acknowledged, state.followers[follower]?.acknowledged ?? 0),
                leaseEnd: end)
        }
    }

    /// Somebody may hold a lease until then of whom nothing is known here: the predecessor's.
    package func hold(until deadline: UInt64) {
        guard isSynchronous, !Mutant.takeOverForgetsLeases.isActive else { return }
        state.withLock { $0.followers[0] = Follower(acknowledged: 0, leaseEnd: deadline) }
    }

    /// A follower has applied all up to `index`.
    package func acknowledged(_ follower: UInt64, _ index: UInt64, now: UInt64) {
        release(now: now) { state in
            guard let known = state.followers[follower] else { return }
            state.followers[follower]?.acknowledged = max(known.acknowledged, index)
        }
    }

    /// To be called now and then: leases run out.
    package func expire(now: UInt64) {
        release(now: now) { _ in }
    }

    /// Whether every follower that may hold a lease knows of the record `index`.
    package func isKnown(_ index: UInt64, now: UInt64) -> Bool {
        guard isSynchronous, index != 0, !Mutant.commitDoesNotWaitForFollowers.isActive else {
            return true
        }
        return state.withLock { Self.known(&$0, now: now) >= index }
    }

    /// Calls `then`, on any thread and perhaps at once, when every follower that may hold a lease
    /// knows of the record `index`.
    package func whenKnown(_ index: UInt64, now: UInt64, _ then: @escaping @Sendable () -> Void) {
        let isKnown = state.withLock { state in
            if Self.known(&state, now: now) >= index { return true }
            state.waiters.append(Waiter(index: index, then: then))
            return false
        }
        if isKnown { then() }
    }

    /// How many hold a lease, and how many commits wait.
    package func figures(now: UInt64) -> (leases: Int, waiting: Int) {
        state.withLock { state in
            (state.followers.values.count { $0.leaseEnd > now }, state.waiters.count)
        }
    }

    private func release(now: UInt64, _ change: (inout State) -> Void) {
        let released = state.withLock { state in
            change(&state)
            guard !state.waiters.isEmpty else { return [Waiter]() }
            let known = Self.known(&state, now: now)
            let released = state.waiters.filter { $0.index <= known }
            if !released.isEmpty { state.waiters.removeAll { $0.index <= known } }
            return released
        }
        for waiter in released { waiter.then() }
    }

    /// Forgets who holds no lease any more, and returns what all others have acknowledged.
    private static func known(_ state: inout State, now: UInt64) -> UInt64 {
        var known = UInt64.max
        for (id, follower) in state.followers {
            if follower.leaseEnd <= now {
                state.followers[id] = nil
            } else {
                known = min(known, follower.acknowledged)
            }
        }
        return known
    }
}
