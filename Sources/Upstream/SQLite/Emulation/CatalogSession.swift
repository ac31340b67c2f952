import PostgresWire

/// What the functions of a catalog database see of the session that asks.
///
/// Belongs to one catalog database and is used only under its lock.
final class CatalogSession {
    let objects: CatalogObjects
    var session = EmulatedSession(
        user: "", database: "", settings: [:], backendProcessID: 0, serverVersion: "")
    /// What a function threw; SQLite's own error carries only a message.
    var failure: PostgresError?
    var settingChanges: [EmulatedAnswer.SettingChange] = []

    init(objects: CatalogObjects) { self.objects = objects }

    func begin(_ session: EmulatedSession) {
        self.session = session
        failure = nil
        settingChanges = []
    }

    func setting(_ name: String) -> String? {
        let name = name.lowercased()
        if let change = settingChanges.last(where: { $0.name == name }) { return change.value }
        return session.settings[name] ?? Self.defaultSettings[name]
            ?? (name == "server_version" ? session.serverVersion : nil)
    }

    var settingNames: [String] {
        Set(Self.defaultSettings.keys).union(session.settings.keys).sorted()
    }

    /// What an embedded database answers for settings that the session does not keep.
    private static let defaultSettings: [String: String] = [
        "block_size": "8192", "bytea_output": "hex", "client_encoding": "UTF8",
        "client_min_messages": "notice", "datestyle": "ISO, MDY",
        "default_table_access_method": "heap", "default_tablespace": "",
        "default_transaction_isolation": "serializable", "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off", "extra_float_digits": "1",
        "idle_in_transaction_session_timeout": "0", "in_hot_standby": "off",
        "integer_datetimes": "on", "intervalstyle": "postgres", "is_superuser": "on",
        "jit": "off", "lc_collate": "C", "lc_ctype": "C", "lock_timeout": "0",
        "max_connections": "100", "max_identifier_length": "63", "max_index_keys": "32",
        "role": "none", "row_security": "on", "search_path": "\"$user\", public",
        "server_encoding": "UTF8", "server_version_num": "150000",
        "standard_conforming_strings": "on", "statement_timeout": "0", "timezone": "UTC",
        "transaction_deferrable": "off", "transaction_isolation": "serializable",
        "transaction_read_only": "off", "wal_level": "minimal", "work_mem": "4MB",
    ]
}
