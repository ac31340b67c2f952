import NIOCore
import NIOSSL
import PostgresWire
import Synchronization

/// Makes the TLS side of connections to the server; its certificates can be read anew. Thread-safe.
package final class LinkTLS: Sendable {
    package let encryption: LinkEncryption
    private let current: Mutex<NIOSSLContext?>

    /// Reads the certificates. Throws `F0000` where one cannot be used.
    package init(_ encryption: LinkEncryption) throws(PostgresError) {
        self.encryption = encryption
        current = Mutex(encryption.mode == .disable ? nil : try encryption.makeContext())
    }

    /// Reads the certificates anew, for connections made from now on. What was in use stays so
    /// where that fails. Throws `F0000`.
    func reload() throws(PostgresError) {
        guard encryption.mode != .disable else { return }
        let context = try encryption.makeContext()
        current.withLock { $0 = context }
    }

    /// The handler for a new connection to `host`.
    func makeHandler(for host: PostgreSQLAddress) throws -> NIOSSLClientHandler {
        guard let context = current.withLock({ $0 }) else {
            preconditionFailure("nothing is encrypted with sslmode=disable")
        }
        let name = host.hostName ?? host.host
        // An address has no place in SNI; verify-full compares it with the socket's.
        let isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
        return try NIOSSLClientHandler(
            context: context,
            serverHostname: encryption.sendsServerName && !isAddress ? name : nil)
    }
}
