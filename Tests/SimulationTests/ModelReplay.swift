import Upstream

/// What the proxy says by itself on a connection that several clients use: the settings of the one
/// whose turn it is (`ServerSettings.statements(toReach:)`), and DISCARD SEQUENCES.
enum ModelReplay {
    private static let assignment = "SELECT pg_catalog.set_config('"
    private static let reset = "RESET "
    private static let discard = "DISCARD SEQUENCES"

    /// No client of the model says anything of the kind: names are quoted, or in small letters.
    static func isReplay(_ text: String) -> Bool {
        text.hasPrefix(assignment) || text.hasPrefix(reset + "\"") || text.hasPrefix("RESET role")
            || text.hasPrefix(discard)
    }

    /// nil where the model does not know what is said.
    static func statements(in text: String) -> [ModelStatement]? {
        let parts = text.split(separator: ";").map { statement(String($0)) }
        guard !parts.contains(where: { $0 == nil }) else { return nil }
        return parts.compactMap(\.self)
    }

    private static func statement(_ text: String) -> ModelStatement? {
        if text == discard { return ModelStatement(text, .discardSequences) }
        if text.hasPrefix(reset) {
            let name = text.dropFirst(reset.count).filter { $0 != "\"" }
            return ModelSettingChange(resetting: name).map { ModelStatement(text, .configure($0)) }
        }
        guard text.hasPrefix(assignment), text.hasSuffix("',false)") else { return nil }
        let parts = text.dropFirst(assignment.count).dropLast("',false)".count)
        guard let middle = parts.firstRange(of: "',E'") else { return nil }
        return ModelSettingChange(
            setting: String(parts[..<middle.lowerBound]), to: String(parts[middle.upperBound...])
        ).map { ModelStatement(text, .configure($0)) }
    }
}

extension ModelSettingChange {
    /// nil where there is no such setting, or value.
    init?(setting name: String, to value: String) {
        switch name {
        case "search_path":
            guard let path = ModelSettings.Path.allCases.first(where: { $0.text == value }) else {
                return nil
            }
            self = .path(path)
        case "role":
            guard let role = ModelSettings.Role(rawValue: value) else { return nil }
            self = .role(role)
        case "timezone":
            guard let zone = ModelSettings.zones.firstIndex(of: value) else { return nil }
            self = .zone(zone)
        case "default_transaction_isolation":
            guard ["read committed", "repeatable read"].contains(value) else { return nil }
            self = .isolation(repeatableRead: value == "repeatable read")
        case "application_name": self = .applicationName(value)
        default: return nil
        }
    }

    init?(resetting name: String) {
        switch name {
        case "search_path": self = .resetPath
        case "role": self = .resetRole
        case "timezone": self = .resetZone
        case "default_transaction_isolation": self = .resetIsolation
        case "application_name": self = .resetApplicationName
        default: return nil
        }
    }
}

extension ModelSettings {
    /// What the pool takes a connection's settings to be; nil where the model does not know one.
    init?(_ believed: ServerSettings) {
        self.init()
        for (name, value) in believed.values {
            guard case .text(let text) = value,
                let change = ModelSettingChange(setting: name, to: text)
            else { return nil }
            change.apply(to: &self)
        }
    }
}
