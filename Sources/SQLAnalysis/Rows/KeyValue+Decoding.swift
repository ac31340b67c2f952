/// Reading parameters' bytes.
///
/// Strict: what the server might read in another way, or in one that is seldom used, is not read
/// here. nil is always right to return: what depends on the value is then all rows. Bytes that the
/// server would refuse may be read as anything, since the statement then fails.
///
/// https://www.postgresql.org/docs/15/datatype.html
extension KeyValue {
    /// A value in text format.
    package init?(text: UnsafeRawBufferPointer, as type: KeyType) {
        switch type {
        case .integer:
            guard let value = Self.integer(text) else { return nil }
            self = .integer(value)
        case .boolean:
            guard let value = Self.boolean(text) else { return nil }
            self = .boolean(value)
        case .date:
            guard let value = Self.date(text) else { return nil }
            self = .date(value)
        case .uuid:
            guard let value = Self.uuid(text) else { return nil }
            self = .uuid(value)
        case .text:
            self = .text(Array(text))
        }
    }

    /// A value in binary format. Its length must be that of the type.
    package init?(binary: UnsafeRawBufferPointer, as type: KeyType) {
        switch type {
        case .integer(let width):
            guard binary.count == width else { return nil }
            switch width {
            case 2: self = .integer(Int64(Int16(truncatingIfNeeded: binary.bigEndianBits)))
            case 4: self = .integer(Int64(Int32(truncatingIfNeeded: binary.bigEndianBits)))
            case 8: self = .integer(Int64(bitPattern: binary.bigEndianBits))
            default: return nil
            }
        case .boolean:
            guard binary.count == 1, binary[0] <= 1 else { return nil }
            self = .boolean(binary[0] == 1)
        case .date:
            guard binary.count == 4 else { return nil }
            self = .date(Int32(truncatingIfNeeded: binary.bigEndianBits))
        case .uuid:
            guard binary.count == 16 else { return nil }
            self = .uuid(Array(binary))
        case .text:
            self = .text(Array(binary))
        }
    }

    /// The elements of an array in text format: integers or uuids without quotes, spaces or NULLs
    /// (`{1,2,3}`), at most `KeyedRows.maximumTuples` of them.
    package static func elements(
        text: UnsafeRawBufferPointer, as type: KeyType
    ) -> [KeyValue]? {
        switch type {
        case .integer, .uuid: break
        case .boolean, .date, .text: return nil
        }
        guard text.count >= 2, text[0] == UInt8(ascii: "{"),
            text[text.count - 1] == UInt8(ascii: "}")
        else { return nil }
        if text.count == 2 { return [] }
        var values: [KeyValue] = []
        var start = 1
        for end in 1..<text.count
        where text[end] == UInt8(ascii: ",") || end == text.count - 1 {
            let element = UnsafeRawBufferPointer(rebasing: text[start..<end])
            guard values.count < KeyedRows.maximumTuples,
                let value = KeyValue(text: element, as: type)
            else { return nil }
            values.append(value)
            start = end + 1
        }
        return values
    }

    /// The elements of an array of one dimension in binary format, at most
    /// `KeyedRows.maximumTuples` of them. NULLs are left out: no value is equal to them. That the
    /// elements are of the parameter's type is for the server to check (array_recv does).
    package static func elements(
        binary: UnsafeRawBufferPointer, as type: KeyType
    ) -> [KeyValue]? {
        var rest = binary
        guard let dimensions = rest.popWord(), rest.popWord() != nil, rest.popWord() != nil
        else { return nil }
        if dimensions == 0 { return rest.isEmpty ? [] : nil }
        guard dimensions == 1, let count = rest.popWord(), rest.popWord() != nil,
            (0...KeyedRows.maximumTuples).contains(Int(count))
        else { return nil }
        var values: [KeyValue] = []
        for _ in 0..<count {
            guard let length = rest.popWord() else { return nil }
            if length == -1 { continue }
            guard length >= 0, Int(length) <= rest.count else { return nil }
            let element = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(length)))
            guard let value = KeyValue(binary: element, as: type) else { return nil }
            values.append(value)
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(Int(length)))
        }
        return rest.isEmpty ? values : nil
    }

    // MARK: Text

    private static func digit(_ byte: UInt8) -> Int? {
        let value = Int(byte) - Int(UInt8(ascii: "0"))
        return (0...9).contains(value) ? value : nil
    }

    /// `-?[0-9]{1,19}`, where that is an Int64.
    private static func integer(_ text: UnsafeRawBufferPointer) -> Int64? {
        let isNegative = text.first == UInt8(ascii: "-")
        let digits = isNegative ? text.dropFirst() : text[...]
        guard (1...19).contains(digits.count) else { return nil }
        var magnitude: UInt64 = 0
        for byte in digits {
            guard let digit = digit(byte) else { return nil }
            // 19 digits always fit.
            magnitude = magnitude * 10 + UInt64(digit)
        }
        if isNegative {
            return magnitude <= Int64.min.magnitude
                ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
        }
        return Int64(exactly: magnitude)
    }

    private static func boolean(_ text: UnsafeRawBufferPointer) -> Bool? {
        if ["t", "true", "1"].contains(where: { text.elementsEqual($0.utf8) }) { return true }
        if ["f", "false", "0"].contains(where: { text.elementsEqual($0.utf8) }) { return false }
        return nil
    }

    private static let monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

    /// `YYYY-MM-DD`, from 1000-01-01 to 9999-12-31: read in the same way with every DateStyle.
    private static func date(_ text: UnsafeRawBufferPointer) -> Int32? {
        guard text.count == 10, text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-")
        else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            var value = 0
            for index in range {
                guard let digit = digit(text[index]) else { return nil }
                value = value * 10 + digit
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            year >= 1000, (1...12).contains(month)
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let length = monthLengths[month - 1] + (isLeap && month == 2 ? 1 : 0)
        guard (1...length).contains(day) else { return nil }
        // Days before the year, counted from 0001-01-01 on.
        let past = year - 1
        let daysBeforeYear = past * 365 + past / 4 - past / 100 + past / 400
        let daysBeforeMonth = monthLengths[..<(month - 1)].reduce(isLeap && month > 2 ? 1 : 0, +)
        let daysBefore2000 = 730_119
        return Int32(daysBeforeYear + daysBeforeMonth + day - 1 - daysBefore2000)
    }

    /// 8-4-4-4-12 hexadecimal digits, in either case.
    private static func uuid(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard text.count == 36 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16)
        var high: UInt8?
        for (index, byte) in text.enumerated() {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let nibble: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): nibble = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): nibble = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): nibble = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | nibble)
                high = nil
            } else {
                high = nibble
            }
        }
        return bytes
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes, at most eight, as one number in network order.
    fileprivate var bigEndianBits: UInt64 { reduce(0) { $0 << 8 | UInt64($1) } }

    fileprivate mutating func popWord() -> Int32? {
        guard count >= 4 else { return nil }
        let bits = UnsafeRawBufferPointer(rebasing: self[..<4]).bigEndianBits
        self = UnsafeRawBufferPointer(rebasing: self[4...])
        return Int32(truncatingIfNeeded: bits)
    }
}
