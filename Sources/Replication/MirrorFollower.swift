import Logging
import NIOCore
import NIOPosix
import NIOSSL
import ResultCache
import ServiceLifecycle
import Synchronization
import Telemetry

/// Follows another node: connects to its mirror port, again and again, and makes this node's cache a
/// mirror of that one's.
package final class MirrorFollower: Service {
    private let settings: ReplicationSettings
    private let addresses: [(host: String, port: Int)]
    private let node: NodeID
    private let source: MirrorSource
    private let eventLoop: any EventLoop
    private let applier: NIOLoopBoundBox<MirrorApplier>
    private let logger: Logger
    private let figures = FollowerFigures()
    private let current = Mutex<NIOLoopBound<PrimaryHandler>?>(nil)
    private let onPrimary: @Sendable (_ host: String, _ port: Int) -> Void
    private let onSilence: @Sendable () async -> Void

    private static let shortestPause = Duration.milliseconds(50)
    private static let longestPause = Duration.seconds(2)

    /// - Parameters:
    ///   - addresses: mirror ports of the nodes that may lead; tried in turn.
    ///   - source: its right to serve must have been limited already, and its log be that of a
    ///     follower.
    ///   - onPrimary: told where the clients of the node that leads connect, whenever that is heard.
    ///   - onSilence: the node that leads has frozen, or cannot be reached any more: whoever waits for
    ///     an answer of its clients' port is not to wait any longer. Returns when that is done.
    package init(
        settings: ReplicationSettings, addresses: [(host: String, port: Int)],
        source: MirrorSource, registry: WindowRegistry, identity: NodeIdentity, group: any EventLoopGroup,
        logger: Logger, onSilence: @escaping @Sendable () async -> Void = {},
        onPrimary: @escaping @Sendable (_ host: String, _ port: Int) -> Void
    ) {
        self.settings = settings
        self.addresses = addresses
        self.source = source
        node = identity.id
        eventLoop = group.next()
        applier = NIOLoopBoundBox.makeBoxSendingValue(
            MirrorApplier(
                source: source, registry: registry, lease: settings.timing.followerLease),
            eventLoop: eventLoop)
        self.logger = logger
        self.onPrimary = onPrimary
        self.onSilence = onSilence
    }

    /// What this node has sent to the one that led is not waited for any more.
    func abandonPrimary() async { await onSilence() }

    /// Whether something has been heard of the node that is followed since the last connection
    /// began, so that there is something to mirror.
    package var isSynchronised: Bool { figures.isFollowing.load(ordering: .relaxed) }

    package func run() async throws {
        try? await cancelWhenGracefulShutdown { [self] in await follow() }
    }

    /// Follows until the task is cancelled.
    func follow() async {
        var pause = Self.shortestPause
        var lastReasons: [Int: String] = [:]
        var next = 0
        while !Task.isCancelled {
            let index = next % addresses.count
            let (host, port) = addresses[index]
            let (reason, hasFollowed) = await follow(host, port)
            if Task.isCancelled { return }
            if hasFollowed { pause = Self.shortestPause }
            // What is said again and again is said once.
            if hasFollowed || reason != lastReasons[index] {
                logger.warning(
                    "not following", metadata: ["node": "\(host):\(port)", "reason": "\(reason)"])
                lastReasons[index] = reason
            }
            next += 1
            guard next % addresses.count == 0 || hasFollowed else { continue }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    /// Follows over one connection until that ends. Returns why it did.
    private func follow(_ host: String, _ port: Int) async -> (reason: String, hasFollowed: Bool) {
        let channel: any Channel
        let handler: NIOLoopBound<PrimaryHandler>
        do {
            (channel, handler) = try await connect(host, port)
        } catch {
            return ("cannot connect: \(ConnectionEnd.reason(error))", false)
        }
        current.withLock { $0 = handler }
        defer { current.withLock { $0 = nil } }
        await withTaskCancellationHandler {
            try? await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
        figures.isFollowing.store(false, ordering: .relaxed)
        // A welcome alone is little: the connection may end for the same reason again at once.
        let hasFollowed = figures.lastProof.exchange(0, ordering: .relaxed) != 0
        let end = try? await eventLoop.submit {
            (reason: handler.value.reason, isSilent: handler.value.isSilent)
        }.get()
        if end?.isSilent == true { await onSilence() }
        return (end?.reason ?? "the connection has ended", hasFollowed)
    }

    /// Asks the node that is followed to let this one lead.
    func askToHandOver() async {
        guard let handler = current.withLock({ $0 }) else { return }
        try? await eventLoop.submit {
            guard let context = handler.value.context else { return }
            handler.value.askToHandOver(context)
        }.get()
    }

    /// The node leads from now on: what windows cover that are open is dropped, and unless the mirror
    /// is to be kept, all else too. Call when `follow` has returned.
    func release(keeping isKept: Bool) async {
        let applier = applier
        try? await eventLoop.submit {
            if isKept { applier.value.closeWindows() } else { applier.value.forget() }
        }.get()
    }

    private func connect(_ host: String, _ port: Int) async throws -> (any Channel, NIOLoopBound<PrimaryHandler>) {
        try await ClientBootstrap(group: eventLoop)
            // A take-over waits for it.
            .connectTimeout(
                .nanoseconds(Int64(min(5_000_000_000, max(200_000_000, settings.lease / 2)))))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: host, port: port) { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls = settings.tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls.client, serverHostname: nil))
                    }
                    let handler = PrimaryHandler(
                        settings: settings, node: node, applier: self.applier.value,
                        followers: source.log.followers, figures: figures, logger: logger
                    ) { [self] (welcome: MirrorWelcome) in
                        figures.isFollowing.store(true, ordering: .relaxed)
                        onPrimary(
                            welcome.clientHost.isEmpty ? host : welcome.clientHost,
                            Int(welcome.clientPort))
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return (channel, NIOLoopBound(handler, eventLoop: channel.eventLoop))
                }
            }
    }

    package var currentFigures: ReplicationFigures.Following {
        let now = NIODeadline.now().uptimeNanoseconds
        let proof = figures.lastProof.load(ordering: .relaxed)
        return .init(
            isConnected: isSynchronised, hasLease: source.right.deadline > now,
            lag: proof == 0 ? nil : Double(now &- min(now, proof)) / 1e9,
            receivedBytes: figures.bytesReceived.load(ordering: .relaxed),
            records: figures.records.load(ordering: .relaxed),
            entries: figures.entries.load(ordering: .relaxed),
            resyncs: figures.resyncs.load(ordering: .relaxed))
    }
}

/// What a follower counts. Thread-safe.
final class FollowerFigures: Sendable {
    let isFollowing = Atomic(false)
    /// Nanoseconds of the monotonic clock; 0: none.
    let lastProof = Atomic<UInt64>(0)
    let bytesReceived = Atomic<UInt64>(0)
    let records = Atomic<UInt64>(0)
    let entries = Atomic<UInt64>(0)
    let resyncs = Atomic<UInt64>(0)
}
