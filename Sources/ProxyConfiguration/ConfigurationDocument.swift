import TOMLKit

/// The text of a configuration file, parsed, with its unknown tables and keys refused.
struct ConfigurationDocument {
    /// The file's name as given, for errors.
    let source: String
    let locator: KeyLocator
    let environment: [String: String]
    private let root: TOMLTable

    init(
        text: String, source: String, environment: [String: String]
    ) throws(ConfigurationError) {
        self.source = source
        self.environment = environment
        do {
            root = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw ConfigurationError(
                source: source, line: error.source.begin.line,
                problem: "not valid TOML: \(Self.firstLine(of: error.description))")
        } catch {
            throw ConfigurationError(source: source, problem: "not valid TOML: \(error)")
        }
        locator = KeyLocator(text)
        try refuseUnknown()
    }

    /// The table of `section`, which is no array.
    func reader(for section: ConfigurationKey.Section) -> SectionReader {
        SectionReader(
            document: self, section: section, path: section.steps.map { .key($0) },
            table: value(of: section)?.table)
    }

    /// The tables of `section`, which is an array, in order.
    func readers(for section: ConfigurationKey.Section) -> [SectionReader] {
        guard let tables = value(of: section)?.array else { return [] }
        return tables.enumerated().map { index, table in
            SectionReader(
                document: self, section: section,
                path: section.steps.map { .key($0) } + [.index(index)], table: table.table)
        }
    }

    private func value(of section: ConfigurationKey.Section) -> (any TOMLValueConvertible)? {
        var table: TOMLTable? = root
        for step in section.steps.dropLast() { table = table?[step]?.table }
        return section.steps.last.flatMap { table?[$0] }
    }

    private func refuseUnknown() throws(ConfigurationError) {
        // In the order of the file, so that its first mistake is the one reported.
        let mistakes = mistakes(of: root, in: nil, at: [])
        let first = mistakes.min { ($0.line ?? .max) < ($1.line ?? .max) }
        if let first {
            throw first
        }
    }

    /// - Parameter section: nil for the file itself.
    private func mistakes(
        of table: TOMLTable, in section: ConfigurationKey.Section?, at path: [KeyLocator.Step]
    ) -> [ConfigurationError] {
        let children = ConfigurationKey.Section.children(of: section)
        let names = section?.keys.map(\.name) ?? []
        var mistakes: [ConfigurationError] = []
        for name in table.keys {
            let ownPath = path + [.key(name)]
            if let child = children.first(where: { $0.steps.last == name }), let value = table[name]
            {
                mistakes += self.mistakes(of: value, as: child, at: ownPath)
            } else if let section, !names.contains(name) {
                mistakes.append(unknownKey(name, in: section, at: ownPath))
            } else if section == nil {
                mistakes.append(unknownTable(name))
            }
        }
        return mistakes
    }

    private func mistakes(
        of value: any TOMLValueConvertible, as section: ConfigurationKey.Section,
        at path: [KeyLocator.Step]
    ) -> [ConfigurationError] {
        let name = section.rawValue
        guard section.isArray else {
            guard let table = value.table else {
                return [wrongShape(value, name, at: path, expected: "a table: [\(name)]")]
            }
            return mistakes(of: table, in: section, at: path)
        }
        let expected = "[[\(name)]], once per \(section.steps.last ?? name)"
        guard let array = value.array else {
            return [wrongShape(value, name, at: path, expected: expected)]
        }
        return array.enumerated().flatMap { index, element in
            let elementPath = path + [.index(index)]
            guard let table = element.table else {
                return [wrongShape(element, name, at: elementPath, expected: expected)]
            }
            return mistakes(of: table, in: section, at: elementPath)
        }
    }

    private func unknownTable(_ name: String) -> ConfigurationError {
        let names = ConfigurationKey.Section.children(of: nil).map(\.rawValue)
        let owners = ConfigurationKey.allCases.filter { $0.name == name }.map(\.rawValue)
        var hint = Self.hint(for: name, among: names)
        if hint.isEmpty, let owner = owners.first {
            hint = " (did you mean \"\(owner)\"?)"
        }
        return ConfigurationError(
            source: source, line: locator.line(of: [.key(name)]), key: name,
            problem: root[name]?.type == .table ? "unknown table" : "unknown key",
            allowed: "tables of this file: \(names.joined(separator: ", "))\(hint)")
    }

    private func unknownKey(
        _ name: String, in section: ConfigurationKey.Section, at path: [KeyLocator.Step]
    ) -> ConfigurationError {
        let children = ConfigurationKey.Section.children(of: section)
        let names = section.keys.map(\.name) + children.compactMap(\.steps.last)
        return ConfigurationError(
            source: source, line: locator.line(of: path), key: "\(section.rawValue).\(name)",
            problem: "unknown key",
            allowed: "allowed keys here: \(names.joined(separator: ", "))"
                + Self.hint(for: name, among: names))
    }

    private func wrongShape(
        _ found: any TOMLValueConvertible, _ name: String, at path: [KeyLocator.Step],
        expected: String
    ) -> ConfigurationError {
        ConfigurationError(
            source: source, line: locator.line(of: path), key: name,
            problem: "found \(SectionReader.describe(found))", allowed: "allowed: \(expected)")
    }

    private static func hint(for name: String, among candidates: [String]) -> String {
        Spelling.closest(to: name, among: candidates).map { " (did you mean \"\($0)\"?)" } ?? ""
    }

    private static func firstLine(of text: String) -> String {
        text.split(whereSeparator: \.isNewline).first.map(String.init) ?? text
    }
}
