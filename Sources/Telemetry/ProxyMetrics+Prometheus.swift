extension ProxyMetrics {
    /// All metrics in the Prometheus text exposition format (`text/plain; version=0.0.4`). The
    /// names are part of the product.
    package func prometheusText() -> String {
        var text = PrometheusText()
        writeCache(to: &text)
        snapshots.write(to: &text)
        writeUpstream(to: &text)
        writePools(to: &text)
        if let figures = currentReplicationFigures() { figures.write(to: &text) }
        writeClients(to: &text)
        writeProcess(to: &text)
        return text.text
    }

    private func writeCache(to text: inout PrometheusText) {
        text.counter(
            "mynah_cache_hits_total", help: "Statements answered from memory.", cacheHits.value)
        text.counter(
            "mynah_cache_misses_total",
            help: "Cacheable statements that were not in memory.", cacheMisses.value)
        text.declare(
            "mynah_cache_bypass_total", .counter,
            help: "Statements not answered from, or not stored in, the cache, by reason.")
        for reason in BypassReason.allCases {
            text.sample(
                "mynah_cache_bypass_total", labels: [("reason", reason.rawValue)],
                bypassCount(reason))
        }
        let cache = currentCacheGauges()
        text.gauge("mynah_cache_entries", help: "Answers held in memory.", cache.entries)
        text.gauge(
            "mynah_cache_bytes", help: "Memory held by the cache's entries.", cache.bytes)
        text.counter(
            "mynah_cache_evictions_total",
            help: "Entries removed to stay within the memory limit.", cache.evictions)
        text.counter(
            "mynah_cache_invalidations_total",
            help: "Entries dropped because a write changed what they had read.",
            cache.invalidations)
        text.declare(
            "mynah_cache_fills_total", .counter,
            help: "Replies of cacheable statements, by whether they were stored.")
        text.sample(
            "mynah_cache_fills_total", labels: [("result", "stored")], fillsStored.value)
        text.sample(
            "mynah_cache_fills_total", labels: [("result", "rejected")], fillsRejected.value)
        text.counter(
            "mynah_flights_shared_total",
            help: "Misses that shared another session's upstream execution.", flightsShared.value)
        text.counter(
            "mynah_cache_verified_total",
            help: "Hits checked against the database (cache.verify) and found the same.",
            cacheVerified.value)
        text.counter(
            "mynah_cache_verify_mismatch_total",
            help: "Hits checked against the database that differed; none is expected.",
            cacheVerifyMismatch.value)
        text.counter(
            "mynah_cache_verify_inconclusive_total",
            help: "Hits chosen to be checked that could not be: written meanwhile, for one.",
            cacheVerifyInconclusive.value)
        text.counter(
            "mynah_cache_stale_answers_total",
            help: "Answers that may be out of date, given while the upstream was away.",
            staleAnswers.value)
        text.histogram(
            "mynah_hit_duration_seconds",
            help: "Time to answer a statement from memory.", hitLatency.snapshot())
    }

    private func writeUpstream(to text: inout PrometheusText) {
        text.counter(
            "mynah_upstream_queries_total", help: "Statements sent upstream.",
            upstreamQueries.value)
        text.gauge(
            "mynah_upstream_connections", help: "Open upstream connections.",
            upstreamConnections.value)
        text.counter(
            "mynah_upstream_connect_failures_total",
            help: "Attempts to connect upstream that failed.", upstreamConnectFailures.value)
        text.counter(
            "mynah_write_windows_total",
            help: "Write windows opened before something that can commit a write.",
            writeWindows.value)
        text.gauge(
            "mynah_write_windows_open",
            help: "Write windows open now; their relations are not cached meanwhile.",
            writeWindowsOpen.value)
        text.counter(
            "mynah_unknown_outcomes_total",
            help: "Commits whose outcome was unknown when their connection ended.",
            unknownOutcomes.value)
        text.histogram(
            "mynah_upstream_query_duration_seconds",
            help: "Time from sending a statement upstream to the end of its reply.",
            upstreamLatency.snapshot())
    }

    /// More pools than this are added up: labels cost whoever scrapes them.
    private static let maximumPools = 100

    private func writePools(to text: inout PrometheusText) {
        let pools = currentPoolFigures().sorted {
            ($0.busy + $0.idle, $1.database, $1.user) > ($1.busy + $1.idle, $0.database, $0.user)
        }
        let shown = pools.prefix(Self.maximumPools)
        let rest = pools.dropFirst(Self.maximumPools)
        text.declare(
            "mynah_pool_connections", .gauge, help: "Upstream connections of a pool, by state.")
        let states: [(String, KeyPath<PoolFigures, Int>)] = [
            ("busy", \.busy), ("idle", \.idle), ("connecting", \.connecting),
        ]
        for (state, path) in states {
            for pool in shown {
                text.sample(
                    "mynah_pool_connections", labels: Self.labels(pool) + [("state", state)],
                    pool[keyPath: path])
            }
            guard !rest.isEmpty else { continue }
            text.sample(
                "mynah_pool_connections",
                labels: [("user", "other"), ("database", "other"), ("state", state)],
                rest.reduce(0) { $0 + $1[keyPath: path] })
        }
        for (name, help, path) in Self.poolGauges {
            text.declare(name, .gauge, help: help)
            for pool in shown { text.sample(name, labels: Self.labels(pool), pool[keyPath: path]) }
        }
        text.counter(
            "mynah_pool_waits_total", help: "Requests for a connection that none was free for.",
            poolWaits.value)
        text.counter(
            "mynah_pool_timeouts_total",
            help: "Requests for a connection given up after pool.checkout_timeout.",
            poolTimeouts.value)
        text.histogram(
            "mynah_pool_wait_duration_seconds",
            help: "Time until a connection came, where none was free at once.",
            poolWaitLatency.snapshot())
        text.declare(
            "mynah_pool_pinned_sessions", .gauge,
            help: "Client sessions that keep their connection between transactions, by reason.")
        for reason in PinReason.allCases {
            text.sample(
                "mynah_pool_pinned_sessions", labels: [("reason", reason.rawValue)],
                pinned(reason).value)
        }
    }

    private static var poolGauges: [(String, String, KeyPath<PoolFigures, Int>)] {
        [
            ("mynah_pool_size", "Upstream connections that a pool may have.", \.size),
            ("mynah_pool_clients", "Client sessions of a pool.", \.clients),
            ("mynah_pool_waiting", "Client sessions that wait for a connection.", \.waiting),
        ]
    }

    private static func labels(_ pool: PoolFigures) -> [(String, String)] {
        [("user", pool.user), ("database", pool.database)]
    }

    private func writeClients(to text: inout PrometheusText) {
        text.gauge(
            "mynah_client_connections", help: "Open client connections.", clientConnections.value)
        text.counter(
            "mynah_client_connections_total", help: "Client connections accepted.",
            clientConnectionsTotal.value)
        text.counter(
            "mynah_client_connections_refused_total",
            help: "Client connections turned away because the limit was reached.",
            clientConnectionsRefused.value)
        text.gauge(
            "mynah_client_connections_pending",
            help: "Client connections that have not shown yet who they are.",
            pendingConnections.value)
        text.counter(
            "mynah_client_connections_pending_refused_total",
            help:
                "Client connections turned away because too many were pending, or of one address.",
            pendingConnectionsRefused.value)
        logins.write(to: &text)
        text.counter(
            "mynah_auth_queries_total", help: "Questions to the database for a user's secret.",
            authQueries.value)
        text.gauge(
            "mynah_auth_queries_waiting", help: "Such questions that wait for their answer.",
            authQueriesWaiting.value)
        text.counter(
            "mynah_tls_handshakes_total", help: "TLS handshakes with clients completed.",
            tlsHandshakes.value)
        text.counter(
            "mynah_tls_handshake_failures_total",
            help: "TLS handshakes with clients that failed or were given up.",
            tlsHandshakeFailures.value)
        text.counter(
            "mynah_errors_sent_total", help: "Error responses sent to clients.", errorsSent.value)
        text.counter(
            "mynah_client_sent_bytes_total", help: "Bytes sent to clients.", bytesToClients.value)
    }

    private func writeProcess(to text: inout PrometheusText) {
        text.declare(
            "mynah_build_info", .gauge, help: "Always 1; the label holds the program's version.")
        text.sample("mynah_build_info", labels: [("version", version)], 1)
        text.gauge(
            "process_start_time_seconds", help: "When the process started, in Unix time.",
            startTime)
        let usage = ProcessUsage.current()
        text.counter(
            "process_cpu_seconds_total", help: "Processor time used, user and system.",
            usage.cpuSeconds)
        if let residentBytes = usage.residentBytes {
            text.gauge(
                "process_resident_memory_bytes", help: "Resident memory.", residentBytes)
        }
    }
}
