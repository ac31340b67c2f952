import DequeModule
import NIOCore
import PostgresWire
import Synchronization

/// Who may use the writing connection: one link at a time, in order of asking.
final class WriterGate: Sendable {
    private struct Waiter: Sendable {
        let id: UInt64
        let eventLoop: any EventLoop
        let timeout: Scheduled<Void>
        let granted: @Sendable (Bool) -> Void
    }

    private struct State {
        var isTaken = false
        var nextID: UInt64 = 0
        var waiting: Deque<Waiter> = []
    }

    private let maximumWaiting: Int
    private let state = Mutex(State())

    init(maximumWaiting: Int) {
        self.maximumWaiting = maximumWaiting
    }

    /// Calls `granted` once on `eventLoop`: true when the caller owns the writer and must
    /// `release` it, false when `timeout` has passed or too many wait.
    func acquire(
        on eventLoop: any EventLoop, timeout: Duration, granted: @escaping @Sendable (Bool) -> Void
    ) {
        let answer: Bool? = state.withLock { state in
            if !state.isTaken {
                state.isTaken = true
                return true
            }
            guard state.waiting.count < maximumWaiting else { return false }
            let id = state.nextID
            state.nextID += 1
            let scheduled = eventLoop.scheduleTask(in: TimeAmount(timeout)) { [self] in
                if giveUp(id) { granted(false) }
            }
            state.waiting.append(
                Waiter(id: id, eventLoop: eventLoop, timeout: scheduled, granted: granted))
            return nil
        }
        if let answer { eventLoop.execute { granted(answer) } }
    }

    private func giveUp(_ id: UInt64) -> Bool {
        state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.id == id }) else { return false }
            state.waiting.remove(at: index)
            return true
        }
    }

    /// Hands the writer to the next in line. From any thread.
    func release() {
        let next = state.withLock { state in
            let next = state.waiting.popFirst()
            if next == nil { state.isTaken = false }
            return next
        }
        guard let next else { return }
        next.timeout.cancel()
        next.eventLoop.execute { next.granted(true) }
    }

    /// Links that wait for the writer.
    var waitingCount: Int { state.withLock { $0.waiting.count } }
}
