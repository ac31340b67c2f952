import Crypto
import NIOCore
import Telemetry
import TestSupport
import Testing

@testable import PostgresWire
@testable import Security

/// Transcripts of logins against the machine alone.
struct ClientAuthenticationStateMachineTests {
    static let mockSecret = SymmetricKey(data: [UInt8](repeating: 9, count: 32))

    static func policy(
        _ method: AuthenticationMethod, looksUp: Bool = false, tokens: TokenVerifier? = nil,
        sources: [AuthenticationRule.Source] = [.all]
    ) -> AuthenticationPolicy {
        AuthenticationPolicy(
            rules: [AuthenticationRule(sources: sources, method: method)],
            users: [
                .init(name: "alice", secret: StoredSecret(ScramVerifierTests.pencil)),
                .init(
                    name: "bob", secret: .md5(hexDigits: MD5Exchange.hex(Array("pencilbob".utf8)))),
                .init(
                    name: "carol", secret: StoredSecret(ScramVerifierTests.pencil),
                    password: Secret("pencil"), certificateNames: ["carol.example"]),
                .init(name: "dave"),
            ], tokens: tokens, looksUpSecrets: looksUp)
    }

    static func machine(
        _ method: AuthenticationMethod, user: String = "alice", looksUp: Bool = false,
        tokens: TokenVerifier? = nil, peer: PeerAddress = .network([192, 0, 2, 1]),
        transport: TransportSecurity = .none, database: String = "shop"
    ) -> ClientAuthenticationStateMachine {
        ClientAuthenticationStateMachine(
            policy: policy(method, looksUp: looksUp, tokens: tokens),
            client: ClientIdentity(
                user: user, database: database, peer: peer, transport: transport),
            mockSecret: mockSecret, makeNonce: { "server" }, makeSalt: { [1, 2, 3, 4] })
    }

    /// A client's whole SCRAM exchange; returns the machine's last word.
    static func scram(
        _ machine: inout ClientAuthenticationStateMachine, password: String,
        after start: ClientAuthenticationStateMachine.Action? = nil
    ) throws -> ClientAuthenticationStateMachine.Action {
        let request = try sent(start ?? machine.start())
        #expect(request.prefix(4) == [0, 0, 0, 10])
        let client = ScramClient(password: Secret(password), nonce: "client")
        let first = machine.messageReceived(
            body {
                $0.writeSASLInitialResponse(mechanism: "SCRAM-SHA-256", data: client.clientFirst)
            })
        let serverFirst = try sent(first).dropFirst(4)
        let proof = try client.receiveServerFirst(String(decoding: serverFirst, as: UTF8.self))
            .derive()
        let last = machine.messageReceived(body { $0.writeSASLResponse(proof.clientFinal) })
        if case .authenticated(let message, _) = last {
            let serverFinal = message.readableBytesView.dropFirst(9)
            try proof.verifyServerFinal(String(decoding: serverFinal, as: UTF8.self))
        }
        return last
    }

    /// A message without its tag and length.
    static func body(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var buffer = ByteBuffer()
        write(&buffer)
        buffer.moveReaderIndex(forwardBy: 5)
        return buffer
    }

    /// The body of the message that the action sends.
    static func sent(_ action: ClientAuthenticationStateMachine.Action) throws -> [UInt8] {
        guard case .send(let message) = action else {
            Issue.record("not a message: \(action)")
            return []
        }
        return Array(message.readableBytesView.dropFirst(5))
    }

    static func expectRefused(
        _ action: ClientAuthenticationStateMachine.Action, _ state: SQLState,
        _ reason: LoginFailure, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard case .refuse(let error, let found) = action else {
            Issue.record("not refused: \(action)", sourceLocation: sourceLocation)
            return
        }
        #expect(error.sqlState == state, sourceLocation: sourceLocation)
        #expect(error.severity == .fatal, sourceLocation: sourceLocation)
        #expect(found == reason, sourceLocation: sourceLocation)
    }

    @Test("SCRAM with the right password, and what it leaves for the connection to the server")
    func scram() throws {
        var machine = Self.machine(.scram)
        guard
            case .authenticated(_, .scramKeys(let clientKey, let serverKey)?) =
                try Self.scram(&machine, password: "pencil")
        else {
            Issue.record("refused")
            return
        }
        #expect(clientKey.count == 32 && serverKey.count == 32)
        var withPassword = Self.machine(.scram, user: "carol")
        guard
            case .authenticated(_, .password(let password)?) =
                try Self.scram(&withPassword, password: "pencil")
        else {
            Issue.record("refused")
            return
        }
        #expect(password.value == "pencil")
    }

    @Test(
        "Whatever is wrong with a password, the answer is the same",
        arguments: [
            ("alice", "pencils", LoginFailure.wrongPassword), ("nobody", "pencil", .unknownUser),
            ("dave", "", .unknownUser), ("bob", "pencil", .unknownUser),
        ])
    func wrongPassword(user: String, password: String, reason: LoginFailure) throws {
        var machine = Self.machine(.scram, user: user)
        let last = try Self.scram(&machine, password: password)
        Self.expectRefused(last, .invalidPassword, reason)
        guard case .refuse(let error, _) = last else { return }
        #expect(error.message == "password authentication failed for user \"\(user)\"")
        #expect(error.detail == nil && error.hint == nil)
    }

    @Test("MD5, and SCRAM where that is what the user has")
    func md5() throws {
        func answer(_ password: String) -> ByteBuffer {
            let stored = MD5Exchange.hex(Array("\(password)bob".utf8))
            let text = MD5Exchange.answer(hexDigits: stored, salt: [1, 2, 3, 4])
            return Self.body { $0.writePasswordMessage(String(decoding: text, as: UTF8.self)) }
        }
        var right = Self.machine(.md5, user: "bob")
        #expect(try Self.sent(right.start()) == [0, 0, 0, 5, 1, 2, 3, 4])
        guard case .authenticated(_, nil) = right.messageReceived(answer("pencil")) else {
            Issue.record("refused")
            return
        }
        var wrong = Self.machine(.md5, user: "bob")
        _ = wrong.start()
        Self.expectRefused(
            wrong.messageReceived(answer("pencils")), .invalidPassword, .wrongPassword)
        var unknown = Self.machine(.md5, user: "nobody")
        #expect(try Self.sent(unknown.start()).prefix(4) == [0, 0, 0, 5])
        Self.expectRefused(
            unknown.messageReceived(answer("pencil")), .invalidPassword, .unknownUser)
        var scram = Self.machine(.md5)
        guard case .authenticated = try Self.scram(&scram, password: "pencil") else {
            Issue.record("refused")
            return
        }
    }

    @Test("Rules that refuse, and trust, which ends where this machine does")
    func rules() throws {
        var rejected = Self.machine(.reject)
        Self.expectRefused(rejected.start(), .invalidAuthorization, .rule)
        var trusted = Self.machine(.trust, peer: .unix)
        guard case .authenticated(_, nil) = trusted.start() else {
            Issue.record("refused")
            return
        }
        for peer in [PeerAddress.network([192, 0, 2, 1]), .unknown] {
            var distant = Self.machine(.trust, peer: peer)
            Self.expectRefused(distant.start(), .invalidAuthorization, .rule)
        }
        let none = AuthenticationPolicy(rules: [])
        var machine = ClientAuthenticationStateMachine(
            policy: none,
            client: ClientIdentity(
                user: "alice", database: "shop", peer: .network([192, 0, 2, 1])),
            mockSecret: Self.mockSecret)
        guard case .refuse(let error, .rule) = machine.start() else {
            Issue.record("let in")
            return
        }
        #expect(
            error.message
                == "no [[auth.rule]] entry of proxy.conf for host \"192.0.2.1\", user \"alice\", "
                + "database \"shop\", no encryption")
    }

    @Test("A token is not asked for where it could be read on its way")
    func plainToken() throws {
        let tokens = try TokenFixture.verifier()
        var distant = Self.machine(.jwt, tokens: tokens)
        Self.expectRefused(distant.start(), .invalidAuthorization, .encryptionRequired)
        var encrypted = Self.machine(
            .jwt, tokens: tokens, transport: TransportSecurity(isEncrypted: true))
        #expect(try Self.sent(encrypted.start()) == [0, 0, 0, 3])
        var local = Self.machine(.jwt, tokens: tokens, peer: .network([127, 0, 0, 1]))
        #expect(try Self.sent(local.start()) == [0, 0, 0, 3])
    }

    @Test("A certificate has to be there, encrypted, and name the user")
    func certificate() {
        func action(_ user: String, _ encrypted: Bool, _ names: [String])
            -> ClientAuthenticationStateMachine.Action
        {
            var machine = Self.machine(
                .cert, user: user,
                transport: TransportSecurity(isEncrypted: encrypted, peerCertificateNames: names))
            return machine.start()
        }
        for (user, names) in [
            ("alice", ["alice"]), ("alice", ["x", "alice"]), ("carol", ["carol.example"]),
            ("nobody", ["nobody"]),
        ] {
            guard case .authenticated(_, nil) = action(user, true, names) else {
                Issue.record("refused \(user)")
                return
            }
        }
        for (user, encrypted, names) in [
            ("alice", true, []), ("alice", true, ["carol.example"]), ("alice", false, ["alice"]),
            ("alice", true, ["Alice"]), ("alice", true, [""]), ("bob", true, ["alice"]),
        ] {
            Self.expectRefused(
                action(user, encrypted, names), .invalidAuthorization, .certificate)
        }
    }

    @Test("The server's cutting of long names makes nobody another user")
    func longNames() {
        let long = String(repeating: "a", count: 64)
        var user = Self.machine(.trust, user: long, peer: .unix)
        Self.expectRefused(user.start(), .invalidAuthorization, .rule)
        var database = Self.machine(.trust, peer: .unix, database: long)
        Self.expectRefused(database.start(), .invalidAuthorization, .rule)
        var fitting = Self.machine(.trust, user: String(long.dropLast()), peer: .unix)
        guard case .authenticated = fitting.start() else {
            Issue.record("refused")
            return
        }
    }

    @Test("A looked-up secret is used like one that is listed")
    func lookup() throws {
        var machine = Self.machine(.scram, user: "eve", looksUp: true)
        guard case .lookUpSecret = machine.start() else {
            Issue.record("not asked")
            return
        }
        let challenge = machine.secretFound(StoredSecret(ScramVerifierTests.pencil))
        guard
            case .authenticated(_, .scramKeys?) =
                try Self.scram(&machine, password: "pencil", after: challenge)
        else {
            Issue.record("refused")
            return
        }
        var unknown = Self.machine(.scram, user: "eve", looksUp: true)
        _ = unknown.start()
        let mock = unknown.secretFound(nil)
        Self.expectRefused(
            try Self.scram(&unknown, password: "pencil", after: mock), .invalidPassword,
            .unknownUser)
        var failed = Self.machine(.scram, user: "eve", looksUp: true)
        _ = failed.start()
        Self.expectRefused(failed.lookupFailed(), .cannotConnectNow, .lookup)
        // Listed users are not asked for.
        var listed = Self.machine(.scram, looksUp: true)
        #expect(try Self.sent(listed.start()).prefix(4) == [0, 0, 0, 10])
    }

    @Test("SASL without an initial response")
    func withoutInitialResponse() throws {
        var machine = Self.machine(.scram)
        _ = machine.start()
        var chosen = ByteBuffer(string: "SCRAM-SHA-256\0")
        chosen.writeInteger(Int32(-1))
        #expect(try Self.sent(machine.messageReceived(chosen)) == [0, 0, 0, 11])
        let answer = machine.messageReceived(ByteBuffer(string: "n,,n=,r=client"))
        #expect(try Self.sent(answer).starts(with: [0, 0, 0, 11] + Array("r=clientserver".utf8)))
    }

    @Test("What is encrypted offers channel binding, what is not never does")
    func mechanisms() throws {
        for (encrypted, hash, expected) in [
            (true, [UInt8]([1, 2]), "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            (true, nil, "SCRAM-SHA-256\0\0"), (false, [1, 2], "SCRAM-SHA-256\0\0"),
        ] as [(Bool, [UInt8]?, String)] {
            var machine = Self.machine(
                .scram,
                transport: TransportSecurity(isEncrypted: encrypted, serverEndPoint: hash))
            let request = try Self.sent(machine.start())
            #expect(String(decoding: request.dropFirst(4), as: UTF8.self) == expected)
        }
    }

    @Test("Every event in every state in which it is not legal ends the login")
    func outOfOrder() throws {
        typealias Machine = ClientAuthenticationStateMachine
        let tokens = try TokenFixture.verifier()
        let states: [(String, () throws -> Machine, legal: Set<String>)] = [
            ("initial", { Self.machine(.scram) }, ["start"]),
            (
                "awaitingSecret",
                {
                    var machine = Self.machine(.scram, user: "eve", looksUp: true)
                    _ = machine.start()
                    return machine
                }, ["secretFound", "lookupFailed"]
            ),
            (
                "awaitingSASL",
                {
                    var machine = Self.machine(.scram)
                    _ = machine.start()
                    return machine
                }, ["message"]
            ),
            (
                "awaitingMD5",
                {
                    var machine = Self.machine(.md5, user: "bob")
                    _ = machine.start()
                    return machine
                }, ["message"]
            ),
            (
                "awaitingToken",
                {
                    var machine = Self.machine(.jwt, tokens: tokens, peer: .unix)
                    _ = machine.start()
                    return machine
                }, ["message"]
            ),
            (
                "checkingToken",
                {
                    var machine = Self.machine(.jwt, tokens: tokens, peer: .unix)
                    _ = machine.start()
                    _ = machine.messageReceived(Self.body { $0.writePasswordMessage("x") })
                    return machine
                }, ["tokenChecked"]
            ),
            (
                "authenticated",
                {
                    var machine = Self.machine(.scram)
                    _ = try Self.scram(&machine, password: "pencil")
                    return machine
                }, []
            ),
            (
                "refused",
                {
                    var machine = Self.machine(.reject)
                    _ = machine.start()
                    return machine
                }, []
            ),
        ]
        let events: [(String, (inout Machine) -> Machine.Action)] = [
            ("start", { $0.start() }), ("secretFound", { $0.secretFound(nil) }),
            ("lookupFailed", { $0.lookupFailed() }), ("tokenChecked", { $0.tokenChecked(nil) }),
            ("message", { $0.messageReceived(ByteBuffer(string: "hello\0")) }),
        ]
        for (state, make, legal) in states {
            for (event, run) in events where !legal.contains(event) {
                var machine = try make()
                Self.expectRefused(run(&machine), .protocolViolation, .protocolViolation)
                // And there is no way back.
                for (_, run) in events {
                    guard case .refuse = run(&machine) else {
                        Issue.record("\(event) in \(state) is not the end")
                        return
                    }
                }
            }
        }
    }

    @Test("Messages of any content never let in, never trap", arguments: [UInt64(1), 2, 3])
    func fuzz(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let tokens = try TokenFixture.verifier()
        let methods: [AuthenticationMethod] = [.scram, .md5, .jwt]
        var refused = 0
        for round in 0..<4_000 {
            let method = methods[round % 3]
            var machine = Self.machine(
                method, user: ["alice", "bob", "nobody"][round / 3 % 3], tokens: tokens,
                peer: .unix,
                transport: TransportSecurity(isEncrypted: round % 2 == 0, serverEndPoint: [1, 2]))
            _ = machine.start()
            for step in 0..<3 {
                let seeds: [[UInt8]] = [
                    Array("SCRAM-SHA-256\0".utf8) + [0, 0, 0, 14] + Array("n,,n=,r=client".utf8),
                    Array("c=biws,r=clientserver,p=\(String(repeating: "A", count: 43))=".utf8),
                    Array("md5\(String(repeating: "a", count: 32))\0".utf8),
                    Array("SCRAM-SHA-256-PLUS\0".utf8) + [0xFF, 0xFF, 0xFF, 0xFF],
                    Array("eyJhbGciOiJFUzI1NiJ9.e30.AAAA\0".utf8),
                ]
                let message = generator.mutated(
                    step == 0 ? seeds[(round / 7) % seeds.count] : seeds[1 + (round % 4)])
                switch machine.messageReceived(ByteBuffer(bytes: message)) {
                case .authenticated: Issue.record("let in by \(message)")
                case .checkToken(let check):
                    if check.failure(now: 0) == nil { Issue.record("let in by \(message)") }
                case .refuse: refused += 1
                case .send, .lookUpSecret: break
                }
            }
        }
        #expect(refused > 4_000)
    }
}
