/// How connections to the server are shared among client sessions.
package struct PoolSettings: Sendable, Equatable {
    package enum Mode: String, Sendable, CaseIterable {
        /// A client session keeps the connection that its first statement got until it ends.
        case session
        /// A client session has a connection for the length of a transaction, and longer only while
        /// the connection holds something of the session's that cannot be moved.
        case transaction
    }

    package var mode: Mode
    /// Connections of one user to one database, at most.
    package var size: Int
    /// Connections that are kept ready once a user's pool has been used.
    package var minimumIdle: Int
    /// Nanoseconds after which a connection is replaced when nobody has it; nil: never.
    package var maximumLifetime: UInt64?
    /// Nanoseconds after which a connection that nobody wants is closed; nil: never.
    package var idleTimeout: UInt64?
    /// Nanoseconds that a client waits for a connection.
    package var checkoutTimeout: UInt64
    /// Client sessions of one user in one database, at most; nil: no limit but that of all.
    package var maximumClients: Int?
    /// Prepared statements that one connection holds for all its clients.
    package var maximumStatements: Int

    package init(
        mode: Mode = .transaction, size: Int = 40, minimumIdle: Int = 0,
        maximumLifetime: UInt64? = 3_600_000_000_000, idleTimeout: UInt64? = 600_000_000_000,
        checkoutTimeout: UInt64 = 30_000_000_000, maximumClients: Int? = nil,
        maximumStatements: Int = 500
    ) {
        self.mode = mode
        self.size = size
        self.minimumIdle = minimumIdle
        self.maximumLifetime = maximumLifetime
        self.idleTimeout = idleTimeout
        self.checkoutTimeout = checkoutTimeout
        self.maximumClients = maximumClients
        self.maximumStatements = maximumStatements
    }
}
