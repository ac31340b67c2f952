import NIOCore
import NIOPosix
import PostgresWire

/// One session with a PostgreSQL server, on the event loop of the client session that owns it.
///
/// It connects, authenticates and optionally probes settings by itself; from then on bytes pass
/// untouched in both directions. After `close()` the delegate hears nothing more.
///
/// Event-loop-confined: every call, and every call to the delegate, is on `eventLoop`. From within
/// `send`, only `upstreamWritabilityChanged` is called.
package final class PostgreSQLLink: UpstreamLink {
    private enum State {
        case connecting
        /// Asked whether the server goes on with TLS.
        case negotiating(PostgreSQLLinkHandler)
        case encrypting(PostgreSQLLinkHandler)
        case starting(PostgreSQLLinkHandler, LinkStartupStateMachine)
        case ready(PostgreSQLLinkHandler)
        case closed
    }

    /// Bytes that may wait for a link that is not ready yet.
    package static let maximumPendingBytes = 64 << 20
    /// Where the owner is asked to stop reading while the link is not ready yet.
    private static let pendingHighWaterMark = 256 << 10
    private static let maximumStartupMessageLength = 1 << 20

    private let settings: PostgreSQLUpstreamSettings
    private let tls: LinkTLS
    private let servers: KnownServers
    private let database: String
    private let startup: StartupMessage
    private let user: String
    private let credentials: UpstreamCredentials?
    private let eventLoop: any EventLoop
    private let probesSettings: Bool
    /// Held until the link is over, then let go: the delegate owns the link.
    private var delegate: (any UpstreamLinkDelegate)?

    private var state: State = .connecting
    private var attempts: LinkAttempts
    private var earlierFailures: [String] = []
    private var startupDeadline: Scheduled<Void>?
    /// Of one attempt, while others are left.
    private var attemptDeadline: Scheduled<Void>?
    /// Tells a connection that comes late from the one that is waited for.
    private var attemptCount = 0
    /// Startup messages not yet whole.
    private var received = ByteBuffer()
    private var pending: [ByteBuffer] = []
    private var pendingBytes = 0
    private var isWritable = true
    private var isPaused = false
    private var hasSentBytes = false
    /// Whether the last bytes seen ended like a ReadyForQuery and nothing was sent since.
    private var looksIdle = true
    private var backendKey: BackendKey?
    private var cancelsUnderWay = 0
    private var awaitingCancels: [() -> Void] = []

    private var address: PostgreSQLAddress { attempts.host }

    /// Starts connecting. Call on `eventLoop`.
    ///
    /// `credentials`: of the client's own user, where it has shown some; those of the settings,
    /// where there are any, go before them.
    init(
        settings: PostgreSQLUpstreamSettings, tls: LinkTLS, servers: KnownServers,
        startup: SessionStartup, eventLoop: any EventLoop,
        delegate: any UpstreamLinkDelegate, probesSettings: Bool,
        credentials: UpstreamCredentials? = nil
    ) {
        self.settings = settings
        self.tls = tls
        self.servers = servers
        database = startup.database
        let anyOfKind = settings.target != .any && settings.target != .preferStandby
        attempts = LinkAttempts(
            hosts: settings.hosts, mode: settings.encryption.mode, wanted: settings.target,
            first: anyOfKind ? servers.lastHost : 0)
        self.user = settings.user ?? startup.user
        if let password = settings.password {
            self.credentials = .password(password)
        } else {
            self.credentials = settings.user == nil ? credentials : nil
        }
        self.startup = StartupMessage(settings: settings, startup: startup)
        self.eventLoop = eventLoop
        self.delegate = delegate
        self.probesSettings = probesSettings
    }

    /// Call once, on the event loop. Failures are told later, never from within.
    func start() {
        let isolated = eventLoop.assumeIsolated()
        startupDeadline = isolated.scheduleTask(in: settings.startupTimeout) {
            self.fail(ConnectionFailure.error(self.address, "timeout expired"))
        }
        isolated.execute { self.connect() }
    }

    // MARK: UpstreamLink

    package func send(_ messages: ByteBuffer) {
        eventLoop.assertInEventLoop()
        switch state {
        case .ready(let handler):
            hasSentBytes = true
            looksIdle = false
            handler.send(messages)
        case .connecting, .negotiating, .encrypting, .starting:
            guard messages.readableBytes <= Self.maximumPendingBytes - pendingBytes else {
                fail(
                    PostgresError(
                        .programLimitExceeded,
                        "too many bytes wait for the connection to the upstream server",
                        severity: .fatal))
                return
            }
            pending.append(messages)
            pendingBytes += messages.readableBytes
            if pendingBytes > Self.pendingHighWaterMark { reportWritability(false) }
        case .closed:
            break
        }
    }

    package func setPaused(_ paused: Bool) {
        eventLoop.assertInEventLoop()
        isPaused = paused
        // Before it is ready nothing flows to the delegate, and startup must go on.
        if case .ready(let handler) = state { handler.setPaused(paused) }
    }

    package func cancelRunningStatement() {
        eventLoop.assertInEventLoop()
        guard case .ready = state, let backendKey, let address = attempts.address else { return }
        cancelsUnderWay += 1
        let request = CancelRequest.send(
            backendKey, to: address,
            encryption: attempts.isEncrypted ? .init(tls: tls, host: attempts.host) : nil,
            timeout: settings.connectTimeout, eventLoop: eventLoop)
        request.assumeIsolated().whenComplete { _ in self.cancelEnded() }
    }

    /// The server closes a cancel request's connection when it has passed the signal on: a session
    /// that has not been told by then never will be.
    private func cancelEnded() {
        cancelsUnderWay -= 1
        guard cancelsUnderWay == 0 else { return }
        let waiting = awaitingCancels
        awaitingCancels = []
        for then in waiting { then() }
    }

    package func afterCancels(_ then: @escaping () -> Void) {
        eventLoop.assertInEventLoop()
        if cancelsUnderWay == 0 { then() } else { awaitingCancels.append(then) }
    }

    package func close() {
        eventLoop.assertInEventLoop()
        delegate = nil
        switch state {
        case .ready(let handler):
            if looksIdle {
                var terminate = ByteBuffer()
                terminate.writeTerminate()
                handler.send(terminate)
            }
            end()
            handler.close()
        case .negotiating(let handler), .encrypting(let handler), .starting(let handler, _):
            end()
            handler.close()
        case .connecting:
            end()
        case .closed:
            break
        }
    }

    // MARK: Connecting

    private func connect() {
        guard case .connecting = state else { return }
        if attempts.address == nil {
            let found = HostResolution.addresses(of: attempts.host, eventLoop: eventLoop)
            scheduleAttemptDeadline()
            let host = attempts.host
            found.assumeIsolated().whenComplete { outcome in
                guard case .connecting = self.state, self.attempts.host == host else { return }
                let addresses = (try? outcome.get()) ?? []
                guard !addresses.isEmpty else {
                    self.attemptFailed(
                        ConnectionFailure.error(host, "could not translate host name to address"))
                    return
                }
                self.attempts.resolved(addresses)
                self.connect()
            }
            return
        }
        guard let remote = attempts.address else { return }
        scheduleAttemptDeadline()
        attemptCount += 1
        let attempt = attemptCount
        guard let bootstrap = ClientBootstrap(validatingGroup: eventLoop) else {
            fail(ConnectionFailure.error(address, "the event loop cannot open sockets"))
            return
        }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let configured =
            bootstrap
            .connectTimeout(settings.connectTimeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        PostgreSQLLinkHandler(link: bound.value, attempt: attempt))
                }
            }
        configured.connect(to: remote).assumeIsolated().whenFailure { error in
            // One that its own deadline has ended is history.
            guard case .connecting = self.state, self.attemptCount == attempt else { return }
            self.attemptFailed(ConnectionFailure.error(self.address, error))
        }
    }

    /// A server that takes connections and then says nothing is passed over too, as by libpq, where
    /// there is another one. Otherwise it has the time of the whole startup.
    private func scheduleAttemptDeadline() {
        attemptDeadline?.cancel()
        attemptDeadline = nil
        guard attempts.hasMore else { return }
        attemptDeadline = eventLoop.assumeIsolated().scheduleTask(in: settings.connectTimeout) {
            self.attemptFailed(ConnectionFailure.error(self.address, "timeout expired"))
        }
    }

    /// This host did not do; the next one may.
    private func attemptFailed(_ error: PostgresError) {
        switch state {
        case .closed, .ready: return
        case .connecting, .negotiating, .encrypting, .starting: break
        }
        guard attempts.advance() else {
            var error = error
            if !earlierFailures.isEmpty, error.detail == nil {
                error.detail = earlierFailures.joined(separator: "\n")
            }
            fail(error)
            return
        }
        if earlierFailures.count < 16 { earlierFailures.append(error.message) }
        reconnect()
    }

    private func reconnect() {
        // State first: closing tells of itself at once, and must find another state.
        let before = state
        state = .connecting
        received.clear()
        switch before {
        case .negotiating(let handler), .encrypting(let handler), .starting(let handler, _):
            handler.close()
        case .connecting, .ready, .closed: break
        }
        connect()
    }

    func channelBecameActive(_ handler: PostgreSQLLinkHandler) {
        guard case .connecting = state, handler.attempt == attemptCount else {
            handler.close()  // Closed, or timed out, in the meantime.
            return
        }
        guard attempts.isEncrypted else {
            beginStartup(handler, serverEndPoint: nil)
            return
        }
        state = .negotiating(handler)
        var message = ByteBuffer()
        message.writeSSLRequest()
        handler.send(message)
    }

    private func beginStartup(_ handler: PostgreSQLLinkHandler, serverEndPoint: [UInt8]?) {
        let binding = ChannelBinding(
            policy: settings.channelBinding, serverEndPoint: serverEndPoint)
        state = .starting(
            handler,
            LinkStartupStateMachine(
                user: user, credentials: credentials, binding: binding, target: attempts.target,
                probesSettings: probesSettings))
        var message = ByteBuffer()
        message.writeStartup(startup)
        handler.send(message)
    }

    // MARK: TLS

    private func continueNegotiation(_ handler: PostgreSQLLinkHandler) {
        switch EncryptionAnswer(received, mode: settings.encryption.mode) {
        case nil:
            break
        case .encrypt:
            received.clear()
            state = .encrypting(handler)
            do {
                try handler.encrypt(with: try tls.makeHandler(for: attempts.host))
            } catch {
                attemptFailed(ConnectionFailure.error(address, error))
            }
        case .continueInPlainText:
            received.clear()
            _ = attempts.switchEncryption()
            beginStartup(handler, serverEndPoint: nil)
        case .fail(let reason):
            attemptFailed(ConnectionFailure.error(address, reason))
        }
    }

    /// The handshake is done, the server's certificate (in DER) verified as far as was asked for.
    func channelEncrypted(certificate: [UInt8]?, of handler: PostgreSQLLinkHandler) {
        guard case .encrypting(let current) = state, current === handler else { return }
        beginStartup(
            handler,
            serverEndPoint: certificate.flatMap { PeerCertificate(der: $0)?.serverEndPoint })
    }

    // MARK: Channel events

    func channelReceived(_ bytes: ByteBuffer, from handler: PostgreSQLLinkHandler) {
        switch state {
        case .ready(let current) where current === handler:
            looksIdle = Self.endsInReadyForQuery(bytes)
            delegate?.upstreamReceived(bytes)
        case .starting(let current, _) where current === handler:
            received.writeImmutableBuffer(bytes)
            continueStartup()
        case .negotiating(let current) where current === handler:
            received.writeImmutableBuffer(bytes)
            continueNegotiation(handler)
        case .connecting, .negotiating, .encrypting, .starting, .ready, .closed:
            break  // A connection that was given up.
        }
    }

    func channelWritabilityChanged(_ isWritable: Bool, of handler: PostgreSQLLinkHandler) {
        guard case .ready(let current) = state, current === handler else { return }
        reportWritability(isWritable)
    }

    func channelBecameInactive(_ handler: PostgreSQLLinkHandler) {
        switch state {
        case .ready(let current) where current === handler:
            fail(ConnectionFailure.error(address, Self.closedUnexpectedly))
        case .starting(let current, _) where current === handler,
            .negotiating(let current) where current === handler,
            .encrypting(let current) where current === handler:
            attemptFailed(ConnectionFailure.error(address, Self.closedUnexpectedly))
        case .connecting, .negotiating, .encrypting, .starting, .ready, .closed:
            break
        }
    }

    func channelFailed(_ error: any Error, of handler: PostgreSQLLinkHandler) {
        switch state {
        case .ready(let current) where current === handler:
            fail(ConnectionFailure.error(address, error))
        case .starting(let current, _) where current === handler,
            .negotiating(let current) where current === handler,
            .encrypting(let current) where current === handler:
            attemptFailed(ConnectionFailure.error(address, error))
        case .connecting, .negotiating, .encrypting, .starting, .ready, .closed:
            break
        }
    }

    private static let closedUnexpectedly = "server closed the connection unexpectedly"

    /// Right for every reply that ends a chunk; a row may look like it too, which does no harm.
    private static func endsInReadyForQuery(_ bytes: ByteBuffer) -> Bool {
        guard bytes.readableBytes >= 6 else { return false }
        let start = bytes.writerIndex - 6
        return bytes.getInteger(at: start, as: UInt8.self) == BackendTag.readyForQuery
            && bytes.getInteger(at: start + 1, as: UInt32.self) == 5
    }

    // MARK: Startup

    private func continueStartup() {
        while case .starting(let handler, var machine) = state {
            do {
                guard
                    let frame = try MessageFraming.next(
                        in: &received, limit: Self.maximumStartupMessageLength)
                else { return }
                let action = try machine.messageReceived(frame)
                state = .starting(handler, machine)
                perform(action, handler)
            } catch {
                startupFailed(error)
            }
        }
    }

    private func startupFailed(_ error: PostgresError) {
        // As libpq: a server that is starting up or shutting down is passed over.
        if error.sqlState == .cannotConnectNow {
            attemptFailed(error)
        } else if error.sqlState == .invalidAuthorization, attempts.switchEncryption() {
            // pg_hba.conf refuses such connections; perhaps not those with TLS, or without. A
            // password that was wrong is not sent again.
            reconnect()
        } else {
            fail(error)
        }
    }

    private func perform(
        _ action: LinkStartupStateMachine.Action, _ handler: PostgreSQLLinkHandler
    ) {
        switch action {
        case .none: break
        case .send(let message): handler.send(message)
        case .deriveProof(let derivation): derive(derivation, handler)
        case .ready(let greeting): becomeReady(greeting, handler)
        case .unsuitable(let reason):
            attemptFailed(ConnectionFailure.error(address, reason))
        }
    }

    /// PBKDF2 takes milliseconds and more: not on the event loop, which serves other sessions.
    private func derive(_ derivation: ScramKeyDerivation, _ handler: PostgreSQLLinkHandler) {
        let derived = NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
            Result { () throws(PostgresError) in try derivation.derive() }
        }
        derived.assumeIsolated().whenComplete { outcome in
            guard case .starting(let current, var machine) = self.state, current === handler
            else { return }
            do {
                let proof = try outcome.get().get()
                let action = try machine.proofDerived(proof)
                self.state = .starting(handler, machine)
                self.perform(action, handler)
                self.continueStartup()
            } catch let error as PostgresError {
                self.startupFailed(error)
            } catch {
                self.fail(ConnectionFailure.error(self.address, "no thread to authenticate on"))
            }
        }
    }

    private func becomeReady(_ greeting: UpstreamGreeting, _ handler: PostgreSQLLinkHandler) {
        startupDeadline?.cancel()
        startupDeadline = nil
        attemptDeadline?.cancel()
        attemptDeadline = nil
        noteServer()
        backendKey = greeting.backendKey
        state = .ready(handler)
        let waiting = pending
        pending = []
        pendingBytes = 0
        for messages in waiting { send(messages) }
        guard case .ready = state else { return }  // A write may find the connection gone.
        reportWritability(handler.isWritable)
        if isPaused { handler.setPaused(true) }
        delegate?.upstreamReady(greeting)
        let rest = received
        received = ByteBuffer()
        if rest.readableBytes > 0 { channelReceived(rest, from: handler) }
    }

    private func noteServer() {
        guard let remote = attempts.address else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        servers.reached(
            .init(database: database, address: remote, host: attempts.hostIndex) {
                [eventLoop] in eventLoop.execute { bound.value.superseded() }
            }, id: ObjectIdentifier(self))
    }

    // MARK: Ending

    private func superseded() {
        guard case .ready = state else { return }
        fail(ConnectionFailure.error(address, "another server has become the primary"))
    }

    private func reportWritability(_ isWritable: Bool) {
        guard isWritable != self.isWritable else { return }
        self.isWritable = isWritable
        delegate?.upstreamWritabilityChanged(isWritable)
    }

    /// The delegate hears of it in the event loop's next turn: never from within a call of its own.
    private func fail(_ error: PostgresError) {
        let handler: PostgreSQLLinkHandler? =
            switch state {
            case .closed, .connecting: nil
            case .negotiating(let handler), .encrypting(let handler), .starting(let handler, _),
                .ready(let handler):
                handler
            }
        if case .closed = state { return }
        end()
        handler?.close()
        eventLoop.assumeIsolated().execute {
            let delegate = self.delegate
            self.delegate = nil
            delegate?.upstreamClosed(error, mayStillRun: self.hasSentBytes)
        }
    }

    private func end() {
        if case .ready = state { servers.ended(ObjectIdentifier(self)) }
        state = .closed
        startupDeadline?.cancel()
        startupDeadline = nil
        attemptDeadline?.cancel()
        attemptDeadline = nil
        pending = []
        pendingBytes = 0
        received = ByteBuffer()
    }
}
