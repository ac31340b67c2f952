/// Where a PostgreSQL server listens.
package struct PostgreSQLAddress: Hashable, Sendable, CustomStringConvertible {
    /// A host name or address; or, with a leading slash, the directory of a unix socket.
    package var host: String
    package var port: Int
    /// The name that the server's certificate is for, where `host` is the address to connect to
    /// (libpq's `hostaddr`); nil: `host` itself.
    package var hostName: String?

    package init(host: String, port: Int, hostName: String? = nil) {
        self.host = host
        self.port = port
        self.hostName = hostName
    }

    /// The path of the unix socket; nil for TCP.
    package var unixSocketPath: String? {
        host.hasPrefix("/") ? "\(host)/.s.PGSQL.\(port)" : nil
    }

    package var description: String {
        if let unixSocketPath { return "socket \"\(unixSocketPath)\"" }
        return "\"\(host)\", port \(port)"
    }
}
