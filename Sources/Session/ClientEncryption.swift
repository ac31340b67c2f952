import NIOCore
import NIOSSL
import PostgresWire
import Synchronization

/// What clients are offered for encryption. Replaced as a whole when certificates are read anew,
/// which is for later connections. Thread-safe.
package final class ClientEncryption: Sendable {
    package struct Offer: Sendable {
        let context: NIOSSLContext
        /// Whether plain text is refused.
        let isRequired: Bool
        /// What SCRAM-SHA-256-PLUS binds to.
        let serverEndPoint: [UInt8]?

        /// - Parameter certificate: the proxy's own, as it stands first in `context`.
        package init(context: NIOSSLContext, certificate: NIOSSLCertificate, isRequired: Bool) {
            self.context = context
            self.isRequired = isRequired
            serverEndPoint = (try? certificate.toDERBytes()).flatMap {
                PeerCertificate(der: $0)?.serverEndPoint
            }
        }
    }

    /// The protocol's name for TLS application-layer protocol negotiation, as registered by IANA.
    package static let applicationProtocol = "postgresql"

    private let current = Mutex<Offer?>(nil)

    package init() {}

    /// nil: clients are told that there is no encryption.
    package var offer: Offer? {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}
