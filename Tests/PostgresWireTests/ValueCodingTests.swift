import NIOCore
import TestSupport
import Testing

@testable import PostgresWire

struct ValueCodingTests {
    @Test(
        "Text becomes the server's binary, and binary the server's text", arguments: ValueVector.all
    )
    func vectors(vector: ValueVector) throws {
        let type = try #require(PostgresType(named: vector.type))
        let binary = try ValueCoding.binary(fromText: vector.input, type: type)
        #expect(hex(binary) == vector.binary)
        #expect(
            try ValueCoding.text(fromBinary: try bytes(vector.binary), type: type) == vector.output)
        #expect(ValueCoding.supports(type))
    }

    @Test("An array with another lower bound says so in its text")
    func lowerBound() throws {
        let binary = try bytes(
            "000000010000000000000017000000020000000200000004000000070000000400000008")
        #expect(try ValueCoding.text(fromBinary: binary, type: .int4Array) == "[2:3]={7,8}")
    }

    @Test("Text-like values pass as they are")
    func textLike() throws {
        for type in [PostgresType.text, .varchar, .bpchar, .name, .json, .unknown] {
            let binary = try ValueCoding.binary(fromText: " ä\u{1F600} ", type: type)
            #expect(binary == ByteBuffer(string: " ä\u{1F600} "))
            #expect(try ValueCoding.text(fromBinary: binary, type: type) == " ä\u{1F600} ")
        }
    }

    @Test(
        "Text that is not a value is refused",
        arguments: [
            (PostgresType.int4, ""), (.int4, "1.0"), (.int4, "0x10"), (.int4, "2147483648"),
            (.int4, "1_000"), (.int2, "32768"), (.int8, "9223372036854775808"), (.oid, "-1"),
            (.int4, "١"), (.bool, ""), (.bool, "o"), (.bool, "truee"), (.float8, ""),
            (.float8, "."), (.float8, "1e"), (.float8, "0x1p3"), (.float8, "1e400"),
            (.float8, "1e-400"), (.float4, "1e39"), (.float8, "nan(1)"), (.float8, "1 2"),
            (.numeric, ""), (.numeric, "."), (.numeric, "1e"), (.numeric, "1e200000"),
            (.numeric, "1e-20000"), (.numeric, "1e99999999999999999"), (.numeric, "--1"),
            (.numeric, "1.2.3"), (.numeric, "-NaN"), (.date, "2023-02-29"), (.date, "2024-13-01"),
            (.date, "0000-01-01"), (.date, "5874898-01-01"), (.date, "4715-01-01 BC"),
            (.date, "today"), (.date, "2024-01-01 x"), (.date, "1900-02-29"), (.time, "25:00"),
            (.time, "24:00:01"), (.time, "12:60"), (.timestamp, "294277-01-01"),
            (.timestamp, "2024-01-01T"), (.timestamptz, "2024-01-01 00:00+17"),
            (.interval, ""), (.interval, "1"), (.interval, "1 fortnight"), (.interval, "P"),
            (.interval, "P1H"), (.interval, "PT"), (.interval, "3000000000 days"),
            (.interval, "400000000 years"), (.bytea, "\\x1"), (.bytea, "\\xgg"),
            (.bytea, "\\9"), (.bytea, "\\400"), (.uuid, "a0eebc99"), (.uuid, ""),
            (.uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"), (.uuid, "{"),
            (.uuid, "a-0eebc999c0b4ef8bb6d6bb9bd380a11"), (.int4Array, ""), (.int4Array, "{1"),
            (.int4Array, "{1,}"), (.int4Array, "{,1}"), (.int4Array, "{{1}}"),
            (.int4Array, "{1}x"), (.int4Array, "[2:2]={1}"), (.textArray, "{\"a}"),
            (.textArray, "{a\"b\"}"), (.textArray, "{\\"), (.inet, "127.0.0.1"),
        ])
    func refusedText(type: PostgresType, text: String) {
        #expect(throws: PostgresError.self) { try ValueCoding.binary(fromText: text, type: type) }
    }

    @Test(
        "Bytes that are not a value are refused",
        arguments: [
            (PostgresType.int4, ""), (.int4, "000000"), (.int4, "0000000000"), (.bool, "0101"),
            (.numeric, "0001000000000000"), (.numeric, "00010000000000002710"),
            (.numeric, "0001000000000000ffff"), (.numeric, "0000000012340000"),
            (.numeric, "0000000000004000"), (.numeric, "ffff00000000000000010001"),
            (.date, "7ffffffe"), (.timestamp, "7ffffffffffffffe"), (.time, "ffffffffffffffff"),
            (.interval, "00"), (.uuid, "00"), (.jsonb, "027b7d"), (.jsonb, ""),
            (.int4Array, "000000020000000000000017"), (.int4Array, "000000010000000000000019"),
            (.int4Array, "0000000100000000000000177fffffff00000001"),
            (.int4Array, "00000001000000000000001700000001000000017fffffff"),
            (.int4Array, "ffffffff0000000000000017"),
        ])
    func refusedBinary(type: PostgresType, digits: String) throws {
        let binary = try bytes(digits)
        #expect(throws: PostgresError.self) {
            try ValueCoding.text(fromBinary: binary, type: type)
        }
    }

    @Test("Errors do not repeat the value")
    func discreetErrors() {
        let error = #expect(throws: PostgresError.self) {
            try ValueCoding.binary(fromText: "hunter2", type: .int4)
        }
        #expect(error.map { "\($0)".contains("hunter2") } == false)
    }

    @Test("Random doubles and floats survive text", arguments: [UInt64(1), 2, 3])
    func floats(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let double = Double(bitPattern: generator.next())
            guard double.isFinite else { continue }
            let text = FloatCoding.text(double)
            #expect(try FloatCoding.double(text).bitPattern == double.bitPattern)
            let float = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()))
            guard float.isFinite else { continue }
            #expect(try FloatCoding.float(FloatCoding.text(float)).bitPattern == float.bitPattern)
        }
    }

    @Test("Every day of sixteen centuries survives text")
    func days() throws {
        for day in stride(from: Int32(-800_000), to: 200_000, by: 97) {
            #expect(try DateTimeCoding.date(try DateTimeCoding.text(date: day)) == day)
        }
    }

    private func hex(_ buffer: ByteBuffer) -> String {
        String(ByteaCoding.text(Array(buffer.readableBytesView)).dropFirst(2))
    }

    private func bytes(_ hex: String) throws -> ByteBuffer {
        ByteBuffer(bytes: try ByteaCoding.bytes("\\x" + hex))
    }
}
