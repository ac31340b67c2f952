import Crypto
import NIOSSL

/// What a node must know to be followed, or to follow another.
package struct ReplicationSettings: Sendable {
    /// Whether commits wait for followers that hold a lease.
    package var isSynchronous: Bool
    /// How long a follower may answer after it has last heard that it has everything; nanoseconds.
    package var lease: UInt64
    /// Both sides have it; nil where TLS, or the loopback interface, has to do.
    package var key: SymmetricKey?
    /// For both directions; nil: plain TCP.
    package var tls: (server: NIOSSLContext, client: NIOSSLContext)?
    /// Bytes of the largest reply.
    package var maximumEntry: Int
    /// Where the clients of this node connect: what its followers are told.
    package var clientHost: String
    package var clientPort: UInt16

    package init(
        isSynchronous: Bool, lease: UInt64, key: SymmetricKey?,
        tls: (server: NIOSSLContext, client: NIOSSLContext)?, maximumEntry: Int,
        clientHost: String, clientPort: UInt16
    ) {
        self.isSynchronous = isSynchronous
        self.lease = lease
        self.key = key
        self.tls = tls
        self.maximumEntry = maximumEntry
        self.clientHost = clientHost
        self.clientPort = clientPort
    }

    /// A reply, its key and names that are told along with it.
    var longestFrame: Int { 2 * maximumEntry + (16 << 20) }

    package var timing: LeadershipTiming { LeadershipTiming(lease: lease) }

    /// How often a follower asks for a proof: several times per lease, so that one lost does no harm.
    var heartbeatInterval: UInt64 { max(timing.followerLease / 5, 5_000_000) }
}
