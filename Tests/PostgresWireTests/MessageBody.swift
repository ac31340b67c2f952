import NIOCore
import Testing

@testable import PostgresWire

// What the tests of single messages share.

/// The bytes that `write` writes.
func buffer(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
    var buffer = ByteBuffer()
    write(&buffer)
    return buffer
}

/// Cuts the message that `write` writes and hands its body over.
func body(_ tag: UInt8, _ write: (inout ByteBuffer) -> Void) throws -> ByteBuffer {
    var stream = buffer(write)
    let frame = try #require(try MessageFraming.next(in: &stream, limit: 1 << 20))
    #expect(frame.tag == tag)
    #expect(stream.readableBytes == 0)
    return frame.body
}

/// Each proper prefix, and the body with a byte more, must throw.
func expectExact(_ body: ByteBuffer, _ decode: (ByteBuffer) throws -> Void) throws {
    for length in 0..<body.readableBytes {
        let prefix = try #require(body.getSlice(at: body.readerIndex, length: length))
        #expect(throws: PostgresError.self) { try decode(prefix) }
    }
    var longer = body
    longer.writeInteger(UInt8(0))
    #expect(throws: PostgresError.self) { try decode(longer) }
    try decode(body)
}
