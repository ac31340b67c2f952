/// Where a PostgreSQL server listens.
package struct PostgreSQLAddress: Hashable, Sendable, CustomStringConvertible {
    /// A host name or address; or, with a leading slash, the directory of a unix socket.
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
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
