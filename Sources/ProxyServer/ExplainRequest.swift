import PostgresWire
import ProxyConfiguration

/// What `mynah explain` is asked.
package struct ExplainRequest: Sendable {
    /// The statement to explain, as the application sends it.
    package var sql: String
    /// nil: who the upstream URL names, else libpq's default.
    package var user: String?
    /// nil: what the upstream URL names, else libpq's default.
    package var database: String?
    /// Settings of the session, such as `search_path`.
    package var settings: [(name: String, value: String)]
    /// The types that the application declares for `$1` and so on; empty where it declares none.
    package var parameterTypes: [PostgresType]

    package init(
        sql: String, user: String? = nil, database: String? = nil,
        settings: [(name: String, value: String)] = [], parameterTypes: [PostgresType] = []
    ) {
        self.sql = sql
        self.user = user
        self.database = database
        self.settings = settings
        self.parameterTypes = parameterTypes
    }

    /// The `options` of a connection: `-c name=value` for each setting, white space and backslashes
    /// escaped. https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNECT-OPTIONS
    var connectionOptions: String {
        settings.map { setting in
            let value = setting.value.replacing("\\", with: "\\\\").replacing(" ", with: "\\ ")
            return "-c \(setting.name)=\(value)"
        }.joined(separator: " ")
    }
}

/// The rows of an explanation.
package struct ExplainAnswer: Sendable {
    package struct Row: Sendable, Equatable {
        package let property: String
        package let value: String

        package init(property: String, value: String) {
            self.property = property
            self.value = value
        }
    }

    package let rows: [Row]
    /// False where no proxy was running, so that nothing is known of entries.
    package let isFromRunningProxy: Bool

    package init(rows: [Row], isFromRunningProxy: Bool) {
        self.rows = rows
        self.isFromRunningProxy = isFromRunningProxy
    }

    /// Two columns, the first as wide as its widest name.
    package var table: String {
        let width = rows.map(\.property.count).max() ?? 0
        return rows.map { row in
            row.property + String(repeating: " ", count: width - row.property.count + 2) + row.value
                + "\n"
        }.joined()
    }
}

/// Why there is no explanation, in one line.
package struct ExplainError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
