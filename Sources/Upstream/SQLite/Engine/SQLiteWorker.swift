import DequeModule
import Foundation
import PostgresWire

/// A thread with one connection of its own, which runs jobs in order. The connection is opened by
/// the thread before its first job and closed when the worker stops.
final class SQLiteWorker: @unchecked Sendable {
    // Sendable: `jobs` and `isStopped` are guarded by `condition`; the connection belongs to the
    // thread alone.
    typealias Job = @Sendable (Result<SQLiteConnection, any Error>) -> Void

    /// Libpg_query and SQLite's parser both recurse.
    private static let stackSize = 8 << 20

    private let condition = NSCondition()
    private var jobs: Deque<Job> = []
    private var isStopped = false

    /// - Parameter open: opens the connection; called on the thread.
    init(name: String, open: @escaping @Sendable () throws -> SQLiteConnection) {
        let thread = Thread { [self] in run(open) }
        thread.name = name
        thread.stackSize = Self.stackSize
        thread.start()
    }

    /// Appends a job. It runs unless the worker was stopped, in which case it gets an error at
    /// once, on the caller's thread. How many wait is bounded by who may call: one session at a
    /// time, the periodic check, and the analyzer's own limit.
    func submit(_ job: @escaping Job) {
        condition.lock()
        if isStopped {
            condition.unlock()
            job(.failure(PostgresError(.adminShutdown, "the SQLite upstream is shutting down")))
            return
        }
        jobs.append(job)
        condition.signal()
        condition.unlock()
    }

    /// Ends the thread after the jobs that wait; `whenStopped` is called when the last is done.
    /// Call once.
    func stop(whenStopped: (@Sendable () -> Void)? = nil) {
        condition.lock()
        if let whenStopped { jobs.append { _ in whenStopped() } }
        isStopped = true
        condition.signal()
        condition.unlock()
    }

    private func run(_ open: () throws -> SQLiteConnection) {
        var connection: SQLiteConnection?
        while let job = next() {
            do {
                // Opened again at each job while it fails: the file may come back.
                let opened = try connection ?? open()
                connection = opened
                job(.success(opened))
            } catch {
                job(.failure(error))
            }
        }
    }

    private func next() -> Job? {
        condition.lock()
        defer { condition.unlock() }
        while jobs.isEmpty {
            if isStopped { return nil }
            condition.wait()
        }
        return jobs.popFirst()
    }
}
