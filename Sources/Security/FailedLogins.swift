import Synchronization

/// Counts failed logins by address and says when one has had enough of them. Thread-safe.
///
/// A sliding window made of two fixed ones: what failed in the last counts less, the longer it is
/// over. Its memory is bounded: where too many addresses fail within a window, the window is
/// taken to be over.
package final class FailedLogins: Sendable {
    private struct State {
        var start: UInt64 = 0
        var current: [PeerAddress.Group: Int] = [:]
        var last: [PeerAddress.Group: Int] = [:]
    }

    private static let maximumAddresses = 16_384

    private let state = Mutex(State())

    package init() {}

    /// Of how many addresses something is remembered.
    var count: Int { state.withLock { $0.current.count + $0.last.count } }

    /// Whether `group` may try (again).
    ///
    /// - Parameters:
    ///   - limit: failures within the window; 0 for any number.
    ///   - window: in nanoseconds.
    ///   - now: monotonic, in nanoseconds.
    package func allows(
        _ group: PeerAddress.Group?, limit: Int, window: UInt64, now: UInt64
    ) -> Bool {
        guard let group, limit > 0 else { return true }
        return state.withLock { state in
            Self.advance(&state, window, now)
            let left = 1 - Double(now &- state.start) / Double(max(1, window))
            let weighted = Double(state.last[group] ?? 0) * min(1, max(0, left))
            return Double(state.current[group] ?? 0) + weighted < Double(limit)
        }
    }

    package func failed(_ group: PeerAddress.Group?, window: UInt64, now: UInt64) {
        guard let group else { return }
        state.withLock { state in
            Self.advance(&state, window, now)
            if state.current.count >= Self.maximumAddresses, state.current[group] == nil {
                state.last = state.current
                state.current = [:]
                state.start = now
            }
            let count = state.current[group] ?? 0
            state.current[group] = min(count + 1, 1_000_000)
        }
    }

    private static func advance(_ state: inout State, _ window: UInt64, _ now: UInt64) {
        guard now >= state.start, now - state.start >= window else { return }
        let isNext = (now - state.start) / 2 < window
        state.last = isNext ? state.current : [:]
        state.current = [:]
        state.start = isNext ? state.start + window : now
    }
}
