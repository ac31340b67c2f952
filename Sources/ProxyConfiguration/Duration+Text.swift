extension Duration {
    static let notation = "a whole number with a unit (ms, s, m, h, d), such as \"5m\""

    private static let milliseconds: [String: Int] = [
        "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000,
    ]

    /// Reads `"250ms"`, `"5m"`, `"1h"`, `"0"` (no unit needed); nil when it is none of these or too
    /// large.
    package init?(configurationText text: String) {
        guard let (number, unit) = NumberWithUnit.split(text) else { return nil }
        guard let factor = unit.isEmpty && number == 0 ? 1 : Self.milliseconds[unit] else {
            return nil
        }
        let (milliseconds, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        self = .milliseconds(milliseconds)
    }

    /// In the largest unit that leaves a whole number, such as `5m`; milliseconds at the finest.
    package var configurationText: String {
        let (seconds, attoseconds) = components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds != 0 else { return "0" }
        let units: [(Int64, String)] = [
            (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"),
        ]
        for (factor, unit) in units where milliseconds % factor == 0 {
            return "\(milliseconds / factor)\(unit)"
        }
        return "\(milliseconds)ms"
    }
}
