import Testing

@testable import Telemetry

@Suite("Proxy metrics")
struct ProxyMetricsTests {
    private func lines(_ metrics: ProxyMetrics) -> [String] {
        metrics.prometheusText().split(separator: "\n", omittingEmptySubsequences: false).map(
            String.init)
    }

    @Test("The ordinal of a bypass reason is its position among all cases")
    func ordinals() {
        #expect(BypassReason.allCases.map(\.ordinal) == Array(0..<BypassReason.allCases.count))
    }

    @Test("Counted events appear under their published names")
    func counters() {
        let metrics = ProxyMetrics(version: "1.2.3")
        metrics.cacheHits.add(3)
        metrics.cacheMisses.increment()
        metrics.upstreamQueries.add(7)
        metrics.clientConnections.increment()
        metrics.clientConnections.increment()
        metrics.clientConnections.decrement()
        metrics.bypass(.volatileFunction)
        metrics.bypass(.volatileFunction)
        metrics.setCacheGauges {
            CacheGauges(entries: 11, bytes: 4096, evictions: 5, invalidations: 6)
        }
        let text = lines(metrics)
        for line in [
            "# HELP mynah_cache_hits_total Statements answered from memory.",
            "# TYPE mynah_cache_hits_total counter",
            "mynah_cache_hits_total 3",
            "mynah_cache_misses_total 1",
            "# TYPE mynah_cache_bypass_total counter",
            "mynah_cache_bypass_total{reason=\"volatile_function\"} 2",
            "# TYPE mynah_cache_entries gauge",
            "mynah_cache_entries 11",
            "mynah_cache_bytes 4096",
            "mynah_cache_evictions_total 5",
            "mynah_cache_invalidations_total 6",
            "mynah_upstream_queries_total 7",
            "# TYPE mynah_client_connections gauge",
            "mynah_client_connections 1",
            "mynah_build_info{version=\"1.2.3\"} 1",
        ] {
            #expect(text.contains(line), "\(line)")
        }
    }

    @Test("Every bypass reason is listed, also when it never happened")
    func allReasons() {
        let text = lines(ProxyMetrics(version: "0"))
        for reason in BypassReason.allCases {
            #expect(text.contains("mynah_cache_bypass_total{reason=\"\(reason.rawValue)\"} 0"))
        }
    }

    @Test("A histogram is published as cumulative buckets in seconds, sum and count")
    func histogram() {
        let metrics = ProxyMetrics(version: "0")
        metrics.hitLatency.record(nanoseconds: 8_000)
        metrics.hitLatency.record(nanoseconds: 60_000)
        metrics.hitLatency.record(nanoseconds: 20_000_000_000)
        let text = lines(metrics).filter { $0.contains("mynah_hit_duration_seconds") }
        #expect(
            text == [
                "# HELP mynah_hit_duration_seconds Time to answer a statement from memory.",
                "# TYPE mynah_hit_duration_seconds histogram",
            ]
                + [
                    ("0.000005", 0), ("0.00001", 1), ("0.000025", 1), ("0.00005", 1),
                    ("0.0001", 2), ("0.00025", 2), ("0.0005", 2), ("0.001", 2), ("0.0025", 2),
                    ("0.005", 2), ("0.01", 2), ("0.025", 2), ("0.05", 2), ("0.1", 2), ("0.25", 2),
                    ("0.5", 2), ("1", 2), ("2.5", 2), ("5", 2), ("10", 2), ("+Inf", 3),
                ].map { "mynah_hit_duration_seconds_bucket{le=\"\($0.0)\"} \($0.1)" }
                + [
                    "mynah_hit_duration_seconds_sum 20.000068",
                    "mynah_hit_duration_seconds_count 3",
                ]
        )
    }

    @Test(
        "Each line is a comment or a sample of a declared metric, and no metric is declared twice")
    func wellFormed() throws {
        let metrics = ProxyMetrics(version: "a\"b\\c\nd")
        let text = metrics.prometheusText()
        #expect(text.hasSuffix("\n"))
        #expect(text.contains(#"mynah_build_info{version="a\"b\\c\nd"} 1"#))
        var declared: Set<String> = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                let name = String(line.split(separator: " ")[2])
                #expect(declared.insert(name).inserted, "\(name) is declared twice")
            } else if !line.hasPrefix("# HELP ") {
                let sample = try #require(
                    line.wholeMatch(of: /([a-z_]+)(\{[a-z]+="(?:[^"\\]|\\.)*"\})? (\S+)/))
                let name = String(sample.1)
                let base = name.replacing(/_(bucket|sum|count)$/, with: "")
                #expect(declared.contains(name) || declared.contains(base), "\(line)")
                #expect(Double(sample.3) != nil, "\(line)")
            }
        }
    }

    @Test("The process's own figures are positive")
    func processFigures() throws {
        let text = ProxyMetrics(version: "0").prometheusText()
        for name in [
            "process_start_time_seconds", "process_cpu_seconds_total",
            "process_resident_memory_bytes",
        ] {
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name + " ") })
            #expect(try #require(Double(line.split(separator: " ")[1])) > 0)
        }
    }
}
