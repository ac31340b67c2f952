import Logging
import NIOCore
import NIOTLS
import PostgresWire
import ResultCache
import SQLAnalysis
import Security
import Telemetry
import Upstream

/// A client's connection: its startup phase, then its session.
///
/// One per channel, confined to the channel's event loop. Startup as in
/// https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.3
package final class ClientConnectionHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    enum Phase {
        case startup
        /// Until the client has shown who it is: `ClientConnectionHandler+Authentication.swift`.
        case authenticating(ClientLogin)
        /// The first session of its kind: the upstream is asked how it greets.
        case greeting(SessionStartup, FillLease?)
        case session(ClientSession)
        case replication(ReplicationSession)
        case closed
    }

    /// What is known of the transport; to be set before the startup message is read.
    package var transport = TransportSecurity.none

    let services: SessionServices
    private let registry: ConnectionRegistry
    var phase: Phase = .startup
    var input = ByteBuffer()
    private(set) var output: ClientOutput?
    var deadline: Scheduled<Void>?
    /// When the connection was accepted, monotonic.
    private(set) var began = NIODeadline.now()
    /// How the connection is counted against the limits of `ConnectionQuota`.
    /// It is a mirror's connection, and wants to know how far the log goes.
    private var tellsPosition = false
    private var quota = QuotaStanding.none
    private var peerGroup: PeerAddress.Group?
    private var key: BackendKey?
    private var link: (any UpstreamLink)?
    private var pooling: SessionPooling?
    /// What goes to the client before the next authentication message.
    var negotiation = ByteBuffer()
    /// Of the key that the client gets: as in the server, 256 bits where the protocol allows.
    private var secretLength = 4
    var encryptionRequests: Set<StartupPacket> = []
    private var isDraining = false
    /// What the client may be offered; nil where the transport needs no encryption.
    let encryption: ClientEncryption?
    var handshake: ClientHandshake?

    /// Whether the other end is this process itself, which speaks for users who have shown before who
    /// they are: it is not asked.
    let isInternal: Bool

    /// nil before it has begun, and when it is over.
    var session: ClientSession? {
        if case .session(let session) = phase { session } else { nil }
    }

    private enum QuotaStanding {
        case none, pending, admitted
    }

    /// What may be held of a client that has not shown who it is, in bytes.
    static let unauthenticatedLimit = 32 << 10

    /// - Parameters:
    ///   - offersEncryption: whether it is a connection over a network.
    ///   - isInternal: see there; never of a connection that was accepted.
    package init(
        services: SessionServices, registry: ConnectionRegistry, offersEncryption: Bool = false,
        isInternal: Bool = false
    ) {
        self.isInternal = isInternal
        self.services = services
        self.registry = registry
        encryption = offersEncryption ? services.encryption : nil
    }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { start(context) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    private func start(_ context: ChannelHandlerContext) {
        guard output == nil else { return }
        output = ClientOutput(context: context, metrics: services.metrics)
        services.metrics.clientConnections.increment()
        services.metrics.clientConnectionsTotal.increment()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: services.options.startupTimeout) {
            bound.value.startupTimedOut()
        }
        registry.opened(
            channel: context.channel,
            drain: { [eventLoop = context.eventLoop] in
                eventLoop.execute { bound.value.drain() }
            })
        began = .now()
        count(context.channel)
    }

    /// Counts the connection among those that have not shown who they are, or refuses it.
    private func count(_ channel: any Channel) {
        let authenticator = services.authenticator
        peerGroup =
            PeerAddress(remote: channel.remoteAddress, local: channel.localAddress).group
        guard let excess = authenticator.quota.open(peerGroup, authenticator.settings.quota) else {
            quota = .pending
            services.metrics.pendingConnections.increment()
            return
        }
        services.metrics.pendingConnectionsRefused.increment()
        refuse(.tooManyConnections(excess))
    }

    private func endCount() {
        switch quota {
        case .none: return
        case .pending: services.metrics.pendingConnections.decrement()
        case .admitted: break
        }
        services.authenticator.quota.close(peerGroup, isPending: quota == .pending)
        quota = .none
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        switch phase {
        case .session(let session):
            session.received(bytes)
        case .replication(let session):
            session.received(bytes)
        case .startup, .greeting, .authenticating:
            input.writeImmutableBuffer(bytes)
            if input.readableBytes > inputLimit {
                refuse(
                    PostgresError(
                        .protocolViolation, "too much data before the session has started"))
                return
            }
            readStartup(context)
            readAuthentication()
        case .closed:
            break
        }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if case .session(let session) = phase { session.outputWritabilityChanged() }
        if case .replication(let session) = phase { session.outputWritabilityChanged() }
        context.fireChannelWritabilityChanged()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        closed(context)
        context.fireChannelInactive()
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let name)? = event as? TLSUserEvent, let handshake {
            self.handshake = nil
            services.metrics.tlsHandshakes.increment()
            do {
                transport = try handshake.complete(applicationProtocol: name)
            } catch {
                refuse(error)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if handshake != nil { handshakeFailed(TLSFailure.reason(error)) }
        // A reset or a failed write: the client is gone.
        context.close(promise: nil)
    }

    private func closed(_ context: ChannelHandlerContext) {
        guard output != nil else { return }
        output = nil
        if handshake != nil { handshakeFailed(nil) }
        deadline?.cancel()
        endCount()
        if case .session(let session) = phase { session.end() }
        if case .replication(let session) = phase { session.end() }
        if case .authenticating(let login) = phase { abandoned(login) }
        phase = .closed
        link?.close()
        link = nil
        if case .session = phase {} else { pooling?.member.leave() }
        pooling = nil
        if let key { services.cancellations.remove(key) }
        services.metrics.clientConnections.decrement()
        registry.closed(channel: context.channel)
    }

    // MARK: Startup

    private func readStartup(_ context: ChannelHandlerContext) {
        do throws(PostgresError) {
            if try startsWithTLS(context) { return }
            while case .startup = phase, let packet = try StartupPacket.next(in: &input) {
                switch packet {
                case .sslRequest, .gssEncryptionRequest:
                    // What is not offered: the client goes on in plain text or leaves. Each may be
                    // asked for once, as in the server.
                    guard encryptionRequests.insert(packet).inserted else {
                        throw PostgresError(
                            .protocolViolation, "encryption has already been asked for")
                    }
                    if packet == .sslRequest, let offer = encryption?.offer {
                        try encrypt(offer, context)
                        return
                    }
                    output?.buffer.writeInteger(UInt8(ascii: "N"))
                    output?.flush()
                case .cancel(let key):
                    phase = .closed
                    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
                    services.cancellations.cancel(key) { [eventLoop = context.eventLoop] in
                        eventLoop.execute { bound.value.output?.close() }
                    }
                case .startup(let message):
                    try requireEncryption()
                    try begin(message, context)
                }
            }
        } catch {
            refuse(error)
        }
    }

    private func begin(
        _ message: StartupMessage, _ context: ChannelHandlerContext
    ) throws(PostgresError) {
        guard let user = message.user, let database = message.database else {
            throw PostgresError(
                .invalidAuthorization, "no PostgreSQL user name specified in startup packet")
        }
        message.writeNegotiation(to: &negotiation)
        if message.agreedMinorVersion >= 2 { secretLength = 32 }
        let parameters = message.parameters.filter {
            !["user", "database", "replication"].contains($0.name)
                && !$0.name.hasPrefix("_pq_.") && $0.name != MirrorLog.Position.parameter
        }
        tellsPosition = message.parameters.contains { $0.name == MirrorLog.Position.parameter }
        let startup = SessionStartup(
            user: user, database: database,
            parameters: parameters.map { .init(name: $0.name, value: $0.value) },
            replication: try message.replication())
        guard startup.replication == nil || services.upstream.carriesReplication else {
            throw PostgresError(
                .featureNotSupported, "replication connections need PostgreSQL behind the proxy")
        }
        guard startup.replication != .database || !services.upstream.fencesSessions else {
            throw PostgresError(
                .featureNotSupported,
                "replication connections to a database cannot go through nodes that may fail over",
                detail: "They can write, and could not be ended when another node leads.",
                hint: "Connect to the database itself.")
        }
        try authenticate(startup, context)
    }

    /// The client has shown who it is: it gets a session, or is told that there are too many.
    func admit(
        _ claimed: SessionStartup, _ context: ChannelHandlerContext
    ) throws(PostgresError) {
        guard registry.admits(context.channel) else {
            services.metrics.clientConnectionsRefused.increment()
            throw PostgresError(
                .tooManyConnections, "sorry, too many clients already",
                hint: "The limit is limits.max_client_connections of the proxy.")
        }
        if isDraining { throw ClientSession.shutdown }
        if quota == .pending {
            quota = .admitted
            services.authenticator.quota.authenticated(peerGroup)
            services.metrics.pendingConnections.decrement()
        }
        deadline?.cancel()
        deadline = nil
        let startup = services.upstream.login(for: claimed)
        if !isInternal { services.upstream.noteSession(startup) }
        if startup.replication == nil, let pools = services.upstream.pools {
            let member = try pools.join(startup, on: context.eventLoop)
            // What ties a session to its connection is only known where statements are analysed.
            pooling = SessionPooling(
                mode: services.analyses ? pools.mode : .session, member: member)
        }
        // In session mode a client has a connection from the start, and is told its process id.
        // (A node that may not answer from memory may not greet from it either.)
        if startup.replication == nil, pooling?.mode != .session,
            !services.right.isLimited || services.right.deadline > MonotonicClock.now,
            let greeting = services.greetings.greeting(for: startup, now: MonotonicClock.now)
        {
            greet(startup, greeting, link: nil, context.eventLoop)
            return
        }
        phase = .greeting(startup, services.greetings.lease(for: startup))
        if let member = pooling?.member {
            member.borrower = self
            if let lent = member.borrow(
                wanting: SettingsReplay(startup: startup).wanted, isLogin: true)
            {
                self.lent(lent)
            }
            return
        }
        link = services.upstream.makeLink(
            startup: startup, eventLoop: context.eventLoop, delegate: self)
    }

    private func greet(
        _ startup: SessionStartup, _ greeting: UpstreamGreeting, link: (any UpstreamLink)?,
        lent: PooledLink? = nil, _ eventLoop: any EventLoop
    ) {
        guard let output else { return }
        if startup.replication != nil, let link {
            greetReplication(startup, greeting, link: link, eventLoop, output)
            return
        }
        // Only once it is known to be let in: whoever is noted first is whom the catalog is read as.
        if isInternal { services.upstream.noteSession(startup) }
        let session = ClientSession(
            services: services, startup: startup, greeting: greeting, link: link,
            pooling: pooling, eventLoop: eventLoop, output: output)
        let bound = NIOLoopBound(session, eventLoop: eventLoop)
        let processID = pooling?.mode == .session ? lent?.greeting.backendKey?.processID : nil
        let key = services.cancellations.register(
            on: eventLoop, processID: processID, secretLength: secretLength
        ) { then in
            bound.value.cancelRequested(then)
        }
        session.clientProcessID = key.processID
        session.mirroring.tellsPosition = tellsPosition
        writeGreeting(greeting, key, output)
        phase = .session(session)
        if let lent { session.lent(lent) }
        if isDraining { session.drain() }
        let rest = input
        input = ByteBuffer()
        if rest.readableBytes > 0 { session.received(rest) }
    }

    private func greetReplication(
        _ startup: SessionStartup, _ greeting: UpstreamGreeting, link: any UpstreamLink,
        _ eventLoop: any EventLoop, _ output: ClientOutput
    ) {
        let session = ReplicationSession(
            services: services, startup: startup, greeting: greeting, link: link,
            eventLoop: eventLoop, output: output)
        let bound = NIOLoopBound(session, eventLoop: eventLoop)
        let key = services.cancellations.register(on: eventLoop, secretLength: secretLength) {
            then in bound.value.cancelRequested(then)
        }
        writeGreeting(greeting, key, output)
        phase = .replication(session)
        if isDraining { session.fail(ClientSession.shutdown) }
        let rest = input
        input = ByteBuffer()
        if rest.readableBytes > 0 { session.received(rest) }
    }

    private func writeGreeting(
        _ greeting: UpstreamGreeting, _ key: BackendKey, _ output: ClientOutput
    ) {
        self.key = key
        output.buffer.writeImmutableBuffer(negotiation)
        output.buffer.writeAuthenticationOk()
        for status in greeting.parameterStatuses {
            output.buffer.writeParameterStatus(status.name, status.value)
        }
        output.buffer.writeBackendKeyData(key)
        output.buffer.writeReadyForQuery(.idle)
        output.flush()
    }

    private func startupTimedOut() {
        switch phase {
        case .startup, .greeting:
            refuse(PostgresError("57014", "canceling the connection due to startup timeout"))
        case .authenticating(let login):
            timedOut(login)
        case .session, .replication, .closed:
            break
        }
    }

    /// Ends the connection with a FATAL error.
    func refuse(_ error: PostgresError) {
        var error = error
        error.severity = .fatal
        services.metrics.errorsSent.increment()
        phase = .closed
        link?.close()
        link = nil
        pooling?.member.leave()
        // In the middle of a handshake there is no way to say it.
        if handshake == nil { output?.buffer.writeErrorResponse(error) }
        output?.close()
    }

    private func drain() {
        isDraining = true
        switch phase {
        case .startup, .authenticating, .greeting: refuse(ClientSession.shutdown)
        case .session(let session): session.drain()
        case .replication(let session): session.fail(ClientSession.shutdown)
        case .closed: break
        }
    }
}

// MARK: - The first session of its kind

extension ClientConnectionHandler: UpstreamLinkDelegate {
    package func upstreamReady(_ greeting: UpstreamGreeting) {
        switch phase {
        case .greeting(let startup, let lease):
            if startup.replication == nil {
                services.greetings.remember(
                    greeting, for: startup, lease: lease, now: MonotonicClock.now)
            }
            services.metrics.upstreamConnections.increment()
            let link = self.link
            self.link = nil
            guard let eventLoop = output?.eventLoop else { return }
            greet(startup, greeting, link: link, eventLoop)
        case .session(let session):
            session.upstreamReady(greeting)
        case .startup, .authenticating, .replication, .closed:
            break
        }
    }

    package func upstreamReceived(_ bytes: ByteBuffer) {
        if case .session(let session) = phase { session.upstreamReceived(bytes) }
        if case .replication(let session) = phase { session.upstreamReceived(bytes) }
    }

    package func upstreamWritabilityChanged(_ isWritable: Bool) {
        if case .session(let session) = phase { session.upstreamWritabilityChanged(isWritable) }
        if case .replication(let session) = phase { session.upstreamWritabilityChanged(isWritable) }
    }

    package func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) {
        switch phase {
        case .greeting:
            link = nil
            services.metrics.upstreamConnectFailures.increment()
            refuse(error)
        case .session(let session):
            session.upstreamClosed(error, mayStillRun: mayStillRun)
        case .replication(let session):
            session.upstreamClosed(mayStillRun: mayStillRun)
        case .startup, .authenticating, .closed:
            break
        }
    }
}

// MARK: - The first session of its kind, with a connection from a pool

extension ClientConnectionHandler: LinkBorrower {
    package func lent(_ lent: PooledLink) {
        guard case .greeting(let startup, let lease) = phase, let eventLoop = output?.eventLoop
        else {
            lent.giveBack()
            return
        }
        services.greetings.remember(
            lent.greeting, for: startup, lease: lease, now: MonotonicClock.now)
        greet(
            startup, GreetingTable.adapt(lent.greeting, to: startup), link: nil, lent: lent,
            eventLoop)
    }
}
