import NIOCore
import NIOPosix
import PostgresWire
import ResultCache
import SQLAnalysis
import Upstream

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An ordinary client session whose client is this process: what it asks is looked up, forwarded and
/// stored like anybody's. Its rows go nowhere.
///
/// A pair of connected sockets lies between the two, which nobody else can reach: no listener has it,
/// so that whom it speaks for need not be shown. All calls from any thread.
package final class InternalSession: Sendable {
    /// What became of a statement.
    package enum Outcome: Hashable, Sendable {
        case answered
        /// It cannot be cached, or is no read at all: it was not run.
        case notCacheable
        /// With this SQLSTATE.
        case failed(String)
    }

    private let services: SessionServices
    private let client: any Channel
    private let replies: NIOLoopBound<InternalClientHandler>
    private let handler: NIOLoopBound<ClientConnectionHandler>

    private init(
        services: SessionServices, client: any Channel,
        replies: NIOLoopBound<InternalClientHandler>, handler: NIOLoopBound<ClientConnectionHandler>
    ) {
        self.services = services
        self.client = client
        self.replies = replies
        self.handler = handler
    }

    /// Begins a session for `user`, as a client would with these startup parameters. Throws the
    /// server's error where it does not let that user in, or `limits.max_client_connections` is
    /// reached.
    package static func begin(
        services: SessionServices, registry: ConnectionRegistry, on eventLoop: any EventLoop,
        user: String, database: String, parameters: [String: String] = [:]
    ) async throws -> InternalSession {
        let (near, far) = try connectedPair()
        let handler = NIOLoopBoundBox.makeEmptyBox(
            valueType: ClientConnectionHandler.self, eventLoop: eventLoop)
        let replies = NIOLoopBoundBox.makeEmptyBox(
            valueType: InternalClientHandler.self, eventLoop: eventLoop)
        let server = ClientBootstrap(group: eventLoop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let made = ClientConnectionHandler(
                    services: services, registry: registry, isInternal: true)
                handler.value = made
                try channel.pipeline.syncOperations.addHandler(made)
            }
        }
        let client = ClientBootstrap(group: eventLoop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let made = InternalClientHandler()
                replies.value = made
                try channel.pipeline.syncOperations.addHandler(made)
            }
        }
        do {
            _ = try await server.withConnectedSocket(far).get()
        } catch {
            close(near)
            throw error
        }
        let channel = try await client.withConnectedSocket(near).get()
        var startup = ByteBuffer()
        let named =
            [("user", user), ("database", database)]
            + parameters.sorted { $0.key < $1.key }
        startup.writeStartup(parameters: named.map { .init(name: $0.0, value: $0.1) })
        let (message, promise) = (startup, eventLoop.makePromise(of: PostgresError?.self))
        let session = try await eventLoop.submit {
            guard let handler = handler.value, let replies = replies.value else {
                preconditionFailure("both channels have their handlers")
            }
            replies.ask(message, promise)
            return InternalSession(
                services: services, client: channel,
                replies: NIOLoopBound(replies, eventLoop: eventLoop),
                handler: NIOLoopBound(handler, eventLoop: eventLoop))
        }.get()
        do {
            if let error = try await promise.futureResult.get() { throw error }
            return session
        } catch {
            session.end()
            throw error
        }
    }

    private static func connectedPair() throws -> (Int32, Int32) {
        var descriptors: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &descriptors) == 0 else {
            throw PostgresError(
                .tooManyConnections,
                "cannot make a pair of sockets: \(String(cString: strerror(errno)))")
        }
        for descriptor in descriptors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        return (descriptors[0], descriptors[1])
    }

    /// Who the cache takes it for.
    package func identity() async throws -> SessionIdentity {
        try await client.eventLoop.submit { [handler] in
            handler.value.session?.parseIdentity ?? .unknown
        }.get()
    }

    /// Runs one statement if it is a read that can be cached. Throws when the session is over.
    ///
    /// - Parameter bindTail: what follows the names in a Bind message; nil for a simple Query.
    package func run(
        _ sql: String, parameterTypes: [UInt32], bindTail: ByteBuffer?
    ) async throws -> Outcome {
        guard try await isCacheable(sql, parameterTypes) else { return .notCacheable }
        var messages = ByteBuffer()
        if let bindTail {
            ParseMessage(statement: "", query: sql, parameterTypes: parameterTypes)
                .write(to: &messages)
            messages.writeBind(tail: bindTail)
            // So that the answer is of use to those, too, who ask for its columns.
            DescribeMessage(target: .portal, name: "").write(to: &messages)
            ExecuteMessage().write(to: &messages)
            messages.writeSync()
        } else {
            messages.writeQuery(sql)
        }
        let (question, promise) = (messages, client.eventLoop.makePromise(of: PostgresError?.self))
        client.eventLoop.execute { [replies] in replies.value.ask(question, promise) }
        let error = try await promise.futureResult.get()
        return error.map { .failed($0.sqlState.rawValue) } ?? .answered
    }

    /// What was cached when it was noted need not be cacheable, or even a read, today.
    private func isCacheable(_ sql: String, _ parameterTypes: [UInt32]) async throws -> Bool {
        let context = try await client.eventLoop.submit { [handler] in
            handler.value.session?.resolutionContext
        }.get()
        guard let context else { throw ChannelError.ioOnClosedChannel }
        let promise = client.eventLoop.makePromise(of: QueryProfile.self)
        let found = services.upstream.analyzer.profile(
            of: sql, parameterTypes: parameterTypes, context: context
        ) { promise.succeed($0) }
        if case .known(let profile) = found { promise.succeed(profile) }
        let profile = try await promise.futureResult.get()
        guard profile.statements.count == 1, let statement = profile.statements.first else {
            return false
        }
        return statement.kind == .read && statement.bypassReason == nil
    }

    /// Ends it, whatever it is doing.
    package func end() {
        client.close(promise: nil)
    }
}

/// The client's end: drops rows, and tells when an answer is over. Confined to its channel's loop.
private final class InternalClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var scanner = BackendMessageScanner()
    private var context: ChannelHandlerContext?
    private var promise: EventLoopPromise<PostgresError?>?
    private var error: PostgresError?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        finish(.failure(ChannelError.ioOnClosedChannel))
    }

    /// One question at a time. The promise gets the error that the server has answered with, or nil.
    func ask(_ messages: ByteBuffer, _ promise: EventLoopPromise<PostgresError?>) {
        guard let context, self.promise == nil else {
            promise.fail(ChannelError.ioOnClosedChannel)
            return
        }
        self.promise = promise
        context.writeAndFlush(wrapOutboundOut(messages), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let chunk = unwrapInboundIn(data)
        var cursor = chunk.readerIndex
        do {
            while let piece = try scanner.next(in: chunk, cursor: &cursor) {
                guard piece.endsMessage else { continue }
                if piece.tag == BackendTag.errorResponse {
                    error = try scanner.body(of: piece, in: chunk).map {
                        try PostgresError(decodingErrorResponse: $0)
                    }
                } else if piece.tag == BackendTag.readyForQuery {
                    finish(.success(error))
                }
            }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // A FATAL error is the last word.
        finish(error.map { .success($0) } ?? .failure(ChannelError.ioOnClosedChannel))
        context.fireChannelInactive()
    }

    private func finish(_ result: Result<PostgresError?, any Error>) {
        let waiting = promise
        promise = nil
        error = nil
        waiting?.completeWith(result)
    }
}
