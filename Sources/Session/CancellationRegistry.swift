import NIOCore
import PostgresWire
import Synchronization

/// Which session a CancelRequest means. Thread-safe.
///
/// Keys are random and of the proxy's own making: a client cannot reach another client's upstream
/// connection with what it knows.
package final class CancellationRegistry: Sendable {
    private struct Target {
        let secret: Int32
        let eventLoop: any EventLoop
        let cancel: @Sendable () -> Void
    }

    private let targets = Mutex<[Int32: Target]>([:])

    /// Gives a new session its key: with `processID`, that of its server-side session, where no other
    /// session has that. `cancel` is run on `eventLoop`.
    func register(
        on eventLoop: any EventLoop, processID: Int32? = nil,
        cancel: @escaping @Sendable () -> Void
    ) -> BackendKey {
        var generator = SystemRandomNumberGenerator()
        let secret = Int32.random(in: .min ... .max, using: &generator)
        return targets.withLock { targets in
            var processID = processID ?? Int32.random(in: 1 ... .max, using: &generator)
            while targets[processID] != nil {
                processID = Int32.random(in: 1 ... .max, using: &generator)
            }
            targets[processID] = Target(secret: secret, eventLoop: eventLoop, cancel: cancel)
            return BackendKey(processID: processID, secret: secret)
        }
    }

    func remove(_ key: BackendKey) {
        _ = targets.withLock { $0.removeValue(forKey: key.processID) }
    }

    /// Cancels what the session with exactly this key is running. No answer either way, as in
    /// PostgreSQL.
    func cancel(_ key: BackendKey) {
        let target = targets.withLock { $0[key.processID] }
        guard let target, target.secret ^ key.secret == 0 else { return }
        target.eventLoop.execute(target.cancel)
    }
}
