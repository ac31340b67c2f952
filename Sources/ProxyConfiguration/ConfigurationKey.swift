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
    case limitsClientConnections = "limits.max_client_connections"
    case limitsStartupTimeout = "limits.startup_timeout"
    case limitsMessage = "limits.max_message"
    case limitsWriteBuffer = "limits.write_buffer"
    case limitsDrainTimeout = "limits.drain_timeout"
    case logLevel = "log.level"
    case ruleTables = "rule.tables"
    case ruleQuery = "rule.query"
    case ruleCache = "rule.cache"
    case ruleTTL = "rule.ttl"

    /// A table of the file. `rule` is an array of tables.
    enum Section: String, CaseIterable, Sendable {
        case listen, tls, upstream, pool, sqlite, cache, limits, log, rule

        var keys: [ConfigurationKey] {
            ConfigurationKey.allCases.filter { $0.section == self }
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
            .cacheVerify:
            .cache
        case .limitsClientConnections, .limitsStartupTimeout, .limitsMessage, .limitsWriteBuffer,
            .limitsDrainTimeout:
            .limits
        case .logLevel: .log
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
        case .listen, .upstream, .sqlite: false
        case .tls, .cache, .limits, .log, .rule, .pool: true
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
