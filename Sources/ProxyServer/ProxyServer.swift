import Crypto
import Foundation
import Logging
import NIOCore
import NIOPosix
import Operations
import ProxyConfiguration
import ResultCache
import Security
import ServiceLifecycle
import Session
import Telemetry
import UnixSignals
import Upstream

/// The composition root: makes everything that one configuration asks for and runs it until the
/// process is told to stop.
package struct ProxyServer: Sendable {
    private let configuration: ProxyConfiguration
    private let configurationFile: String
    private let environment: [String: String]
    private let logger: Logger
    private let setLogLevel: @Sendable (Logger.Level) -> Void

    /// - Parameters:
    ///   - configurationFile: read again on SIGHUP.
    ///   - setLogLevel: called with `log.level` when that changes.
    package init(
        configuration: ProxyConfiguration, configurationFile: String,
        environment: [String: String], logger: Logger,
        setLogLevel: @escaping @Sendable (Logger.Level) -> Void
    ) {
        self.configuration = configuration
        self.configurationFile = configurationFile
        self.environment = environment
        self.logger = logger
        self.setLogLevel = setLogLevel
    }

    /// Serves until SIGTERM or SIGINT, then drains and returns.
    ///
    /// Throws `StartError` where an address cannot be listened on or the database cannot be
    /// opened.
    package func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        do {
            try await serve(on: group)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    private func serve(on group: MultiThreadedEventLoopGroup) async throws {
        CoreDumps.allow(configuration.log.coreDumps, logger: logger)
        let metrics = ProxyMetrics(version: ProductVersion.text)
        let node = try ReplicationNode(configuration, environment: environment, logger: logger)
        let cells = CellTable(log: node?.log)
        if node != nil { cells.hashKey = SymmetricKey(size: .bits256) }
        let cache = ReplyCache(
            limits: CacheLimits(
                memory: configuration.cache.memory.bytes,
                maximumEntry: configuration.cache.maximumEntry.bytes),
            log: node?.log)
        metrics.setCacheGauges { cache.gauges }
        let upstream = try UpstreamFactory(
            configuration: configuration, metrics: metrics, logger: logger
        ).make(cells: cells, group: group)
        node?.prepare(upstream)
        if let pools = upstream.pools { metrics.setPoolFigures { pools.figures } }
        let services = SessionServices(
            upstream: upstream, cache: cache, cells: cells,
            options: SessionOptions(configuration), metrics: metrics, logger: logger,
            authenticator: ClientAuthenticator(.init(configuration)),
            right: node?.right ?? ServingRight())
        services.encryption.offer = try ClientEncryption.Offer(configuration.tls)
        let registry = ConnectionRegistry(limit: configuration.limits.clientConnections)
        let snapshots = try await SnapshotParts(
            configuration, environment: environment, services: services, registry: registry,
            group: group, logger: logger)
        let listener = ClientListener(
            addresses: configuration.listen.addresses, limits: configuration.limits,
            services: services, registry: registry, group: group, logger: logger)
        var all: [ServiceGroupConfiguration.ServiceConfiguration] = []
        let channels = try await listener.bind()
        if let node {
            let started = try await node.start(
                services: services, cache: cache, cells: cells,
                clientPort: channels.lazy.compactMap { $0.localAddress?.port }.first, group: group,
                metrics: metrics)
            all += started.map { .init(service: $0) }
        }
        if case .tcp(let host, let port)? = configuration.listen.metrics {
            all.append(
                .init(
                    service: OperationsService(
                        host: host, port: port, metrics: metrics, logger: logger,
                        readiness: { await Self.readiness(of: services) })))
        }
        all.append(.init(service: CacheSweeper(cache: cache)))
        all.append(.init(service: AbsenceWatch(services: services, logger: logger)))
        all.append(
            .init(
                service: ReloadService(
                    configuration: configuration, file: configurationFile,
                    environment: environment, services: services, registry: registry,
                    cache: cache, logger: logger, setLogLevel: setLogLevel,
                    snapshots: snapshots?.keeper)))
        all += snapshots?.services ?? []
        all.append(.init(service: ClientService(listener: listener, channels: channels)))

        announce(channels)
        let serviceGroup = ServiceGroup(
            configuration: .init(
                services: all, gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet))
        do {
            try await serviceGroup.run()
        } catch let error as OperationsError {
            throw Self.startError(error)
        }
        await snapshots?.stopped()
        await upstream.shutDown()
        logger.notice("stopped")
    }

    /// The lifecycle library's own messages at `info` are not for an operator.
    private var quiet: Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }

    private static func readiness(of services: SessionServices) async -> Readiness {
        // What a mirror cannot answer goes to the node that it follows.
        if services.right.isFollowing,
            services.right.deadline <= NIODeadline.now().uptimeNanoseconds
        {
            return .notReady(reason: "the node that leads has not been heard for a lease")
        }
        do {
            try await services.upstream.checkReachable()
            return .ready
        } catch {
            return .notReady(reason: "\(error)")
        }
    }

    /// A few lines for the person who started it, with something to paste. Not a log message: it is
    /// shown at every log level.
    private func announce(_ channels: [any Channel]) {
        let bound = zip(configuration.listen.addresses, channels).map { address, channel in
            guard case .tcp(let host, _) = address, let port = channel.localAddress?.port else {
                return address
            }
            return ListenAddress.tcp(host: host, port: port)
        }
        let summary = configuration.startupSummary(
            addresses: bound, metrics: configuration.listen.metrics)
        // Unbuffered: whoever waits for it may read from a pipe.
        FileHandle.standardOutput.write(Data(summary.utf8))
    }

    private static func startError(_ error: OperationsError) -> StartError {
        switch error {
        case .cannotListen(let host, let port, let reason):
            StartError(
                key: "listen.metrics", problem: "cannot listen on \(host):\(port): \(reason)",
                allowed:
                    "allowed: an address of this machine whose port is free, or \"\" for no metrics"
            )
        }
    }
}

extension ReplyCache {
    /// The figures that metrics show.
    fileprivate var gauges: CacheGauges {
        let figures = statistics
        return CacheGauges(
            entries: figures.entries, bytes: figures.bytes, evictions: UInt64(figures.evictions),
            invalidations: UInt64(figures.invalidations))
    }
}
