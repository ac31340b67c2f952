/// Writes metrics in the Prometheus text exposition format, version 0.0.4.
struct PrometheusText {
    private(set) var text = ""

    enum MetricType: String {
        case counter, gauge, histogram
    }

    /// The `# HELP` and `# TYPE` lines. `help` is one line without backslashes.
    mutating func declare(_ name: String, _ type: MetricType, help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type.rawValue)\n"
    }

    mutating func sample(_ name: String, labels: [(String, String)] = [], _ value: some Numeric) {
        text += name
        if !labels.isEmpty {
            let pairs = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
            text += "{\(pairs.joined(separator: ","))}"
        }
        text += " \(value)\n"
    }

    mutating func counter(_ name: String, help: String, _ value: some Numeric) {
        declare(name, .counter, help: help)
        sample(name, value)
    }

    mutating func gauge(_ name: String, help: String, _ value: some Numeric) {
        declare(name, .gauge, help: help)
        sample(name, value)
    }

    /// A classic histogram in seconds: cumulative buckets, sum and count.
    mutating func histogram(_ name: String, help: String, _ snapshot: LatencyHistogram.Snapshot) {
        declare(name, .histogram, help: help)
        let bounds = Self.bucketBounds.map(\.nanoseconds)
        for (bound, count) in zip(Self.bucketBounds, snapshot.cumulativeCounts(upTo: bounds)) {
            sample("\(name)_bucket", labels: [("le", bound.label)], count)
        }
        sample("\(name)_bucket", labels: [("le", "+Inf")], snapshot.count)
        sample("\(name)_sum", Double(snapshot.sumNanoseconds) / 1e9)
        sample("\(name)_count", snapshot.count)
    }

    /// From 5 µs, about what a hit costs, to 10 s.
    private static let bucketBounds: [(label: String, nanoseconds: UInt64)] = [
        ("0.000005", 5_000), ("0.00001", 10_000), ("0.000025", 25_000), ("0.00005", 50_000),
        ("0.0001", 100_000), ("0.00025", 250_000), ("0.0005", 500_000), ("0.001", 1_000_000),
        ("0.0025", 2_500_000), ("0.005", 5_000_000), ("0.01", 10_000_000), ("0.025", 25_000_000),
        ("0.05", 50_000_000), ("0.1", 100_000_000), ("0.25", 250_000_000), ("0.5", 500_000_000),
        ("1", 1_000_000_000), ("2.5", 2_500_000_000), ("5", 5_000_000_000),
        ("10", 10_000_000_000),
    ]

    private static func escaped(_ value: String) -> String {
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
