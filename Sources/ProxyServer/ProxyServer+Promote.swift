import NIOPosix
import ProxyConfiguration
import Replication

extension ProxyServer {
    /// Makes the node that runs with this configuration lead. Throws `StartError` where it does not.
    package static func promote(
        _ configuration: ProxyConfiguration, environment: [String: String]
    ) async throws {
        guard case .tcp(let host, let port)? = configuration.replication.listen else {
            throw StartError(
                key: "replication.listen", problem: "missing: the node has no mirror port",
                allowed: "allowed: the configuration of a node that can be followed")
        }
        let settings = try ReplicationSettings(configuration, environment: environment)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            try await PromotionRequest.send(
                host: reachable(host), port: port, settings: settings, group: group)
        } catch {
            try? await group.shutdownGracefully()
            throw StartError(
                key: "replication.listen", problem: "the node at \(host):\(port) does not lead: \(error)")
        }
        try await group.shutdownGracefully()
    }

    /// Where a node that listens everywhere can be reached from its own machine.
    private static func reachable(_ host: String) -> String {
        switch host {
        case "0.0.0.0": "127.0.0.1"
        case "::": "::1"
        default: host
        }
    }
}
