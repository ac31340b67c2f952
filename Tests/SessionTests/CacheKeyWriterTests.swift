import ResultCache
import NIOCore
import PostgresWire
import Testing

@testable import Session

@Suite("CacheKeyWriter")
struct CacheKeyWriterTests {
    private func statement(
        _ query: String, types: [UInt32] = [], identity: UInt64 = 1
    ) -> PreparedStatement {
        let message = ParseMessage(statement: "", query: query, parameterTypes: types)
        var bytes = ByteBuffer()
        message.write(to: &bytes)
        return PreparedStatement(
            message, bytes: bytes, identity: SessionIdentity(number: identity),
            upstreamState: .notPrepared)
    }

    private func tail(
        formats: [Int16] = [], values: [String?] = [], results: [Int16] = []
    ) -> ByteBuffer {
        var bytes = ByteBuffer()
        BindMessage(
            parameterFormats: formats, parameters: values.map { $0.map { ByteBuffer(string: $0) } },
            resultFormats: results
        ).write(to: &bytes)
        bytes.moveReaderIndex(forwardBy: 7)
        return bytes
    }

    private func bound(
        _ statement: PreparedStatement, _ tail: ByteBuffer, identity: UInt64 = 1
    ) -> [UInt8]? {
        var key = ByteBuffer()
        let isKey = CacheKeyWriter.writeBound(
            statement: statement, identity: SessionIdentity(number: identity), bindTail: tail,
            into: &key)
        return isKey ? Array(key.readableBytesView) : nil
    }

    private func simple(_ query: String, identity: UInt64 = 1) -> [UInt8] {
        var key = ByteBuffer()
        CacheKeyWriter.writeSimple(
            query: ByteBuffer(string: query).readableBytesView,
            identity: SessionIdentity(number: identity), into: &key)
        return Array(key.readableBytesView)
    }

    @Test("simple and extended share a key where all is text, however that is spelled")
    func shared() {
        let key = simple("SELECT 1")
        #expect(bound(statement("SELECT 1"), tail()) == key)
        #expect(bound(statement("SELECT 1"), tail(results: [0])) == key)
        // Right for two columns alone, which the server has to judge.
        #expect(bound(statement("SELECT 1"), tail(results: [0, 0])) != key)
        #expect(bound(statement("SELECT 1"), tail(formats: [0, 0])) != key)
        #expect(bound(statement("SELECT 1"), tail(results: [1])) != key)
    }

    @Test("identity, identity at Parse, text, types, formats and values all count")
    func everythingCounts() {
        let base = bound(statement("SELECT $1"), tail(values: ["a"]))
        let others = [
            bound(statement("SELECT $1"), tail(values: ["a"]), identity: 2),
            bound(statement("SELECT $1", identity: 2), tail(values: ["a"])),
            bound(statement("SELECT $1 "), tail(values: ["a"])),
            bound(statement("SELECT $1", types: [23]), tail(values: ["a"])),
            bound(statement("SELECT $1"), tail(formats: [1], values: ["a"])),
            bound(statement("SELECT $1"), tail(values: ["b"])),
            bound(statement("SELECT $1"), tail(values: [nil])),
            bound(statement("SELECT $1"), tail(values: [""])),
            bound(statement("SELECT $1"), tail(values: ["a", "a"])),
            bound(statement("SELECT $1"), tail(values: ["a"], results: [1])),
        ]
        for other in others { #expect(other != nil && other != base) }
        #expect(Set(others.compactMap { $0 }).count == others.count)
    }

    @Test("a malformed Bind has no key")
    func malformed() {
        let whole = tail(formats: [0], values: ["abc", nil], results: [1])
        for length in 0..<whole.readableBytes {
            var cut = whole
            cut.moveWriterIndex(to: cut.readerIndex + length)
            #expect(bound(statement("SELECT $1"), cut) == nil)
        }
        var longer = whole
        longer.writeInteger(UInt8(0))
        #expect(bound(statement("SELECT $1"), longer) == nil)
    }

    @Test("words that date types read as the current time are found in text parameters only")
    func relativeTime() {
        func has(_ value: String, format: Int16 = 0) -> Bool? {
            BindShape(tail(formats: [format], values: [value]), inspectsText: true)?.hasRelativeTime
        }
        #expect(has("Today 10:00") == true)
        #expect(has("now") == true)
        #expect(has("YESTERDAY") == true)
        #expect(has("noon") == false)
        #expect(has("now", format: 1) == false)
    }
}
