import NIOCore
import Synchronization

/// Which server the links of each database have last reached, and which links there are.
/// Thread-safe.
///
/// With several hosts the server may change without a connection of the proxy's own having noticed
/// yet: the first link to another one tells, before anything is sent over it.
final class KnownServers: Sendable {
    /// A link that has reached its server.
    struct Link: Sendable {
        let database: String
        let address: SocketAddress
        /// Its index in the connection string.
        let host: Int
        /// Ends the link, whose server is not the one any more; may be called on any thread.
        let supersede: @Sendable () -> Void
    }

    fileprivate struct State {
        var addresses: [String: SocketAddress] = [:]
        var lastHost = 0
        var links: [ObjectIdentifier: Link] = [:]
    }

    /// More than a server has databases; one beyond it is always taken for moved.
    fileprivate static let maximumDatabases = 10_000

    private let state = Mutex(State())
    /// Whether only one of the hosts can be the one that is wanted: the primary.
    private let isExclusive: Bool
    private let onServerChanged: @Sendable (_ database: String) -> Void

    init(isExclusive: Bool, onServerChanged: @escaping @Sendable (_ database: String) -> Void) {
        self.isExclusive = isExclusive
        self.onServerChanged = onServerChanged
    }

    /// The host that served last: where any that qualifies will do, the place to begin.
    var lastHost: Int { state.withLock { $0.lastHost } }

    /// Call before anything is sent over the link, and `ended` when it is over.
    ///
    /// Where there can be one primary only, links to the one before are ended: it may still answer
    /// them, from what is history.
    func reached(_ link: Link, id: ObjectIdentifier) {
        let (hasChanged, superseded) = state.withLock { state in
            let hasMoved = state.note(link)
            var superseded: [Link] = []
            if isExclusive, state.lastHost != link.host {
                superseded = state.links.values.filter { $0.host != link.host }
            }
            state.lastHost = link.host
            state.links[id] = link
            return (hasMoved, superseded)
        }
        if hasChanged { onServerChanged(link.database) }
        for other in superseded { other.supersede() }
    }

    func ended(_ id: ObjectIdentifier) {
        // The link is let go outside of the lock.
        _ = state.withLock { $0.links.removeValue(forKey: id) }
    }
}

extension KnownServers.State {
    /// Whether the database's last link was to another server.
    fileprivate mutating func note(_ link: KnownServers.Link) -> Bool {
        if let last = addresses[link.database] {
            addresses[link.database] = link.address
            return last != link.address
        }
        guard addresses.count < KnownServers.maximumDatabases else { return true }
        addresses[link.database] = link.address
        return false
    }
}
