import NIOCore
import NIOSSL
import NIOTLS

/// The channel's end of a link: hands events over, gates reads. Event-loop-confined.
final class PostgreSQLLinkHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let link: PostgreSQLLink
    /// Which of the link's attempts to connect it belongs to.
    let attempt: Int
    private var tls: NIOSSLClientHandler?
    private var context: ChannelHandlerContext?
    private var isPaused = false
    private var hasSuppressedRead = false

    init(link: PostgreSQLLink, attempt: Int) {
        self.link = link
        self.attempt = attempt
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// Writes at once: whoever has several messages hands them over in one buffer.
    func send(_ bytes: ByteBuffer) {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Begins the handshake; every byte from now on, in either direction, is TLS.
    func encrypt(with tls: NIOSSLClientHandler) throws {
        guard let context else { return }
        self.tls = tls
        try context.pipeline.syncOperations.addHandler(tls, position: .before(self))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            let certificate = tls?.peerCertificate.flatMap { try? $0.toDERBytes() }
            tls = nil
            link.channelEncrypted(certificate: certificate, of: self)
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Not reading is what makes the kernel's window close, and the server wait.
    func setPaused(_ paused: Bool) {
        isPaused = paused
        if !paused, hasSuppressedRead {
            hasSuppressedRead = false
            context?.read()
        }
    }

    /// Closes at once; what the kernel has taken still goes out.
    func close() {
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func read(context: ChannelHandlerContext) {
        if isPaused {
            hasSuppressedRead = true
        } else {
            context.read()
        }
    }

    func channelActive(context: ChannelHandlerContext) {
        link.channelBecameActive(self)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        link.channelReceived(unwrapInboundIn(data), from: self)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        link.channelWritabilityChanged(context.channel.isWritable, of: self)
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        link.channelBecameInactive(self)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        link.channelFailed(error, of: self)
        context.close(promise: nil)
    }
}
