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
        let cancel: @Sendable () -> Void
    }

    private let targets = Mutex<[Int32: Target]>([:])

    /// Gives a new session its key. `cancel` is run on `eventLoop`.
    func register(
        on eventLoop: any EventLoop, secretLength: Int = 4,
        cancel: @escaping @Sendable () -> Void
    ) -> BackendKey {
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<secretLength).map { _ in
            UInt8.random(in: .min ... .max, using: &generator)
        }
        return targets.withLock { targets in
            var processID: Int32
            repeat {
                processID = Int32.random(in: 1 ... .max, using: &generator)
            } while targets[processID] != nil
            let key = BackendKey(processID: processID, secret: secret)
            targets[processID] = Target(key: key, eventLoop: eventLoop, cancel: cancel)
            return key
        }
    }

    func remove(_ key: BackendKey) {
        _ = targets.withLock { $0.removeValue(forKey: key.processID) }
    }

    /// Cancels what the session with exactly this key is running. No answer either way, as in
    /// PostgreSQL.
    func cancel(_ key: BackendKey) {
        let target = targets.withLock { $0[key.processID] }
        guard let target, target.key.hasSecret(of: key) else { return }
        target.eventLoop.execute(target.cancel)
    }
}
