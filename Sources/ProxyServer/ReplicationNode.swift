import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import Replication
import ResultCache
import ServiceLifecycle
import Session
import Synchronization
import Telemetry
import Upstream

/// What one node needs to be followed, or to follow: made before the cache and its sessions, which
/// use its log and its right to serve, and completed when these are there.
struct ReplicationNode {
    let settings: ReplicationSettings
    let log: MirrorLog
    let right = ServingRight()
    private let configuration: ProxyConfiguration.Replication
    private let identity = NodeIdentity()
    private let logger: Logger

    /// nil where `[replication]` asks for nothing.
    ///
    /// Throws `StartError` for a key or a certificate that cannot be used.
    init?(
        _ configuration: ProxyConfiguration, environment: [String: String], logger: Logger
    ) throws(StartError) {
        let replication = configuration.replication
        guard replication.listen != nil || replication.follow != nil else { return nil }
        settings = try ReplicationSettings(configuration, environment: environment)
        self.configuration = replication
        self.logger = logger
        log = MirrorLog(
            capacity: replication.buffer.bytes, epoch: .random(in: 1 ... .max),
            followers: FollowerTable(
                isSynchronous: settings.isSynchronous, lease: settings.lease,
                now: replication.listen == nil ? nil : NIODeadline.now().uptimeNanoseconds))
        guard replication.follow != nil else { return }
        // Nothing is answered from memory, or stored, before the node that leads has been heard.
        let nowhere = MirrorLog.Position(epoch: 0, index: 0)
        right.follow(nowhere)
        log.follow(from: nowhere, open: [:])
    }

    /// To be called before clients are let in.
    func prepare(_ upstream: any Upstream) {
        guard configuration.follow != nil else { return }
        (upstream as? PostgreSQLUpstream)?.redirect(to: .unknownPrimary)
    }

    /// The services that `[replication]` asks for.
    ///
    /// Throws `StartError` where the mirror port cannot be listened on.
    func start(
        services: SessionServices, cache: ReplyCache, cells: CellTable, clientPort: Int?,
        group: MultiThreadedEventLoopGroup, metrics: ProxyMetrics
    ) async throws -> [any Service] {
        let watch = services.upstream.commitWatch
        let source = MirrorSource(
            log: log, cache: cache, cells: cells, identities: services.identities, right: right,
            notice: { _ = watch?.seesNothingNew() })
        let primary = PrimaryAddress(
            host: settings.clientHost,
            port: settings.clientPort != 0 ? settings.clientPort : UInt16(clientPort ?? 0))
        var all: [any Service] = []
        let follower = follower(source, services, primary, group)
        if let follower { all.append(follower) }
        var publisher: MirrorPublisher?
        if case .tcp(let host, let port)? = configuration.listen {
            let made = MirrorPublisher(
                settings: settings, source: source, identity: identity, group: group,
                logger: logger, isReady: { follower?.isSynchronised ?? true },
                client: { primary.current })
            do {
                _ = try await made.bind(host: host, port: port)
            } catch {
                throw StartError(
                    key: "replication.listen", problem: "cannot listen on \(host):\(port): \(error)",
                    allowed: "allowed: an address of this machine whose port is free")
            }
            publisher = made
            all.append(made)
        }
        metrics.setReplicationFigures { [log, publisher] in
            let position = log.position
            return ReplicationFigures(
                role: follower == nil ? .primary : .replica, epoch: position.epoch,
                index: position.index, followed: publisher?.currentFigures,
                following: follower?.currentFigures)
        }
        return all
    }

    private func follower(
        _ source: MirrorSource, _ services: SessionServices, _ primary: PrimaryAddress,
        _ group: MultiThreadedEventLoopGroup
    ) -> MirrorFollower? {
        guard case .tcp(let host, let port)? = configuration.follow,
            let upstream = services.upstream as? PostgreSQLUpstream
        else { return nil }
        return MirrorFollower(
            settings: settings, host: host, port: port, source: source,
            registry: services.coordinator.registry, identity: identity, group: group,
            logger: logger
        ) { host, port in
            // Followers of this node go to the node that leads as well.
            primary.set(host: host, port: UInt16(clamping: port))
            upstream.redirect(to: .primary(PostgreSQLAddress(host: host, port: port)))
        }
    }
}

/// Where the clients of the node that leads connect. Thread-safe.
private final class PrimaryAddress: Sendable {
    private let address: Mutex<(host: String, port: UInt16)>

    init(host: String, port: UInt16) { address = Mutex((host, port)) }

    var current: (host: String, port: UInt16) { address.withLock { $0 } }

    func set(host: String, port: UInt16) { address.withLock { $0 = (host, port) } }
}
