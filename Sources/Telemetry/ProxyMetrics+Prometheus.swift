extension ProxyMetrics {
    /// All metrics in the Prometheus text exposition format (`text/plain; version=0.0.4`). The
    /// names are part of the product.
    package func prometheusText() -> String {
        var text = PrometheusText()
        writeCache(to: &text)
        writeUpstream(to: &text)
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
