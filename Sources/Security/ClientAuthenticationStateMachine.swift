import Crypto
import NIOCore
import PostgresWire
import Telemetry

/// Authentication of one client, from its startup message to AuthenticationOk.
///
/// Pure: events go in, one action comes out. A message that is not legal in the state it meets ends
/// the connection; there is no way on to another method, and nothing but `.authenticated` lets in.
/// https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.3
package struct ClientAuthenticationStateMachine: Sendable {
    package enum Action: Sendable {
        /// Write this message and wait for the client's answer.
        case send(ByteBuffer)
        /// Ask the database for the user's secret, then call `secretFound` or `lookupFailed`.
        case lookUpSecret
        /// Call `failure()` off the event loop, then `tokenChecked` with what it returns.
        case checkToken(TokenCheck)
        /// Write what there is to write, then AuthenticationOk.
        case authenticated(ByteBuffer, UpstreamCredentials?)
        /// Write the error and close.
        case refuse(PostgresError, LoginFailure)
    }

    private enum State: Sendable {
        case initial
        case awaitingSecret
        case awaitingSASLInitial(ScramExchange, Proof)
        /// The client chose a mechanism without its first message.
        case awaitingSASLFirst(ScramExchange, Proof, mechanism: String)
        case awaitingSASLFinal(ScramExchange, Proof)
        case awaitingMD5(salt: [UInt8], hexDigits: [UInt8], Proof)
        case awaitingToken
        case checkingToken
        case ended
    }

    /// What a right answer proves.
    private struct Proof: Sendable {
        /// False: the user has no such secret, and no answer is right.
        var isGenuine: Bool
        var password: Secret?
        var serverKey: [UInt8] = []
    }

    /// Longer answers to SCRAM and MD5 requests are not.
    private static let longestAnswer = 2 * ScramExchange.longestMessage

    /// PostgreSQL's NAMEDATALEN, without the final zero.
    private static let longestName = 63

    private let policy: AuthenticationPolicy
    private let client: ClientIdentity
    private let mockSecret: SymmetricKey
    private let makeNonce: @Sendable () -> String
    private let makeSalt: @Sendable () -> [UInt8]
    private var state: State = .initial
    /// Of the rule that decides; nil before `start` and where there is none.
    package private(set) var method: AuthenticationMethod?

    /// - Parameter mockSecret: of this process, the same for all its clients.
    package init(policy: AuthenticationPolicy, client: ClientIdentity, mockSecret: SymmetricKey) {
        self.init(
            policy: policy, client: client, mockSecret: mockSecret,
            makeNonce: ScramExchange.makeNonce, makeSalt: { SecureRandom.bytes(4) })
    }

    init(
        policy: AuthenticationPolicy, client: ClientIdentity, mockSecret: SymmetricKey,
        makeNonce: @escaping @Sendable () -> String, makeSalt: @escaping @Sendable () -> [UInt8]
    ) {
        self.policy = policy
        self.client = client
        self.mockSecret = mockSecret
        self.makeNonce = makeNonce
        self.makeSalt = makeSalt
    }

    /// The largest length field of the message that is awaited, in bytes.
    package var messageLimit: Int {
        if case .awaitingToken = state { return (policy.tokens?.maximumLength ?? 0) + 5 }
        return Self.longestAnswer
    }

    /// Whether the client has been asked, so that a wrong answer can come.
    package var awaitsMessage: Bool {
        switch state {
        case .awaitingSASLInitial, .awaitingSASLFirst, .awaitingSASLFinal, .awaitingMD5,
            .awaitingToken:
            true
        case .initial, .awaitingSecret, .checkingToken, .ended: false
        }
    }

    /// Once, first.
    package mutating func start() -> Action {
        guard case .initial = state else { return outOfOrder() }
        // The server cuts longer names off: whoever came in as the one would be the other.
        guard client.user.utf8.count <= Self.longestName,
            client.database.utf8.count <= Self.longestName
        else {
            return refuse(
                PostgresError(
                    .invalidAuthorization, "the name of the user or of the database is too long",
                    detail: "Allowed are \(Self.longestName) bytes."),
                .rule)
        }
        guard let rule = policy.rule(for: client) else {
            return refuse(noRule("no [[auth.rule]] entry of proxy.conf for"), .rule)
        }
        method = rule.method
        switch rule.method {
        case .reject:
            return refuse(noRule("an [[auth.rule]] of proxy.conf rejects connection for"), .rule)
        case .trust:
            // The configuration allows no other rule to be of this method.
            guard client.peer.isLocal else {
                return refuse(noRule("no trust beyond this machine for"), .rule)
            }
            return accept()
        case .cert:
            return checkCertificate()
        case .jwt:
            return askForToken()
        case .scram, .md5:
            let user = policy.user(client.user)
            if user?.secret == nil, policy.looksUpSecrets {
                state = .awaitingSecret
                return .lookUpSecret
            }
            return challenge(user?.secret, password: user?.password)
        }
    }

    /// What `lookUpSecret` has found: nil where there is no such user, or one that may not log in.
    package mutating func secretFound(_ secret: StoredSecret?) -> Action {
        guard case .awaitingSecret = state else { return outOfOrder() }
        return challenge(secret, password: nil)
    }

    /// The database did not answer `lookUpSecret`.
    package mutating func lookupFailed() -> Action {
        guard case .awaitingSecret = state else { return outOfOrder() }
        return refuse(
            PostgresError(
                .cannotConnectNow,
                "users cannot be authenticated now: the database does not answer",
                severity: .fatal),
            .lookup)
    }

    /// The body of a message with the tag `p` came.
    package mutating func messageReceived(_ body: ByteBuffer) -> Action {
        let before = state
        state = .ended
        guard body.readableBytes <= messageLimit(in: before) else { return malformed() }
        do throws(PostgresError) {
            switch before {
            case .awaitingSASLInitial(let exchange, let proof):
                let message = try SASLInitialResponse(decoding: body)
                guard let data = message.data else {
                    state = .awaitingSASLFirst(exchange, proof, mechanism: message.mechanism)
                    return .send(Self.message { $0.writeAuthenticationSASLContinue([]) })
                }
                return try clientFirst(exchange, proof, message.mechanism, data)
            case .awaitingSASLFirst(let exchange, let proof, let mechanism):
                return try clientFirst(exchange, proof, mechanism, Array(body.readableBytesView))
            case .awaitingSASLFinal(let exchange, let proof):
                return try clientFinal(exchange, proof, Array(body.readableBytesView))
            case .awaitingMD5(let salt, let hexDigits, let proof):
                let answer = try PasswordMessage(decoding: body).password
                let expected = MD5Exchange.answer(hexDigits: hexDigits, salt: salt)
                let isRight = ConstantTime.areEqual(Array(answer.value.utf8), expected)
                guard isRight, proof.isGenuine else { return wrongPassword(proof) }
                return accept(credentials: proof.password.map { .password($0) })
            case .awaitingToken:
                guard let tokens = policy.tokens else { return malformed() }
                let token = try PasswordMessage(decoding: body).password
                state = .checkingToken
                return .checkToken(TokenCheck(tokens: tokens, token: token, user: client.user))
            case .initial, .awaitingSecret, .checkingToken, .ended:
                return outOfOrder()
            }
        } catch {
            let reason: LoginFailure =
                error.sqlState == .invalidAuthorization ? .channelBinding : .protocolViolation
            return refuse(error, reason)
        }
    }

    /// What `checkToken` has returned.
    package mutating func tokenChecked(_ failure: LoginFailure?) -> Action {
        guard case .checkingToken = state else { return outOfOrder() }
        guard let failure else { return accept() }
        return refuse(passwordFailed, failure)
    }

    // MARK: The methods

    private mutating func challenge(_ secret: StoredSecret?, password: Secret?) -> Action {
        switch (method, secret) {
        case (.md5, .md5(let hexDigits)):
            return askForMD5(hexDigits, Proof(isGenuine: true, password: password))
        case (.md5, nil):
            return askForMD5(
                MD5Exchange.hex(SecureRandom.bytes(16)), Proof(isGenuine: false, password: nil))
        case (_, .scram(let verifier)):
            return askForSCRAM(
                verifier,
                Proof(isGenuine: true, password: password, serverKey: verifier.serverKey))
        case (_, .md5), (_, nil):
            // As if there were a secret, to the end: nobody learns which users there are.
            return askForSCRAM(
                .mock(
                    user: client.user, secret: mockSecret, iterations: policy.mockIterations),
                Proof(isGenuine: false, password: nil))
        }
    }

    private mutating func askForMD5(_ hexDigits: [UInt8], _ proof: Proof) -> Action {
        let salt = makeSalt()
        state = .awaitingMD5(salt: salt, hexDigits: hexDigits, proof)
        return .send(Self.message { $0.writeAuthenticationMD5Password(salt: salt) })
    }

    private mutating func askForSCRAM(_ verifier: ScramVerifier, _ proof: Proof) -> Action {
        let transport = client.transport
        let exchange = ScramExchange(
            verifier: verifier,
            serverEndPoint: transport.isEncrypted ? transport.serverEndPoint : nil,
            nonce: makeNonce())
        state = .awaitingSASLInitial(exchange, proof)
        return .send(Self.message { $0.writeAuthenticationSASL(mechanisms: exchange.mechanisms) })
    }

    private mutating func clientFirst(
        _ exchange: ScramExchange, _ proof: Proof, _ mechanism: String, _ data: [UInt8]
    ) throws(PostgresError) -> Action {
        var exchange = exchange
        let serverFirst = try exchange.clientFirstReceived(mechanism: mechanism, data)
        state = .awaitingSASLFinal(exchange, proof)
        return .send(Self.message { $0.writeAuthenticationSASLContinue(serverFirst) })
    }

    private mutating func clientFinal(
        _ exchange: ScramExchange, _ proof: Proof, _ data: [UInt8]
    ) throws(PostgresError) -> Action {
        switch try exchange.clientFinalReceived(data) {
        case .accepted(let serverFinal, let clientKey) where proof.isGenuine:
            let credentials: UpstreamCredentials =
                proof.password.map { .password($0) }
                ?? .scramKeys(clientKey: clientKey, serverKey: proof.serverKey)
            return accept(
                Self.message { $0.writeAuthenticationSASLFinal(serverFinal) },
                credentials: credentials)
        case .accepted, .wrongPassword:
            return wrongPassword(proof)
        }
    }

    private mutating func askForToken() -> Action {
        // The token goes over the wire as it is.
        guard client.transport.isEncrypted || client.peer.isLocal else {
            return refuse(
                PostgresError(
                    .invalidAuthorization, "this method of authentication needs TLS",
                    severity: .fatal, hint: "Connect with sslmode=verify-full."),
                .encryptionRequired)
        }
        state = .awaitingToken
        return .send(Self.message { $0.writeAuthenticationCleartextPassword() })
    }

    private mutating func checkCertificate() -> Action {
        let allowed = [client.user] + (policy.user(client.user)?.certificateNames ?? [])
        let isAllowed =
            client.transport.isEncrypted
            && client.transport.peerCertificateNames.contains { name in
                allowed.contains { $0.utf8.elementsEqual(name.utf8) }
            }
        guard isAllowed else {
            return refuse(
                PostgresError(
                    .invalidAuthorization,
                    "certificate authentication failed for user \"\(client.user)\"",
                    severity: .fatal),
                .certificate)
        }
        return accept()
    }

    // MARK: Endings

    private mutating func accept(
        _ message: ByteBuffer = ByteBuffer(), credentials: UpstreamCredentials? = nil
    ) -> Action {
        state = .ended
        return .authenticated(message, credentials)
    }

    private mutating func refuse(_ error: PostgresError, _ reason: LoginFailure) -> Action {
        state = .ended
        var error = error
        error.severity = .fatal
        return .refuse(error, reason)
    }

    private mutating func wrongPassword(_ proof: Proof) -> Action {
        refuse(passwordFailed, proof.isGenuine ? .wrongPassword : .unknownUser)
    }

    /// The same whatever was wrong.
    private var passwordFailed: PostgresError {
        PostgresError(
            .invalidPassword, "password authentication failed for user \"\(client.user)\"",
            severity: .fatal)
    }

    private mutating func malformed() -> Action {
        refuse(
            PostgresError(.protocolViolation, "invalid password packet size"), .protocolViolation)
    }

    private mutating func outOfOrder() -> Action {
        refuse(
            PostgresError(.protocolViolation, "unexpected message during authentication"),
            .protocolViolation)
    }

    private func messageLimit(in state: State) -> Int {
        if case .awaitingToken = state { return (policy.tokens?.maximumLength ?? 0) + 1 }
        return Self.longestAnswer
    }

    private func noRule(_ beginning: String) -> PostgresError {
        PostgresError(
            .invalidAuthorization,
            "\(beginning) host \"\(client.peer)\", user \"\(client.user)\", database "
                + "\"\(client.database)\", "
                + (client.transport.isEncrypted ? "SSL encryption" : "no encryption"),
            severity: .fatal)
    }

    private static func message(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var buffer = ByteBuffer()
        write(&buffer)
        return buffer
    }
}

/// A token to be checked where blocking does no harm.
package struct TokenCheck: Sendable {
    let tokens: TokenVerifier
    let token: Secret
    let user: String

    /// Nil where the token lets in. `now` is in seconds since 1970.
    package func failure(now: Double) -> LoginFailure? {
        tokens.failure(token, user: user, now: now)
    }
}
