import Foundation
import Logging
import ServiceLifecycle
import Telemetry
import Testing

@testable import Operations

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

@Suite("Operations service")
struct OperationsServiceTests {
    /// Runs the service on a free port, calls `body` with its base URL, and shuts down gracefully.
    private func withService(
        metrics: ProxyMetrics = ProxyMetrics(version: "test"),
        readiness: @escaping @Sendable () async -> Readiness = { .ready },
        _ body: (String) async throws -> Void
    ) async throws {
        let (ports, listening) = AsyncStream<Int>.makeStream()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let service = OperationsService(
            host: "127.0.0.1", port: 0, metrics: metrics, logger: logger,
            onListening: { listening.yield($0) }, readiness: readiness)
        let group = ServiceGroup(services: [service], logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            for await port in ports {
                try await body("http://127.0.0.1:\(port)")
                break
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private func get(_ url: String) async throws -> (status: Int, type: String?, body: String) {
        let (data, response) = try await URLSession.shared.data(from: #require(URL(string: url)))
        let http = try #require(response as? HTTPURLResponse)
        return (
            http.statusCode, http.value(forHTTPHeaderField: "Content-Type"),
            String(decoding: data, as: UTF8.self)
        )
    }

    @Test("The metrics are served as Prometheus text")
    func metrics() async throws {
        let metrics = ProxyMetrics(version: "test")
        metrics.cacheHits.add(42)
        try await withService(metrics: metrics) { base in
            let answer = try await get(base + "/metrics")
            #expect(answer.status == 200)
            #expect(answer.type == "text/plain; version=0.0.4; charset=utf-8")
            #expect(answer.body.contains("\nmynah_cache_hits_total 42\n"))
        }
    }

    @Test("Health is ok, also when the upstream is not ready")
    func health() async throws {
        let down: @Sendable () async -> Readiness = {
            .notReady(reason: "connection refused\nby peer")
        }
        try await withService(readiness: down) { base in
            let health = try await get(base + "/healthz")
            #expect(health.status == 200)
            #expect(health.body == "ok\n")
            let ready = try await get(base + "/readyz")
            #expect(ready.status == 503)
            #expect(ready.body == "not ready: connection refused by peer\n")
        }
    }

    @Test("A reachable upstream is ready, and other paths are not found")
    func ready() async throws {
        try await withService { base in
            let ready = try await get(base + "/readyz")
            #expect(ready.status == 200)
            #expect(ready.body == "ready\n")
            #expect(try await get(base + "/").status == 404)
            #expect(try await get(base + "/metrics/more").status == 404)
        }
    }

    @Test("An address in use is a clear error")
    func addressInUse() async throws {
        try await withService { base in
            let port = try #require(URL(string: base)?.port)
            let second = OperationsService(
                host: "127.0.0.1", port: port, metrics: ProxyMetrics(version: "test"),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                readiness: { .ready })
            let error = await #expect(throws: OperationsError.self) { try await second.run() }
            let text = try #require(error).description
            #expect(text.hasPrefix("listen.metrics: cannot listen on 127.0.0.1:\(port): "))
            #expect(text.contains("Address already in use"))
        }
    }
}
