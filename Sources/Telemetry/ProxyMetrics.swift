import Synchronization

/// Everything the proxy counts, one instance per process. Members are updated from any thread; the
/// names under which they are published are in `ProxyMetrics+Prometheus.swift`.
package final class ProxyMetrics: Sendable {
    /// The program's version, as published in `mynah_build_info`.
    package let version: String
    /// When the instance was made, which is when the process started, in seconds since 1970.
    let startTime = ProcessUsage.now()

    // The cache.
    package let cacheHits = Counter()
    package let cacheMisses = Counter()
    /// Replies put into the cache.
    package let fillsStored = Counter()
    /// Replies of cacheable statements that were not stored after all.
    package let fillsRejected = Counter()
    /// Misses that shared another session's upstream execution.
    package let flightsShared = Counter()
    /// From the request's arrival to its reply's hand-over to the socket.
    package let hitLatency = LatencyHistogram()

    /// Sampled hits that the database has answered alike.
    package let cacheVerified = Counter()
    /// Sampled hits that the database has answered differently, though nothing they depend on moved.
    package let cacheVerifyMismatch = Counter()
    /// Sampled hits that could not be compared: written meanwhile, or the reply was not to be kept.
    package let cacheVerifyInconclusive = Counter()

    package let snapshots = SnapshotCounters()

    // The database's side.
    /// Statements sent upstream on behalf of clients.
    package let upstreamQueries = Counter()
    package let upstreamConnections = Gauge()
    package let upstreamConnectFailures = Counter()
    /// From sending a statement upstream to the end of its reply.
    package let upstreamLatency = LatencyHistogram()
    package let writeWindows = Counter()
    /// Those of them whose outcome is not known yet.
    package let writeWindowsOpen = Gauge()
    /// Commits whose outcome was not known when their connection ended.
    package let unknownOutcomes = Counter()

    // The pools.
    /// Requests for a connection that none was free for.
    package let poolWaits = Counter()
    /// Requests given up after `pool.checkout_timeout`.
    package let poolTimeouts = Counter()
    /// From the request for a connection to its arrival, where it was not there at once.
    package let poolWaitLatency = LatencyHistogram()
    private let pins: [Gauge]
    private let poolFigures = Mutex<(@Sendable () -> [PoolFigures])?>(nil)

    // The client's side.
    package let clientConnections = Gauge()
    package let clientConnectionsTotal = Counter()
    /// Connections turned away because `limits.max_client_connections` was reached.
    package let clientConnectionsRefused = Counter()
    /// TLS handshakes with clients that were completed.
    package let tlsHandshakes = Counter()
    /// Those that failed, timed out or were given up.
    package let tlsHandshakeFailures = Counter()
    /// Connections that have not shown yet who they are.
    package let pendingConnections = Gauge()
    /// Connections turned away because there were too many of those, or too many of one address.
    package let pendingConnectionsRefused = Counter()
    package let logins = LoginCounters()
    /// Questions to the database for a user's secret.
    package let authQueries = Counter()
    package let authQueriesWaiting = Gauge()
    /// Error responses sent to clients, the upstream's own included.
    package let errorsSent = Counter()
    package let bytesToClients = Counter()

    /// Answers given while the upstream was away that were not certain.
    package let staleAnswers = Counter()

    private let bypasses: [Counter]
    private let replicationFigures = Mutex<(@Sendable () -> ReplicationFigures)?>(nil)
    private let cacheGauges = Mutex<(@Sendable () -> CacheGauges)?>(nil)

    package init(version: String) {
        self.version = version
        bypasses = BypassReason.allCases.map { _ in Counter() }
        pins = PinReason.allCases.map { _ in Gauge() }
    }

    /// The sessions that are pinned to their connection for `reason`; one may be for several.
    package func pinned(_ reason: PinReason) -> Gauge { pins[reason.ordinal] }

    /// Sets where the pools' own figures come from; called at each scrape, on the scrape's thread.
    package func setPoolFigures(_ source: @escaping @Sendable () -> [PoolFigures]) {
        poolFigures.withLock { $0 = source }
    }

    package func currentPoolFigures() -> [PoolFigures] {
        let source = poolFigures.withLock { $0 }
        return source?() ?? []
    }

    /// Sets where the figures of replication come from; called at each scrape, on its thread.
    package func setReplicationFigures(_ source: @escaping @Sendable () -> ReplicationFigures) {
        replicationFigures.withLock { $0 = source }
    }

    /// nil where the node neither follows nor is followed.
    package func currentReplicationFigures() -> ReplicationFigures? {
        let source = replicationFigures.withLock { $0 }
        return source?()
    }

    /// Counts a statement that was not answered from, or not stored in, the cache.
    package func bypass(_ reason: BypassReason) {
        bypasses[reason.ordinal].increment()
    }

    /// How often `reason` was counted.
    package func bypassCount(_ reason: BypassReason) -> UInt64 {
        bypasses[reason.ordinal].value
    }

    /// Sets where the cache's own figures come from; called at each scrape, on the scrape's thread.
    package func setCacheGauges(_ source: @escaping @Sendable () -> CacheGauges) {
        cacheGauges.withLock { $0 = source }
    }

    /// The cache's figures now; zeros before `setCacheGauges`.
    package func currentCacheGauges() -> CacheGauges {
        // The source takes locks of its own: it is called outside of ours.
        let source = cacheGauges.withLock { $0 }
        return source?() ?? CacheGauges()
    }
}
