/// A result column of an emulated answer.
package struct EmulatedColumn: Hashable, Sendable {
    package var name: String
    package var typeOID: UInt32

    package init(name: String, typeOID: UInt32) {
        self.name = name
        self.typeOID = typeOID
    }
}

/// The answer to a question about the session or the catalog.
package struct EmulatedAnswer: Hashable, Sendable {
    /// A setting that the statement changed by `set_config`; to be applied where the statement
    /// takes effect.
    package struct SettingChange: Hashable, Sendable {
        package var name: String
        package var value: String
        /// Only until the transaction ends.
        package var isLocal: Bool
    }

    package var columns: [EmulatedColumn]
    /// Values in PostgreSQL's text form; nil is NULL.
    package var rows: [[String?]]
    /// The command tag, `SELECT n`.
    package var tag: String
    package var settingChanges: [SettingChange]
}

/// What the answer to a session question depends on.
package struct EmulatedSession: Sendable {
    package var user: String
    package var database: String
    /// Current settings by lower-case name; others have defaults.
    package var settings: [String: String]
    package var backendProcessID: Int32
    /// What `SHOW server_version` gives, such as `15.0`.
    package var serverVersion: String

    package init(
        user: String, database: String, settings: [String: String], backendProcessID: Int32,
        serverVersion: String
    ) {
        self.user = user
        self.database = database
        self.settings = settings
        self.backendProcessID = backendProcessID
        self.serverVersion = serverVersion
    }
}
