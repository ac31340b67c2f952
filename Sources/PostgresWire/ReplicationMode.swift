/// The kind of a replication connection.
///
/// https://www.postgresql.org/docs/15/protocol-replication.html
package enum ReplicationMode: Hashable, Sendable {
    /// Replication commands alone.
    case physical
    /// Connected to a database: SQL as well.
    case database

    /// What the startup parameter `replication` asks for; nil for an ordinary session. Throws
    /// `22023` (FATAL) where the server would.
    package init?(parameter value: String) throws(PostgresError) {
        if value == "database" {
            self = .database
            return
        }
        switch Self.boolean(value.lowercased()) {
        case true?: self = .physical
        case false?: return nil
        case nil:
            throw PostgresError(
                "22023", "invalid value for parameter \"replication\": \"\(value)\"",
                severity: .fatal,
                hint: "Valid values are: \"false\", 0, \"true\", 1, \"database\".")
        }
    }

    /// As the server's `parse_bool`: a word may be cut short as long as it is clear.
    private static func boolean(_ text: String) -> Bool? {
        if text.isEmpty { return nil }
        if text == "1" || text == "on" || "true".hasPrefix(text) || "yes".hasPrefix(text) {
            return true
        }
        if text == "0" || "false".hasPrefix(text) || "no".hasPrefix(text) { return false }
        return text.count > 1 && "off".hasPrefix(text) ? false : nil
    }

    /// What the parameter says.
    package var parameter: String {
        switch self {
        case .physical: "true"
        case .database: "database"
        }
    }
}

extension StartupMessage {
    /// The replication that is asked for last, as the server takes it.
    package func replication() throws(PostgresError) -> ReplicationMode? {
        guard let value = parameters.last(where: { $0.name == "replication" })?.value else {
            return nil
        }
        return try ReplicationMode(parameter: value)
    }
}
