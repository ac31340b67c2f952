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

    /// The table of `section`, which is not `.rule`.
    func reader(for section: ConfigurationKey.Section) -> SectionReader {
        SectionReader(
            document: self, section: section, path: [.key(section.rawValue)],
            table: root[section.rawValue]?.table)
    }

    /// The `[[rule]]` tables in order.
    func ruleReaders() -> [SectionReader] {
        let name = ConfigurationKey.Section.rule.rawValue
        guard let rules = root[name]?.array else { return [] }
        return rules.enumerated().map { index, rule in
            SectionReader(
                document: self, section: .rule, path: [.key(name), .index(index)],
                table: rule.table)
        }
    }

    private func refuseUnknown() throws(ConfigurationError) {
        // In the order of the file, so that its first mistake is the one reported.
        var mistakes: [ConfigurationError] = []
        for name in root.keys {
            let path = [KeyLocator.Step.key(name)]
            guard let section = ConfigurationKey.Section(rawValue: name) else {
                mistakes.append(unknownTable(name))
                continue
            }
            guard section == .rule else {
                guard let table = root[name]?.table else {
                    mistakes.append(wrongShape(name, at: path, expected: "a table: [\(name)]"))
                    continue
                }
                mistakes += unknownKeys(of: table, in: section, at: path)
                continue
            }
            guard let array = root[name]?.array else {
                mistakes.append(wrongShape(name, at: path, expected: "[[rule]], once per rule"))
                continue
            }
            for (index, element) in array.enumerated() {
                let elementPath = path + [.index(index)]
                guard let table = element.table else {
                    mistakes.append(
                        wrongShape(name, at: elementPath, expected: "[[rule]], once per rule"))
                    continue
                }
                mistakes += unknownKeys(of: table, in: section, at: elementPath)
            }
        }
        let first = mistakes.min { ($0.line ?? .max) < ($1.line ?? .max) }
        if let first {
            throw first
        }
    }

    private func unknownTable(_ name: String) -> ConfigurationError {
        let names = ConfigurationKey.Section.allCases.map(\.rawValue)
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

    private func unknownKeys(
        of table: TOMLTable, in section: ConfigurationKey.Section, at path: [KeyLocator.Step]
    ) -> [ConfigurationError] {
        let names = section.keys.map(\.name)
        return table.keys.filter { !names.contains($0) }.map { name in
            ConfigurationError(
                source: source, line: locator.line(of: path + [.key(name)]),
                key: "\(section.rawValue).\(name)", problem: "unknown key",
                allowed: "allowed keys here: \(names.joined(separator: ", "))"
                    + Self.hint(for: name, among: names))
        }
    }

    private func wrongShape(
        _ name: String, at path: [KeyLocator.Step], expected: String
    ) -> ConfigurationError {
        let found = root[name].map { SectionReader.describe($0.tomlValue) } ?? "nothing"
        return ConfigurationError(
            source: source, line: locator.line(of: path), key: name, problem: "found \(found)",
            allowed: "allowed: \(expected)")
    }

    private static func hint(for name: String, among candidates: [String]) -> String {
        Spelling.closest(to: name, among: candidates).map { " (did you mean \"\($0)\"?)" } ?? ""
    }

    private static func firstLine(of text: String) -> String {
        text.split(whereSeparator: \.isNewline).first.map(String.init) ?? text
    }
}
