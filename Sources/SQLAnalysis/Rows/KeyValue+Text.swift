extension KeyValue {
    /// The value that PostgreSQL reads from a string literal for this type, whatever the session's
    /// settings; nil where the text is not in a form for which that is certain.
    package init?(text: String, as type: KeyType) {
        switch type {
        case .integer:
            guard let value = KeyLiteralReader.integer(text) else { return nil }
            self = .integer(value)
        case .boolean:
            switch text {
            case "t", "true": self = .boolean(true)
            case "f", "false": self = .boolean(false)
            default: return nil
            }
        case .date:
            guard let days = Self.days(text) else { return nil }
            self = .date(days)
        case .uuid:
            guard let bytes = Self.uuidBytes(text) else { return nil }
            self = .uuid(bytes)
        case .text:
            // Other server encodings than UTF-8 may write two characters alike.
            guard text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
            self = .text(Array(text.utf8))
        }
    }

    /// `YYYY-MM-DD`, which means the same in every DateStyle, to days since 2000-01-01.
    private static func days(_ text: String) -> Int32? {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.map(\.count) == [4, 2, 2],
            text.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || ($0 >= 0x30 && $0 <= 0x39) })
        else { return nil }
        let numbers = parts.map { $0.reduce(0) { $0 * 10 + Int($1 - 0x30) } }
        let (year, month, day) = (numbers[0], numbers[1], numbers[2])
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard year >= 1, month >= 1, month <= 12, day >= 1, day <= lengths[month - 1] else {
            return nil
        }
        let earlier = year - 1
        let beforeYear = earlier * 365 + earlier / 4 - earlier / 100 + earlier / 400
        let beforeMonth = lengths[..<(month - 1)].reduce(0, +)
        // 730,119 days lie between 0001-01-01 and 2000-01-01.
        return Int32(beforeYear + beforeMonth + day - 1 - 730_119)
    }

    /// 8-4-4-4-12 hexadecimal digits, in either case.
    private static func uuidBytes(_ text: String) -> [UInt8]? {
        let groups = text.utf8.split(
            separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard groups.map(\.count) == [8, 4, 4, 4, 12] else { return nil }
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in groups.joined() {
            let value: UInt8
            switch digit {
            case 0x30...0x39: value = digit - 0x30
            case 0x41...0x46: value = digit - 0x41 + 10
            case 0x61...0x66: value = digit - 0x61 + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }
}
