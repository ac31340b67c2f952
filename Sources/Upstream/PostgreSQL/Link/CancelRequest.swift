import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import PostgresWire

/// Asks a server, over a connection of its own, to cancel what a session is running.
///
/// https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.10
package enum CancelRequest {
    /// How the session that is meant is encrypted: what would reveal its key is so too.
    struct Encryption {
        let tls: LinkTLS
        let host: PostgreSQLAddress
    }

    /// Sends the request. The server answers by closing the connection, whatever came of it; it is
    /// closed from here after `timeout` at the latest. The future never fails: a cancel request
    /// has no outcome.
    @discardableResult
    static func send(
        _ key: BackendKey, to address: SocketAddress, encryption: Encryption?,
        timeout: TimeAmount, eventLoop: any EventLoop
    ) -> EventLoopFuture<Void> {
        guard let bootstrap = ClientBootstrap(validatingGroup: eventLoop) else {
            return eventLoop.makeSucceededVoidFuture()
        }
        let handler = NIOLoopBound(
            CancelRequestHandler(key, encryption: encryption), eventLoop: eventLoop)
        return bootstrap.connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler.value)
                }
            }
            .connect(to: address)
            .flatMap { channel in
                let deadline = channel.eventLoop.scheduleTask(in: timeout) {
                    channel.close(promise: nil)
                }
                return channel.closeFuture.always { _ in deadline.cancel() }
            }.recover { _ in }
    }
}

/// Sends one CancelRequest, after a TLS handshake where the session has one. A server that declines
/// TLS now gets no key in plain text. Event-loop-confined.
private final class CancelRequestHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let key: BackendKey
    private let encryption: CancelRequest.Encryption?
    private var awaitsAnswer = false

    init(_ key: BackendKey, encryption: CancelRequest.Encryption?) {
        self.key = key
        self.encryption = encryption
    }

    func channelActive(context: ChannelHandlerContext) {
        if encryption == nil {
            sendRequest(context)
        } else {
            awaitsAnswer = true
            var message = ByteBuffer()
            message.writeSSLRequest()
            context.writeAndFlush(wrapOutboundOut(message), promise: nil)
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard awaitsAnswer, let encryption else { return }
        awaitsAnswer = false
        let answer = unwrapInboundIn(data)
        guard answer.readableBytesView.elementsEqual([UInt8(ascii: "S")]),
            let tls = try? encryption.tls.makeHandler(for: encryption.host)
        else {
            context.close(promise: nil)
            return
        }
        do {
            try context.pipeline.syncOperations.addHandler(tls, position: .before(self))
        } catch {
            context.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { sendRequest(context) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func sendRequest(_ context: ChannelHandlerContext) {
        var request = ByteBuffer()
        request.writeCancelRequest(key)
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }
}
