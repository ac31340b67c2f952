/// Walks over the bytes of a value's text.
struct TextCursor {
    let bytes: [UInt8]
    private(set) var index = 0

    init(_ text: String) {
        bytes = Array(Self.trimmed(text))
    }

    /// The bytes of `text` without ASCII white space at either end.
    static func trimmed(_ text: String) -> ArraySlice<UInt8> {
        var slice = Array(text.utf8)[...]
        while let first = slice.first, isSpace(first) { slice.removeFirst() }
        while let last = slice.last, isSpace(last) { slice.removeLast() }
        return slice
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }

    var peek: UInt8? { index < bytes.count ? bytes[index] : nil }
    var isAtEnd: Bool { index == bytes.count }

    /// Takes `scalar` where it is next.
    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard let byte = peek, byte == UInt8(truncatingIfNeeded: scalar.value) else { return false }
        index += 1
        return true
    }

    /// +1 or -1 where a sign is next.
    mutating func takeSign() -> Int? {
        if take("+") { return 1 }
        if take("-") { return -1 }
        return nil
    }

    @discardableResult
    mutating func takeSpaces() -> Bool {
        let start = index
        while let byte = peek, Self.isSpace(byte) { index += 1 }
        return index > start
    }

    /// A run of decimal digits: its value and length. nil without a digit or past `maximumDigits`
    /// (at most 18, so that the value fits).
    mutating func takeNumber(maximumDigits: Int = 18) -> (value: Int, digits: Int)? {
        var value = 0
        let start = index
        while let byte = peek, Self.isDigit(byte) {
            guard index - start < min(maximumDigits, 18) else { return nil }
            value = value * 10 + Int(byte - 0x30)
            index += 1
        }
        return index > start ? (value, index - start) : nil
    }

    /// Digits of a fraction, as microseconds, rounded half up beyond six digits.
    mutating func takeMicroseconds() -> Int? {
        let start = index
        var value = 0
        var rounding = false
        while let byte = peek, Self.isDigit(byte) {
            let position = index - start
            if position < 6 { value = value * 10 + Int(byte - 0x30) }
            if position == 6 { rounding = byte >= 0x35 }
            index += 1
        }
        let digits = index - start
        guard digits > 0 else { return nil }
        for _ in min(digits, 6)..<6 { value *= 10 }
        return value + (rounding ? 1 : 0)
    }

    /// A run of ASCII letters in lower case; empty where none is next.
    mutating func takeWord() -> String {
        let start = index
        while let byte = peek, Self.isLetter(byte) { index += 1 }
        return String(decoding: bytes[start..<index], as: UTF8.self).lowercased()
    }
}
