/// What BackendKeyData carries and a CancelRequest must repeat.
///
/// https://www.postgresql.org/docs/15/protocol-message-formats.html
package struct BackendKey: Hashable, Sendable {
    package var processID: Int32
    /// Four bytes up to protocol 3.1, from 3.2 on as many as whoever makes the key likes, up to 256.
    package var secret: [UInt8]

    /// What a CancelRequest may hold.
    package static let secretLengths = 4...256

    package init(processID: Int32, secret: [UInt8]) {
        self.processID = processID
        self.secret = secret
    }

    package init(processID: Int32, secret: Int32) {
        let bits = UInt32(bitPattern: secret)
        self.init(
            processID: processID,
            secret: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: bits >> $0) })
    }

    /// Whether both secrets are the same, in a time that does not tell where they differ.
    package func hasSecret(of other: BackendKey) -> Bool {
        guard secret.count == other.secret.count else { return false }
        return zip(secret, other.secret).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
