import NIOCore
import Synchronization

/// The client connections there are: their number is bounded, and all of them can be drained.
/// Thread-safe.
package final class ConnectionRegistry: Sendable {
    private struct State {
        var drains: [ObjectIdentifier: @Sendable () -> Void] = [:]
        var channels: [ObjectIdentifier: any Channel] = [:]
        var admitted: Set<ObjectIdentifier> = []
        var limit: Int
        var isDraining = false
        var whenEmpty: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    package init(limit: Int) {
        state = Mutex(State(limit: limit))
    }

    /// How many sessions there may be at the same time.
    package var limit: Int {
        get { state.withLock { $0.limit } }
        set { state.withLock { $0.limit = newValue } }
    }

    package var count: Int { state.withLock { $0.channels.count } }

    func opened(channel: any Channel, drain: @escaping @Sendable () -> Void) {
        let drainsNow = state.withLock { state in
            state.drains[ObjectIdentifier(channel)] = drain
            state.channels[ObjectIdentifier(channel)] = channel
            return state.isDraining
        }
        if drainsNow { drain() }
    }

    /// Counts a connection as a session; false where there are as many as may be.
    func admits(_ channel: any Channel) -> Bool {
        state.withLock { state in
            guard state.admitted.count < state.limit else { return false }
            state.admitted.insert(ObjectIdentifier(channel))
            return true
        }
    }

    func closed(channel: any Channel) {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.drains[ObjectIdentifier(channel)] = nil
            state.channels[ObjectIdentifier(channel)] = nil
            state.admitted.remove(ObjectIdentifier(channel))
            guard state.channels.isEmpty else { return [] }
            defer { state.whenEmpty = [] }
            return state.whenEmpty
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Asks every session to end as soon as what it is running has ended, and returns when all have.
    package func drain() async {
        let drains = state.withLock { state in
            state.isDraining = true
            return Array(state.drains.values)
        }
        for drain in drains { drain() }
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if !state.channels.isEmpty { state.whenEmpty.append(continuation) }
                return state.channels.isEmpty
            }
            if isEmpty { continuation.resume() }
        }
    }

    /// Closes whatever is left, running statements included.
    package func closeAll() {
        let channels = state.withLock { Array($0.channels.values) }
        for channel in channels { channel.close(promise: nil) }
    }
}
