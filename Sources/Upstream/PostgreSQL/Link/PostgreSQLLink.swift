import NIOCore
import PostgresWire

/// One session with a PostgreSQL server, on the event loop of the client session that owns it.
///
/// It connects, authenticates and optionally probes settings by itself; from then on bytes pass
/// untouched in both directions. After `close()` the delegate hears nothing more. Split by
/// phase: `+Connecting` up to a connection, with or without TLS, `+Startup` up to readiness.
///
/// Event-loop-confined: every call, and every call to the delegate, is on `eventLoop`. From within
/// `send`, only `upstreamWritabilityChanged` is called.
package final class PostgreSQLLink: UpstreamLink {
    enum State {
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

    let settings: PostgreSQLUpstreamSettings
    let tls: LinkTLS
    let servers: KnownServers
    let database: String
    let startup: StartupMessage
    let user: String
    let credentials: UpstreamCredentials?
    let eventLoop: any EventLoop
    let probesSettings: Bool
    let claim: LinkClaim?
    /// Held until the link is over, then let go: the delegate owns the link.
    var delegate: (any UpstreamLinkDelegate)?

    var state: State = .connecting
    var attempts: LinkAttempts
    var earlierFailures: [String] = []
    private var startupDeadline: Scheduled<Void>?
    /// Of one attempt, while others are left.
    var attemptDeadline: Scheduled<Void>?
    /// Tells a connection that comes late from the one that is waited for.
    var attemptCount = 0
    /// Startup messages not yet whole.
    var received = ByteBuffer()
    var pending: [ByteBuffer] = []
    var pendingBytes = 0
    private var isWritable = true
    var isPaused = false
    private var hasSentBytes = false
    /// Whether the last bytes seen ended like a ReadyForQuery and nothing was sent since.
    private var looksIdle = true
    var backendKey: BackendKey?
    private var cancelsUnderWay = 0
    private var awaitingCancels: [() -> Void] = []

    var address: PostgreSQLAddress { attempts.host }

    /// Starts connecting. Call on `eventLoop`.
    ///
    /// `credentials`: of the client's own user, where it has shown some; those of the settings,
    /// where there are any, go before them.
    init(
        settings: PostgreSQLUpstreamSettings, tls: LinkTLS, servers: KnownServers,
        startup: SessionStartup, eventLoop: any EventLoop,
        delegate: any UpstreamLinkDelegate, probesSettings: Bool,
        credentials: UpstreamCredentials? = nil, claim: LinkClaim? = nil
    ) {
        self.claim = claim
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

    /// In place of `start`, where it is known that there is nothing to connect to.
    func start(failingWith error: PostgresError) {
        eventLoop.assumeIsolated().execute { self.fail(error) }
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

    // MARK: Ending

    func reportWritability(_ isWritable: Bool) {
        guard isWritable != self.isWritable else { return }
        self.isWritable = isWritable
        delegate?.upstreamWritabilityChanged(isWritable)
    }

    /// The delegate hears of it in the event loop's next turn: never from within a call of its own.
    func fail(_ error: PostgresError) {
        let wasReady = if case .ready = state { true } else { false }
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
        let error = wasReady ? error : sayingWhoseFault(error)
        eventLoop.assumeIsolated().execute {
            let delegate = self.delegate
            self.delegate = nil
            delegate?.upstreamClosed(error, mayStillRun: self.hasSentBytes)
        }
    }

    /// A node that this one follows cannot be reached: a client that knows several is to try the next,
    /// which libpq does for this error alone.
    private func sayingWhoseFault(_ error: PostgresError) -> PostgresError {
        guard settings.leadsToNode, ConnectionFailure.isAbout(address, error) else { return error }
        return PostgresError(
            .cannotConnectNow, error.message, severity: .fatal,
            detail: "There is the node that this one follows.",
            hint: "Connect to another node, or try again in a moment.")
    }

    private func end() {
        if case .ready = state { servers.ended(ObjectIdentifier(self)) }
        state = .closed
        cancelDeadlines()
        pending = []
        pendingBytes = 0
        received = ByteBuffer()
    }

    func cancelDeadlines() {
        startupDeadline?.cancel()
        startupDeadline = nil
        attemptDeadline?.cancel()
        attemptDeadline = nil
    }
}
