/// What the transport says about a client's connection; made once its TLS handshake is complete.
package struct TransportSecurity: Hashable, Sendable {
    package var isEncrypted: Bool
    /// The hash of our own certificate that SCRAM-SHA-256-PLUS binds to (RFC 5929,
    /// `tls-server-end-point`); nil where there is none.
    package var serverEndPoint: [UInt8]?
    /// The common name and the alternative names of the client's certificate, which has been
    /// verified; empty where it showed none.
    package var peerCertificateNames: [String]

    package init(
        isEncrypted: Bool, serverEndPoint: [UInt8]? = nil, peerCertificateNames: [String] = []
    ) {
        self.isEncrypted = isEncrypted
        self.serverEndPoint = serverEndPoint
        self.peerCertificateNames = peerCertificateNames
    }

    /// Plain text.
    package static let none = TransportSecurity(isEncrypted: false)
}
