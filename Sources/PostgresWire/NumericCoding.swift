import NIOCore

/// numeric: base-10000 digits with weight, sign and display scale.
///
/// Layout as in the server's numeric_recv: Int16 ndigits, Int16 weight (of the first digit, in
/// powers of 10000), UInt16 sign, Int16 display scale, then the digits.
enum NumericCoding {
    private static let positive: UInt16 = 0x0000
    private static let negative: UInt16 = 0x4000
    private static let notANumber: UInt16 = 0xC000
    private static let plusInfinity: UInt16 = 0xD000
    private static let minusInfinity: UInt16 = 0xF000
    private static let maximumScale = 16_383
    private static let maximumIntegerDigits = 131_072

    static func readText(_ buffer: inout ByteBuffer) throws(PostgresError) -> String {
        guard let count = buffer.readInteger(as: UInt16.self),
            let weight = buffer.readInteger(as: Int16.self),
            let sign = buffer.readInteger(as: UInt16.self),
            let scale = buffer.readInteger(as: UInt16.self),
            Int(scale) <= maximumScale, Int(count) <= buffer.readableBytes / 2
        else { throw ValueCoding.invalidBinary(.numeric) }
        var groups: [Int] = []
        groups.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let group = buffer.readInteger(as: Int16.self), (0..<10_000).contains(group)
            else { throw ValueCoding.invalidBinary(.numeric) }
            groups.append(Int(group))
        }
        switch sign {
        case notANumber: return "NaN"
        case plusInfinity: return "Infinity"
        case minusInfinity: return "-Infinity"
        case positive, negative: break
        default: throw ValueCoding.invalidBinary(.numeric)
        }
        return text(
            groups: groups, weight: Int(weight), scale: Int(scale), negative: sign == negative)
    }

    private static func text(groups: [Int], weight: Int, scale: Int, negative: Bool) -> String {
        func group(_ index: Int) -> Int { groups.indices.contains(index) ? groups[index] : 0 }
        var text: [UInt8] = []
        var leading = true
        if weight >= 0 {
            for index in 0...weight { append(group(index), to: &text, leading: &leading) }
        }
        if leading { text.append(0x30) }
        if scale > 0 {
            text.append(0x2E)
            let end = text.count + scale
            var index = weight + 1
            leading = false
            while text.count < end {
                append(group(index), to: &text, leading: &leading)
                index += 1
            }
            text.removeLast(text.count - end)
        }
        let isZero = !text.contains { (0x31...0x39).contains($0) }
        return (negative && !isZero ? "-" : "") + String(decoding: text, as: UTF8.self)
    }

    /// Appends four digits, without leading zeros as long as nothing else came before.
    private static func append(_ group: Int, to text: inout [UInt8], leading: inout Bool) {
        for digit in [group / 1000, group / 100 % 10, group / 10 % 10, group % 10] {
            if leading, digit == 0 { continue }
            leading = false
            text.append(0x30 + UInt8(digit))
        }
    }

    static func write(_ text: String, to buffer: inout ByteBuffer) throws(PostgresError) {
        var cursor = TextCursor(text)
        let sign = cursor.takeSign()
        if let first = cursor.peek, TextCursor.isLetter(first) {
            let word = cursor.takeWord()
            guard cursor.isAtEnd else { throw ValueCoding.invalidText(.numeric) }
            switch (word, sign) {
            case ("nan", nil): writeHeader(0, 0, notANumber, 0, to: &buffer)
            case ("inf", _), ("infinity", _):
                writeHeader(0, 0, sign == -1 ? minusInfinity : plusInfinity, 0x20, to: &buffer)
            default: throw ValueCoding.invalidText(.numeric)
            }
            return
        }

        var digits: [UInt8] = []
        var pointPosition: Int?
        while true {
            if let byte = cursor.peek, TextCursor.isDigit(byte) {
                digits.append(byte - 0x30)
                _ = cursor.take(Unicode.Scalar(byte))
            } else if pointPosition == nil, cursor.take(".") {
                pointPosition = digits.count
            } else {
                break
            }
        }
        guard !digits.isEmpty else { throw ValueCoding.invalidText(.numeric) }
        var exponent = 0
        if cursor.take("e") || cursor.take("E") {
            let exponentSign = cursor.takeSign() ?? 1
            guard let number = cursor.takeNumber() else { throw ValueCoding.invalidText(.numeric) }
            // Whatever lies beyond is out of range in any case, and sums cannot overflow.
            exponent = exponentSign * min(number.value, 1 << 30)
        }
        guard cursor.isAtEnd else { throw ValueCoding.invalidText(.numeric) }
        try write(
            digits: digits, pointPosition: (pointPosition ?? digits.count) + exponent,
            negative: sign == -1, to: &buffer)
    }

    /// `pointPosition`: how many of `digits` are before the decimal point; may lie outside.
    private static func write(
        digits: [UInt8], pointPosition: Int, negative isNegative: Bool, to buffer: inout ByteBuffer
    ) throws(PostgresError) {
        let scale = max(0, digits.count - pointPosition)
        guard scale <= maximumScale else { throw overflow }
        let leadingZeros = digits.prefix { $0 == 0 }.count
        let significant = digits[leadingZeros...]
        guard !significant.isEmpty else {
            writeHeader(0, 0, positive, UInt16(scale), to: &buffer)
            return
        }
        let integerDigits = pointPosition - leadingZeros
        guard integerDigits <= maximumIntegerDigits else { throw overflow }
        // Floor division: the weight of 0.0001 is -1.
        let weight = (integerDigits - 1) >> 2
        let padding = (weight + 1) * 4 - integerDigits
        var groups: [Int16] = []
        groups.reserveCapacity((significant.count + padding + 3) / 4)
        var group: Int16 = 0
        var filled = padding
        for digit in significant {
            group = group * 10 + Int16(digit)
            filled += 1
            if filled == 4 {
                groups.append(group)
                group = 0
                filled = 0
            }
        }
        if filled > 0 {
            for _ in filled..<4 { group *= 10 }
            groups.append(group)
        }
        while groups.last == 0 { groups.removeLast() }
        guard groups.count <= Int(Int16.max), let weight = Int16(exactly: weight) else {
            throw overflow
        }
        writeHeader(
            UInt16(groups.count), weight, isNegative ? negative : positive, UInt16(scale),
            to: &buffer)
        for group in groups { buffer.writeInteger(group) }
    }

    private static func writeHeader(
        _ count: UInt16, _ weight: Int16, _ sign: UInt16, _ scale: UInt16,
        to buffer: inout ByteBuffer
    ) {
        buffer.writeInteger(count)
        buffer.writeInteger(weight)
        buffer.writeInteger(sign)
        buffer.writeInteger(scale)
    }

    private static var overflow: PostgresError {
        PostgresError("22003", "value overflows numeric format")
    }
}
