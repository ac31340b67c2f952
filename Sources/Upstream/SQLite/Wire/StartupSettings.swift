import PostgresWire

/// The settings that a startup message asks for.
/// https://www.postgresql.org/docs/15/protocol-message-formats.html (StartupMessage)
enum StartupSettings {
    /// Throws 42704 and its like for a setting that does not exist, as PostgreSQL does.
    static func apply(
        _ parameters: [SessionStartup.Parameter], to settings: inout SessionSettings
    ) throws {
        for parameter in parameters {
            switch parameter.name.lowercased() {
            case "user", "database": break
            case "replication":
                guard ["false", "off", "no", "0"].contains(parameter.value.lowercased()) else {
                    throw PostgresError(
                        .featureNotSupported, "SQLite has no replication protocol")
                }
            case "options":
                for (name, value) in try options(parameter.value) {
                    try settings.setInitial(name, value)
                }
            case let name where name.hasPrefix("_pq_."): break
            case let name: try settings.setInitial(name, parameter.value)
            }
        }
    }

    /// `-c name=value` and `--name=value`, with backslashes before spaces that belong to a value.
    private static func options(_ text: String) throws -> [(String, String)] {
        var words: [String] = []
        var word = ""
        var isEscaped = false
        for character in text {
            if isEscaped {
                word.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == " " || character == "\t" {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        if !word.isEmpty { words.append(word) }
        var settings: [(String, String)] = []
        var index = 0
        while index < words.count {
            var option = words[index]
            if option == "-c", index + 1 < words.count {
                index += 1
                option = words[index]
            } else if option.hasPrefix("-c") || option.hasPrefix("--") {
                option.removeFirst(2)
            } else {
                throw PostgresError(
                    .syntaxError, "invalid command-line argument for server process")
            }
            guard let equals = option.firstIndex(of: "=") else {
                throw PostgresError(.syntaxError, "a startup option needs a value")
            }
            let name = String(option[..<equals]).replacing("-", with: "_")
            settings.append((name, String(option[option.index(after: equals)...])))
            index += 1
        }
        return settings
    }
}

extension SQLiteSession {
    /// What the client is told when the link is ready.
    var greeting: UpstreamGreeting {
        var all: [String: String] = [:]
        // The same as another Mynah would ask for: it mirrors answers by them.
        let names = Set(SettingsProbe.settingNames)
        for (name, value) in settings.all where names.contains(name.lowercased()) {
            all[name.lowercased()] = value
        }
        return UpstreamGreeting(
            parameterStatuses: settings.reportedValues.map {
                SessionStartup.Parameter(name: $0.name, value: $0.value)
            }, backendKey: key, settings: all, sessionUser: user)
    }
}
