/// All settings of a proxy, as loaded from its configuration file and environment.
package struct ProxyConfiguration: Sendable, Equatable {
    package var listen: Listen
    package var tls: TLS
    package var upstream: Upstream
    package var pool: Pool
    package var sqlite: SQLite
    package var cache: Cache
    package var replication: Replication
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
        /// None of its own: the node that this one follows.
        case primary
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
        /// For how long reads are answered with what is no longer certain while the upstream is away.
        package var staleIfError: Duration
    }

    /// Whether commits wait for those who follow.
    package enum ReplicationMode: String, CaseIterable, Sendable {
        case sync, async
    }

    /// Which other nodes there are. Paths are absolute.
    package struct Replication: Sendable, Equatable {
        /// Where others follow this node, over TCP; nil: nobody does.
        package var listen: ListenAddress?
        /// The mirror ports of the nodes to follow, of which one leads; none: this one does.
        package var follow: [ListenAddress]
        /// Whether the database decides who leads.
        package var failover: Bool
        /// Where and as whom it is asked; nil: by `upstream.url`.
        package var arbiter: ConnectionString?
        /// Tells these nodes from others before databases of the same server.
        package var group: String
        package var mode: ReplicationMode
        /// For how long a replica may answer after it has last heard from its primary.
        package var lease: Duration
        /// What is kept for a follower that is slow.
        package var buffer: ByteCount
        /// Where the clients of this node connect, as its followers reach it; nil: the host of
        /// `listen`, as they call it, and the port of the first TCP address of `listen.address`.
        package var advertise: ListenAddress?
        /// What all nodes know, in hexadecimal or Base64: the file, or the environment variable.
        package var keyFile: String?
        package var keyEnvironment: String?
        /// This node's certificate, its key, and who may have issued the others'.
        package var certificate: String?
        package var certificateKey: String?
        package var ca: String?

        /// Whether the others have to show who they are.
        package var authenticates: Bool {
            keyFile != nil || keyEnvironment != nil || certificate != nil
        }
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
