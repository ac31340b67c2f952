import NIOCore
import PostgresWire

/// Turns the parameters of a Bind message into SQLite's values.
enum ParameterDecoder {
    /// The value of one parameter. `typeOID` 0 is unknown: the text as it is, so that the
    /// affinity of the column it meets applies. Throws 22P02 and its like.
    static func value(_ bytes: ByteBuffer?, format: Int16, typeOID: UInt32) throws -> SQLiteValue {
        guard let bytes else { return .null }
        let type = PostgresType(oid: typeOID) ?? .unknown
        guard format == 1 else { return try value(ofText: string(bytes), type: type) }
        switch (type, bytes.readableBytes) {
        case (.bytea, _): return .blob(bytes)
        case (.int8, 8): return .integer(bytes.getInteger(at: bytes.readerIndex) ?? 0)
        case (.int4, 4):
            return .integer(Int64(bytes.getInteger(at: bytes.readerIndex, as: Int32.self) ?? 0))
        case (.int2, 2):
            return .integer(Int64(bytes.getInteger(at: bytes.readerIndex, as: Int16.self) ?? 0))
        case (.text, _), (.varchar, _), (.bpchar, _), (.unknown, _), (.name, _), (.json, _):
            return .text(try string(bytes))
        default:
            return try value(
                ofText: ValueCoding.text(fromBinary: bytes, type: type), type: type)
        }
    }

    static func value(ofText text: String, type: PostgresType) throws -> SQLiteValue {
        switch type {
        case .int2: return .integer(Int64(try integer(text, Int16.self, type)))
        case .int4: return .integer(Int64(try integer(text, Int32.self, type)))
        case .int8, .oid: return .integer(try integer(text, Int64.self, type))
        case .float4, .float8: return .real(try double(text, type))
        case .numeric: return try numeric(text)
        case .bool: return .integer(try boolean(text) ? 1 : 0)
        case .bytea: return .blob(try ValueCoding.binary(fromText: text, type: .bytea))
        case .date, .time, .timestamp, .uuid, .timestamptz:
            return .text(try canonical(text, type))
        default: return .text(text)
        }
    }

    /// The text form of a value, for what answers in text.
    static func text(_ value: SQLiteValue) -> String? {
        switch value {
        case .null: nil
        case .integer(let integer): String(integer)
        case .real(let real): FloatText.float8(real)
        case .text(let text): text
        case .blob(let bytes): RowEncoder.hex(bytes.readableBytesView)
        }
    }

    /// ISO text that sorts as the values do. An instant is kept in UTC without its offset, as
    /// SQLite's own date functions and defaults have it.
    static func canonical(_ text: String, _ type: PostgresType) throws -> String {
        var result = try ValueCoding.text(
            fromBinary: ValueCoding.binary(fromText: text, type: type), type: type)
        if type == .timestamptz, result.hasSuffix("+00") { result.removeLast(3) }
        return result
    }

    static let invalidText = PostgresError(
        "22021", "invalid byte sequence for encoding \"UTF8\"")

    static func string(_ bytes: ByteBuffer) throws -> String {
        guard let text = String(validating: bytes.readableBytesView, as: UTF8.self),
            !bytes.readableBytesView.contains(0)
        else {
            throw invalidText
        }
        return text
    }

    private static func trimmed(_ text: String) -> Substring {
        var text = text[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    private static func invalid(_ type: PostgresType) -> PostgresError {
        PostgresError("22P02", "invalid input syntax for type \(type.name)")
    }

    private static func integer<Value: FixedWidthInteger>(
        _ text: String, _: Value.Type, _ type: PostgresType
    ) throws -> Value {
        let digits = trimmed(text)
        if let value = Value(digits) { return value }
        let unsigned = digits.trimmingPrefix { $0 == "-" || $0 == "+" }
        guard !unsigned.isEmpty, unsigned.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw invalid(type)
        }
        throw PostgresError("22003", "value is out of range for type \(type.name)")
    }

    private static func double(_ text: String, _ type: PostgresType) throws -> Double {
        let trimmed = trimmed(text)
        guard let value = Double(trimmed) else { throw invalid(type) }
        guard !value.isNaN else {
            throw PostgresError(
                .featureNotSupported, "SQLite cannot store NaN", hint: "Store NULL instead.")
        }
        return value
    }

    /// A number where that loses nothing, else text, which the column's affinity treats.
    private static func numeric(_ text: String) throws -> SQLiteValue {
        let trimmed = String(trimmed(text))
        _ = try ValueCoding.binary(fromText: trimmed, type: .numeric)
        if let integer = Int64(trimmed) { return .integer(integer) }
        let digits = trimmed.prefix { $0 != "e" && $0 != "E" }.filter(\.isNumber)
        // Fifteen decimal digits survive the way through a double.
        if digits.count <= 15, let real = Double(trimmed), real.isFinite { return .real(real) }
        return .text(trimmed)
    }

    private static func boolean(_ text: String) throws -> Bool {
        switch trimmed(text).lowercased() {
        case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1": return true
        case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0": return false
        default: throw invalid(.bool)
        }
    }
}
