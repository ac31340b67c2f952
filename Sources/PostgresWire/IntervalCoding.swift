import NIOCore

/// interval: microseconds, days and months, which do not convert into each other.
struct IntervalCoding: Hashable, Sendable {
    var months: Int32 = 0
    var days: Int32 = 0
    var microseconds: Int64 = 0

    init() {}

    init(_ buffer: inout ByteBuffer) throws(PostgresError) {
        guard let microseconds = buffer.readInteger(as: Int64.self),
            let days = buffer.readInteger(as: Int32.self),
            let months = buffer.readInteger(as: Int32.self)
        else { throw ValueCoding.invalidBinary(.interval) }
        self.microseconds = microseconds
        self.days = days
        self.months = months
    }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeInteger(microseconds)
        buffer.writeInteger(days)
        buffer.writeInteger(months)
    }

    /// In the style `postgres`: `1 year 2 mons -3 days +04:05:06.5`.
    var text: String {
        var parts: [String] = []
        var followsNegative = false
        for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")]
        where value != 0 {
            let plus = followsNegative && value > 0 ? "+" : ""
            parts.append("\(plus)\(value) \(unit)\(value == 1 ? "" : "s")")
            followsNegative = value < 0
        }
        if parts.isEmpty || microseconds != 0 {
            let sign = microseconds < 0 ? "-" : followsNegative ? "+" : ""
            let magnitude = microseconds.magnitude
            let seconds = Int64(magnitude / 1_000_000)
            let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60]
                .map { DateTimeCoding.padded($0, 2) }.joined(separator: ":")
            let fraction = DateTimeCoding.fractionText(Int64(magnitude % 1_000_000))
            parts.append(sign + clock + fraction)
        }
        return parts.joined(separator: " ")
    }

    /// Reads the style `postgres`, its verbose form with whole numbers, and ISO 8601 durations.
    static func parse(_ text: String) throws(PostgresError) -> IntervalCoding {
        var cursor = TextCursor(text)
        var interval = IntervalCoding()
        guard !cursor.isAtEnd else { throw invalid }
        if cursor.take("P") {
            try interval.parseISO(&cursor)
            return interval
        }
        _ = cursor.take("@")
        cursor.takeSpaces()
        while !cursor.isAtEnd {
            if let byte = cursor.peek, TextCursor.isLetter(byte) {
                guard cursor.takeWord() == "ago", cursor.isAtEnd else { throw invalid }
                try interval.negate()
                return interval
            }
            let sign = cursor.takeSign() ?? 1
            guard let number = cursor.takeNumber() else { throw invalid }
            if cursor.take(":") {
                try interval.parseClock(&cursor, hours: number.value, sign: sign)
            } else {
                var fraction = 0
                let hasFraction = cursor.take(".")
                if hasFraction {
                    guard let digits = cursor.takeMicroseconds() else { throw invalid }
                    fraction = digits
                }
                cursor.takeSpaces()
                try interval.add(
                    sign * number.value, fraction: sign * fraction, hasFraction: hasFraction,
                    unit: cursor.takeWord())
            }
            cursor.takeSpaces()
        }
        return interval
    }

    private mutating func parseISO(_ cursor: inout TextCursor) throws(PostgresError) {
        var inTime = false
        guard !cursor.isAtEnd else { throw Self.invalid }
        while !cursor.isAtEnd {
            if !inTime, cursor.take("T") {
                inTime = true
                guard !cursor.isAtEnd else { throw Self.invalid }
                continue
            }
            let sign = cursor.takeSign() ?? 1
            guard let number = cursor.takeNumber() else { throw Self.invalid }
            var fraction = 0
            let hasFraction = cursor.take(".")
            if hasFraction {
                guard let digits = cursor.takeMicroseconds() else { throw Self.invalid }
                fraction = digits
            }
            let unit: String
            if inTime {
                unit =
                    cursor.take("H")
                    ? "hours" : cursor.take("M") ? "minutes" : cursor.take("S") ? "seconds" : ""
            } else {
                unit =
                    cursor.take("Y")
                    ? "years"
                    : cursor.take("M")
                        ? "mons" : cursor.take("W") ? "weeks" : cursor.take("D") ? "days" : ""
            }
            try add(
                sign * number.value, fraction: sign * fraction, hasFraction: hasFraction, unit: unit
            )
        }
    }

    private mutating func parseClock(
        _ cursor: inout TextCursor, hours: Int, sign: Int
    ) throws(PostgresError) {
        guard let minutes = cursor.takeNumber(maximumDigits: 2), minutes.value < 60 else {
            throw Self.invalid
        }
        var seconds = 0
        var fraction = 0
        if cursor.take(":") {
            guard let number = cursor.takeNumber(maximumDigits: 2), number.value <= 60 else {
                throw Self.invalid
            }
            seconds = number.value
            if cursor.take(".") {
                guard let digits = cursor.takeMicroseconds() else { throw Self.invalid }
                fraction = digits
            }
        }
        try addMicroseconds(sign * hours, times: 3_600_000_000)
        try addMicroseconds(sign * (minutes.value * 60 + seconds), times: 1_000_000)
        try addMicroseconds(sign * fraction, times: 1)
    }

    private mutating func add(
        _ value: Int, fraction: Int, hasFraction: Bool, unit: String
    ) throws(PostgresError) {
        switch unit {
        case "second", "seconds", "sec", "secs", "s":
            try addMicroseconds(value, times: 1_000_000)
            try addMicroseconds(fraction, times: 1)
            return
        case "millisecond", "milliseconds", "msec", "msecs", "ms":
            try addMicroseconds(value, times: 1_000)
            try addMicroseconds(fraction / 1_000, times: 1)
            return
        default: break
        }
        // Fractions of larger units spill over in ways that are not imitated here.
        guard !hasFraction else { throw Self.invalid }
        switch unit {
        case "hour", "hours", "hr", "hrs", "h": try addMicroseconds(value, times: 3_600_000_000)
        case "minute", "minutes", "min", "mins", "m": try addMicroseconds(value, times: 60_000_000)
        case "microsecond", "microseconds", "usec", "usecs", "us":
            try addMicroseconds(value, times: 1)
        case "day", "days", "d": try Self.add(value, times: 1, to: &days)
        case "week", "weeks", "w": try Self.add(value, times: 7, to: &days)
        case "month", "months", "mon", "mons": try Self.add(value, times: 1, to: &months)
        case "year", "years", "yr", "yrs", "y": try Self.add(value, times: 12, to: &months)
        default: throw Self.invalid
        }
    }

    private mutating func addMicroseconds(_ value: Int, times: Int64) throws(PostgresError) {
        let (product, overflow) = Int64(value).multipliedReportingOverflow(by: times)
        let (sum, overflowToo) = microseconds.addingReportingOverflow(product)
        guard !overflow, !overflowToo else { throw Self.outOfRange }
        microseconds = sum
    }

    private static func add(
        _ value: Int, times: Int, to field: inout Int32
    ) throws(PostgresError) {
        let (product, overflow) = value.multipliedReportingOverflow(by: times)
        let (sum, overflowToo) = product.addingReportingOverflow(Int(field))
        guard !overflow, !overflowToo, let result = Int32(exactly: sum) else { throw outOfRange }
        field = result
    }

    private mutating func negate() throws(PostgresError) {
        guard microseconds != .min, days != .min, months != .min else { throw Self.outOfRange }
        microseconds = -microseconds
        days = -days
        months = -months
    }

    private static var invalid: PostgresError {
        PostgresError("22007", "invalid input syntax for type interval")
    }

    private static var outOfRange: PostgresError {
        PostgresError("22008", "interval out of range")
    }
}
