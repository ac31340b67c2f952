import Foundation
import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import Replication
import ResultCache
import Session
import Snapshots
import Telemetry
import Upstream

extension ProxyServer {
    /// Tries what a start would need: every address can be listened on, the database answers.
    ///
    /// Throws `StartError` for the first thing that does not. Nothing stays open.
    package static func preflight(_ configuration: ProxyConfiguration) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            try await tryListening(configuration, on: group)
            try await tryUpstream(configuration, on: group)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    /// Reads the files that the configuration names besides itself. Throws `StartError` for the
    /// first that cannot be used.
    package static func checkFiles(
        _ configuration: ProxyConfiguration, environment: [String: String]
    ) throws {
        _ = try ClientEncryption.Offer(configuration.tls)
        _ = try ReplicationSettings(configuration, environment: environment)
        _ = try SnapshotKey(
            configuration.snapshot, environment: environment)
        guard case .postgresql(let url) = configuration.upstream.database else { return }
        do {
            let settings = try PostgreSQLUpstreamSettings(connectionString: url.text)
            _ = try PostgreSQLLinkFactory(settings: settings)
        } catch {
            throw StartError(key: "upstream.url", problem: "\(error)")
        }
    }

    private static func tryListening(
        _ configuration: ProxyConfiguration, on group: MultiThreadedEventLoopGroup
    ) async throws {
        for address in configuration.listen.addresses {
            try await ClientListener.tryBinding(address, key: "listen.address", on: group)
        }
        if let address = configuration.listen.metrics {
            try await ClientListener.tryBinding(address, key: "listen.metrics", on: group)
        }
        if let address = configuration.replication.listen {
            try await ClientListener.tryBinding(address, key: "replication.listen", on: group)
        }
    }

    private static func tryUpstream(
        _ configuration: ProxyConfiguration, on group: MultiThreadedEventLoopGroup
    ) async throws {
        // The node that is followed may start later.
        if case .primary = configuration.upstream.database { return }
        var quiet = Logger(label: "mynah")
        quiet.logLevel = .critical
        let upstream = try UpstreamFactory(configuration: configuration, logger: quiet)
            .make(cells: CellTable(), group: group)
        do {
            try await upstream.checkReachable()
        } catch {
            await upstream.shutDown()
            throw StartError(
                key: "upstream.url", problem: "\(error)",
                allowed: "allowed: the URL of a database that is running and accepts connections")
        }
        await upstream.shutDown()
    }
}
