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
    package var encryption: LinkEncryption
    package var channelBinding: ChannelBinding.Policy
    package var target: TargetSession
    /// The host is no database server, but another Mynah.
    package var leadsToNode = false

    package static let defaultConnectTimeout = TimeAmount.seconds(5)
    package static let defaultStartupTimeout = TimeAmount.seconds(10)

    package init(
        hosts: [PostgreSQLAddress], user: String? = nil, password: Secret? = nil,
        database: String? = nil, connectTimeout: TimeAmount = defaultConnectTimeout,
        startupTimeout: TimeAmount = defaultStartupTimeout,
        parameters: [SessionStartup.Parameter] = [], encryption: LinkEncryption = .disabled,
        channelBinding: ChannelBinding.Policy = .prefer, target: TargetSession = .any
    ) {
        self.hosts = hosts
        self.user = user
        self.password = password
        self.database = database
        self.connectTimeout = connectTimeout
        self.startupTimeout = startupTimeout
        self.parameters = parameters
        self.encryption = encryption
        self.channelBinding = channelBinding
        self.target = target
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

        let encryption = try LinkEncryption(resolved)
        let hosts = Self.list(resolved["hostaddr"] ?? resolved["host"] ?? resolved.defaultHost)
        let names = resolved["hostaddr"] == nil ? nil : Self.list(resolved["host"])
        guard names?.isEmpty != false || names?.count == hosts.count else {
            throw Self.invalid("the numbers of host and hostaddr differ")
        }
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
            // As libpq, host and hostaddr may be given for some and left empty for others.
            let name = names.flatMap { $0.isEmpty || $0[index].isEmpty ? nil : $0[index] }
            guard encryption.mode != .verifyFull || names == nil || name != nil else {
                throw Self.invalid("sslmode=verify-full asks for host besides hostaddr")
            }
            addresses.append(
                PostgreSQLAddress(
                    host: host.isEmpty ? name ?? host : host, port: port, hostName: name))
        }

        // libpq falls back to the operating system's user, Mynah to the client's.
        let hasService = given["service"] != nil || resolved.environment("PGSERVICE") != nil
        // Nor does PGUSER count, which the shell of whoever starts the proxy may have: every client
        // would be that user.
        let user = given["user"] ?? (hasService ? resolved["user"] : nil)
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
            startupTimeout: Self.startupTimeout(timeout, hosts: addresses.count),
            parameters: parameters, encryption: encryption,
            channelBinding: try Self.channelBinding(resolved), target: try Self.target(resolved))
    }

    /// Time for each host to be found out of reach, within a minute (or the one timeout asked for).
    private static func startupTimeout(_ timeout: TimeAmount, hosts: Int) -> TimeAmount {
        let all = TimeAmount.nanoseconds(
            timeout.nanoseconds * Int64(min(hosts, 16)) + defaultConnectTimeout.nanoseconds)
        return max(timeout, defaultStartupTimeout, min(all, .seconds(60)))
    }

    private static func channelBinding(
        _ options: ConnectionOptions
    ) throws(PostgresError) -> ChannelBinding.Policy {
        guard let policy = ChannelBinding.Policy(rawValue: options["channel_binding"] ?? "prefer")
        else { throw invalid("channel_binding is none of disable, prefer and require") }
        return policy
    }

    private static func target(_ options: ConnectionOptions) throws(PostgresError) -> TargetSession
    {
        guard let target = TargetSession(rawValue: options["target_session_attrs"] ?? "any") else {
            throw invalid("target_session_attrs is none that libpq knows")
        }
        return target
    }

    private static func checkSupported(_ options: ConnectionOptions) throws(PostgresError) {
        if options["gssencmode"] == "require" {
            throw invalid("gssencmode=require is not supported")
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
