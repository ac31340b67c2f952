import Foundation
import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import ResultCache
import Session
import Telemetry
import Upstream

extension ProxyServer {
    /// Asks the proxy that serves `configuration` how its cache sees one statement; where none is
    /// running, one that exists for this question alone, with the configuration's database.
    ///
    /// Throws `ExplainError`, or `StartError` where the database cannot be reached either.
    package static func explain(
        _ request: ExplainRequest, _ configuration: ProxyConfiguration
    ) async throws -> ExplainAnswer {
        let defaults = configuration.clientDefaults
        for address in configuration.listen.addresses {
            // The system chose the port: it cannot be known from here.
            if case .tcp(_, port: 0) = address { continue }
            let client = ExplainClient(request: request, address: address, defaults: defaults)
            if let rows = try await onThread(client.ask) {
                return ExplainAnswer(rows: rows, isFromRunningProxy: true)
            }
        }
        let rows = try await explainAlone(request, configuration)
        return ExplainAnswer(
            rows: rows.filter { $0.property != "entry" }, isFromRunningProxy: false)
    }

    // MARK: Without a running proxy

    private static func explainAlone(
        _ request: ExplainRequest, _ configuration: ProxyConfiguration
    ) async throws -> [ExplainAnswer.Row] {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // Only this user can reach a socket in it.
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("mynah-\(UUID().uuidString.prefix(8))").path
        let result: Result<[ExplainAnswer.Row], any Error>
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
            result = .success(
                try await explain(request, configuration, socketIn: directory, on: group))
        } catch {
            result = .failure(error)
        }
        try? FileManager.default.removeItem(atPath: directory)
        try await group.shutdownGracefully()
        return try result.get()
    }

    private static func explain(
        _ request: ExplainRequest, _ configuration: ProxyConfiguration,
        socketIn directory: String, on group: MultiThreadedEventLoopGroup
    ) async throws -> [ExplainAnswer.Row] {
        var quiet = Logger(label: "mynah")
        quiet.logLevel = .critical
        let cells = CellTable()
        let upstream = try UpstreamFactory(configuration: configuration, logger: quiet)
            .make(cells: cells, group: group)
        do {
            try await upstream.checkReachable()
        } catch {
            await upstream.shutDown()
            throw StartError(
                key: "upstream.url", problem: "\(error)",
                allowed: "allowed: the URL of a database that is running and accepts connections")
        }
        let services = SessionServices(
            upstream: upstream,
            cache: ReplyCache(limits: CacheLimits(memory: 1 << 20, maximumEntry: 1 << 16)),
            cells: cells, options: SessionOptions(configuration),
            metrics: ProxyMetrics(version: ProductVersion.text), logger: quiet)
        let registry = ConnectionRegistry(limit: 8)
        let address = ListenAddress.unix(path: "\(directory)/.s.PGSQL.6432")
        let result: Result<[ExplainAnswer.Row]?, any Error>
        do {
            let channels = try await ClientListener(
                addresses: [address], limits: configuration.limits, services: services,
                registry: registry, group: group, logger: quiet
            ).bind()
            let client = ExplainClient(
                request: request, address: address, defaults: configuration.clientDefaults)
            do {
                result = .success(try await onThread(client.ask))
            } catch {
                result = .failure(error)
            }
            for channel in channels { try? await channel.close() }
        } catch {
            result = .failure(error)
        }
        registry.closeAll()
        await registry.drain()
        await upstream.shutDown()
        return try result.get() ?? []
    }
}

extension ProxyConfiguration {
    /// Who a client connects as, and to which database, as far as the upstream says so.
    fileprivate var clientDefaults: (user: String?, database: String?) {
        switch upstream.database {
        case .postgresql(let url): return (url.parameters["user"], url.parameters["dbname"])
        case .primary: return (nil, nil)
        case .sqlite(let path):
            let file = path.split(separator: "/").last ?? "database"
            return ("mynah", String(file.split(separator: ".").first ?? file))
        }
    }
}
