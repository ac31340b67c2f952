import NIOCore
import NIOPosix
import PostgresWire

/// Asks a server, over a connection of its own, to cancel what a session is running.
///
/// https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.10
package enum CancelRequest {
    /// Sends the request. The server answers by closing the connection, whatever came of it; it is
    /// closed from here after `timeout` at the latest. The future never fails: a cancel request
    /// has no outcome.
    @discardableResult
    package static func send(
        _ key: BackendKey, to address: PostgreSQLAddress, timeout: TimeAmount,
        eventLoop: any EventLoop
    ) -> EventLoopFuture<Void> {
        guard let bootstrap = ClientBootstrap(validatingGroup: eventLoop) else {
            return eventLoop.makeSucceededVoidFuture()
        }
        let configured = bootstrap.connectTimeout(timeout)
        let connection =
            if let path = address.unixSocketPath {
                configured.connect(unixDomainSocketPath: path)
            } else {
                configured.connect(host: address.host, port: address.port)
            }
        return connection.flatMap { channel in
            var request = ByteBuffer()
            request.writeCancelRequest(key)
            channel.writeAndFlush(request, promise: nil)
            let deadline = channel.eventLoop.scheduleTask(in: timeout) {
                channel.close(promise: nil)
            }
            return channel.closeFuture.always { _ in deadline.cancel() }
        }.recover { _ in }
    }
}
