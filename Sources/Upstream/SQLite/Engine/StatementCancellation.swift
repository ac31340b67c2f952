import CSQLite
import PostgresWire
import Synchronization

/// Stops the statement that one link is running, and no other link's. From any thread.
final class StatementCancellation: Sendable {
    enum Reason: Int, Sendable {
        case none, userRequest, statementTimeout, linkClosed
    }

    // Sendable: lives in the mutex of `StatementCancellation.running`. Other threads use the
    // connection under it alone, between `began` and `ended`, to interrupt it, which SQLite
    // allows from any thread; its worker closes it after `ended`, which waits for them.
    private struct Running: @unchecked Sendable {
        var connection: OpaquePointer?
        var count: UInt64 = 0
    }

    private let running = Mutex(Running())
    private let reason = Atomic(0)
    private let isClosed = Atomic(false)

    /// A read of one word: asked for every few thousand steps.
    var isRequested: Bool { reason.load(ordering: .relaxed) != 0 }

    func began(on connection: OpaquePointer) {
        running.withLock { running in
            running.connection = connection
            running.count += 1
            let now: Reason = isClosed.load(ordering: .relaxed) ? .linkClosed : .none
            reason.store(now.rawValue, ordering: .relaxed)
        }
    }

    func ended() {
        running.withLock { $0.connection = nil }
    }

    /// Does nothing where no statement runs, as PostgreSQL ignores a cancel that comes too late.
    ///
    /// - Parameter statement: only if it is this one that runs (`current` while it did).
    func request(_ why: Reason, statement: UInt64? = nil) {
        running.withLock { running in
            if why == .linkClosed { isClosed.store(true, ordering: .relaxed) }
            guard let connection = running.connection,
                statement == nil || statement == running.count
            else { return }
            reason.store(why.rawValue, ordering: .relaxed)
            sqlite3_interrupt(connection)
        }
    }

    /// Tells one running statement from the next.
    var current: UInt64 { running.withLock { $0.count } }

    var error: PostgresError {
        switch Reason(rawValue: reason.load(ordering: .relaxed)) ?? .none {
        case .statementTimeout:
            PostgresError(.queryCanceled, "canceling statement due to statement timeout")
        case .none, .userRequest:
            PostgresError(.queryCanceled, "canceling statement due to user request")
        case .linkClosed:
            PostgresError(.adminShutdown, "terminating connection due to administrator command")
        }
    }
}
