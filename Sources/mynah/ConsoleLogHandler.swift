import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes log messages as `2026-01-01T00:00:00.000Z info  message key=value`, in UTC.
///
/// A message is one line and one write, so that lines of several threads do not mix. Levels are
/// padded to the same width; values with blanks or control characters are quoted.
struct ConsoleLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private var ownLevel: Logger.Level?
    private let output: @Sendable (String) -> Void

    /// Labels are not printed: the message and its values tell where it comes from.
    init(label: String) {
        self.init(output: Self.writeToStandardError)
    }

    init(output: @escaping @Sendable (String) -> Void) {
        self.output = output
    }

    /// `ConsoleLog.level`, unless set for this logger.
    var logLevel: Logger.Level {
        get { ownLevel ?? ConsoleLog.level }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var all = metadata
        if let provided = metadataProvider?.get() {
            all.merge(provided) { _, new in new }
        }
        if let own = event.metadata {
            all.merge(own) { _, new in new }
        }
        if let error = event.error {
            all["error"] = "\(error)"
        }
        output(Self.line(time: now, level: event.level, message: "\(event.message)", metadata: all))
    }

    /// The whole line with its newline.
    static func line(
        time: timespec, level: Logger.Level, message: String, metadata: Logger.Metadata
    ) -> String {
        var line = timestamp(time)
        let name = level == .critical ? "crit" : level == .warning ? "warn" : level.rawValue
        line += " " + name + String(repeating: " ", count: max(1, 7 - name.count))
        line += oneLine(message)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += " \(key)=\(quotedIfNeeded("\(value)"))"
        }
        return line + "\n"
    }

    private static func timestamp(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ value: Int, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = [
            digits(Int(parts.tm_year) + 1900, 4), digits(Int(parts.tm_mon) + 1, 2),
            digits(Int(parts.tm_mday), 2),
        ].joined(separator: "-")
        let clock = [
            digits(Int(parts.tm_hour), 2), digits(Int(parts.tm_min), 2),
            digits(Int(parts.tm_sec), 2),
        ].joined(separator: ":")
        return "\(date)T\(clock).\(digits(Int(time.tv_nsec) / 1_000_000, 3))Z"
    }

    /// Without line breaks and other control characters, which could forge lines.
    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: \.isControl) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.isControl: result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func quotedIfNeeded(_ text: String) -> String {
        let plain = oneLine(text)
        guard text.isEmpty || text.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else {
            return plain
        }
        return "\"" + plain.replacing("\"", with: "\\\"") + "\""
    }

    private static func writeToStandardError(_ line: String) {
        var line = line
        line.withUTF8 { bytes in
            var written = 0
            while written < bytes.count {
                let count = write(
                    STDERR_FILENO, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                if count > 0 {
                    written += count
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool {
        value < 0x20 || (0x7F...0x9F).contains(value)
    }
}
