import NIOCore
import NIOPosix
import NIOSSL

/// What `mynah promote` asks of a node, over its mirror port.
package enum PromotionRequest {
    package struct Refused: Error, CustomStringConvertible {
        package let description: String
    }

    /// Longer than a node takes to find out that it does not come to lead.
    private static let patience = TimeAmount.seconds(20)

    /// Makes the node at this address lead. Throws `Refused` where it does not, or cannot be reached.
    package static func send(
        host: String, port: Int, settings: ReplicationSettings, group: any EventLoopGroup
    ) async throws {
        let eventLoop = group.next()
        let answer = eventLoop.makePromise(of: String.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: eventLoop)
                .connectTimeout(.seconds(5))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls = settings.tls {
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: tls.client, serverHostname: nil))
                        }
                        try channel.pipeline.syncOperations.addHandler(
                            PromotionHandler(settings: settings, answer: answer))
                    }
                }
                .connect(host: host, port: port).get()
        } catch {
            answer.fail(error)
            throw Refused(description: "it cannot be reached: \(ConnectionEnd.reason(error))")
        }
        let deadline = eventLoop.scheduleTask(in: patience) {
            answer.succeed("it has not answered in time")
        }
        defer {
            deadline.cancel()
            channel.close(promise: nil)
        }
        let reason = try await answer.futureResult.get()
        guard reason.isEmpty else { throw Refused(description: reason) }
    }
}

/// Introduces itself as a follower does, and asks.
private final class PromotionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let settings: ReplicationSettings
    private let answer: EventLoopPromise<String>
    private var framing: MirrorFraming
    private var nonce: [UInt8] = []
    private var isGreeted = false
    private var isOver = false

    init(settings: ReplicationSettings, answer: EventLoopPromise<String>) {
        self.settings = settings
        self.answer = answer
        framing = MirrorFraming(longestFrame: 1 << 16)
    }

    func channelActive(context: ChannelHandlerContext) {
        let greeting = MirrorGreeting(hasKey: settings.key != nil)
        nonce = greeting.nonce
        var payload = ByteBuffer()
        greeting.write(to: &payload)
        context.writeAndFlush(wrapOutboundOut(framing.frame(payload)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        framing.append(unwrapInboundIn(data))
        do {
            while let payload = try framing.next() { try received(payload, context) }
        } catch {
            end(error.description, context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end("it has closed the connection: another key, perhaps", context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(ConnectionEnd.reason(error), context)
    }

    private func received(
        _ payload: ByteBuffer, _ context: ChannelHandlerContext
    ) throws(MirrorProtocolError) {
        var payload = payload
        guard isGreeted else {
            try framing.answered(&payload, to: nonce, key: settings.key)
            isGreeted = true
            var request = ByteBuffer()
            MirrorMessage.promote.write(to: &request)
            context.writeAndFlush(wrapOutboundOut(framing.frame(request)), promise: nil)
            return
        }
        guard case .promoted(let reason)? = try MirrorMessage.next(in: &payload) else {
            throw MirrorProtocolError(description: "a message out of turn")
        }
        end(reason, context)
    }

    private func end(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        answer.succeed(reason)
        context.close(promise: nil)
    }
}
