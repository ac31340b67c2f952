/// date, time, timestamp and timestamptz: days or microseconds since 2000-01-01, ISO text.
enum DateTimeCoding {
    static let microsecondsPerSecond: Int64 = 1_000_000
    static let microsecondsPerDay: Int64 = 86_400_000_000
    /// Days from 1970-01-01 to 2000-01-01.
    private static let epochShift: Int64 = 10_957
    /// 4714-11-24 BC to 5874897-12-31, as the server bounds dates.
    private static let dateRange: ClosedRange<Int64> = -2_451_545...2_145_031_948
    /// 4714-11-24 BC to 294276-12-31.
    private static let timestampRange: ClosedRange<Int64> =
        -211_813_488_000_000_000...9_223_371_331_199_999_999

    // MARK: Text of binary values

    static func text(date: Int32) throws(PostgresError) -> String {
        if date == .max { return "infinity" }
        if date == .min { return "-infinity" }
        guard dateRange.contains(Int64(date)) else { throw outOfRange(.date) }
        let (text, isBC) = calendarText(days: Int64(date))
        return text + (isBC ? " BC" : "")
    }

    static func text(time: Int64) throws(PostgresError) -> String {
        guard (0...microsecondsPerDay).contains(time) else { throw outOfRange(.time) }
        return clockText(time)
    }

    static func text(timestamp: Int64, hasZone: Bool) throws(PostgresError) -> String {
        if timestamp == .max { return "infinity" }
        if timestamp == .min { return "-infinity" }
        guard timestampRange.contains(timestamp) else {
            throw outOfRange(hasZone ? .timestamptz : .timestamp)
        }
        var days = timestamp / microsecondsPerDay
        var time = timestamp % microsecondsPerDay
        if time < 0 {
            days -= 1
            time += microsecondsPerDay
        }
        let (text, isBC) = calendarText(days: days)
        return "\(text) \(clockText(time))" + (hasZone ? "+00" : "") + (isBC ? " BC" : "")
    }

    /// Howard Hinnant's `civil_from_days`, proleptic Gregorian.
    private static func calendarText(days: Int64) -> (text: String, isBC: Bool) {
        let shifted = days + epochShift + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        // There is no year 0: astronomical 0 is 1 BC.
        let shown = year > 0 ? year : 1 - year
        let text = "\(padded(shown, 4))-\(padded(month, 2))-\(padded(day, 2))"
        return (text, year <= 0)
    }

    static func clockText(_ time: Int64) -> String {
        let seconds = time / microsecondsPerSecond
        let hours = padded(seconds / 3600, 2)
        let minutes = padded(seconds / 60 % 60, 2)
        return "\(hours):\(minutes):\(padded(seconds % 60, 2))"
            + fractionText(time % microsecondsPerSecond)
    }

    /// `.5`, without trailing zeros; empty for none.
    static func fractionText(_ microseconds: Int64) -> String {
        guard microseconds != 0 else { return "" }
        var digits = padded(microseconds, 6)
        while digits.hasSuffix("0") { digits.removeLast() }
        return "." + digits
    }

    static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    // MARK: Binary values of text

    static func date(_ text: String) throws(PostgresError) -> Int32 {
        var cursor = TextCursor(text)
        if let infinite = try infinity(&cursor, type: .date) {
            return infinite > 0 ? .max : .min
        }
        let calendar = try takeCalendar(&cursor, type: .date)
        let isBC = takeEra(&cursor)
        guard cursor.isAtEnd else { throw invalid(.date) }
        let days = try dayNumber(calendar, isBC: isBC, type: .date)
        guard dateRange.contains(days), let date = Int32(exactly: days) else {
            throw outOfRange(.date)
        }
        return date
    }

    static func time(_ text: String) throws(PostgresError) -> Int64 {
        var cursor = TextCursor(text)
        let time = try takeClock(&cursor, type: .time)
        guard cursor.isAtEnd else { throw invalid(.time) }
        return time
    }

    /// `hasZone`: a zone in the text counts, none is UTC. Without, a numeric zone is read and
    /// ignored, as the server does.
    static func timestamp(_ text: String, hasZone: Bool) throws(PostgresError) -> Int64 {
        let type: PostgresType = hasZone ? .timestamptz : .timestamp
        var cursor = TextCursor(text)
        if let infinite = try infinity(&cursor, type: type) {
            return infinite > 0 ? .max : .min
        }
        let calendar = try takeCalendar(&cursor, type: type)
        var time: Int64 = 0
        var offset: Int64 = 0
        let needsClock = cursor.take("T") || cursor.take("t")
        cursor.takeSpaces()
        if needsClock || cursor.peek.map(TextCursor.isDigit) == true {
            time = try takeClock(&cursor, type: type)
            offset = try takeZone(&cursor, type: type)
        }
        let isBC = takeEra(&cursor)
        guard cursor.isAtEnd else { throw invalid(type) }
        let days = try dayNumber(calendar, isBC: isBC, type: type)
        let (midnight, overflow) = days.multipliedReportingOverflow(by: microsecondsPerDay)
        let shift = time - (hasZone ? offset * microsecondsPerSecond : 0)
        let (timestamp, overflowToo) = midnight.addingReportingOverflow(shift)
        guard !overflow, !overflowToo, timestampRange.contains(timestamp) else {
            throw outOfRange(type)
        }
        return timestamp
    }

    private typealias Calendar = (year: Int, month: Int, day: Int)

    private static func infinity(
        _ cursor: inout TextCursor, type: PostgresType
    ) throws(PostgresError) -> Int? {
        var probe = cursor
        let sign = probe.takeSign() ?? 1
        guard let byte = probe.peek, TextCursor.isLetter(byte) else { return nil }
        let word = probe.takeWord()
        if word == "epoch" || word == "now" || word == "today" {
            throw PostgresError(
                .featureNotSupported,
                "special values of type \(type.name) cannot be converted to binary format")
        }
        guard word == "infinity" || word == "inf", probe.isAtEnd else { throw invalid(type) }
        cursor = probe
        return sign
    }

    private static func takeCalendar(
        _ cursor: inout TextCursor, type: PostgresType
    ) throws(PostgresError) -> Calendar {
        guard let year = cursor.takeNumber(maximumDigits: 7), year.digits >= 3, cursor.take("-"),
            let month = cursor.takeNumber(maximumDigits: 2), cursor.take("-"),
            let day = cursor.takeNumber(maximumDigits: 2)
        else { throw invalid(type) }
        return (year.value, month.value, day.value)
    }

    private static func dayNumber(
        _ calendar: Calendar, isBC: Bool, type: PostgresType
    ) throws(PostgresError) -> Int64 {
        let year = isBC ? 1 - calendar.year : calendar.year
        guard calendar.year > 0, (1...12).contains(calendar.month),
            (1...monthLength(year: year, month: calendar.month)).contains(calendar.day)
        else {
            throw PostgresError(
                "22008", "date/time field value is out of range for type \(type.name)")
        }
        // Howard Hinnant's `days_from_civil`.
        let shiftedYear = Int64(calendar.month <= 2 ? year - 1 : year)
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let month = Int64(calendar.month)
        let dayOfYear =
            (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + Int64(calendar.day) - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468 - epochShift
    }

    private static func monthLength(year: Int, month: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func takeClock(
        _ cursor: inout TextCursor, type: PostgresType
    ) throws(PostgresError) -> Int64 {
        guard let hours = cursor.takeNumber(maximumDigits: 2), cursor.take(":"),
            let minutes = cursor.takeNumber(maximumDigits: 2)
        else { throw invalid(type) }
        var seconds = 0
        var microseconds = 0
        if cursor.take(":") {
            guard let number = cursor.takeNumber(maximumDigits: 2) else { throw invalid(type) }
            seconds = number.value
            if cursor.take(".") {
                guard let fraction = cursor.takeMicroseconds() else { throw invalid(type) }
                microseconds = fraction
            }
        }
        let time =
            Int64((hours.value * 60 + minutes.value) * 60 + seconds) * microsecondsPerSecond
            + Int64(microseconds)
        // 24:00:00 and a leap second's 60 are accepted, as by the server.
        guard hours.value <= 24, minutes.value <= 59, seconds <= 60, time <= microsecondsPerDay
        else {
            throw PostgresError(
                "22008", "date/time field value is out of range for type \(type.name)")
        }
        return time
    }

    /// Seconds east of UTC.
    private static func takeZone(
        _ cursor: inout TextCursor, type: PostgresType
    ) throws(PostgresError) -> Int64 {
        var probe = cursor
        probe.takeSpaces()
        if let sign = probe.takeSign() {
            guard let hours = probe.takeNumber(maximumDigits: 4) else { throw invalid(type) }
            var offset = hours.value * 3600
            if hours.digits > 2 {
                offset = (hours.value / 100 * 60 + hours.value % 100) * 60
            } else if probe.take(":") {
                guard let minutes = probe.takeNumber(maximumDigits: 2), minutes.value < 60 else {
                    throw invalid(type)
                }
                offset += minutes.value * 60
                if probe.take(":") {
                    guard let seconds = probe.takeNumber(maximumDigits: 2), seconds.value < 60
                    else { throw invalid(type) }
                    offset += seconds.value
                }
            }
            guard offset < 16 * 3600 else {
                throw PostgresError("22009", "time zone displacement out of range")
            }
            cursor = probe
            return Int64(sign * offset)
        }
        switch probe.takeWord() {
        case "z", "utc", "gmt":
            cursor = probe
            return 0
        default: return 0  // Nothing, or an era, which the caller reads.
        }
    }

    private static func takeEra(_ cursor: inout TextCursor) -> Bool {
        var probe = cursor
        probe.takeSpaces()
        switch probe.takeWord() {
        case "bc":
            cursor = probe
            return true
        case "ad":
            cursor = probe
            return false
        default: return false
        }
    }

    private static func invalid(_ type: PostgresType) -> PostgresError {
        PostgresError("22007", "invalid input syntax for type \(type.name)")
    }

    private static func outOfRange(_ type: PostgresType) -> PostgresError {
        PostgresError("22008", "\(type.name) out of range")
    }
}
