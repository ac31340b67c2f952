import NIOCore

/// Conversion between the text and the binary representation of values of built-in types.
///
/// Text is as the server writes it under its default settings: ISO dates, `postgres` intervals,
/// hex bytea, shortest-exact floats; `timestamptz` in UTC. Text input is what the server writes,
/// and the usual variations of it. Both sides are a peer's: what cannot be read is an error
/// (22P02, 22003, 22007, 22008, 22P03) whose message does not repeat the value.
package enum ValueCoding {
    /// The binary representation of `fromText`. Throws `featureNotSupported` for a type without one
    /// here.
    package static func binary(
        fromText text: String, type: PostgresType
    ) throws(PostgresError) -> ByteBuffer {
        var buffer = ByteBuffer()
        try writeBinary(fromText: text, type: type, to: &buffer)
        return buffer
    }

    /// The text representation of `fromBinary`. Throws `featureNotSupported` for a type without one
    /// here, 22P03 where the bytes are not a value of the type.
    package static func text(
        fromBinary binary: ByteBuffer, type: PostgresType
    ) throws(PostgresError) -> String {
        var buffer = binary
        let text = try readText(&buffer, type: type)
        guard buffer.readableBytes == 0 else { throw invalidBinary(type) }
        return text
    }

    /// Whether values of `type` can be converted.
    package static func supports(_ type: PostgresType) -> Bool {
        scalarTypes.contains(type) || type.elementType.map(scalarTypes.contains) == true
    }

    private static let scalarTypes: Set<PostgresType> = [
        .bool, .bytea, .char, .name, .int8, .int2, .int4, .regclass, .regtype, .regproc, .text,
        .oid, .xid, .cid, .json, .xml, .float4, .float8, .unknown, .bpchar, .varchar, .date, .time,
        .timestamp, .timestamptz, .interval, .numeric, .refcursor, .uuid, .jsonb,
    ]

    static func writeBinary(
        fromText text: String, type: PostgresType, to buffer: inout ByteBuffer
    ) throws(PostgresError) {
        switch type {
        case .text, .varchar, .bpchar, .name, .json, .xml, .unknown, .refcursor:
            WireText.write(text, to: &buffer)
        case .jsonb:
            buffer.writeInteger(UInt8(1))
            WireText.write(text, to: &buffer)
        case .char:
            // Only the first byte counts; zero is written as the empty string.
            var bytes = ByteBuffer()
            WireText.write(text, to: &bytes)
            buffer.writeInteger(bytes.readInteger(as: UInt8.self) ?? 0)
        case .int2: buffer.writeInteger(try integer(text, type: type) as Int16)
        case .int4: buffer.writeInteger(try integer(text, type: type) as Int32)
        case .int8: buffer.writeInteger(try integer(text, type: type) as Int64)
        case .oid, .regclass, .regtype, .regproc, .xid, .cid:
            buffer.writeInteger(try integer(text, type: type) as UInt32)
        case .float4: buffer.writeInteger(try FloatCoding.float(text).bitPattern)
        case .float8: buffer.writeInteger(try FloatCoding.double(text).bitPattern)
        case .bool: buffer.writeInteger(UInt8(try bool(text) ? 1 : 0))
        case .bytea: buffer.writeBytes(try ByteaCoding.bytes(text))
        case .uuid: buffer.writeBytes(try UUIDCoding.bytes(text))
        case .numeric: try NumericCoding.write(text, to: &buffer)
        case .date: buffer.writeInteger(try DateTimeCoding.date(text))
        case .time: buffer.writeInteger(try DateTimeCoding.time(text))
        case .timestamp: buffer.writeInteger(try DateTimeCoding.timestamp(text, hasZone: false))
        case .timestamptz: buffer.writeInteger(try DateTimeCoding.timestamp(text, hasZone: true))
        case .interval: try IntervalCoding.parse(text).write(to: &buffer)
        default:
            guard let element = type.elementType else { throw unsupported(type) }
            try ArrayCoding.write(text, element: element, to: &buffer)
        }
    }

    /// Reads all of `buffer` as one value.
    static func readText(
        _ buffer: inout ByteBuffer, type: PostgresType
    ) throws(PostgresError) -> String {
        switch type {
        case .text, .varchar, .bpchar, .name, .json, .xml, .unknown, .refcursor:
            return readRemaining(&buffer)
        case .jsonb:
            guard buffer.readInteger(as: UInt8.self) == 1 else { throw invalidBinary(type) }
            return readRemaining(&buffer)
        case .char:
            let byte: UInt8 = try read(&buffer, type)
            return byte == 0 ? "" : WireText.string([byte])
        case .int2: return String(try read(&buffer, type) as Int16)
        case .int4: return String(try read(&buffer, type) as Int32)
        case .int8: return String(try read(&buffer, type) as Int64)
        case .oid, .regclass, .regtype, .regproc, .xid, .cid:
            return String(try read(&buffer, type) as UInt32)
        case .float4: return FloatCoding.text(Float(bitPattern: try read(&buffer, type)))
        case .float8: return FloatCoding.text(Double(bitPattern: try read(&buffer, type)))
        case .bool: return try read(&buffer, type) as UInt8 == 0 ? "f" : "t"
        case .bytea: return ByteaCoding.text(readBytes(&buffer))
        case .uuid:
            guard let bytes = buffer.readBytes(length: 16) else { throw invalidBinary(type) }
            return UUIDCoding.text(bytes)
        case .numeric: return try NumericCoding.readText(&buffer)
        case .date: return try DateTimeCoding.text(date: try read(&buffer, type))
        case .time: return try DateTimeCoding.text(time: try read(&buffer, type))
        case .timestamp:
            return try DateTimeCoding.text(timestamp: try read(&buffer, type), hasZone: false)
        case .timestamptz:
            return try DateTimeCoding.text(timestamp: try read(&buffer, type), hasZone: true)
        case .interval: return try IntervalCoding(&buffer).text
        default:
            guard let element = type.elementType else { throw unsupported(type) }
            return try ArrayCoding.readText(&buffer, element: element)
        }
    }

    private static func readRemaining(_ buffer: inout ByteBuffer) -> String {
        let text = WireText.string(buffer.readableBytesView)
        buffer.moveReaderIndex(to: buffer.writerIndex)
        return text
    }

    private static func readBytes(_ buffer: inout ByteBuffer) -> [UInt8] {
        buffer.readBytes(length: buffer.readableBytes) ?? []
    }

    private static func read<T: FixedWidthInteger>(
        _ buffer: inout ByteBuffer, _ type: PostgresType
    ) throws(PostgresError) -> T {
        guard let value = buffer.readInteger(as: T.self) else { throw invalidBinary(type) }
        return value
    }

    private static func integer<T: FixedWidthInteger>(
        _ text: String, type: PostgresType
    ) throws(PostgresError) -> T {
        let trimmed = TextCursor.trimmed(text)
        let digits = trimmed.first == 0x2B || trimmed.first == 0x2D ? trimmed.dropFirst() : trimmed
        guard !digits.isEmpty, digits.allSatisfy(TextCursor.isDigit) else {
            throw invalidText(type)
        }
        guard let value = T(String(decoding: trimmed, as: UTF8.self)) else {
            throw outOfRange(type)
        }
        return value
    }

    private static func bool(_ text: String) throws(PostgresError) -> Bool {
        let word = String(decoding: TextCursor.trimmed(text), as: UTF8.self).lowercased()
        if word == "1" || word == "on" { return true }
        if word == "0" || word == "off" || word == "of" { return false }
        guard !word.isEmpty else { throw invalidText(.bool) }
        if "true".hasPrefix(word) || "yes".hasPrefix(word) { return true }
        if "false".hasPrefix(word) || "no".hasPrefix(word) { return false }
        throw invalidText(.bool)
    }

    static func invalidText(_ type: PostgresType) -> PostgresError {
        PostgresError("22P02", "invalid input syntax for type \(type.name)")
    }

    static func outOfRange(_ type: PostgresType) -> PostgresError {
        PostgresError("22003", "value is out of range for type \(type.name)")
    }

    static func invalidBinary(_ type: PostgresType) -> PostgresError {
        PostgresError("22P03", "incorrect binary data format for type \(type.name)")
    }

    private static func unsupported(_ type: PostgresType) -> PostgresError {
        PostgresError(
            .featureNotSupported,
            "values of type \(type.name) cannot be converted between text and binary format")
    }
}
