import Foundation
import PostgresWire

/// One connection to one database for the proxy's own questions: the catalog, the fate of
/// backends, the server's identity.
///
/// libpq blocks, so each connection has a thread of its own with a bounded queue of jobs; nothing
/// here runs on an event loop or on the cooperative pool. While there is nothing to do the thread
/// checks every second that the server is still the same one.
package final class ControlConnection: @unchecked Sendable {
    // Sendable: `jobs` and `isClosed` are touched under `condition`; the session is local to the
    // thread's function.
    private let condition = NSCondition()
    private var jobs: [@Sendable (Job) -> Void] = []
    private var isClosed = false

    /// What a job gets: the session, or nil if the connection was closed before its turn.
    typealias Job = ControlSession?

    private static let maximumQueuedJobs = 1_024
    private static let checkInterval: TimeInterval = 1

    /// - Parameters:
    ///   - conninfo: a connection string or URI; `database`, `user` and `password` take precedence
    ///     over it.
    ///   - onServerChanged: called on the connection's thread when the server was restarted,
    ///     failed over or replaced since it was last seen.
    package init(
        conninfo: String, database: String, user: String?, password: Secret? = nil,
        onServerChanged: @escaping @Sendable () -> Void
    ) {
        let thread = Thread { [weak self] in
            let session = ControlSession(
                conninfo: conninfo, database: database, user: user, password: password,
                serverChanged: onServerChanged)
            while true {
                // No strong reference while waiting would let the object go; the loop holds it
                // only for one turn.
                guard let connection = self, connection.turn(session) else { return }
            }
        }
        thread.name = "mynah-control"
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Queues a job. It is called exactly once, on the connection's thread; with nil if the
    /// connection is closed or its queue is full.
    func submit(_ job: @escaping @Sendable (Job) -> Void) {
        condition.lock()
        let accepted = !isClosed && jobs.count < Self.maximumQueuedJobs
        if accepted {
            jobs.append(job)
            condition.signal()
        }
        condition.unlock()
        if !accepted { job(nil) }
    }

    /// Runs `body` on the connection's thread and returns what it returns.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (ControlSession) throws(ControlError) -> Value
    ) async throws(ControlError) -> Value {
        let outcome: Result<Value, ControlError> = await withCheckedContinuation { continuation in
            submit { session in
                guard let session else {
                    continuation.resume(
                        returning: .failure(ControlError("the control connection is closed")))
                    return
                }
                do throws(ControlError) {
                    continuation.resume(returning: .success(try body(session)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try outcome.get()
    }

    /// Ends the thread after the job that it is in. Jobs still queued get nil.
    package func close() {
        condition.lock()
        isClosed = true
        let abandoned = jobs
        jobs = []
        condition.signal()
        condition.unlock()
        for job in abandoned { job(nil) }
    }

    /// One job, or one look at the server. False when closed.
    private func turn(_ session: ControlSession) -> Bool {
        condition.lock()
        if jobs.isEmpty, !isClosed {
            _ = condition.wait(until: Date(timeIntervalSinceNow: Self.checkInterval))
        }
        if isClosed {
            condition.unlock()
            return false
        }
        let job = jobs.isEmpty ? nil : jobs.removeFirst()
        condition.unlock()
        if let job {
            job(session)
        } else {
            // A server that cannot be reached is looked for again after the interval.
            try? session.checkServer()
        }
        return true
    }
}
