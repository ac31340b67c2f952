/// An amount of memory.
///
/// Written as a whole number and a unit, with units as PostgreSQL's configuration has them: `kB`,
/// `MB`, `GB` and `TB` are powers of 1024, and `KiB`, `MiB`, `GiB`, `TiB` mean the same.
package struct ByteCount: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let bytes: Int

    package init(bytes: Int) {
        self.bytes = bytes
    }

    package static func kilobytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 10) }
    package static func megabytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 20) }
    package static func gigabytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 30) }

    static let notation = "a whole number with a unit (B, kB, MB, GB, TB), such as \"256MB\""

    private static let factors: [String: Int] = [
        "B": 1, "kB": 1 << 10, "KiB": 1 << 10, "MB": 1 << 20, "MiB": 1 << 20, "GB": 1 << 30,
        "GiB": 1 << 30, "TB": 1 << 40, "TiB": 1 << 40,
    ]

    /// Nil when `text` is not a number and a unit, or too large. `"0"` needs no unit.
    package init?(_ text: String) {
        guard let (number, unit) = NumberWithUnit.split(text) else { return nil }
        guard let factor = unit.isEmpty && number == 0 ? 1 : Self.factors[unit] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    /// In the largest unit that leaves a whole number, such as `256MB`.
    package var description: String {
        guard bytes != 0 else { return "0" }
        let units = [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")]
        for (factor, unit) in units where bytes % factor == 0 {
            return "\(bytes / factor)\(unit)"
        }
        return "\(bytes)B"
    }

    package static func < (left: ByteCount, right: ByteCount) -> Bool {
        left.bytes < right.bytes
    }
}

/// The common form of byte counts and durations.
enum NumberWithUnit {
    /// The leading decimal digits and what follows them, where one space may stand in between; nil
    /// without digits or when the number does not fit.
    static func split(_ text: String) -> (number: Int, unit: String)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits) else { return nil }
        var unit = text[digits.endIndex...]
        if unit.first == " " {
            unit.removeFirst()
            guard !unit.isEmpty else { return nil }
        }
        return (number, String(unit))
    }
}
