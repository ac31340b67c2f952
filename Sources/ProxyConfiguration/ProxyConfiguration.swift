/// All settings of a proxy, as loaded from its configuration file and environment.
package struct ProxyConfiguration: Sendable, Equatable {
    package var listen: Listen
    package var tls: TLS
    package var upstream: Upstream
    package var pool: Pool
    package var sqlite: SQLite
    package var cache: Cache
    package var snapshot: Snapshot
    package var limits: Limits
    package var auth: Auth
    package var log: Log
    /// The `[[rule]]` tables and `cache.ttl`.
    package var policy: CachePolicy
    /// Where the values were found.
    package var origins: KeyOrigins

    package struct Listen: Sendable, Equatable {
        /// Where clients connect; at least one.
        package var addresses: [ListenAddress]
        /// Where `/metrics`, `/healthz` and `/readyz` are served, over TCP; nil for nowhere.
        package var metrics: ListenAddress?
    }

    /// TLS between clients and the proxy. Paths are absolute.
    package struct TLS: Sendable, Equatable {
        package enum Mode: String, CaseIterable, Sendable {
            case off, allow, require
        }

        package enum Version: String, CaseIterable, Sendable {
            case tls12 = "1.2"
            case tls13 = "1.3"
        }

        package var mode: Mode
        /// The proxy's certificate and those that lead to its root; there if not `off`.
        package var certificate: String?
        /// The certificate's private key; there if not `off`.
        package var key: String?
        /// Who may have issued clients' certificates; nil: clients are asked for none.
        package var clientCA: String?
        package var minimumVersion: Version
    }

    /// The database behind the proxy.
    package enum UpstreamDatabase: Sendable, Equatable {
        /// An absolute path.
        case sqlite(path: String)
        case postgresql(ConnectionString)
    }

    package struct Upstream: Sendable, Equatable {
        package var database: UpstreamDatabase
        package var connectTimeout: Duration
    }

    /// For how long a client session has a connection to the PostgreSQL server.
    package enum PoolMode: String, CaseIterable, Sendable {
        case session, transaction
    }

    /// How client sessions share connections to the PostgreSQL server.
    package struct Pool: Sendable, Equatable {
        package var mode: PoolMode
        /// Connections of one user to one database.
        package var size: Int
        package var minimumIdle: Int
        /// Zero: no limit.
        package var maximumLifetime: Duration
        /// Zero: no limit.
        package var idleTimeout: Duration
        /// How long a client waits for a connection.
        package var checkoutTimeout: Duration
        /// Client sessions of one user in one database; 0: no limit.
        package var clientConnections: Int
        /// Prepared statements that one connection holds.
        package var preparedStatements: Int
    }

    package struct SQLite: Sendable, Equatable {
        /// Connections that read, each with a thread of its own.
        package var readers: Int
        /// How long a statement waits for a lock that another process holds.
        package var lockTimeout: Duration
        /// How often the file is checked for what other processes have committed.
        package var externalWriteCheck: Duration
    }

    package struct Cache: Sendable, Equatable {
        package var isEnabled: Bool
        /// Hard limit of all entries together, keys and bookkeeping included.
        package var memory: ByteCount
        /// Larger answers are not stored.
        package var maximumEntry: ByteCount
        /// Whether identical misses share one upstream execution.
        package var singleFlight: Bool
        /// The share of hits, from 0 to 1, that are also run in the database and compared.
        package var verifiedShare: Double
    }

    package struct Limits: Sendable, Equatable {
        package var clientConnections: Int
        /// From accepting a connection to the end of its startup.
        package var startupTimeout: Duration
        /// The longest single message that a client may send.
        package var message: ByteCount
        /// What is held for a client that does not read; beyond it, reading from its upstream
        /// stops.
        package var writeBuffer: ByteCount
        /// How long running statements may take to finish after SIGTERM.
        package var drainTimeout: Duration
        /// Connections that have not shown yet who they are, apart from `clientConnections`.
        package var pending: Int
        package var pendingPerAddress: Int
        /// Authenticated or not; 0 for any number.
        package var perAddress: Int
    }

    package struct Log: Sendable, Equatable {
        package var level: LogLevel
        /// Whether the process may leave a core file, and be looked into by others of its user.
        package var coreDumps: Bool
    }

    /// The levels of swift-log, by the same names.
    package enum LogLevel: String, CaseIterable, Sendable {
        case trace, debug, info, notice, warning, error, critical
    }
}
