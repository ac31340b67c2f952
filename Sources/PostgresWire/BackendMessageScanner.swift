import NIOCore

/// Finds message boundaries in a stream of backend bytes without copying or decoding it.
///
/// For a forwarding path: chunks arrive with arbitrary boundaries and are passed on as slices; the
/// scanner says, piece by piece, which bytes belong to which message. The bodies of chosen small
/// messages (`collecting`) can be had whole even where chunks cut them. Nothing is allocated unless
/// a collected message crosses a chunk boundary.
///
///     var cursor = chunk.readerIndex
///     while let piece = try scanner.next(in: chunk, cursor: &cursor) { … }
package struct BackendMessageScanner: Sendable {
    /// The bytes of one message that lie in the current chunk.
    package struct Piece: Hashable, Sendable {
        package let tag: UInt8
        /// Indices of the chunk. Tag and length are part of the message.
        package let range: Range<Int>
        package let startsMessage: Bool
        package let endsMessage: Bool
    }

    /// A set of ASCII tags.
    package struct Tags: Hashable, Sendable, ExpressibleByArrayLiteral {
        private var low: UInt64 = 0
        private var high: UInt64 = 0

        package init(arrayLiteral tags: UInt8...) {
            for tag in tags {
                if tag < 64 { low |= 1 << UInt64(tag) }
                if (64..<128).contains(tag) { high |= 1 << UInt64(tag - 64) }
            }
        }

        @inline(__always)
        package func contains(_ tag: UInt8) -> Bool {
            if tag < 64 { return low & (1 << UInt64(tag)) != 0 }
            return tag < 128 && high & (1 << UInt64(tag &- 64)) != 0
        }

        /// The messages that a session's state depends on.
        package static let sessionState: Tags = [
            BackendTag.readyForQuery, BackendTag.commandComplete, BackendTag.errorResponse,
            BackendTag.parameterStatus, BackendTag.backendKeyData, BackendTag.authentication,
            BackendTag.notificationResponse,
        ]
    }

    /// The largest message that a server sends, by its length field.
    package static let maximumMessageLength = 1 << 30

    private let collecting: Tags
    private let collectionLimit: Int
    /// Bytes of the current message's header seen so far; 5 where `remaining` is valid.
    private var headerCount = 0
    private var tag: UInt8 = 0
    private var declaredLength: UInt32 = 0
    /// Body bytes of the current message still to come.
    private var remaining = 0
    /// The body of a collected message as far as earlier chunks held it.
    private var collected: ByteBuffer?

    /// Bodies of more than `collectionLimit` bytes are not collected.
    package init(collecting: Tags = .sessionState, collectionLimit: Int = 1 << 16) {
        self.collecting = collecting
        self.collectionLimit = collectionLimit
    }

    /// Whether the next byte starts a message.
    package var isAtBoundary: Bool { headerCount == 0 }

    /// The tag of the message that the last chunk ended in the middle of.
    package var unfinishedTag: UInt8? { headerCount == 0 ? nil : tag }

    /// The next piece at `cursor` (an index of `chunk`, moved to the piece's end), or nil where the
    /// chunk is used up.
    ///
    /// Throws `protocolViolation` (FATAL) for a length below 4 or above `maximumMessageLength`;
    /// the scanner is then of no further use.
    @inline(__always)
    package mutating func next(
        in chunk: ByteBuffer, cursor: inout Int
    ) throws(PostgresError) -> Piece? {
        let start = cursor
        let end = chunk.writerIndex
        guard start < end else { return nil }
        // Whole header in this chunk: the common case.
        if headerCount == 0, end - start >= MessageFraming.headerLength,
            let tag = chunk.getInteger(at: start, as: UInt8.self),
            let length = chunk.getInteger(at: start + 1, as: UInt32.self)
        {
            try Self.check(length)
            let whole = Int(length) + 1
            if whole <= end - start {
                cursor = start + whole
                collected = nil
                return Piece(
                    tag: tag, range: start..<cursor, startsMessage: true, endsMessage: true)
            }
        }
        return try nextPartial(in: chunk, cursor: &cursor)
    }

    /// The whole body of the message that `piece` ends; nil where it does not end one, its tag is
    /// not collected, or it is larger than the limit. Call before the next `next`.
    package func body(of piece: Piece, in chunk: ByteBuffer) -> ByteBuffer? {
        guard piece.endsMessage, collecting.contains(piece.tag) else { return nil }
        if let collected { return collected.readableBytes <= collectionLimit ? collected : nil }
        guard piece.startsMessage else { return nil }
        let length = piece.range.count - MessageFraming.headerLength
        guard length <= collectionLimit else { return nil }
        return chunk.getSlice(
            at: piece.range.lowerBound + MessageFraming.headerLength, length: length)
    }

    /// A message, or a part of one, that is not whole in this chunk.
    private mutating func nextPartial(
        in chunk: ByteBuffer, cursor: inout Int
    ) throws(PostgresError) -> Piece? {
        let start = cursor
        let end = chunk.writerIndex
        let startsMessage = headerCount == 0
        if startsMessage { collected = nil }
        while headerCount < MessageFraming.headerLength, cursor < end {
            guard let byte = chunk.getInteger(at: cursor, as: UInt8.self) else { return nil }
            cursor += 1
            if headerCount == 0 {
                tag = byte
                declaredLength = 0
            } else {
                declaredLength = declaredLength << 8 | UInt32(byte)
            }
            headerCount += 1
            if headerCount == MessageFraming.headerLength {
                try Self.check(declaredLength)
                remaining = Int(declaredLength) - 4
                if collecting.contains(tag), remaining <= collectionLimit {
                    collected = ByteBuffer()
                }
            }
        }
        var ends = false
        if headerCount == MessageFraming.headerLength {
            let taken = min(remaining, end - cursor)
            if collected != nil, taken > 0, let slice = chunk.getSlice(at: cursor, length: taken) {
                collected?.writeImmutableBuffer(slice)
            }
            cursor += taken
            remaining -= taken
            ends = remaining == 0
        }
        if ends { headerCount = 0 }
        return Piece(
            tag: tag, range: start..<cursor, startsMessage: startsMessage, endsMessage: ends)
    }

    @inline(__always)
    private static func check(_ length: UInt32) throws(PostgresError) {
        guard length >= 4, length <= UInt32(maximumMessageLength) else {
            throw PostgresError(
                .protocolViolation, "invalid message length from server", severity: .fatal)
        }
    }
}
