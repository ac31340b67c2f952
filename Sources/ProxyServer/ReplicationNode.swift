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
    private let database: ProxyConfiguration.UpstreamDatabase
    private let identity = NodeIdentity()
    private let logger: Logger

    /// nil where `[replication]` asks for nothing.
    ///
    /// Throws `StartError` for a key or a certificate that cannot be used.
    init?(
        _ configuration: ProxyConfiguration, environment: [String: String], logger: Logger
    ) throws(StartError) {
        let replication = configuration.replication
        guard replication.listen != nil || !replication.follow.isEmpty else { return nil }
        settings = try ReplicationSettings(configuration, environment: environment)
        self.configuration = replication
        database = configuration.upstream.database
        self.logger = logger
        let leadsAtOnce = replication.follow.isEmpty
        log = MirrorLog(
            capacity: replication.buffer.bytes, epoch: .random(in: 1 ... .max),
            followers: FollowerTable(
                isSynchronous: settings.isSynchronous, lease: settings.timing.followerLease,
                now: leadsAtOnce ? NIODeadline.now().uptimeNanoseconds : nil))
        guard !leadsAtOnce else { return }
        // Nothing is answered from memory, or stored, before the node that leads has been heard.
        let nowhere = MirrorLog.Position(epoch: 0, index: 0)
        right.follow(nowhere)
        log.follow(from: nowhere, open: [:])
    }

    /// To be called before clients are let in.
    func prepare(_ upstream: any Upstream) {
        guard !configuration.follow.isEmpty else { return }
        guard let upstream = upstream as? PostgreSQLUpstream else { return }
        if configuration.failover { upstream.expectFencing() }
        upstream.redirect(to: .unknownPrimary)
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
            notice: { watch?.seesNothingNew() ?? true })
        let own = (
            host: settings.clientHost,
            port: settings.clientPort != 0 ? settings.clientPort : UInt16(clientPort ?? 0)
        )
        let primary = PrimaryAddress(own)
        let upstream = services.upstream as? PostgreSQLUpstream
        let follower = upstream.flatMap {
            self.follower(source, services, $0, primary, group)
        }
        var leadership: LeadershipService?
        if configuration.failover, let follower, let upstream {
            leadership = self.leadership(source, follower, upstream) { primary.set(own) }
        }
        var all: [any Service] = []
        if let leadership {
            all.append(leadership)
        } else if let follower {
            all.append(follower)
        }
        var publisher: MirrorPublisher?
        if case .tcp(let host, let port)? = configuration.listen {
            let isReady = readiness(follower, leadership)
            let made = MirrorPublisher(
                settings: settings, source: source, identity: identity, group: group,
                logger: logger, isReady: isReady, client: { primary.current },
                leadership: leadership)
            try await listen(made, host, port)
            publisher = made
            all.append(made)
        }
        metrics.setReplicationFigures { [log, publisher, leadership] in
            let position = log.position
            let leads = leadership?.isLeading ?? (follower == nil)
            return ReplicationFigures(
                role: leads ? .primary : .replica, epoch: position.epoch, index: position.index,
                followed: publisher?.currentFigures,
                following: leads ? nil : follower?.currentFigures,
                takeovers: leadership?.figures.takeovers ?? 0,
                takeoversWithMirror: leadership?.figures.withMirror ?? 0)
        }
        return all
    }

    /// Whether there is something to mirror. Where the database decides who leads, only that node can
    /// be followed: two others could follow each other for a moment, and each send the other what it
    /// cannot answer.
    private func readiness(
        _ follower: MirrorFollower?, _ leadership: LeadershipService?
    ) -> @Sendable () -> Bool {
        guard let follower else { return { true } }
        guard let leadership else { return { follower.isSynchronised } }
        return { leadership.isLeading }
    }

    private func listen(_ publisher: MirrorPublisher, _ host: String, _ port: Int) async throws {
        do {
            _ = try await publisher.bind(host: host, port: port)
        } catch {
            throw StartError(
                key: "replication.listen",
                problem: "cannot listen on \(host):\(port): \(ClientListener.reason(error))",
                allowed: "allowed: an address of this machine whose port is free")
        }
    }

    private func follower(
        _ source: MirrorSource, _ services: SessionServices, _ upstream: PostgreSQLUpstream,
        _ primary: PrimaryAddress, _ group: MultiThreadedEventLoopGroup
    ) -> MirrorFollower? {
        let addresses = configuration.follow.compactMap { address -> (host: String, port: Int)? in
            guard case .tcp(let host, let port) = address else { return nil }
            return (host, port)
        }
        guard !addresses.isEmpty else { return nil }
        return MirrorFollower(
            settings: settings, addresses: addresses, source: source,
            registry: services.coordinator.registry, identity: identity, group: group,
            logger: logger, onSilence: { await upstream.abandonPrimary() }
        ) { host, port in
            // Followers of this node go to the node that leads as well.
            primary.set((host, UInt16(clamping: port)))
            upstream.redirect(to: .primary(PostgreSQLAddress(host: host, port: port)))
        }
    }

    private func leadership(
        _ source: MirrorSource, _ follower: MirrorFollower, _ upstream: PostgreSQLUpstream,
        whenLeading: @escaping @Sendable () -> Void
    ) -> LeadershipService? {
        guard case .postgresql(let url) = database else { return nil }
        let lock = LeadershipLock(
            conninfo: (configuration.arbiter ?? url).text, group: configuration.group,
            idleTimeout: Int(settings.lease / 1_000_000))
        return LeadershipService(
            arbiter: lock, settings: settings, source: source, follower: follower,
            logger: logger,
            onLead: {
                upstream.lead(try await lock.claim())
                whenLeading()
            },
            onHandOver: { await upstream.quiesce(patience: .seconds(5)) },
            onFollow: { await upstream.stepDown() })
    }
}

extension LeadershipLock: LeadershipArbiter {
    package func tryToLead() async throws -> Bool { try await take() }
    package func isLeading() async throws -> Bool { try await isHeld() }
    package func mayEndSessions() async throws -> Bool { try await isSignaller() }
    package func waitToLead() async throws -> Bool { try await wait(patience: .seconds(8)) }
    package func resign() async { await release() }
}

/// Where the clients of the node that leads connect. Thread-safe.
private final class PrimaryAddress: Sendable {
    private let address: Mutex<(host: String, port: UInt16)>

    init(_ own: (host: String, port: UInt16)) { address = Mutex(own) }

    var current: (host: String, port: UInt16) { address.withLock { $0 } }

    func set(_ new: (host: String, port: UInt16)) { address.withLock { $0 = new } }
}
