import Synchronization
import Testing

@testable import Replication

/// A database that says who leads as a test wants it, and notes in which order it is asked for what.
final class FakeArbiter: LeadershipArbiter {
    struct Unreachable: Error {}

    enum Event: Hashable {
        case tookLock, endedSessions, failedToEndSessions, handedOver, yielded, resigned
        /// What was so when the other was called.
        case onLeadWithRight(Bool)
        case onFollowWithRight(Bool)
    }

    private struct State {
        var isFree = true
        var isLeading = false
        var failsToEnd = 0
        var isSilent = false
        var events: [Event] = []
    }

    private let state = Mutex(State())

    var events: [Event] { state.withLock { $0.events } }

    func mayEndSessions() async throws -> Bool { true }

    func note(_ event: Event) { state.withLock { $0.events.append(event) } }

    func set(free: Bool) { state.withLock { $0.isFree = free } }

    func failToEndSessions(_ times: Int) { state.withLock { $0.failsToEnd = times } }

    /// The lock is somebody else's.
    func loseLock() {
        state.withLock { state in
            state.isLeading = false
            state.isFree = false
        }
    }

    func tryToLead() async throws -> Bool {
        state.withLock { state in
            guard state.isFree || state.isLeading else { return false }
            if !state.isLeading { state.events.append(.tookLock) }
            (state.isFree, state.isLeading) = (false, true)
            return true
        }
    }

    func waitToLead() async throws -> Bool { try await tryToLead() }

    /// Gives the lock to whoever asks next.
    func yield() async throws {
        state.withLock { state in
            state.isLeading = false
            state.events.append(.yielded)
        }
    }

    func isLeading() async throws -> Bool { state.withLock { $0.isLeading } }

    func endSessions() async throws -> Int {
        try state.withLock { state in
            guard state.failsToEnd == 0 else {
                state.failsToEnd -= 1
                state.events.append(.failedToEndSessions)
                throw Unreachable()
            }
            state.events.append(.endedSessions)
            return 1
        }
    }

    func resign() async {
        state.withLock { state in
            state.isLeading = false
            state.events.append(.resigned)
        }
    }
}

/// Waits until something is so; what takes longer than this is not going to happen. (Long, because
/// tests that search state spaces keep all threads to themselves meanwhile.)
func eventually(
    _ what: Comment, _ condition: @Sendable () -> Bool,
    at location: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now + .seconds(300)
    while !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record(what, sourceLocation: location)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(1))
    }
}
