import Crypto
import NIOCore

/// Authentication of a connection towards a PostgreSQL server.
///
/// Pure: Authentication messages go in, actions come out. Each message that is not legal in the
/// state it meets is an error; there is no fall-through to another method.
/// https://www.postgresql.org/docs/15/protocol-flow.html#id-1.10.6.7.3
package struct ServerAuthenticationStateMachine: Sendable {
    package enum Action: Sendable {
        /// Write this message.
        case send(ByteBuffer)
        /// Run `derive()` off the event loop, then call `proofDerived`.
        case deriveProof(ScramKeyDerivation)
        /// Nothing to do until the next message.
        case awaitMessage
        /// The server accepted the connection.
        case authenticated
    }

    private enum State: Sendable {
        case awaitingRequest
        /// Clear-text or MD5 password sent.
        case awaitingVerdict
        case awaitingServerFirst(ScramClient)
        case derivingProof
        case awaitingServerFinal(ScramProof)
        case awaitingOkAfterScram
        case authenticated
        case failed
    }

    private enum Request {
        static let ok: Int32 = 0
        static let cleartextPassword: Int32 = 3
        static let md5Password: Int32 = 5
        static let sasl: Int32 = 10
        static let saslContinue: Int32 = 11
        static let saslFinal: Int32 = 12
    }

    private var state: State = .awaitingRequest
    private let user: String
    private let credentials: UpstreamCredentials?
    private let binding: ChannelBinding
    private let makeNonce: @Sendable () -> String

    package init(
        user: String, credentials: UpstreamCredentials?, binding: ChannelBinding = .unavailable
    ) {
        self.init(
            user: user, credentials: credentials, binding: binding,
            makeNonce: ScramClient.makeNonce)
    }

    package init(user: String, password: Secret?, binding: ChannelBinding = .unavailable) {
        self.init(user: user, credentials: password.map { .password($0) }, binding: binding)
    }

    init(
        user: String, credentials: UpstreamCredentials?, binding: ChannelBinding = .unavailable,
        makeNonce: @escaping @Sendable () -> String
    ) {
        self.user = user
        self.credentials = credentials
        self.binding = binding
        self.makeNonce = makeNonce
    }

    init(
        user: String, password: Secret?, binding: ChannelBinding = .unavailable,
        makeNonce: @escaping @Sendable () -> String
    ) {
        self.init(
            user: user, credentials: password.map { .password($0) }, binding: binding,
            makeNonce: makeNonce)
    }

    /// The body of an Authentication message came. Throws (FATAL) where the method is not
    /// supported, a password is missing, or the server's messages are wrong.
    package mutating func messageReceived(_ body: ByteBuffer) throws(PostgresError) -> Action {
        let before = state
        state = .failed
        guard body.readableBytes <= 1 << 16 else { throw Self.outOfOrder }
        var body = body
        let request = try body.readField(Int32.self)
        if case .awaitingRequest = before, binding.policy == .require, request != Request.sasl {
            // A server that asks for less, or for nothing, has not proven that it is the one.
            throw Self.bindingRequired
        }
        switch (before, request) {
        case (.awaitingRequest, Request.ok), (.awaitingVerdict, Request.ok),
            (.awaitingOkAfterScram, Request.ok):
            try body.requireEnd()
            state = .authenticated
            return .authenticated
        case (.awaitingRequest, Request.cleartextPassword):
            try body.requireEnd()
            let password = try requirePassword()
            state = .awaitingVerdict
            return .send(Self.message { $0.writePasswordMessage(password.value) })
        case (.awaitingRequest, Request.md5Password):
            return try answerMD5(&body)
        case (.awaitingRequest, Request.sasl):
            return try startSASL(&body)
        case (.awaitingServerFirst(let client), Request.saslContinue):
            let derivation = try client.receiveServerFirst(try Self.readASCII(body))
            state = .derivingProof
            return .deriveProof(derivation)
        case (.awaitingServerFinal(let proof), Request.saslFinal):
            try proof.verifyServerFinal(try Self.readASCII(body))
            state = .awaitingOkAfterScram
            return .awaitMessage
        case (.awaitingRequest, _):
            throw Self.unsupported(request)
        case (.awaitingVerdict, _), (.awaitingServerFirst, _), (.derivingProof, _),
            (.awaitingServerFinal, _), (.awaitingOkAfterScram, _), (.authenticated, _),
            (.failed, _):
            throw Self.outOfOrder
        }
    }

    /// What `deriveProof` asked for is there.
    package mutating func proofDerived(_ proof: ScramProof) throws(PostgresError) -> Action {
        guard case .derivingProof = state else {
            state = .failed
            throw Self.outOfOrder
        }
        state = .awaitingServerFinal(proof)
        return .send(Self.message { $0.writeSASLResponse(proof.clientFinal) })
    }

    private mutating func answerMD5(_ body: inout ByteBuffer) throws(PostgresError) -> Action {
        guard body.readableBytes == 4, let salt = body.readBytes(length: 4) else {
            throw Self.outOfOrder
        }
        let password = try requirePassword()
        let inner = Self.md5Hex(Array((password.value + user).utf8))
        let answer = "md5" + Self.md5Hex(Array(inner.utf8) + salt)
        state = .awaitingVerdict
        return .send(Self.message { $0.writePasswordMessage(answer) })
    }

    private mutating func startSASL(_ body: inout ByteBuffer) throws(PostgresError) -> Action {
        var mechanisms: [String] = []
        while true {
            let mechanism = try body.readText()
            if mechanism.isEmpty { break }
            mechanisms.append(mechanism)
        }
        try body.requireEnd()
        let client = ScramClient(
            credentials: try requireCredentials(), nonce: makeNonce(),
            binding: try chooseBinding(mechanisms))
        guard mechanisms.contains(client.mechanism) else {
            throw PostgresError(
                .featureNotSupported,
                "the upstream server offers no supported SASL mechanism", severity: .fatal,
                hint: "Supported are \(ScramClient.mechanism) and, over TLS, "
                    + "\(ScramClient.bindingMechanism).")
        }
        state = .awaitingServerFirst(client)
        return .send(
            Self.message {
                $0.writeSASLInitialResponse(mechanism: client.mechanism, data: client.clientFirst)
            })
    }

    private func chooseBinding(
        _ mechanisms: [String]
    ) throws(PostgresError) -> ScramClient.Binding {
        let isOffered = mechanisms.contains(ScramClient.bindingMechanism)
        if binding.policy != .disable, let hash = binding.serverEndPoint {
            if isOffered { return .serverEndPoint(hash) }
            if binding.policy == .prefer { return .notOffered }
        }
        if binding.policy == .require { throw Self.bindingRequired }
        return .none
    }

    private func requirePassword() throws(PostgresError) -> Secret {
        guard case .password(let password) = try requireCredentials() else { throw Self.noPassword }
        return password
    }

    /// Keys of a SCRAM exchange answer nothing else.
    private func requireCredentials() throws(PostgresError) -> UpstreamCredentials {
        switch credentials {
        case .password(let password) where password.value.isEmpty: throw Self.noPassword
        case .some(let credentials): return credentials
        case nil: throw Self.noPassword
        }
    }

    private static var noPassword: PostgresError {
        PostgresError(
            .invalidPassword, "the upstream server asks for a password and none is configured",
            severity: .fatal,
            hint: "Put one into the upstream connection string or into the password file.")
    }

    private static func readASCII(_ body: ByteBuffer) throws(PostgresError) -> String {
        guard body.readableBytes <= 4096,
            body.readableBytesView.allSatisfy({ (0x20...0x7E).contains($0) })
        else { throw ScramClient.malformed }
        return String(buffer: body)
    }

    private static func md5Hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        let hex = Insecure.MD5.hash(data: bytes).flatMap {
            [digits[Int($0 >> 4)], digits[Int($0 & 15)]]
        }
        return String(decoding: hex, as: UTF8.self)
    }

    private static func message(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var buffer = ByteBuffer()
        write(&buffer)
        return buffer
    }

    private static func unsupported(_ request: Int32) -> PostgresError {
        let method =
            switch request {
            case 2: "Kerberos V5"
            case 6: "SCM credential"
            case 7, 8: "GSSAPI"
            case 9: "SSPI"
            default: "unknown (\(request))"
            }
        return PostgresError(
            .featureNotSupported,
            "the upstream server asks for an authentication method that is not supported",
            severity: .fatal,
            detail: "Asked for: \(method).",
            hint: "Supported are trust, password, md5 and scram-sha-256.")
    }

    private static var bindingRequired: PostgresError {
        PostgresError(
            .invalidAuthorization,
            "channel binding is required, and the upstream server does not take part in it",
            severity: .fatal,
            hint: "It takes TLS, scram-sha-256 in the server's pg_hba.conf, and a certificate "
                + "whose signature names its hash.")
    }

    private static var outOfOrder: PostgresError {
        PostgresError(
            .protocolViolation, "unexpected authentication message from the upstream server",
            severity: .fatal)
    }
}
