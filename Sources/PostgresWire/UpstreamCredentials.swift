/// What a connection to the server proves itself with. Printing it shows nothing of it.
package enum UpstreamCredentials: Sendable {
    case password(Secret)
    /// What a client's own SCRAM exchange with the server's verifier has shown: enough to log in as
    /// that client, without its password. 32 bytes each.
    case scramKeys(clientKey: [UInt8], serverKey: [UInt8])
}

extension UpstreamCredentials: CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
