import NIOCore
import Synchronization

/// Which server the links of each database have last reached. Thread-safe.
///
/// With several hosts the server may change without a connection of the proxy's own having noticed
/// yet: the first link to another one tells, before anything is sent over it.
final class KnownServers: Sendable {
    private struct State {
        var addresses: [String: SocketAddress] = [:]
        var lastHost = 0
    }

    /// More than a server has databases; one beyond it is always taken for moved.
    private static let maximumDatabases = 10_000

    private let state = Mutex(State())
    private let onServerChanged: @Sendable (_ database: String) -> Void

    init(onServerChanged: @escaping @Sendable (_ database: String) -> Void) {
        self.onServerChanged = onServerChanged
    }

    /// The host that served last: where any that qualifies will do, the place to begin.
    var lastHost: Int { state.withLock { $0.lastHost } }

    func reached(_ address: SocketAddress, host: Int, database: String) {
        let hasChanged = state.withLock { state in
            state.lastHost = host
            if let last = state.addresses[database] {
                state.addresses[database] = address
                return last != address
            }
            guard state.addresses.count < Self.maximumDatabases else { return true }
            state.addresses[database] = address
            return false
        }
        if hasChanged { onServerChanged(database) }
    }
}
