import NIOCore
import NIOPosix
import PostgresWire

@testable import Upstream

/// A peer on loopback that answers each connection with fixed bytes, and may then hang up.
struct ScriptedServer {
    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        let answer: ByteBuffer
        let hangsUp: Bool
        var hasAnswered = false

        init(answer: ByteBuffer, hangsUp: Bool) {
            self.answer = answer
            self.hangsUp = hangsUp
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard !hasAnswered else { return }
            hasAnswered = true
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
            if hangsUp { context.close(promise: nil) }
        }
    }

    private let channel: any Channel
    let address: PostgreSQLAddress

    init(answer: ByteBuffer, hangsUp: Bool = false) async throws {
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(answer: answer, hangsUp: hangsUp))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        address = PostgreSQLAddress(host: "127.0.0.1", port: channel.localAddress?.port ?? 0)
    }

    func stop() async throws {
        try await channel.close()
    }
}
