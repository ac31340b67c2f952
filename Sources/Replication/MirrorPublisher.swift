import Logging
import NIOCore
import NIOPosix
import NIOSSL
import ResultCache
import ServiceLifecycle
import Synchronization
import Telemetry

/// Listens on the mirror port and lets other nodes follow this one.
package final class MirrorPublisher: Service {
    /// Each is sent everything that happens.
    package static let maximumFollowers = 16

    private let settings: ReplicationSettings
    private let node: NodeID
    private let source: MirrorSource
    private let group: any EventLoopGroup
    private let logger: Logger
    private let figures = PublisherFigures()
    private let isReady: @Sendable () -> Bool
    private let client: @Sendable () -> (host: String, port: UInt16)
    private let leadership: LeadershipService?
    private let places = ConnectionPlaces(capacity: 64)
    private let numbers = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - isReady: whether there is something to mirror.
    ///   - client: where clients of the node that leads connect; an empty host is this one.
    ///   - leadership: nil where who leads is configured.
    package init(
        settings: ReplicationSettings, source: MirrorSource, identity: NodeIdentity,
        group: any EventLoopGroup, logger: Logger, isReady: @escaping @Sendable () -> Bool,
        client: @escaping @Sendable () -> (host: String, port: UInt16),
        leadership: LeadershipService? = nil
    ) {
        self.leadership = leadership
        self.settings = settings
        self.source = source
        node = identity.id
        self.group = group
        self.logger = logger
        self.isReady = isReady
        self.client = client
    }

    /// Throws what the operating system says where the address cannot be listened on.
    package func bind(host: String, port: Int) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in channel.eventLoop.makeCompletedFuture {
                try accept(channel)
            } }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .bind(host: host, port: port).get()
    }

    private struct TooMany: Error {}

    private func accept(_ channel: any Channel) throws {
        let number = numbers.add(1, ordering: .relaxed).newValue
        let peer = channel.remoteAddress?.brief ?? "?"
        guard
            places.take(number, { [self] in
                noteRefusal(of: peer, "it has not introduced itself, and others have come")
                channel.close(promise: nil)
            })
        else {
            noteRefusal(of: peer, "there are \(places.capacity) already")
            throw TooMany()
        }
        channel.closeFuture.whenComplete { [places] _ in places.leave(number) }
        if let tls = settings.tls {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls.server))
        }
        try channel.pipeline.syncOperations.addHandler(
            FollowerHandler(
                settings: settings, node: node, source: source,
                number: number, figures: figures, logger: logger, isReady: isReady,
                client: client, leadership: leadership,
                onIntroduction: { [places] in places.introduced(number) }))
    }

    private func noteRefusal(of peer: String, _ reason: String) {
        figures.refused.add(1, ordering: .relaxed)
        guard figures.mayLogRefusal() else { return }
        logger.warning(
            "a connection to the mirror port was refused",
            metadata: ["peer": "\(peer)", "reason": "\(reason)"])
    }

    /// Lets leases run out for as long as the process runs.
    package func run() async throws {
        let period = Duration.nanoseconds(Int64(max(5_000_000, settings.lease / 10)))
        try? await cancelWhenGracefulShutdown { [self] in
            while true {
                try await Task.sleep(for: period)
                source.log.followers.expire(now: NIODeadline.now().uptimeNanoseconds)
            }
        }
    }

    package var currentFigures: ReplicationFigures.Followed {
        let (leases, waiting) = source.log.followers.figures(
            now: NIODeadline.now().uptimeNanoseconds)
        return .init(
            followers: figures.followers.load(ordering: .relaxed), leases: leases,
            waitingCommits: waiting, heldBytes: source.log.heldBytes,
            sentBytes: figures.bytesSent.load(ordering: .relaxed),
            resyncs: figures.resyncs.load(ordering: .relaxed),
            refused: figures.refused.load(ordering: .relaxed))
    }
}

/// What tells this process from all other nodes.
package struct NodeIdentity: Sendable {
    let id: NodeID

    package init() { id = .random() }
}
