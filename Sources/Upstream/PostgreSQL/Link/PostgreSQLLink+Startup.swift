import NIOCore
import NIOPosix
import PostgresWire

// From a connection to a session that is ready: authentication, then what waits for it.

extension PostgreSQLLink {
    private static let maximumStartupMessageLength = 1 << 20

    func beginStartup(_ handler: PostgreSQLLinkHandler, serverEndPoint: [UInt8]?) {
        let binding = ChannelBinding(
            policy: settings.channelBinding, serverEndPoint: serverEndPoint)
        state = .starting(
            handler,
            LinkStartupStateMachine(
                user: user, credentials: credentials, binding: binding, target: attempts.target,
                probesSettings: probesSettings, claim: claim))
        var message = ByteBuffer()
        message.writeStartup(startup)
        handler.send(message)
    }

    func continueStartup() {
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
        cancelDeadlines()
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

    private func superseded() {
        guard case .ready = state else { return }
        fail(ConnectionFailure.error(address, "another server has become the primary"))
    }
}
