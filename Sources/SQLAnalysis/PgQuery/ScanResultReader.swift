/// Reads the protobuf message `ScanResult` that `pg_query_scan` returns.
///
/// ScanResult { repeated ScanToken tokens = 2 }, ScanToken { start = 1, end = 2, token = 4,
/// keyword_kind = 5 }: pg_query.proto.
struct ScanResultReader {
    private var bytes: UnsafeRawBufferPointer.SubSequence

    static func read(
        _ bytes: UnsafeRawBufferPointer, textLength: Int
    ) throws(PgQuery.Failure) -> [Token] {
        var reader = ScanResultReader(bytes: bytes[...])
        var tokens: [Token] = []
        while !reader.bytes.isEmpty {
            let key = try reader.varint()
            guard key == 2 << 3 | 2 else {
                try reader.skip(wireType: key & 7)
                continue
            }
            var message = ScanResultReader(bytes: try reader.delimited())
            tokens.append(try message.token(textLength: textLength))
        }
        return tokens
    }

    private mutating func token(textLength: Int) throws(PgQuery.Failure) -> Token {
        var start: UInt64 = 0
        var end: UInt64 = 0
        var code: UInt64 = 0
        var keyword: UInt64 = 0
        while !bytes.isEmpty {
            let key = try varint()
            switch key {
            case 1 << 3: start = try varint()
            case 2 << 3: end = try varint()
            case 4 << 3: code = try varint()
            case 5 << 3: keyword = try varint()
            default: try skip(wireType: key & 7)
            }
        }
        guard start <= end, end <= UInt64(textLength) else { throw .malformedTree }
        return Token(kind: Self.kind(code, keyword), start: Int(start), end: Int(end))
    }

    /// The values of `enum Token` and `enum KeywordKind` in pg_query.proto.
    private static func kind(_ code: UInt64, _ keyword: UInt64) -> Token.Kind {
        switch keyword {
        case 1: return .keyword(.unreserved)
        case 2: return .keyword(.columnName)
        case 3: return .keyword(.typeOrFunctionName)
        case 4: return .keyword(.reserved)
        default: break
        }
        switch code {
        case 1...127: return .punctuation(UInt8(code))
        case 258: return .identifier
        case 259: return .unicodeIdentifier
        case 260, 266: return .number
        case 261: return .string
        case 262: return .unicodeString
        case 263, 264: return .bitString
        case 267: return .parameter
        case 275, 276: return .comment
        default: return .op
        }
    }

    private mutating func varint() throws(PgQuery.Failure) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            guard let byte = bytes.popFirst() else { throw .malformedTree }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        throw .malformedTree
    }

    private mutating func delimited() throws(PgQuery.Failure) -> Slice<UnsafeRawBufferPointer> {
        let length = try varint()
        guard length <= UInt64(bytes.count) else { throw .malformedTree }
        let part = bytes.prefix(Int(length))
        bytes = bytes.dropFirst(Int(length))
        return part
    }

    private mutating func skip(wireType: UInt64) throws(PgQuery.Failure) {
        switch wireType {
        case 0: _ = try varint()
        case 2: _ = try delimited()
        default: throw .malformedTree
        }
    }
}
