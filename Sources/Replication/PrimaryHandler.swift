import Crypto
import Logging
import NIOCore
import ResultCache

/// The following side of one connection: introduces itself, hands what it hears to the applier, and
/// asks for proofs.
final class PrimaryHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case awaitingGreeting
        case awaitingWelcome
        case following
        case closed
    }

    private let settings: ReplicationSettings
    private let node: NodeID
    private let applier: MirrorApplier
    private let followers: FollowerTable
    private let figures: FollowerFigures
    private let logger: Logger
    private let onWelcome: (MirrorWelcome) -> Void

    private var state = State.awaitingGreeting
    private var framing: MirrorFraming
    private var nonce: [UInt8] = []
    private var peer = "?"
    private var heartbeats: RepeatedTask?
    private var deadline: Scheduled<Void>?
    /// Why it has ended, as far as that is known here.
    private(set) var reason: String?
    /// It has ended because nothing has come.
    private(set) var isSilent = false
    /// Taken over since the last beginning.
    private var entries = 0

    /// A node that has not answered for so many leases, or for a second, is given up: even one that
    /// may not lead any more would answer.
    private static let patience: UInt64 = 2

    init(
        settings: ReplicationSettings, node: NodeID, applier: MirrorApplier,
        followers: FollowerTable, figures: FollowerFigures, logger: Logger,
        onWelcome: @escaping (MirrorWelcome) -> Void
    ) {
        self.settings = settings
        self.node = node
        self.applier = applier
        self.followers = followers
        self.figures = figures
        self.logger = logger
        self.onWelcome = onWelcome
        framing = MirrorFraming(longestFrame: settings.longestFrame)
    }

    /// Set while there is a connection.
    private(set) var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        peer = context.remoteAddress?.brief ?? "?"
        let greeting = MirrorGreeting(hasKey: settings.key != nil)
        nonce = greeting.nonce
        var payload = ByteBuffer()
        greeting.write(to: &payload)
        context.writeAndFlush(wrapOutboundOut(framing.frame(payload)), promise: nil)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: FollowerHandler.introductionTime) {
            let (handler, context) = bound.value
            handler.end("it does not answer", context)
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .closed else { return }
        let bytes = unwrapInboundIn(data)
        figures.bytesReceived.add(UInt64(bytes.readableBytes), ordering: .relaxed)
        framing.append(bytes)
        do {
            while state != .closed, var payload = try framing.next() {
                switch state {
                case .awaitingGreeting: try greeted(&payload, context)
                case .awaitingWelcome: try welcomed(&payload, context)
                case .following: try received(&payload, context)
                case .closed: return
                }
            }
        } catch {
            end(error.description, context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if reason == nil {
            reason =
                state == .awaitingWelcome
                ? "it has closed the connection: another key, perhaps" : "the connection has ended"
        }
        finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(ConnectionEnd.reason(error), context)
    }

    // MARK: Introduction

    private func greeted(
        _ payload: inout ByteBuffer, _ context: ChannelHandlerContext
    ) throws(MirrorProtocolError) {
        try framing.answered(&payload, to: nonce, key: settings.key)
        state = .awaitingWelcome
        send(
            .follow(
                MirrorTerms(
                    node: node, isSynchronous: settings.isSynchronous, lease: settings.lease,
                    maximumEntry: UInt64(settings.maximumEntry))),
            context)
    }

    private func welcomed(
        _ payload: inout ByteBuffer, _ context: ChannelHandlerContext
    ) throws(MirrorProtocolError) {
        switch try MirrorMessage.next(in: &payload) {
        case .welcome(let welcome):
            deadline?.cancel()
            deadline = nil
            state = .following
            applier.connected(hashKey: welcome.hashKey)
            onWelcome(welcome)
            ask(context)
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            let interval = TimeAmount.nanoseconds(Int64(settings.heartbeatInterval))
            heartbeats = context.eventLoop.scheduleRepeatedTask(
                initialDelay: interval, delay: interval
            ) { _ in
                let (handler, context) = bound.value
                handler.beat(context)
            }
        case .refusal(let refusal): end(refusal.description, context)
        default: throw MirrorProtocolError(description: "a message out of turn")
        }
    }

    // MARK: Following

    private func received(
        _ payload: inout ByteBuffer, _ context: ChannelHandlerContext
    ) throws(MirrorProtocolError) {
        var before: MirrorLog.Position? = applier.position
        while let message = try MirrorMessage.next(in: &payload) {
            try applier.apply(message, now: NIODeadline.now().uptimeNanoseconds)
            note(message)
            if case .begin = message {
                // Heartbeats of the time before are not answered. What was acknowledged over another
                // connection the other side need not have heard.
                ask(context)
                before = nil
            }
        }
        figures.lastProof.store(applier.lastProof ?? 0, ordering: .relaxed)
        // A beginning is acknowledged although nothing may be new: what was acknowledged over another
        // connection may not have come, and a commit waits for it.
        guard applier.hasBegun, applier.position != before else { return }
        acknowledge(applier.position, context)
    }

    /// Tells that everything up to there has been applied, here and by those who follow this node.
    private func acknowledge(_ position: MirrorLog.Position, _ context: ChannelHandlerContext) {
        let now = NIODeadline.now().uptimeNanoseconds
        if followers.isKnown(position.index, now: now) {
            send(.acknowledge(position), context)
            return
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        followers.whenKnown(position.index, now: now) {
            eventLoop.execute {
                let (handler, context) = bound.value
                handler.send(.acknowledge(position), context)
            }
        }
    }

    private func note(_ message: MirrorMessage) {
        switch message {
        case .begin(let position, _):
            figures.resyncs.add(1, ordering: .relaxed)
            logger.notice(
                "following: taking over the cache of the node that leads",
                metadata: ["peer": "\(peer)", "epoch": "\(position.epoch)", "index": "\(position.index)"])
            entries = 0
        case .entry:
            entries += 1
            figures.entries.add(1, ordering: .relaxed)
        case .entriesEnd:
            logger.notice(
                "the cache of the node that leads has been taken over",
                metadata: ["peer": "\(peer)", "entries": "\(entries)"])
        case .opened, .closed, .stored, .nothing: figures.records.add(1, ordering: .relaxed)
        case .follow, .heartbeat, .acknowledge, .handOver, .promote, .promoted, .welcome, .cells,
            .identity, .answer, .refusal:
            break
        }
    }

    private func beat(_ context: ChannelHandlerContext) {
        let silence = applier.silence(now: NIODeadline.now().uptimeNanoseconds)
        guard silence < max(Self.patience * settings.lease, 1_000_000_000) else {
            isSilent = true
            end("it has not answered for \(silence / 1_000_000) ms", context)
            return
        }
        ask(context)
    }

    private func ask(_ context: ChannelHandlerContext) {
        guard state == .following,
            let question = applier.question(now: NIODeadline.now().uptimeNanoseconds)
        else { return }
        send(.heartbeat(question, answered: applier.lastAnswered), context)
    }

    /// Asks the other node to let this one lead. Call on the event loop.
    func askToHandOver(_ context: ChannelHandlerContext) {
        guard state == .following else { return }
        send(.handOver, context)
    }

    private func send(_ message: MirrorMessage, _ context: ChannelHandlerContext) {
        guard state != .closed else { return }
        var payload = ByteBuffer()
        message.write(to: &payload)
        context.writeAndFlush(wrapOutboundOut(framing.frame(payload)), promise: nil)
    }

    private func end(_ reason: String, _ context: ChannelHandlerContext) {
        guard state != .closed else { return }
        self.reason = reason
        finish()
        context.close(promise: nil)
    }

    private func finish() {
        state = .closed
        heartbeats?.cancel()
        heartbeats = nil
        deadline?.cancel()
        deadline = nil
    }
}
