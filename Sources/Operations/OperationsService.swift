import Hummingbird
import Logging
import ServiceLifecycle
import Synchronization
import Telemetry

/// The HTTP endpoint for operators: `/metrics` (Prometheus text), `/healthz` (the process is
/// alive) and `/readyz` (the upstream can be reached). Anything else is 404.
///
/// `run()` returns after a graceful shutdown; it throws `OperationsError` when the address cannot
/// be listened on.
package struct OperationsService: Service {
    private let host: String
    private let port: Int
    private let metrics: ProxyMetrics
    private let probe: ReadinessProbe
    private let logger: Logger
    private let onListening: @Sendable (Int) async -> Void

    /// - Parameters:
    ///   - host: a host name or an IP address without brackets.
    ///   - port: 0 lets the system choose one.
    ///   - readiness: asked at most once a second, never twice at the same time; a caller of
    ///     `/readyz` waits two seconds for it at most.
    ///   - onListening: called once with the bound port.
    package init(
        host: String, port: Int, metrics: ProxyMetrics, logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) async -> Void = { _ in },
        readiness: @escaping @Sendable () async -> Readiness
    ) {
        self.host = host
        self.port = port
        self.metrics = metrics
        self.logger = logger
        self.onListening = onListening
        probe = ReadinessProbe(check: readiness)
    }

    package func run() async throws {
        // What Hummingbird says about itself at `info` is not for the operator of a proxy.
        var serverLogger = logger
        serverLogger.logLevel = max(logger.logLevel, .warning)
        let listening = ListeningFlag()
        let application = Application(
            router: router(),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port)),
            onServerRunning: { [onListening] channel in
                listening.set()
                await onListening(channel.localAddress?.port ?? 0)
            },
            logger: serverLogger)
        do {
            try await application.run()
        } catch {
            guard listening.isSet else {
                throw OperationsError.cannotListen(host: host, port: port, reason: "\(error)")
            }
            throw error
        }
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("metrics") { [metrics] _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.prometheusText())))
        }
        router.get("healthz") { _, _ in
            Self.plain(.ok, "ok\n")
        }
        router.get("readyz") { [probe] _, _ in
            switch await probe.current() {
            case .ready:
                return Self.plain(.ok, "ready\n")
            case .notReady(let reason):
                let line = reason.split(whereSeparator: \.isNewline).joined(separator: " ")
                return Self.plain(.serviceUnavailable, "not ready: \(line)\n")
            }
        }
        return router
    }

    private static func plain(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status,
            headers: [.contentType: "text/plain; charset=utf-8", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

/// Tells a failure to listen from one that comes later.
private final class ListeningFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    func set() {
        flag.store(true, ordering: .relaxed)
    }

    var isSet: Bool {
        flag.load(ordering: .relaxed)
    }
}
