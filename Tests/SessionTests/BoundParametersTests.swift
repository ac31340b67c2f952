import NIOCore
import PostgresWire
import SQLAnalysis
import Testing

@testable import Session

@Suite("BoundParameters")
struct BoundParametersTests {
    /// What follows the two names in a Bind message.
    private func tail(
        formats: [Int16] = [], _ parameters: ByteBuffer?...
    ) throws -> ByteBuffer {
        var bytes = ByteBuffer()
        BindMessage(parameterFormats: formats, parameters: parameters).write(to: &bytes)
        let frame = try #require(try MessageFraming.next(in: &bytes, limit: 1 << 20))
        var body = frame.body
        _ = (body.readName(), body.readName())
        return body
    }

    private func values(
        _ tail: ByteBuffer, _ index: Int, _ type: KeyType = .integer(width: 4),
        isArray: Bool = false, isUTF8: Bool = true
    ) -> [KeyValue]? {
        BoundParameters(tail, textIsUTF8: isUTF8).values(at: index, as: type, isArray: isArray)
    }

    @Test("each parameter is read in its own format, in one for all, or as text")
    func formats() throws {
        let text = ByteBuffer(string: "7")
        let binary = ByteBuffer(integer: Int32(8))
        let mixed = try tail(formats: [1, 0, 1], binary, text, nil)
        #expect(values(mixed, 0) == [.integer(8)])
        #expect(values(mixed, 1) == [.integer(7)])
        #expect(values(mixed, 2) == [])
        #expect(values(mixed, 3) == nil)
        #expect(values(mixed, -1) == nil)
        let allBinary = try tail(formats: [1], binary, binary)
        #expect(values(allBinary, 1) == [.integer(8)])
        #expect(values(allBinary, 1, .integer(width: 8)) == nil)
        #expect(values(try tail(text, text), 1) == [.integer(7)])
        #expect(values(try tail(binary), 0) == nil)
    }

    @Test("text in another encoding than UTF-8 is only known where it is ASCII")
    func encodings() throws {
        let tail = try tail(ByteBuffer(string: "naïve"), ByteBuffer(string: "plain"))
        #expect(values(tail, 0, .text) == [.text(Array("naïve".utf8))])
        #expect(values(tail, 0, .text, isUTF8: false) == nil)
        #expect(values(tail, 1, .text, isUTF8: false) == [.text(Array("plain".utf8))])
    }

    @Test("arrays are read in both formats")
    func arrays() throws {
        var binary = ByteBuffer()
        for word in [1, 0, 23, 2, 1, 4, 5, 4, 6] { binary.writeInteger(Int32(word)) }
        let tail = try tail(formats: [0, 1, 0], ByteBuffer(string: "{5,6}"), binary, nil)
        for index in 0..<2 {
            #expect(values(tail, index, isArray: true) == [.integer(5), .integer(6)])
        }
        #expect(values(tail, 2, isArray: true) == [])
    }

    @Test("of a malformed message nothing is read, and nothing past its end")
    func malformed() throws {
        let whole = try tail(formats: [0, 1], ByteBuffer(string: "12345"), ByteBuffer(string: "x"))
        for length in 0..<(whole.readableBytes - 2) {
            let cut = try #require(whole.getSlice(at: whole.readerIndex, length: length))
            // The values come before the result formats: a cut within them leaves none.
            #expect(values(cut, 0) == nil)
        }
        var wrong = ByteBuffer()
        for number in [UInt16(2), 0, 0, 1] { wrong.writeInteger(number) }
        wrong.writeInteger(Int32(1))
        wrong.writeString("7")
        #expect(values(wrong, 0) == nil)
        var unknownFormat = ByteBuffer()
        for number in [UInt16(1), 2, 1] { unknownFormat.writeInteger(number) }
        unknownFormat.writeInteger(Int32(1))
        unknownFormat.writeString("7")
        #expect(values(unknownFormat, 0) == nil)
        var negative = ByteBuffer()
        for number in [UInt16(0), 1] { negative.writeInteger(number) }
        negative.writeInteger(Int32(-2))
        #expect(values(negative, 0) == nil)
    }
}
