/// The value of a string constant in PostgreSQL's forms.
/// https://www.postgresql.org/docs/15/sql-syntax-lexical.html#SQL-SYNTAX-CONSTANTS
enum StringLiteral {
    /// Nil where the form is not one of '…', E'…', $tag$…$tag$, or holds what cannot be a text.
    static func value(of literal: String) -> String? {
        if literal.hasPrefix("'") {
            return unquoted(literal.dropFirst().dropLast(), escapes: false)
        }
        if literal.hasPrefix("E'") || literal.hasPrefix("e'") {
            return unquoted(literal.dropFirst(2).dropLast(), escapes: true)
        }
        guard literal.hasPrefix("$"), let end = literal.dropFirst().firstIndex(of: "$") else {
            return nil
        }
        let tag = literal[...end]
        guard literal.count >= tag.count * 2, literal.hasSuffix(tag) else { return nil }
        return String(literal.dropFirst(tag.count).dropLast(tag.count))
    }

    private static func unquoted(_ body: Substring, escapes: Bool) -> String? {
        var bytes: [UInt8] = []
        var input = Array(body.utf8)[...]
        while let byte = input.popFirst() {
            if byte == UInt8(ascii: "'") {
                // Adjacent strings joined over a line break are left to the database.
                guard input.popFirst() == byte else { return nil }
                bytes.append(byte)
                continue
            }
            guard escapes, byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            guard let escape = input.popFirst() else { return nil }
            switch escape {
            case UInt8(ascii: "b"): bytes.append(8)
            case UInt8(ascii: "f"): bytes.append(12)
            case UInt8(ascii: "n"): bytes.append(10)
            case UInt8(ascii: "r"): bytes.append(13)
            case UInt8(ascii: "t"): bytes.append(9)
            case UInt8(ascii: "x"):
                guard let value = number(&input, radix: 16, atMost: 2) else { return nil }
                bytes.append(UInt8(truncatingIfNeeded: value))
            case UInt8(ascii: "u"), UInt8(ascii: "U"):
                let digits = escape == UInt8(ascii: "u") ? 4 : 8
                let before = input.count
                guard let value = number(&input, radix: 16, atMost: digits),
                    before - input.count == digits, let scalar = Unicode.Scalar(value)
                else { return nil }
                bytes += Array(String(Character(scalar)).utf8)
            case UInt8(ascii: "0")...UInt8(ascii: "7"):
                input = [escape] + input
                guard let value = number(&input, radix: 8, atMost: 3) else { return nil }
                bytes.append(UInt8(truncatingIfNeeded: value))
            default: bytes.append(escape)
            }
        }
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func number(
        _ input: inout ArraySlice<UInt8>, radix: UInt32, atMost digits: Int
    ) -> UInt32? {
        var value: UInt32 = 0
        var count = 0
        while count < digits, let byte = input.first,
            let digit = Character(Unicode.Scalar(byte)).hexDigitValue, digit < radix
        {
            value = value &* radix &+ UInt32(digit)
            count += 1
            input = input.dropFirst()
        }
        return count > 0 ? value : nil
    }
}
