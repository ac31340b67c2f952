import NIOCore
import NIOSSL
import PostgresWire
import Security

/// A client's way from plain text to TLS. Event-loop-confined.
///
/// https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL
struct ClientHandshake {
    /// The first byte of a TLS record that holds a handshake; no startup packet begins with it.
    static let firstByte: UInt8 = 0x16

    private let offer: ClientEncryption.Offer
    private let handler: NIOSSLServerHandler
    /// Begun with a TLS record, without asking.
    private let isDirect: Bool

    /// Begins the handshake: every byte from now on, in either direction, is TLS.
    ///
    /// - Parameter following: the handler that is to see the decrypted bytes.
    init(
        _ offer: ClientEncryption.Offer, isDirect: Bool, context: ChannelHandlerContext,
        following: some ChannelInboundHandler
    ) throws {
        self.offer = offer
        self.isDirect = isDirect
        handler = NIOSSLServerHandler(context: offer.context)
        try context.pipeline.syncOperations.addHandler(handler, position: .before(following))
    }

    /// Call when the handshake is complete. Throws `protocolViolation` for a direct one that does
    /// not name the protocol: it may be meant for another (https://alpaca-attack.com).
    func complete(applicationProtocol: String?) throws(PostgresError) -> TransportSecurity {
        guard !isDirect || applicationProtocol == ClientEncryption.applicationProtocol else {
            throw PostgresError(
                .protocolViolation,
                "received direct SSL connection request without ALPN protocol negotiation extension"
            )
        }
        // The context verifies what is shown, and asks only where there is something to verify by.
        let certificate = handler.peerCertificate.flatMap { try? $0.toDERBytes() }
        let name = certificate.flatMap { PeerCertificate(der: $0)?.commonName }
        return TransportSecurity(
            isEncrypted: true, serverEndPoint: offer.serverEndPoint,
            peerCertificateNames: name.map { [$0] } ?? [])
    }
}
