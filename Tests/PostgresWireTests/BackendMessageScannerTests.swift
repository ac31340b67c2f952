import NIOCore
import TestSupport
import Testing

@testable import PostgresWire

struct BackendMessageScannerTests {
    private struct Message: Equatable {
        var tag: UInt8
        var bytes: [UInt8] = []
        var collected: ByteBuffer?
    }

    private static func reply() -> ByteBuffer {
        buffer {
            $0.writeParameterStatus("TimeZone", "UTC")
            $0.writeRowDescription([FieldDescription(name: "n", type: .text)])
            for index in 0..<20 {
                $0.writeDataRow(columnCount: 1) {
                    $0.writeDataRowText(String(repeating: "x", count: index))
                }
            }
            $0.writeEmptyQueryResponse()
            $0.writeCommandComplete("SELECT 20")
            $0.writeReadyForQuery(.idle)
        }
    }

    /// Scans `bytes` in chunks of the given sizes and puts the messages together again.
    private func scan(
        _ bytes: ByteBuffer, sizes: () -> Int, limit: Int = 1 << 16
    ) throws -> [Message] {
        var scanner = BackendMessageScanner(collectionLimit: limit)
        var messages: [Message] = []
        var rest = bytes
        while rest.readableBytes > 0 {
            let size = min(max(1, sizes()), rest.readableBytes)
            let slice = rest.readSlice(length: size)
            let chunk = try #require(slice)
            var cursor = chunk.readerIndex
            while let piece = try scanner.next(in: chunk, cursor: &cursor) {
                if piece.startsMessage { messages.append(Message(tag: piece.tag)) }
                #expect(messages.last?.tag == piece.tag)
                let last = messages.count - 1
                messages[last].bytes +=
                    chunk.getBytes(at: piece.range.lowerBound, length: piece.range.count) ?? []
                if let body = scanner.body(of: piece, in: chunk) {
                    #expect(piece.endsMessage)
                    messages[last].collected = body
                }
                #expect(piece.endsMessage == scanner.isAtBoundary)
            }
            #expect(cursor == chunk.writerIndex)
        }
        #expect(scanner.isAtBoundary)
        return messages
    }

    private func expected(_ bytes: ByteBuffer) throws -> [Message] {
        var bytes = bytes
        var messages: [Message] = []
        while let frame = try MessageFraming.next(in: &bytes, limit: 1 << 20) {
            let collects = BackendMessageScanner.Tags.sessionState.contains(frame.tag)
            messages.append(
                Message(
                    tag: frame.tag, bytes: Array(frame.bytes.readableBytesView),
                    collected: collects ? frame.body : nil))
        }
        return messages
    }

    @Test("Whatever the chunk size, the messages found are the same")
    func fixedChunks() throws {
        let reply = Self.reply()
        let expected = try expected(reply)
        #expect(expected.count == 25)
        for size in 1...reply.readableBytes {
            #expect(try scan(reply, sizes: { size }) == expected)
        }
    }

    @Test("Random chunks give the same messages", arguments: 0..<200)
    func randomChunks(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let reply = Self.reply()
        let messages = try scan(reply) { Int.random(in: 1...40, using: &generator) }
        #expect(messages == (try expected(reply)))
    }

    @Test("A body above the limit is not collected, however it is cut")
    func collectionLimit() throws {
        let error = PostgresError(.internalError, String(repeating: "m", count: 100))
        let reply = buffer { $0.writeErrorResponse(error) }
        let length = reply.readableBytes - 5
        for size in [1, 7, 1000] {
            #expect(try scan(reply, sizes: { size }, limit: length - 1)[0].collected == nil)
            #expect(try scan(reply, sizes: { size }, limit: length)[0].collected != nil)
        }
    }

    @Test(
        "A length that cannot be throws, in one chunk and in many",
        arguments: [UInt32(0), 3, (1 << 30) + 1, .max, 0x8000_0000])
    func badLengths(length: UInt32) throws {
        let bytes = buffer {
            $0.writeInteger(BackendTag.dataRow)
            $0.writeInteger(length)
        }
        var scanner = BackendMessageScanner()
        var cursor = 0
        #expect(throws: PostgresError.self) { try scanner.next(in: bytes, cursor: &cursor) }
        #expect(throws: PostgresError.self) { try scan(bytes, sizes: { 1 }) }
    }

    @Test("A message of a gigabyte is followed without being collected")
    func hugeMessage() throws {
        let header = buffer {
            $0.writeInteger(BackendTag.errorResponse)
            $0.writeInteger(UInt32(1 << 30))
        }
        var scanner = BackendMessageScanner()
        var cursor = 0
        let start = try scanner.next(in: header, cursor: &cursor)
        let first = try #require(start)
        #expect(first.startsMessage && !first.endsMessage)
        #expect(scanner.unfinishedTag == BackendTag.errorResponse)
        let chunk = ByteBuffer(repeating: 0, count: 1 << 20)
        var remaining = (1 << 30) - 4
        while remaining > 0 {
            let slice = try #require(chunk.getSlice(at: 0, length: min(remaining, 1 << 20)))
            cursor = 0
            let next = try scanner.next(in: slice, cursor: &cursor)
            let piece = try #require(next)
            remaining -= piece.range.count
            #expect(piece.endsMessage == (remaining == 0))
            #expect(scanner.body(of: piece, in: slice) == nil)
        }
        #expect(scanner.isAtBoundary)
    }
}
