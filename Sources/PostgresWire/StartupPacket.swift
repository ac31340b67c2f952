import NIOCore

/// What a frontend may send before a session exists: messages without a tag.
///
/// https://www.postgresql.org/docs/15/protocol-message-formats.html
package enum StartupPacket: Hashable, Sendable {
    case sslRequest
    case gssEncryptionRequest
    case cancel(BackendKey)
    case startup(StartupMessage)

    /// The largest packet accepted, as in the server itself.
    package static let maximumLength = 10_000

    static let cancelCode: UInt32 = 80_877_102
    static let sslCode: UInt32 = 80_877_103
    static let gssCode: UInt32 = 80_877_104

    /// The next packet of `buffer`, or nil when more bytes are needed.
    ///
    /// Throws `protocolViolation` for a length or layout that cannot be, `featureNotSupported` for
    /// a protocol other than 3; both FATAL, nothing further can be read from this peer.
    package static func next(in buffer: inout ByteBuffer) throws(PostgresError) -> StartupPacket? {
        guard let declared = buffer.getInteger(at: buffer.readerIndex, as: Int32.self) else {
            return nil
        }
        guard declared >= 8, declared <= maximumLength else {
            throw PostgresError(
                .protocolViolation, "invalid length of startup packet", severity: .fatal)
        }
        guard var packet = buffer.readSlice(length: Int(declared)) else { return nil }
        packet.moveReaderIndex(forwardBy: 4)
        let code = try packet.readField(UInt32.self)
        switch code {
        case sslCode:
            try packet.requireEnd()
            return .sslRequest
        case gssCode:
            try packet.requireEnd()
            return .gssEncryptionRequest
        case cancelCode:
            let processID = try packet.readField(Int32.self)
            guard BackendKey.secretLengths.contains(packet.readableBytes) else {
                throw PostgresError(
                    .protocolViolation, "invalid length of cancel request packet",
                    severity: .fatal)
            }
            let secret = Array(packet.readableBytesView)
            return .cancel(BackendKey(processID: processID, secret: secret))
        default:
            let major = UInt16(code >> 16)
            let minor = UInt16(truncatingIfNeeded: code)
            guard major == 3 else {
                throw PostgresError(
                    .featureNotSupported,
                    "unsupported frontend protocol \(major).\(minor): server supports 3.0 to 3.2",
                    severity: .fatal)
            }
            return .startup(
                try StartupMessage(
                    majorVersion: major, minorVersion: minor, decodingParameters: packet))
        }
    }
}
