import Synchronization

/// How many connections there may be from one address, and how many that have not shown yet who
/// they are. Thread-safe. Its memory is that of the connections it counts.
package final class ConnectionQuota: Sendable {
    package struct Limits: Hashable, Sendable {
        /// Not yet authenticated, of all addresses; apart from the limit of sessions.
        package var pending: Int
        package var pendingPerAddress: Int
        /// Authenticated or not; 0 for any number.
        package var perAddress: Int

        package init(pending: Int = 2000, pendingPerAddress: Int = 1000, perAddress: Int = 0) {
            self.pending = pending
            self.pendingPerAddress = pendingPerAddress
            self.perAddress = perAddress
        }
    }

    package enum Excess: Hashable, Sendable {
        case pending
        case pendingFromAddress
        case fromAddress
    }

    private struct Count {
        var all = 0
        var pending = 0
    }

    private struct State {
        var pending = 0
        /// The key is nil for peers that cannot be told apart: their own limit is `pending`.
        var addresses: [PeerAddress.Group: Count] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    package var pending: Int { state.withLock { $0.pending } }

    /// How many addresses have connections.
    var addressCount: Int { state.withLock { $0.addresses.count } }

    /// Counts a new connection, or says why there may be no further one.
    package func open(_ group: PeerAddress.Group?, _ limits: Limits) -> Excess? {
        state.withLock { state in
            guard state.pending < limits.pending else { return .pending }
            if let group {
                var count = state.addresses[group] ?? Count()
                guard count.pending < limits.pendingPerAddress else { return .pendingFromAddress }
                guard limits.perAddress == 0 || count.all < limits.perAddress else {
                    return .fromAddress
                }
                count.all += 1
                count.pending += 1
                state.addresses[group] = count
            }
            state.pending += 1
            return nil
        }
    }

    /// A connection that was counted has become a session.
    package func authenticated(_ group: PeerAddress.Group?) {
        state.withLock { state in
            state.pending -= 1
            if let group { state.addresses[group]?.pending -= 1 }
        }
    }

    /// A connection that was counted has ended.
    package func close(_ group: PeerAddress.Group?, isPending: Bool) {
        state.withLock { state in
            if isPending { state.pending -= 1 }
            guard let group, var count = state.addresses[group] else { return }
            count.all -= 1
            if isPending { count.pending -= 1 }
            state.addresses[group] = count.all > 0 ? count : nil
        }
    }
}
