import Crypto
import Logging
import NIOCore
import ResultCache
import Synchronization

/// The side that is followed, of one connection on the mirror port: introduces itself, and sends one
/// follower what happens, as fast as that reads.
///
/// A follower that does not read is sent nothing more than the socket and the channel's buffer hold:
/// the log is bounded, and who falls behind it begins anew.
final class FollowerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case awaitingGreeting
        case awaitingTerms
        case following
        case closed
    }

    private let settings: ReplicationSettings
    private let node: NodeID
    private let source: MirrorSource
    private let followers: FollowerTable
    private let figures: PublisherFigures
    private let logger: Logger
    private let number: UInt64
    private let isReady: @Sendable () -> Bool
    private let client: @Sendable () -> (host: String, port: UInt16)
    private let leadership: LeadershipService?
    private let onIntroduction: @Sendable () -> Bool

    private var state = State.awaitingGreeting
    private var framing: MirrorFraming
    private var stream: MirrorStream?
    private var acknowledged: UInt64 = 0
    private var deadline: Scheduled<Void>?
    private var peer = "?"
    private var notedGaps: UInt64 = 0
    /// The oldest question of which it is not known that its answer has arrived.
    private var unconfirmed: (question: UInt64, askedAt: UInt64)?

    static let introductionTime = TimeAmount.seconds(10)

    /// - Parameters:
    ///   - number: unlike that of any other follower of this process.
    ///   - isReady: whether there is something to mirror.
    ///   - client: where clients of the node that leads connect.
    ///   - leadership: nil where who leads is configured.
    ///   - onIntroduction: whether there is a place for who has introduced himself.
    init(
        settings: ReplicationSettings, node: NodeID, source: MirrorSource, number: UInt64,
        figures: PublisherFigures, logger: Logger, isReady: @escaping @Sendable () -> Bool,
        client: @escaping @Sendable () -> (host: String, port: UInt16),
        leadership: LeadershipService? = nil,
        onIntroduction: @escaping @Sendable () -> Bool = { true }
    ) {
        self.leadership = leadership
        self.onIntroduction = onIntroduction
        self.settings = settings
        self.node = node
        self.source = source
        self.number = number
        self.figures = figures
        self.logger = logger
        self.isReady = isReady
        self.client = client
        followers = source.log.followers
        framing = MirrorFraming(longestFrame: 1 << 10)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        peer = context.remoteAddress?.brief ?? "?"
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(self, eventLoop: context.value.eventLoop)
        deadline = context.value.eventLoop.scheduleTask(in: Self.introductionTime) {
            bound.value.refuse("it has not introduced itself in time", context.value)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .closed else { return }
        framing.append(unwrapInboundIn(data))
        do {
            while state != .closed, var payload = try framing.next() {
                switch state {
                case .awaitingGreeting: greeted(&payload, context)
                case .awaitingTerms: try introduced(&payload, context)
                case .following: try received(&payload)
                case .closed: return
                }
            }
        } catch {
            refuse(error.description, context)
            return
        }
        if state == .following { pump(context) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { pump(context) }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        refuse(ConnectionEnd.reason(error), context)
    }

    // MARK: Introduction

    private func greeted(_ payload: inout ByteBuffer, _ context: ChannelHandlerContext) {
        guard let theirs = MirrorGreeting(from: &payload), payload.readableBytes == 0 else {
            refuse("it does not speak the mirror protocol", context)
            return
        }
        let mine = MirrorGreeting(hasKey: settings.key != nil)
        var greeting = ByteBuffer()
        mine.write(to: &greeting)
        context.writeAndFlush(wrapOutboundOut(framing.frame(greeting)), promise: nil)
        guard theirs.version == MirrorFraming.version else {
            refuse("it speaks version \(theirs.version) of the mirror protocol", context)
            return
        }
        guard theirs.hasKey == mine.hasKey else {
            refuse(mine.hasKey ? "it has no key" : "it has a key, and this node none", context)
            return
        }
        if let key = settings.key {
            framing.seal(
                with: key, followerNonce: theirs.nonce, primaryNonce: mine.nonce, isFollower: false)
        }
        framing.trust()
        state = .awaitingTerms
    }

    private func introduced(
        _ payload: inout ByteBuffer, _ context: ChannelHandlerContext
    ) throws(MirrorProtocolError) {
        let message = try MirrorMessage.next(in: &payload)
        guard onIntroduction() else {
            refuse("it has introduced itself too late", context)
            return
        }
        if case .promote? = message {
            promote(context)
            return
        }
        guard case .follow(let terms)? = message else {
            throw MirrorProtocolError(description: "a message out of turn")
        }
        if let refusal = refusal(of: terms) {
            var answer = ByteBuffer()
            MirrorMessage.refusal(refusal).write(to: &answer)
            context.writeAndFlush(wrapOutboundOut(framing.frame(answer)), promise: nil)
            refuse("\(refusal.reason)", context)
            return
        }
        deadline?.cancel()
        deadline = nil
        state = .following
        let (host, port) = client()
        guard let hashKey = source.cells.hashKey else {
            preconditionFailure("a node that can be followed has a hash key")
        }
        var welcome = ByteBuffer()
        MirrorMessage.welcome(
            MirrorWelcome(
                node: node, hashKey: hashKey.withUnsafeBytes(Array.init), clientHost: host,
                clientPort: port)
        ).write(to: &welcome)
        context.write(wrapOutboundOut(framing.frame(welcome)), promise: nil)
        let eventLoop = context.eventLoop
        let bound = NIOLoopBound((self, context), eventLoop: eventLoop)
        let isWoken = WokenFlag()
        let largest = Int(clamping: terms.maximumEntry)
        stream = MirrorStream(source, maximumEntry: largest) {
            guard isWoken.set() else { return }
            eventLoop.execute {
                let (handler, context) = bound.value
                isWoken.clear()
                handler.pump(context)
            }
        }
        figures.followers.add(1, ordering: .relaxed)
        logger.notice("a follower has come", metadata: ["peer": "\(peer)"])
    }

    /// An operator wants this node to lead.
    private func promote(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = nil
        logger.notice("asked to lead", metadata: ["peer": "\(peer)"])
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        let then: @Sendable (String) -> Void = { reason in
            eventLoop.execute {
                let (handler, context) = bound.value
                handler.answer(reason, context)
            }
        }
        guard let leadership else {
            then(Self.noFailover)
            return
        }
        Task { then(await leadership.promote() ?? "") }
    }

    private static let noFailover = "replication.failover is false there: who leads is configured"

    private func answer(_ reason: String, _ context: ChannelHandlerContext) {
        guard state != .closed else { return }
        var answer = ByteBuffer()
        MirrorMessage.promoted(reason).write(to: &answer)
        context.writeAndFlush(wrapOutboundOut(framing.frame(answer)), promise: nil)
        finish()
        context.close(promise: nil)
    }

    private func refusal(of terms: MirrorTerms) -> MirrorRefusal? {
        if terms.node == node { return .itself }
        if terms.isSynchronous != settings.isSynchronous { return .otherMode }
        if terms.lease != settings.lease { return .otherLease }
        if figures.followers.load(ordering: .relaxed) >= MirrorPublisher.maximumFollowers {
            return .tooManyFollowers
        }
        return isReady() ? nil : .nothingToMirror
    }

    // MARK: Following

    private func received(_ payload: inout ByteBuffer) throws(MirrorProtocolError) {
        while let message = try MirrorMessage.next(in: &payload) {
            let now = NIODeadline.now().uptimeNanoseconds
            switch message {
            case .heartbeat(let question, let answered):
                guard hears(answered, now: now) else { continue }
                let isAnswered = stream?.asked(question, now: now, lease: followers.lease) {
                    followers.grant(number, acknowledged: acknowledged, now: now)
                }
                if isAnswered == true, unconfirmed == nil { unconfirmed = (question, now) }
            case .acknowledge(let position):
                guard let stream, position.epoch == stream.position.epoch else { continue }
                guard position.index <= stream.position.index else {
                    throw MirrorProtocolError(description: "an acknowledgement of what was not sent")
                }
                acknowledged = position.index
                followers.acknowledged(number, position.index, now: now)
            case .handOver: leadership?.handOver()
            case .promote, .promoted, .follow, .welcome, .begin, .cells, .identity, .opened, .closed, .nothing, .stored,
                .entry, .entriesEnd, .answer, .refusal:
                throw MirrorProtocolError(description: "a message out of turn")
            }
        }
    }

    /// Whether the follower hears this node. One of which only the questions arrive is granted no
    /// further lease: commits would wait for what it cannot acknowledge.
    private func hears(_ answered: UInt64, now: UInt64) -> Bool {
        guard let first = unconfirmed else { return true }
        if answered < first.question { return now - first.askedAt <= followers.lease }
        unconfirmed = nil
        return true
    }

    private func pump(_ context: ChannelHandlerContext) {
        guard state == .following else { return }
        if !isReady() {
            // What there was to mirror is gone.
            refuse("this node has nothing to mirror any more", context)
            return
        }
        var hasWritten = false
        // (What was to be mirrored may go at any moment.)
        while context.channel.isWritable, isReady(),
            let payload = stream?.next(now: NIODeadline.now().uptimeNanoseconds)
        {
            let frame = framing.frame(payload)
            figures.bytesSent.add(UInt64(frame.readableBytes), ordering: .relaxed)
            context.write(wrapOutboundOut(frame), promise: nil)
            // Written at once, or the channel never seems full.
            context.flush()
            hasWritten = true
        }
        guard let stream else { return }
        if hasWritten { note(stream) }
        if stream.isOver { refuse("this node has begun a new log", context) }
    }

    private func note(_ stream: MirrorStream) {
        figures.resyncs.add(stream.gaps - notedGaps, ordering: .relaxed)
        notedGaps = stream.gaps
    }

    private func refuse(_ reason: String, _ context: ChannelHandlerContext) {
        guard state != .closed else { return }
        if state == .following {
            logger.notice("a follower is sent away", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
        } else {
            figures.refused.add(1, ordering: .relaxed)
            if figures.mayLogRefusal() {
                logger.warning(
                    "a connection to the mirror port was refused",
                    metadata: ["peer": "\(peer)", "reason": "\(reason)"])
            }
        }
        finish()
        context.close(promise: nil)
    }

    private func finish() {
        deadline?.cancel()
        deadline = nil
        if let stream {
            stream.end()
            note(stream)
            figures.followers.subtract(1, ordering: .relaxed)
            logger.notice("a follower has gone", metadata: ["peer": "\(peer)"])
        }
        stream = nil
        state = .closed
    }
}

/// Set by whoever has something to read, cleared by who goes to read it.
final class WokenFlag: Sendable {
    private let isSet = Atomic(false)

    /// Whether it was not set before.
    func set() -> Bool { !isSet.exchange(true, ordering: .acquiringAndReleasing) }

    func clear() { isSet.store(false, ordering: .sequentiallyConsistent) }
}

extension MirrorRefusal {
    /// For the operator of the node that refuses.
    fileprivate var reason: String {
        switch self {
        case .tooManyFollowers: "there are as many followers as may be"
        case .nothingToMirror: "this node has nothing to mirror yet"
        case .otherMode: "its replication.mode is another one"
        case .otherLease: "its replication.lease is another one"
        case .itself: "it is this node itself"
        }
    }
}
