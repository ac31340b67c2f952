import NIOCore

/// Reading of message fields from a hostile peer: what is not there is an error, never a trap.
extension ByteBuffer {
    mutating func readField<T: FixedWidthInteger>(_: T.Type = T.self) throws(PostgresError) -> T {
        guard let value = readInteger(as: T.self) else { throw .insufficientData }
        return value
    }

    /// A null-terminated string, without its terminator.
    mutating func readText() throws(PostgresError) -> String {
        guard let end = readableBytesView.firstIndex(of: 0),
            let bytes = readSlice(length: end - readerIndex)
        else {
            throw PostgresError(.protocolViolation, "invalid string in message")
        }
        moveReaderIndex(forwardBy: 1)
        return WireText.string(bytes.readableBytesView)
    }

    /// A count of elements of at least `elementSize` bytes, checked against what is there, so that
    /// it is safe to reserve room for it.
    mutating func readCount(elementSize: Int) throws(PostgresError) -> Int {
        let count = Int(try readField(UInt16.self))
        guard count <= readableBytes / elementSize else { throw .insufficientData }
        return count
    }

    /// A value with its Int32 length in front; nil for length -1 (NULL).
    mutating func readValue() throws(PostgresError) -> ByteBuffer? {
        let length = try readField(Int32.self)
        if length == -1 { return nil }
        guard length >= 0, let value = readSlice(length: Int(length)) else {
            throw .insufficientData
        }
        return value
    }

    func requireEnd() throws(PostgresError) {
        guard readableBytes == 0 else {
            throw PostgresError(.protocolViolation, "invalid message format")
        }
    }

    /// A null-terminated string. A NUL inside `text` would end it early and shift every field
    /// behind it, so it is left out.
    mutating func writeText(_ text: String) {
        if text.utf8.contains(0) {
            let scalars = text.unicodeScalars.filter { $0.value != 0 }
            WireText.write(String(String.UnicodeScalarView(scalars)), to: &self)
        } else {
            WireText.write(text, to: &self)
        }
        writeInteger(UInt8(0))
    }

    mutating func writeValue(_ value: ByteBuffer?) {
        guard let value else {
            writeInteger(Int32(-1))
            return
        }
        writeInteger(Int32(value.readableBytes))
        writeImmutableBuffer(value)
    }

    /// Writes one message: tag, length, and what `body` writes.
    @inline(__always)
    mutating func writeMessage(_ tag: UInt8, _ body: (inout ByteBuffer) -> Void) {
        writeInteger(tag)
        let start = writerIndex
        writeInteger(Int32(0))
        body(&self)
        setInteger(Int32(writerIndex - start), at: start)
    }

    mutating func writeEmptyMessage(_ tag: UInt8) {
        writeInteger(tag)
        writeInteger(Int32(4))
    }
}

extension PostgresError {
    static var insufficientData: PostgresError {
        PostgresError(.protocolViolation, "insufficient data left in message")
    }
}
