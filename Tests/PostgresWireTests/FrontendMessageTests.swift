import NIOCore
import Testing

@testable import PostgresWire

struct FrontendMessageTests {
    static let parse = ParseMessage(
        statement: "s1", query: "SELECT $1::int4", parameterTypes: [23, 0, .max])
    static let bind = BindMessage(
        portal: "p", statement: "s1", parameterFormats: [0, 1, 1],
        parameters: [ByteBuffer(string: "42"), nil, ByteBuffer()], resultFormats: [1, 0])

    @Test("Parse survives the round trip and no other length")
    func parse() throws {
        let body = try body(FrontendTag.parse, Self.parse.write)
        #expect(try ParseMessage(decoding: body) == Self.parse)
        try expectExact(body) { _ = try ParseMessage(decoding: $0) }
    }

    @Test("Bind survives the round trip and no other length")
    func bind() throws {
        let body = try body(FrontendTag.bind, Self.bind.write)
        #expect(try BindMessage(decoding: body) == Self.bind)
        try expectExact(body) { _ = try BindMessage(decoding: $0) }
    }

    @Test("Describe and Close survive the round trip and no other length")
    func describeAndClose() throws {
        for target in [DescribeTarget.statement, .portal] {
            let describe = DescribeMessage(target: target, name: "a")
            let close = CloseMessage(target: target, name: "a")
            let describeBody = try body(FrontendTag.describe, describe.write)
            let closeBody = try body(FrontendTag.close, close.write)
            #expect(try DescribeMessage(decoding: describeBody) == describe)
            #expect(try CloseMessage(decoding: closeBody) == close)
            try expectExact(describeBody) { _ = try DescribeMessage(decoding: $0) }
            try expectExact(closeBody) { _ = try CloseMessage(decoding: $0) }
        }
        #expect(throws: PostgresError.self) {
            try DescribeMessage(decoding: ByteBuffer(string: "Xa\0"))
        }
    }

    @Test("Execute and Query survive the round trip and no other length")
    func executeAndQuery() throws {
        let execute = ExecuteMessage(portal: "p", maximumRows: 100)
        let executeBody = try body(FrontendTag.execute, execute.write)
        #expect(try ExecuteMessage(decoding: executeBody) == execute)
        try expectExact(executeBody) { _ = try ExecuteMessage(decoding: $0) }
        let query = QueryMessage(query: "SELECT 'ä'")
        let queryBody = try body(FrontendTag.query, query.write)
        #expect(try QueryMessage(decoding: queryBody) == query)
        try expectExact(queryBody) { _ = try QueryMessage(decoding: $0) }
    }

    @Test("One format code holds for all, none means text")
    func formats() {
        var bind = BindMessage(parameterFormats: [1], resultFormats: [])
        #expect(bind.parameterFormat(at: 7) == 1)
        #expect(bind.resultFormat(at: 7) == 0)
        bind.resultFormats = [0, 1]
        #expect(bind.resultFormat(at: 1) == 1)
        #expect(bind.resultFormat(at: 2) == 0)
    }

    @Test("Bind refuses format codes that do not fit its parameters")
    func misfitFormats() throws {
        let message = BindMessage(parameterFormats: [1, 1], parameters: [nil, nil, nil])
        let count = try body(FrontendTag.bind, message.write)
        #expect(throws: PostgresError.self) { try BindMessage(decoding: count) }
        let code = try body(FrontendTag.bind, BindMessage(resultFormats: [2]).write)
        #expect(throws: PostgresError.self) { try BindMessage(decoding: code) }
    }

    @Test("A count of 65535 in a short message throws at once")
    func declaredCounts() {
        let parse = buffer {
            $0.writeBytes([0, 0])
            $0.writeInteger(UInt16.max)
        }
        #expect(throws: PostgresError.self) { try ParseMessage(decoding: parse) }
    }

    @Test("Text that is not UTF-8 keeps its bytes, and different bytes stay different")
    func foreignEncodings() throws {
        let samples: [[UInt8]] = [
            [0xE9], [0xC3, 0xA9], [0xC3], [0xFF, 0xFE, 0x41], [0xF4, 0x8F, 0xBF, 0xA9],
            [0xF4, 0x8F, 0xBC, 0x80], [0xED, 0xA0, 0x80], [0x41, 0xF0, 0x9F, 0x98, 0x80],
            [0xF4, 0x8F, 0xBB, 0xBF], [0xF0, 0x9F, 0x98], [0x80, 0x80],
        ]
        var seen: Set<String> = []
        for sample in samples {
            let message = ByteBuffer(bytes: sample + [0])
            let query = try QueryMessage(decoding: message)
            #expect(seen.insert(query.query).inserted)
            #expect(try body(FrontendTag.query, query.write) == message)
        }
    }

    @Test("A NUL inside a string does not move the fields behind it")
    func embeddedNul() throws {
        let message = ParseMessage(statement: "a\0b", query: "SELECT\0 1", parameterTypes: [23])
        let decoded = try ParseMessage(decoding: try body(FrontendTag.parse, message.write))
        #expect(
            decoded
                == ParseMessage(statement: "ab", query: "SELECT 1", parameterTypes: [23]))
    }
}
