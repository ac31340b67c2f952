import NIOCore
import PostgresWire
import Synchronization

/// Which session a CancelRequest means. Thread-safe.
///
/// Keys are random and of the proxy's own making: a client cannot reach another client's upstream
/// connection with what it knows.
package final class CancellationRegistry: Sendable {
    private struct Target {
        let key: BackendKey
        let eventLoop: any EventLoop
        let cancel: Cancel
    }

    /// Cancels what a session is running, and calls what it is given when that has been done: what
    /// the session is sent from then on is not meant.
    typealias Cancel = @Sendable (_ then: @escaping @Sendable () -> Void) -> Void

    private let targets = Mutex<[Int32: Target]>([:])

    /// Gives a new session its key: with `processID`, that of its server-side session, where no other
    /// session has that. `cancel` is run on `eventLoop`.
    func register(
        on eventLoop: any EventLoop, processID: Int32? = nil, secretLength: Int = 4,
        cancel: @escaping Cancel
    ) -> BackendKey {
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<secretLength).map { _ in
            UInt8.random(in: .min ... .max, using: &generator)
        }
        return targets.withLock { targets in
            var processID = processID ?? Int32.random(in: 1 ... .max, using: &generator)
            while targets[processID] != nil {
                processID = Int32.random(in: 1 ... .max, using: &generator)
            }
            let key = BackendKey(processID: processID, secret: secret)
            targets[processID] = Target(key: key, eventLoop: eventLoop, cancel: cancel)
            return key
        }
    }

    func remove(_ key: BackendKey) {
        _ = targets.withLock { $0.removeValue(forKey: key.processID) }
    }

    /// Cancels what the session with exactly this key is running. No answer either way, as in
    /// PostgreSQL; `then` is called when a server would close the connection that has asked for it:
    /// clients take that for the sign that their next statement is not meant any more. On any thread.
    func cancel(_ key: BackendKey, then: @escaping @Sendable () -> Void) {
        let target = targets.withLock { $0[key.processID] }
        guard let target, target.key.hasSecret(of: key) else {
            then()
            return
        }
        target.eventLoop.execute { target.cancel(then) }
    }
}
