import NIOCore

/// One whole message cut from a stream.
package struct MessageFrame: Sendable {
    package let tag: UInt8
    /// The whole message, tag and length included: what is forwarded.
    package let bytes: ByteBuffer

    /// `bytes` must be one whole message with this tag.
    package init(tag: UInt8, bytes: ByteBuffer) {
        self.tag = tag
        self.bytes = bytes
    }

    /// Whether there is nothing after tag and length.
    package var isEmpty: Bool { bytes.readableBytes == MessageFraming.headerLength }

    /// The message without tag and length: what is decoded. Shares storage with `bytes`.
    package var body: ByteBuffer {
        var body = bytes
        body.moveReaderIndex(forwardBy: MessageFraming.headerLength)
        return body
    }
}

/// Cuts tagged messages out of a byte stream.
///
/// https://www.postgresql.org/docs/15/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
package enum MessageFraming {
    /// Tag and length.
    package static let headerLength = 5

    /// The next whole message of `buffer`, or nil when more bytes are needed.
    ///
    /// `limit` is the largest length field that is accepted, in bytes. Nothing is allocated for a
    /// declared length. Throws `protocolViolation` (FATAL: the stream is out of step) for a length
    /// below 4 or above `limit`.
    package static func next(
        in buffer: inout ByteBuffer, limit: Int
    ) throws(PostgresError) -> MessageFrame? {
        guard buffer.readableBytes >= headerLength,
            let tag = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self),
            let declared = buffer.getInteger(at: buffer.readerIndex + 1, as: Int32.self)
        else { return nil }
        let length = Int(declared)
        guard length >= 4, length <= limit else {
            throw PostgresError(.protocolViolation, "invalid message length", severity: .fatal)
        }
        guard let bytes = buffer.readSlice(length: length + 1) else { return nil }
        return MessageFrame(tag: tag, bytes: bytes)
    }

    /// The next whole message that a frontend has sent, or nil when more bytes are needed.
    ///
    /// As `next`, and as the server: a type that no frontend sends is refused at its first byte,
    /// and messages that hold no more than a name are held to `smallMessageLimit`.
    @inline(__always)
    package static func nextFromFrontend(
        in buffer: inout ByteBuffer, limit: Int
    ) throws(PostgresError) -> MessageFrame? {
        guard let tag = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else {
            return nil
        }
        switch tag {
        case FrontendTag.query, FrontendTag.parse, FrontendTag.bind, FrontendTag.copyData,
            FrontendTag.functionCall:
            return try next(in: &buffer, limit: limit)
        case FrontendTag.describe, FrontendTag.execute, FrontendTag.close, FrontendTag.sync,
            FrontendTag.flush, FrontendTag.copyDone, FrontendTag.copyFail, FrontendTag.terminate:
            return try next(in: &buffer, limit: min(limit, smallMessageLimit))
        default:
            throw PostgresError(
                .protocolViolation, "invalid frontend message type \(tag)", severity: .fatal)
        }
    }

    /// `PQ_SMALL_MESSAGE_LIMIT` of the server.
    package static let smallMessageLimit = 10_000
}
