import TOMLKit

/// Reads the values of one table of the file, each checked for type, notation and range.
struct SectionReader {
    let document: ConfigurationDocument
    let section: ConfigurationKey.Section
    /// Where the table stands, for finding lines.
    let path: [KeyLocator.Step]
    /// Nil where the file has no such table: every value is then absent.
    let table: TOMLTable?

    /// A value and where it came from.
    struct Origin {
        var source: String
        var line: Int?
    }

    func origin(of key: ConfigurationKey) -> Origin {
        if let variable = overriding(key)?.variable {
            return Origin(source: "environment variable \(variable)")
        }
        let isPresent = table?[key.name] != nil
        return Origin(
            source: document.source,
            line: isPresent ? document.locator.line(of: path + [.key(key.name)]) : nil)
    }

    /// An error about the value of `key`.
    func error(
        _ key: ConfigurationKey, _ problem: String, allowed: String? = nil
    ) -> ConfigurationError {
        let origin = origin(of: key)
        return ConfigurationError(
            source: origin.source, line: origin.line, key: key.rawValue, problem: problem,
            allowed: allowed.map { "allowed: \($0)" })
    }

    func string(_ key: ConfigurationKey, allowed: String) throws(ConfigurationError) -> String? {
        if let text = overriding(key)?.text {
            return text
        }
        guard let value = table?[key.name] else { return nil }
        guard let string = value.string else {
            throw error(key, "found \(Self.describe(value))", allowed: allowed)
        }
        return string
    }

    /// A string or an array of strings. In an environment variable, commas stand between them.
    func strings(_ key: ConfigurationKey, allowed: String) throws(ConfigurationError) -> [String]? {
        if let text = overriding(key)?.text {
            return text.split(separator: ",").map { $0.trimming(" ") }
        }
        guard let value = table?[key.name] else { return nil }
        guard let array = value.array else {
            return try string(key, allowed: allowed).map { [$0] }
        }
        var strings: [String] = []
        for element in array {
            guard let string = element.string else {
                throw error(
                    key, "found \(Self.describe(element)) in the array", allowed: allowed)
            }
            strings.append(string)
        }
        return strings
    }

    /// A table of strings, in the order of its names.
    func stringTable(
        _ key: ConfigurationKey, allowed: String
    ) throws(ConfigurationError) -> [(name: String, value: String)]? {
        guard let value = table?[key.name] else { return nil }
        guard let entries = value.table else {
            throw error(key, "found \(Self.describe(value))", allowed: allowed)
        }
        var result: [(name: String, value: String)] = []
        for name in entries.keys.sorted() {
            guard let text = entries[name]?.string else {
                throw error(key, "found something else than a string", allowed: allowed)
            }
            result.append((name, text))
        }
        return result
    }

    func bool(_ key: ConfigurationKey) throws(ConfigurationError) -> Bool? {
        guard let value = table?[key.name] else { return nil }
        guard let bool = value.bool else {
            throw error(key, "found \(Self.describe(value))", allowed: "true or false")
        }
        return bool
    }

    func integer(
        _ key: ConfigurationKey, in range: ClosedRange<Int>
    ) throws(ConfigurationError) -> Int? {
        guard let value = table?[key.name] else { return nil }
        guard let integer = value.int, range.contains(integer) else {
            throw error(
                key, "found \(Self.describe(value))",
                allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return integer
    }

    /// A number from 0 to 1, whole or not.
    func share(_ key: ConfigurationKey) throws(ConfigurationError) -> Double? {
        guard let value = table?[key.name] else { return nil }
        guard let share = value.double ?? value.int.map(Double.init), (0...1).contains(share)
        else {
            throw error(
                key, "found \(Self.describe(value))", allowed: "a number from 0 to 1, such as 0.01")
        }
        return share
    }

    func byteCount(
        _ key: ConfigurationKey, in range: ClosedRange<ByteCount>
    ) throws(ConfigurationError) -> ByteCount? {
        let allowed =
            "\(ByteCount.notation), from \(range.lowerBound) to \(range.upperBound)"
        guard let text = try string(key, allowed: allowed) else { return nil }
        guard let count = ByteCount(text), range.contains(count) else {
            throw error(key, "found \(Self.quoted(text))", allowed: allowed)
        }
        return count
    }

    /// - Parameter zero: what `"0"` means, where it is allowed although the range leaves it out.
    func duration(
        _ key: ConfigurationKey, in range: ClosedRange<Duration>, zero: String? = nil
    ) throws(ConfigurationError) -> Duration? {
        var allowed =
            "\(Duration.notation), from \(range.lowerBound.configurationText) to "
            + range.upperBound.configurationText
        if let zero {
            allowed += ", or \"0\" (\(zero))"
        }
        guard let text = try string(key, allowed: allowed) else { return nil }
        guard let duration = Duration(configurationText: text),
            range.contains(duration) || (zero != nil && duration == .zero)
        else {
            throw error(key, "found \(Self.quoted(text))", allowed: allowed)
        }
        return duration
    }

    private func overriding(_ key: ConfigurationKey) -> (variable: String, text: String)? {
        guard let variable = key.environmentVariable, let text = document.environment[variable],
            !text.isEmpty
        else { return nil }
        return (variable, text)
    }

    /// Quoted as in TOML, and cut where it is long.
    static func quoted(_ text: String) -> String {
        TOMLText.quoted(text.count <= 100 ? text : text.prefix(100) + "…")
    }

    static func describe(_ value: some TOMLValueConvertible) -> String {
        switch value.type {
        case .string: quoted(value.string ?? "")
        case .int: "the integer \(value.int ?? 0)"
        case .bool: "\(value.bool ?? false)"
        case .double: "the floating-point number \(value.double ?? 0)"
        case .array: "an array"
        case .table: "a table"
        case .date, .time, .dateTime: "a date or time"
        }
    }
}

extension Substring {
    fileprivate func trimming(_ character: Character) -> String {
        var result = drop { $0 == character }
        while result.last == character {
            result.removeLast()
        }
        return String(result)
    }
}
