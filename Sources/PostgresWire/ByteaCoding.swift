/// Text of bytea: hex out, hex or escape format in.
enum ByteaCoding {
    static func text(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = [0x5C, 0x78]
        text.reserveCapacity(2 + bytes.count * 2)
        for byte in bytes { Hex.append(byte, to: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    static func bytes(_ text: String) throws(PostgresError) -> [UInt8] {
        let source = Array(text.utf8)
        return source.starts(with: [0x5C, 0x78])
            ? try hex(source[2...]) : try escaped(source)
    }

    private static func hex(_ digits: ArraySlice<UInt8>) throws(PostgresError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        var high: UInt8?
        for digit in digits {
            // White space is allowed between pairs of digits only.
            if high == nil, TextCursor.isSpace(digit) { continue }
            guard let value = Hex.value(digit) else { throw invalid }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        guard high == nil else { throw invalid }
        return bytes
    }

    private static func escaped(_ source: [UInt8]) throws(PostgresError) -> [UInt8] {
        var bytes: [UInt8] = []
        var index = 0
        while index < source.count {
            let byte = source[index]
            index += 1
            guard byte == 0x5C else {
                bytes.append(byte)
                continue
            }
            if index < source.count, source[index] == 0x5C {
                bytes.append(0x5C)
                index += 1
            } else if source.count - index >= 3,
                (0x30...0x33).contains(source[index]),
                (0x30...0x37).contains(source[index + 1]),
                (0x30...0x37).contains(source[index + 2])
            {
                bytes.append(
                    (source[index] - 0x30) << 6 | (source[index + 1] - 0x30) << 3
                        | (source[index + 2] - 0x30))
                index += 3
            } else {
                throw invalid
            }
        }
        return bytes
    }

    private static var invalid: PostgresError { ValueCoding.invalidText(.bytea) }
}
