/// How SCRAM's proof is tied to the TLS connection that it goes over. RFC 5802 §6.
package struct ChannelBinding: Hashable, Sendable {
    /// libpq's `channel_binding`.
    package enum Policy: String, Hashable, Sendable {
        case disable, prefer, require
    }

    package var policy: Policy
    /// The hash of the server's certificate. nil without TLS, or where it cannot be computed.
    package var serverEndPoint: [UInt8]?

    package init(policy: Policy, serverEndPoint: [UInt8]?) {
        self.policy = policy
        self.serverEndPoint = serverEndPoint
    }

    /// A connection without TLS.
    package static let unavailable = ChannelBinding(policy: .prefer, serverEndPoint: nil)
}
