import NIOCore
import NIOPosix
import PostgresWire

// From a list of hosts to a connection with one of them, encrypted or in plain text.

extension PostgreSQLLink {
    func connect() {
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
    func attemptFailed(_ error: PostgresError) {
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

    func reconnect() {
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

    func continueNegotiation(_ handler: PostgreSQLLinkHandler) {
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
}
