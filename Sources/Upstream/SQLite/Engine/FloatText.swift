/// Floating point numbers as PostgreSQL prints them: the shortest text that reads back the same.
/// https://www.postgresql.org/docs/15/datatype-numeric.html#DATATYPE-FLOAT
enum FloatText {
    static func float8(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        return arranged(value.description, plainBelow: 15)
    }

    static func float4(_ value: Float) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        return arranged(value.description, plainBelow: 6)
    }

    /// A finite value's shortest digits without an exponent, as `numeric` prints them.
    static func plain(_ value: Double) -> String {
        let (sign, digits, exponent) = parts(value.description)
        return sign + positional(digits, exponent)
    }

    /// Swift's digits are the shortest as well; only where the exponent form begins differs.
    private static func arranged(_ text: String, plainBelow limit: Int) -> String {
        let (sign, digits, exponent) = parts(text)
        if exponent >= -4, exponent < limit { return sign + positional(digits, exponent) }
        let first = String(digits.prefix(1))
        let rest = digits.dropFirst()
        let mantissa = rest.isEmpty ? first : "\(first).\(rest)"
        let magnitude = String(abs(exponent))
        let padded = magnitude.count < 2 ? "0" + magnitude : magnitude
        return "\(sign)\(mantissa)e\(exponent < 0 ? "-" : "+")\(padded)"
    }

    /// Sign, significant digits, and the decimal exponent of the first of them.
    private static func parts(_ text: String) -> (String, String, Int) {
        let sign = text.hasPrefix("-") ? "-" : ""
        let unsigned = text.drop { $0 == "-" }
        let halves = unsigned.split(separator: "e")
        var exponent = halves.count > 1 ? Int(halves[1].drop { $0 == "+" }) ?? 0 : 0
        let number = (halves.first ?? "0").split(
            separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        var digits = String(number.first ?? "")
        exponent += digits.count - 1
        if number.count > 1 { digits += number[1] }
        while digits.count > 1, digits.first == "0" {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        return (sign, digits, exponent)
    }

    private static func positional(_ digits: String, _ exponent: Int) -> String {
        if exponent < 0 {
            return "0." + String(repeating: "0", count: -exponent - 1) + digits
        }
        let whole = exponent + 1
        if digits.count <= whole {
            return digits + String(repeating: "0", count: whole - digits.count)
        }
        return "\(digits.prefix(whole)).\(digits.dropFirst(whole))"
    }
}
