import DequeModule
import PostgresWire
import Synchronization

/// The reading connections, leased to one link at a time.
///
/// A reader that a link keeps (a snapshot, an unfinished portal, a client that does not take its
/// rows) does not count against the readers that run, so that a few slow clients cannot stop the
/// others: further ones are opened, up to `maximum`.
final class ReaderPool: Sendable {
    typealias Grant = @Sendable (Result<SQLiteWorker, PostgresError>) -> Void

    private struct State {
        var idle: [SQLiteWorker] = []
        var open = 0
        var stalled = 0
        var waiting: Deque<Grant> = []
        var isStopped = false
    }

    private let base: Int
    private let maximum: Int
    private let maximumWaiting: Int
    private let make: @Sendable () -> SQLiteWorker
    private let state = Mutex(State())

    init(
        base: Int, maximum: Int, maximumWaiting: Int, make: @escaping @Sendable () -> SQLiteWorker
    ) {
        self.base = max(1, base)
        self.maximum = max(self.base, maximum)
        self.maximumWaiting = maximumWaiting
        self.make = make
    }

    /// Calls `grant` once, at once or when a reader comes free, on any thread.
    func lease(_ grant: @escaping Grant) {
        let answer: Result<SQLiteWorker, PostgresError>? = state.withLock { state in
            if state.isStopped {
                return .failure(
                    PostgresError(.adminShutdown, "the SQLite upstream is shutting down"))
            }
            if let worker = state.idle.popLast() { return .success(worker) }
            if let worker = openAnother(&state) { return .success(worker) }
            guard state.waiting.count < maximumWaiting else {
                return .failure(
                    PostgresError(
                        .tooManyConnections, "too many statements wait for a SQLite reader"))
            }
            state.waiting.append(grant)
            return nil
        }
        if let answer { grant(answer) }
    }

    private func openAnother(_ state: inout State) -> SQLiteWorker? {
        guard state.open - state.stalled < base, state.open < maximum else { return nil }
        state.open += 1
        return make()
    }

    func release(_ worker: SQLiteWorker) {
        let next: Grant? = state.withLock { state in
            if let next = state.waiting.popFirst() { return next }
            if state.isStopped || state.open - state.stalled > base {
                state.open -= 1
                worker.stop()
            } else {
                state.idle.append(worker)
            }
            return nil
        }
        next?(.success(worker))
    }

    /// Counts a leased reader as kept. False where as many are kept as may be.
    func stall() -> Bool {
        let (isStalled, grant): (Bool, (Grant, SQLiteWorker)?) = state.withLock { state in
            guard state.stalled < maximum - base else { return (false, nil) }
            state.stalled += 1
            guard !state.waiting.isEmpty, let worker = openAnother(&state) else {
                return (true, nil)
            }
            return (true, state.waiting.popFirst().map { ($0, worker) })
        }
        if let grant { grant.0(.success(grant.1)) }
        return isStalled
    }

    func unstall() {
        state.withLock { $0.stalled -= 1 }
    }

    func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            for worker in state.idle { worker.stop() }
            state.open -= state.idle.count
            state.idle = []
            defer { state.waiting = [] }
            return state.waiting
        }
        for grant in waiting {
            grant(.failure(PostgresError(.adminShutdown, "the SQLite upstream is shutting down")))
        }
    }

    /// Readers open, and those of them that are kept.
    var counts: (open: Int, stalled: Int) { state.withLock { ($0.open, $0.stalled) } }
}
