/// Text of float4 and float8: the fewest digits that give the same value back.
///
/// Where the fewest digits lie exactly halfway between two values (about one float4 in 300, next to
/// no float8), the server writes one digit more; both texts read back as the same value.
enum FloatCoding {
    static func text(_ value: Double) -> String {
        text(value.description, isNaN: value.isNaN, isInfinite: value.isInfinite, wide: 15)
    }

    static func text(_ value: Float) -> String {
        text(value.description, isNaN: value.isNaN, isInfinite: value.isInfinite, wide: 6)
    }

    /// Reformats Swift's shortest digits the way the server does: plain notation where the decimal
    /// exponent is in -4..<wide, else `d.ddde+XX`.
    private static func text(
        _ description: String, isNaN: Bool, isInfinite: Bool, wide: Int
    ) -> String {
        if isNaN { return "NaN" }
        let negative = description.hasPrefix("-")
        let sign = negative ? "-" : ""
        if isInfinite { return sign + "Infinity" }
        let parts = description.dropFirst(negative ? 1 : 0).split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let fraction = mantissa.count > 1 ? mantissa[1] : ""
        var digits = Array((mantissa[0] + fraction).utf8)
        var exponent = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + mantissa[0].utf8.count - 1
        while digits.count > 1, digits.first == 0x30 {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.last == 0x30 { digits.removeLast() }
        if digits == [0x30] { return sign + "0" }

        let zero = UInt8(0x30)
        let point = UInt8(0x2E)
        var result: [UInt8]
        if exponent < -4 || exponent >= wide {
            result = [digits[0]]
            if digits.count > 1 { result += [point] + digits[1...] }
            let magnitude = String(abs(exponent))
            let padded = magnitude.utf8.count < 2 ? "0" + magnitude : magnitude
            result += Array("e\(exponent < 0 ? "-" : "+")\(padded)".utf8)
        } else if exponent < 0 {
            result = [zero, point] + Array(repeating: zero, count: -exponent - 1) + digits
        } else if digits.count <= exponent + 1 {
            result = digits + Array(repeating: zero, count: exponent + 1 - digits.count)
        } else {
            result = digits[...exponent] + [point] + digits[(exponent + 1)...]
        }
        return sign + String(decoding: result, as: UTF8.self)
    }

    static func double(_ text: String) throws(PostgresError) -> Double {
        switch try special(text, type: .float8) {
        case .value(let value): return value
        case .number(let number, let isZero):
            guard let value = Double(number) else { throw ValueCoding.invalidText(.float8) }
            guard value.isFinite, value != 0 || isZero else {
                throw ValueCoding.outOfRange(.float8)
            }
            return value
        }
    }

    static func float(_ text: String) throws(PostgresError) -> Float {
        switch try special(text, type: .float4) {
        case .value(let value): return Float(value)
        case .number(let number, let isZero):
            guard let value = Float(number) else { throw ValueCoding.invalidText(.float4) }
            guard value.isFinite, value != 0 || isZero else {
                throw ValueCoding.outOfRange(.float4)
            }
            return value
        }
    }

    private enum Parsed {
        case value(Double)
        case number(String, isZero: Bool)
    }

    /// Checks the syntax, for Swift's own parser takes more than the server does.
    private static func special(
        _ text: String, type: PostgresType
    ) throws(PostgresError) -> Parsed {
        var cursor = TextCursor(text)
        guard cursor.bytes.count <= 1 << 16 else { throw ValueCoding.invalidText(type) }
        let sign = cursor.takeSign() ?? 1
        if let first = cursor.peek, TextCursor.isLetter(first) {
            let word = cursor.takeWord()
            guard cursor.isAtEnd else { throw ValueCoding.invalidText(type) }
            switch word {
            case "nan": return .value(.nan)
            case "inf", "infinity": return .value(sign < 0 ? -.infinity : .infinity)
            default: throw ValueCoding.invalidText(type)
            }
        }
        var digits = 0
        var isZero = true
        var sawPoint = false
        while true {
            if let byte = cursor.peek, TextCursor.isDigit(byte) {
                digits += 1
                if byte != 0x30 { isZero = false }
                _ = cursor.take(Unicode.Scalar(byte))
            } else if !sawPoint, cursor.take(".") {
                sawPoint = true
            } else {
                break
            }
        }
        guard digits > 0 else { throw ValueCoding.invalidText(type) }
        if cursor.take("e") || cursor.take("E") {
            _ = cursor.takeSign()
            guard cursor.takeNumber() != nil else { throw ValueCoding.invalidText(type) }
        }
        guard cursor.isAtEnd else { throw ValueCoding.invalidText(type) }
        var number = String(decoding: cursor.bytes, as: UTF8.self)
        if number.hasPrefix("+") { number.removeFirst() }
        return .number(number, isZero: isZero)
    }
}
