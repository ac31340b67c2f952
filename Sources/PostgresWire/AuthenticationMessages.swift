import NIOCore

/// SASLInitialResponse: the mechanism that the client has chosen, and its first message.
///
/// https://www.postgresql.org/docs/15/protocol-message-formats.html
package struct SASLInitialResponse: Hashable, Sendable {
    package var mechanism: String
    /// Nil where the client sends its first message only when asked.
    package var data: [UInt8]?

    package init(mechanism: String, data: [UInt8]?) {
        self.mechanism = mechanism
        self.data = data
    }

    /// Throws `protocolViolation` for a body that is not exactly one such message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        mechanism = try body.readText()
        data = try body.readValue().map { Array($0.readableBytesView) }
        try body.requireEnd()
    }
}

/// PasswordMessage: a password, or the answer to an MD5 request.
package struct PasswordMessage: Sendable {
    package var password: Secret

    /// Throws `protocolViolation` for a body that is not exactly one such message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        password = Secret(try body.readText())
        try body.requireEnd()
    }
}

/// Authentication requests, each written whole.
extension ByteBuffer {
    package mutating func writeAuthenticationCleartextPassword() {
        writeMessage(BackendTag.authentication) { $0.writeInteger(Int32(3)) }
    }

    /// `salt` has four bytes.
    package mutating func writeAuthenticationMD5Password(salt: [UInt8]) {
        writeMessage(BackendTag.authentication) { body in
            body.writeInteger(Int32(5))
            body.writeBytes(salt)
        }
    }

    /// `mechanisms` in the order of the server's preference.
    package mutating func writeAuthenticationSASL(mechanisms: [String]) {
        writeMessage(BackendTag.authentication) { body in
            body.writeInteger(Int32(10))
            for mechanism in mechanisms { body.writeText(mechanism) }
            body.writeInteger(UInt8(0))
        }
    }

    package mutating func writeAuthenticationSASLContinue(_ data: [UInt8]) {
        writeMessage(BackendTag.authentication) { body in
            body.writeInteger(Int32(11))
            body.writeBytes(data)
        }
    }

    package mutating func writeAuthenticationSASLFinal(_ data: [UInt8]) {
        writeMessage(BackendTag.authentication) { body in
            body.writeInteger(Int32(12))
            body.writeBytes(data)
        }
    }
}
