import NIOCore
import Testing

@testable import PostgresWire

struct MessageFramingTests {
    @Test("Messages are cut one by one, with and without their header")
    func cutsMessages() throws {
        var stream = buffer {
            $0.writeQuery("SELECT 1")
            $0.writeSync()
        }
        let whole = stream
        let query = try #require(try MessageFraming.next(in: &stream, limit: 1 << 20))
        #expect(query.tag == FrontendTag.query)
        #expect(try QueryMessage(decoding: query.body).query == "SELECT 1")
        let sync = try #require(try MessageFraming.next(in: &stream, limit: 1 << 20))
        #expect(sync.tag == FrontendTag.sync)
        #expect(sync.body.readableBytes == 0)
        #expect(stream.readableBytes == 0)
        var joined = query.bytes
        joined.writeImmutableBuffer(sync.bytes)
        #expect(joined == whole)
    }

    @Test("Every prefix of a message needs more bytes and takes none")
    func prefixesNeedMore() throws {
        let message = buffer { $0.writeQuery("SELECT 1") }
        for length in 0..<message.readableBytes {
            var prefix = try #require(message.getSlice(at: 0, length: length))
            let frame = try MessageFraming.next(in: &prefix, limit: 1 << 20)
            #expect(frame == nil)
            #expect(prefix.readableBytes == length)
        }
    }

    @Test(
        "A length that cannot be, or is above the limit, throws before the body is there",
        arguments: [Int32.min, -1, 0, 3, 1025, .max])
    func badLengths(length: Int32) {
        var stream = buffer {
            $0.writeInteger(FrontendTag.query)
            $0.writeInteger(length)
        }
        #expect(throws: PostgresError.self) {
            try MessageFraming.next(in: &stream, limit: 1024)
        }
    }

    @Test("The limit itself is accepted")
    func limit() throws {
        var stream = buffer {
            $0.writeInteger(FrontendTag.copyData)
            $0.writeInteger(Int32(1024))
            $0.writeRepeatingByte(7, count: 1020)
        }
        #expect(try MessageFraming.next(in: &stream, limit: 1024)?.body.readableBytes == 1020)
    }
}
