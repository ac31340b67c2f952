/// Every key that a configuration file may hold, by its dotted name. What is not here is refused.
package enum ConfigurationKey: String, CaseIterable, Sendable {
    case listenAddress = "listen.address"
    case listenMetrics = "listen.metrics"
    case tlsMode = "tls.mode"
    case tlsCertificate = "tls.certificate"
    case tlsKey = "tls.key"
    case tlsClientCA = "tls.client_ca"
    case tlsMinimumVersion = "tls.min_version"
    case upstreamURL = "upstream.url"
    case upstreamConnectTimeout = "upstream.connect_timeout"
    case poolMode = "pool.mode"
    case poolSize = "pool.size"
    case poolMinimumIdle = "pool.min_idle"
    case poolMaximumLifetime = "pool.max_lifetime"
    case poolIdleTimeout = "pool.idle_timeout"
    case poolCheckoutTimeout = "pool.checkout_timeout"
    case poolClientConnections = "pool.max_client_connections"
    case poolPreparedStatements = "pool.max_prepared_statements"
    case sqliteReaders = "sqlite.readers"
    case sqliteLockTimeout = "sqlite.lock_timeout"
    case sqliteExternalWriteCheck = "sqlite.external_write_check"
    case cacheEnabled = "cache.enabled"
    case cacheMemory = "cache.memory"
    case cacheTTL = "cache.ttl"
    case cacheMaximumEntry = "cache.max_entry"
    case cacheSingleFlight = "cache.single_flight"
    case cacheVerify = "cache.verify"
    case cacheStaleIfError = "cache.stale_if_error"
    case replicationListen = "replication.listen"
    case replicationFollow = "replication.follow"
    case replicationFailover = "replication.failover"
    case replicationArbiter = "replication.arbiter"
    case replicationGroup = "replication.group"
    case replicationMode = "replication.mode"
    case replicationLease = "replication.lease"
    case replicationBuffer = "replication.buffer"
    case replicationAdvertise = "replication.advertise"
    case replicationKeyFile = "replication.key_file"
    case replicationKeyEnvironment = "replication.key_env"
    case replicationCertificate = "replication.certificate"
    case replicationCertificateKey = "replication.certificate_key"
    case replicationCA = "replication.ca"
    case snapshotDirectory = "snapshot.directory"
    case snapshotInterval = "snapshot.interval"
    case snapshotKeep = "snapshot.keep"
    case snapshotOnShutdown = "snapshot.on_shutdown"
    case snapshotKeyFile = "snapshot.key_file"
    case snapshotKeyEnvironment = "snapshot.key_env"
    case snapshotWarmUpRate = "snapshot.warm_up_rate"
    case snapshotWarmUpLimit = "snapshot.warm_up_limit"
    case limitsClientConnections = "limits.max_client_connections"
    case limitsStartupTimeout = "limits.startup_timeout"
    case limitsMessage = "limits.max_message"
    case limitsWriteBuffer = "limits.write_buffer"
    case limitsDrainTimeout = "limits.drain_timeout"
    case limitsPending = "limits.max_pending_connections"
    case limitsPendingPerAddress = "limits.max_pending_per_address"
    case limitsPerAddress = "limits.max_connections_per_address"
    case authTimeout = "auth.timeout"
    case authMaximumFailures = "auth.max_failures"
    case authFailureWindow = "auth.failure_window"
    case authAllowMD5 = "auth.allow_md5"
    case authQuery = "auth.auth_query"
    case authQueryTTL = "auth.auth_query_ttl"
    case authUser = "auth.auth_user"
    case authDatabase = "auth.auth_database"
    case authPasswordFile = "auth.auth_password_file"
    case authPasswordEnvironment = "auth.auth_password_env"
    case authRuleUsers = "auth.rule.users"
    case authRuleDatabases = "auth.rule.databases"
    case authRuleAddresses = "auth.rule.addresses"
    case authRuleTLS = "auth.rule.tls"
    case authRuleMethod = "auth.rule.method"
    case authUserName = "auth.user.name"
    case authUserVerifier = "auth.user.verifier"
    case authUserPasswordFile = "auth.user.password_file"
    case authUserPasswordEnvironment = "auth.user.password_env"
    case authUserCertificates = "auth.user.certificates"
    case authJWTKeys = "auth.jwt.keys"
    case authJWTIssuer = "auth.jwt.issuer"
    case authJWTAudience = "auth.jwt.audience"
    case authJWTClaim = "auth.jwt.claim"
    case authJWTRoles = "auth.jwt.roles"
    case authJWTLeeway = "auth.jwt.leeway"
    case authJWTMaximumLength = "auth.jwt.max_length"
    case logLevel = "log.level"
    case logCoreDumps = "log.core_dumps"
    case ruleTables = "rule.tables"
    case ruleQuery = "rule.query"
    case ruleCache = "rule.cache"
    case ruleTTL = "rule.ttl"

    /// A table of the file, by its dotted name.
    enum Section: String, CaseIterable, Sendable {
        case listen, tls, upstream, pool, sqlite, cache, snapshot, replication, limits, auth
        case authJWT = "auth.jwt"
        case authUser = "auth.user"
        case authRule = "auth.rule"
        case log, rule

        var keys: [ConfigurationKey] {
            ConfigurationKey.allCases.filter { $0.section == self }
        }

        /// Whether there may be several: an array of tables.
        var isArray: Bool {
            switch self {
            case .rule, .authRule, .authUser: true
            case .listen, .tls, .upstream, .pool, .sqlite, .cache, .snapshot, .replication,
                .limits, .auth, .authJWT, .log:
                false
            }
        }

        /// Its name, part by part.
        var steps: [String] { rawValue.split(separator: ".").map(String.init) }

        /// The tables directly below it; those of the file itself for nil.
        static func children(of parent: Section?) -> [Section] {
            allCases.filter { $0.steps.dropLast() == (parent?.steps ?? [])[...] }
        }
    }

    var section: Section {
        switch self {
        case .listenAddress, .listenMetrics: .listen
        case .tlsMode, .tlsCertificate, .tlsKey, .tlsClientCA, .tlsMinimumVersion: .tls
        case .upstreamURL, .upstreamConnectTimeout: .upstream
        case .poolMode, .poolSize, .poolMinimumIdle, .poolMaximumLifetime, .poolIdleTimeout,
            .poolCheckoutTimeout, .poolClientConnections, .poolPreparedStatements:
            .pool
        case .sqliteReaders, .sqliteLockTimeout, .sqliteExternalWriteCheck: .sqlite
        case .cacheEnabled, .cacheMemory, .cacheTTL, .cacheMaximumEntry, .cacheSingleFlight,
            .cacheVerify, .cacheStaleIfError:
            .cache
        case .replicationListen, .replicationFollow, .replicationFailover, .replicationArbiter,
            .replicationGroup, .replicationMode, .replicationLease, .replicationBuffer, .replicationAdvertise,
            .replicationKeyFile, .replicationKeyEnvironment, .replicationCertificate,
            .replicationCertificateKey, .replicationCA:
            .replication
        case .snapshotDirectory, .snapshotInterval, .snapshotKeep, .snapshotOnShutdown,
            .snapshotKeyFile, .snapshotKeyEnvironment, .snapshotWarmUpRate, .snapshotWarmUpLimit:
            .snapshot
        case .limitsClientConnections, .limitsStartupTimeout, .limitsMessage, .limitsWriteBuffer,
            .limitsDrainTimeout, .limitsPending, .limitsPendingPerAddress, .limitsPerAddress:
            .limits
        case .authTimeout, .authMaximumFailures, .authFailureWindow, .authAllowMD5, .authQuery,
            .authQueryTTL, .authUser, .authDatabase, .authPasswordFile, .authPasswordEnvironment:
            .auth
        case .authRuleUsers, .authRuleDatabases, .authRuleAddresses, .authRuleTLS, .authRuleMethod:
            .authRule
        case .authUserName, .authUserVerifier, .authUserPasswordFile,
            .authUserPasswordEnvironment, .authUserCertificates:
            .authUser
        case .authJWTKeys, .authJWTIssuer, .authJWTAudience, .authJWTClaim, .authJWTRoles,
            .authJWTLeeway, .authJWTMaximumLength:
            .authJWT
        case .logLevel, .logCoreDumps: .log
        case .ruleTables, .ruleQuery, .ruleCache, .ruleTTL: .rule
        }
    }

    /// The name within its table.
    var name: String {
        String(rawValue.dropFirst(section.rawValue.count + 1))
    }

    /// Whether a running proxy can take a new value: not what sockets and the database connection
    /// were made from.
    var changesAtRunTime: Bool {
        switch section {
        case .listen, .upstream, .sqlite, .snapshot, .replication: false
        case .tls, .pool, .cache, .limits, .auth, .authJWT, .authUser, .authRule, .log, .rule: true
        }
    }

    /// The environment variable that, set and not empty, takes the place of the file's value.
    var environmentVariable: String? {
        switch self {
        case .listenAddress: "MYNAH_LISTEN_ADDRESS"
        case .listenMetrics: "MYNAH_LISTEN_METRICS"
        case .upstreamURL: "MYNAH_UPSTREAM_URL"
        default: nil
        }
    }
}
