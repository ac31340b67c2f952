import CLibPQ
import NIOCore
import PostgresWire

/// How to reach a PostgreSQL upstream: what a libpq connection string says.
package struct PostgreSQLUpstreamSettings: Sendable {
    /// Tried in this order.
    package var hosts: [PostgreSQLAddress]
    /// nil: each client's own.
    package var user: String?
    package var password: Secret?
    /// nil: each client's own.
    package var database: String?
    /// For one host.
    package var connectTimeout: TimeAmount
    /// From the beginning of the first connection attempt to the first ReadyForQuery.
    package var startupTimeout: TimeAmount
    /// Startup parameters. A client's own win, but for `options`, where both hold.
    package var parameters: [SessionStartup.Parameter]

    package static let defaultConnectTimeout = TimeAmount.seconds(5)
    package static let defaultStartupTimeout = TimeAmount.seconds(10)

    package init(
        hosts: [PostgreSQLAddress], user: String? = nil, password: Secret? = nil,
        database: String? = nil, connectTimeout: TimeAmount = defaultConnectTimeout,
        startupTimeout: TimeAmount = defaultStartupTimeout,
        parameters: [SessionStartup.Parameter] = []
    ) {
        self.hosts = hosts
        self.user = user
        self.password = password
        self.database = database
        self.connectTimeout = connectTimeout
        self.startupTimeout = startupTimeout
        self.parameters = parameters
    }

    /// Reads a URL or keyword/value string with libpq's own rules: environment, service file and
    /// password file included. Touches files, no network; call at start-up.
    ///
    /// Throws `F0000` (configuration) where the string is wrong or asks for what is not supported.
    /// The message never repeats the string.
    package init(connectionString: String) throws(PostgresError) {
        let given = try ConnectionOptions(parsing: connectionString)
        let resolved = try ConnectionOptions(resolving: connectionString)
        try Self.checkSupported(resolved)

        let hosts = Self.list(resolved["hostaddr"] ?? resolved["host"] ?? resolved.defaultHost)
        let ports = Self.list(resolved["port"])
        guard ports.count <= 1 || ports.count == hosts.count else {
            throw Self.invalid("the numbers of hosts and ports differ")
        }
        var addresses: [PostgreSQLAddress] = []
        for (index, host) in hosts.enumerated() {
            let text = ports.isEmpty ? "" : ports[ports.count == 1 ? 0 : index]
            guard let port = text.isEmpty ? 5432 : Int(text), (1...65535).contains(port) else {
                throw Self.invalid("a port is not a number from 1 to 65535")
            }
            guard !host.hasPrefix("@") else {
                throw Self.invalid("abstract unix sockets are not supported")
            }
            addresses.append(PostgreSQLAddress(host: host, port: port))
        }

        // libpq falls back to the operating system's user, Mynah to the client's.
        let hasService = given["service"] != nil || resolved.environment("PGSERVICE") != nil
        let user = given["user"] ?? (hasService ? resolved["user"] : resolved.environment("PGUSER"))
        let database =
            given["dbname"]
            ?? (hasService ? resolved["dbname"] : resolved.environment("PGDATABASE"))
        // A password file's entry is for one user: without a user there is none.
        let password = resolved["password"] ?? (user == nil ? nil : resolved.passwordFromFile)

        var timeout = Self.defaultConnectTimeout
        if let text = resolved["connect_timeout"] {
            guard let seconds = Int64(text), seconds <= 3600 else {
                throw Self.invalid("connect_timeout is not a number of seconds up to 3600")
            }
            if seconds > 0 { timeout = .seconds(seconds) }
        }
        var parameters: [SessionStartup.Parameter] = []
        for name in ["options", "application_name", "client_encoding"] {
            if let value = resolved[name], name != "client_encoding" || value != "auto" {
                parameters.append(.init(name: name, value: value))
            }
        }
        self.init(
            hosts: addresses, user: user, password: password.map { Secret($0) },
            database: database, connectTimeout: timeout,
            startupTimeout: max(timeout, Self.defaultStartupTimeout), parameters: parameters)
    }

    private static func checkSupported(_ options: ConnectionOptions) throws(PostgresError) {
        let sslMode = options["sslmode"] ?? "prefer"
        guard ["disable", "allow", "prefer"].contains(sslMode) else {
            throw PostgresError(
                "F0000", "TLS to the upstream server is not supported: sslmode is too strict",
                severity: .fatal,
                detail: "Found: require, verify-ca or verify-full, or a value that libpq does not "
                    + "know.",
                hint: "Use sslmode=disable, or allow or prefer, which then use no TLS.")
        }
        if options["gssencmode"] == "require" {
            throw invalid("gssencmode=require is not supported")
        }
        if options["channel_binding"] == "require" {
            throw invalid("channel_binding=require is not supported")
        }
        if let attributes = options["target_session_attrs"], attributes != "any" {
            throw invalid("target_session_attrs other than any is not supported")
        }
        if let replication = options["replication"],
            !["false", "off", "no", "0"].contains(replication)
        {
            throw invalid("replication connections are not supported")
        }
    }

    private static func list(_ text: String?) -> [String] {
        guard let text, !text.isEmpty else { return [] }
        return text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    static func invalid(_ reason: String) -> PostgresError {
        PostgresError(
            "F0000", "invalid connection string for the upstream server: \(reason)",
            severity: .fatal)
    }
}
