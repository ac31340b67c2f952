import Logging
import NIOCore
import NIOPosix
import PostgresWire
import Security
import Telemetry
import Upstream

/// Between the startup message and the session: performs what the
/// `ClientAuthenticationStateMachine` asks for. Nothing of the upstream is touched before it says
/// `.authenticated`.
extension ClientConnectionHandler {
    /// What may wait in `input`, in bytes.
    var inputLimit: Int {
        switch phase {
        case .authenticating(let login):
            max(Self.unauthenticatedLimit, login.machine.messageLimit + 1)
        case .startup, .closed: Self.unauthenticatedLimit
        case .greeting, .session, .replication: 4 * StartupPacket.maximumLength
        }
    }

    func authenticate(
        _ startup: SessionStartup, _ context: ChannelHandlerContext
    ) throws(PostgresError) {
        if isInternal {
            try admit(startup, context)
            return
        }
        let authenticator = services.authenticator
        let settings = authenticator.settings
        let channel = context.channel
        let client = ClientIdentity(
            user: startup.user, database: startup.database,
            peer: PeerAddress(remote: channel.remoteAddress, local: channel.localAddress),
            transport: transport)
        if settings.policy.isOpen {
            // Nobody is asked; the listeners are then such that only this machine can connect.
            if case .network = client.peer, !client.peer.isLocal {
                throw PostgresError(
                    .invalidAuthorization, "connections from other machines need an [[auth.rule]]")
            }
            try admit(startup, context)
            return
        }
        let login = ClientLogin(
            startup: startup, client: client, settings: settings, context: context,
            machine: authenticator.machine(settings.policy, client))
        phase = .authenticating(login)
        setDeadline(settings, context.eventLoop)
        guard mayTry(login) else { return }
        perform(login.machine.start(), login)
    }

    /// One deadline for all of it: what trickles in byte by byte does not put it off.
    private func setDeadline(
        _ settings: ClientAuthenticator.Settings, _ eventLoop: any EventLoop
    ) {
        deadline?.cancel()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        deadline = eventLoop.scheduleTask(deadline: began + .nanoseconds(settings.timeout)) {
            guard case .authenticating(let login) = bound.value.phase else { return }
            bound.value.timedOut(login)
        }
    }

    /// Asked again before each answer is looked at: many may have been sent at once.
    private func mayTry(_ login: ClientLogin) -> Bool {
        let isAllowed = services.authenticator.mayTry(
            login.client.peer, login.settings, now: MonotonicClock.now)
        if !isAllowed {
            fail(
                login,
                PostgresError(
                    .invalidAuthorization, "too many failed logins from this address",
                    hint: "Wait for auth.failure_window of the proxy to pass."),
                .rateLimited)
        }
        return isAllowed
    }

    /// Reads the client's answers, as far as they are there and asked for.
    func readAuthentication() {
        do {
            while case .authenticating(let login) = phase, login.machine.awaitsMessage,
                let frame = try MessageFraming.next(
                    in: &input, limit: login.machine.messageLimit)
            {
                switch frame.tag {
                case FrontendTag.password:
                    guard mayTry(login) else { return }
                    perform(login.machine.messageReceived(frame.body), login)
                case FrontendTag.terminate:
                    abandoned(login)
                    phase = .closed
                    output?.close()
                default:
                    fail(
                        login,
                        PostgresError(.protocolViolation, "expected a password message"),
                        .protocolViolation)
                }
            }
        } catch {
            if case .authenticating(let login) = phase { fail(login, error, .protocolViolation) }
        }
    }

    private func perform(
        _ action: ClientAuthenticationStateMachine.Action, _ login: ClientLogin
    ) {
        switch action {
        case .send(let message):
            output?.buffer.writeImmutableBuffer(negotiation)
            negotiation = ByteBuffer()
            output?.buffer.writeImmutableBuffer(message)
            output?.flush()
        case .lookUpSecret:
            lookUpSecret(login)
        case .checkToken(let check):
            run(check, login)
        case .authenticated(let message, let credentials):
            succeed(login, message, credentials)
        case .refuse(let error, let reason):
            fail(login, error, reason)
        }
    }

    private func succeed(
        _ login: ClientLogin, _ message: ByteBuffer, _ credentials: UpstreamCredentials?
    ) {
        if let method = login.machine.method { services.metrics.logins.succeeded(method) }
        if let credentials {
            services.upstream.remember(credentials, forUser: login.startup.user)
        }
        negotiation.writeImmutableBuffer(message)
        do throws(PostgresError) {
            try admit(login.startup, login.context)
        } catch {
            refuse(error)
        }
    }

    private func fail(_ login: ClientLogin, _ error: PostgresError, _ reason: LoginFailure) {
        note(reason, login)
        if reason.isAttempt {
            services.authenticator.failed(
                login.client.peer, login.settings, now: MonotonicClock.now)
            // It may have changed since it was asked for.
            services.authenticator.secrets.forget(login.startup.user)
        }
        refuse(error)
    }

    func timedOut(_ login: ClientLogin) {
        fail(login, PostgresError("57014", "canceling authentication due to timeout"), .timeout)
    }

    /// The connection is closing without an answer.
    func abandoned(_ login: ClientLogin) {
        services.metrics.logins.failed(login.machine.method, .abandoned)
    }

    private func note(_ reason: LoginFailure, _ login: ClientLogin) {
        services.metrics.logins.failed(login.machine.method, reason)
        services.logger.notice(
            "login failed",
            metadata: [
                "user": "\(login.client.user.prefix(63))",
                "database": "\(login.client.database.prefix(63))",
                "address": "\(login.client.peer)",
                "method": "\(login.machine.method?.rawValue ?? "none")",
                "reason": "\(reason.rawValue)",
            ])
    }

    // MARK: What takes time

    /// RSA takes too long for an event loop that serves others.
    private func run(_ check: TokenCheck, _ login: ClientLogin) {
        let eventLoop = login.context.eventLoop
        let now = Double(WallClock.microseconds) / 1_000_000
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { check.failure(now: now) }
            .whenComplete { outcome in
                bound.value.resume { login in
                    switch outcome {
                    case .success(let failure): login.machine.tokenChecked(failure)
                    case .failure: login.machine.tokenChecked(.lookup)
                    }
                }
            }
    }

    private func lookUpSecret(_ login: ClientLogin) {
        let eventLoop = login.context.eventLoop
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let secrets = services.authenticator.secrets
        let user = login.startup.user
        guard let question = services.options.secretQuestion else {
            perform(login.machine.lookupFailed(), login)
            return
        }
        let lookup = secrets.find(user, now: MonotonicClock.now) { answer in
            eventLoop.execute { bound.value.secretAnswered(answer) }
        }
        switch lookup {
        case .known(let secret):
            perform(login.machine.secretFound(secret), login)
        case .refused:
            perform(login.machine.lookupFailed(), login)
        case .waiting:
            break
        case .ask(let generation):
            ask(question, for: user, generation: generation, login.settings.secretLifetime)
        }
    }

    private func ask(
        _ question: RoleSecretQuestion, for user: String, generation: UInt64, _ lifetime: UInt64
    ) {
        services.metrics.authQueries.increment()
        services.metrics.authQueriesWaiting.increment()
        services.upstream.lookUpSecret(ofUser: user, question) { [services] result in
            services.metrics.authQueriesWaiting.decrement()
            let now = MonotonicClock.now
            let answer: RoleSecretTable.Answer
            switch result {
            case .success(let secret):
                answer = .secret(secret.flatMap { StoredSecret($0.value) })
            case .failure(let failure):
                services.logger.warning(
                    "auth_query has failed", metadata: ["reason": "\(failure.reason)"])
                answer = .unavailable
            }
            services.authenticator.secrets.answered(
                user, answer, generation: generation, expiry: now + lifetime, now: now)
        }
    }

    private func secretAnswered(_ answer: RoleSecretTable.Answer) {
        resume { login in
            switch answer {
            case .secret(let secret): login.machine.secretFound(secret)
            case .unavailable: login.machine.lookupFailed()
            }
        }
    }

    /// Goes on with what was waited for, unless the connection has ended meanwhile.
    private func resume(
        _ event: (ClientLogin) -> ClientAuthenticationStateMachine.Action
    ) {
        guard case .authenticating(let login) = phase else { return }
        perform(event(login), login)
        readAuthentication()
    }
}

extension LoginFailure {
    /// Whether somebody may be trying passwords.
    fileprivate var isAttempt: Bool {
        switch self {
        case .unknownUser, .wrongPassword, .tokenMalformed, .tokenSignature, .tokenExpired,
            .tokenClaims, .tokenRole, .certificate, .channelBinding, .protocolViolation:
            true
        case .rule, .encryptionRequired, .timeout, .rateLimited, .lookup, .abandoned:
            false
        }
    }
}

extension PostgresError {
    /// There are too many connections of some kind.
    static func tooManyConnections(_ excess: ConnectionQuota.Excess) -> PostgresError {
        let (message, key) =
            switch excess {
            case .pending:
                ("too many connections that are not authenticated", "max_pending_connections")
            case .pendingFromAddress:
                (
                    "too many connections from this address that are not authenticated",
                    "max_pending_per_address"
                )
            case .fromAddress:
                ("too many connections from this address", "max_connections_per_address")
            }
        return PostgresError(
            .tooManyConnections, message, severity: .fatal,
            hint: "The limit is limits.\(key) of the proxy.")
    }
}
