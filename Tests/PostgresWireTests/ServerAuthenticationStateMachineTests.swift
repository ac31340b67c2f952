import NIOCore
import Testing

@testable import PostgresWire

struct ServerAuthenticationStateMachineTests {
    private static func request(_ code: Int32, _ rest: String = "") -> ByteBuffer {
        buffer {
            $0.writeInteger(code)
            $0.writeString(rest)
        }
    }

    /// Content of the password message that an action sends.
    private func sent(_ action: ServerAuthenticationStateMachine.Action) throws -> String {
        guard case .send(var message) = action else {
            Issue.record("nothing sent: \(action)")
            return ""
        }
        let frame = try #require(try MessageFraming.next(in: &message, limit: 1 << 16))
        #expect(frame.tag == FrontendTag.password)
        return String(buffer: frame.body)
    }

    private func isAuthenticated(_ action: ServerAuthenticationStateMachine.Action) -> Bool {
        if case .authenticated = action { true } else { false }
    }

    @Test("RFC 7677's example comes out byte for byte")
    func rfc7677() throws {
        let client = ScramClient(
            user: "user", password: Secret("pencil"), nonce: "rOprNGfwEbeRWgbNEkqO")
        #expect(client.clientFirst == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        let derivation = try client.receiveServerFirst(
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
        let proof = try derivation.derive()
        #expect(
            proof.clientFinal == "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        try proof.verifyServerFinal("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        #expect(throws: PostgresError.self) {
            try proof.verifyServerFinal("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        }
        #expect(throws: PostgresError.self) { try proof.verifyServerFinal("v=") }
        #expect(throws: PostgresError.self) { try proof.verifyServerFinal("e=invalid-proof") }
        #expect(throws: PostgresError.self) { try proof.verifyServerFinal("") }
    }

    @Test("A trusting server needs nothing")
    func trust() throws {
        var machine = ServerAuthenticationStateMachine(user: "u", password: nil)
        #expect(isAuthenticated(try machine.messageReceived(Self.request(0))))
        #expect(throws: PostgresError.self) { try machine.messageReceived(Self.request(0)) }
    }

    @Test("A clear-text password is sent as it is")
    func cleartext() throws {
        var machine = ServerAuthenticationStateMachine(user: "u", password: Secret("pw"))
        #expect(try sent(try machine.messageReceived(Self.request(3))) == "pw\0")
        #expect(isAuthenticated(try machine.messageReceived(Self.request(0))))
    }

    @Test("An MD5 answer is salted with the user and the server's salt")
    func md5() throws {
        var machine = ServerAuthenticationStateMachine(user: "user", password: Secret("pencil"))
        // md5(md5("penciluser") || "salt"), computed with md5sum.
        #expect(
            try sent(try machine.messageReceived(Self.request(5, "salt")))
                == "md5d3d9bcccbaa2fb5234570d4d0f22b055\0")
        #expect(isAuthenticated(try machine.messageReceived(Self.request(0))))
    }

    @Test("SCRAM runs through all its steps")
    func scram() throws {
        var machine = ServerAuthenticationStateMachine(
            user: "ignored", password: Secret("pencil"), makeNonce: { "abc" })
        let first = try sent(
            try machine.messageReceived(Self.request(10, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")))
        #expect(first == "SCRAM-SHA-256\0\0\0\0\u{0B}n,,n=,r=abc")
        let action = try machine.messageReceived(Self.request(11, "r=abcdef,s=c2FsdA==,i=2"))
        guard case .deriveProof(let derivation) = action else {
            Issue.record("no derivation asked for")
            return
        }
        let proof = try derivation.derive()
        #expect(try sent(try machine.proofDerived(proof)).hasPrefix("c=biws,r=abcdef,p="))
        // A server that does not prove itself is refused, even though it says OK.
        var impostor = machine
        #expect(throws: PostgresError.self) { try impostor.messageReceived(Self.request(0)) }
        let wrong = Self.request(12, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        var liar = machine
        #expect(throws: PostgresError.self) { try liar.messageReceived(wrong) }
    }

    @Test(
        "A server's first SCRAM message with a flaw is refused",
        arguments: [
            "", "r=abc,s=c2FsdA==,i=4096", "r=xyzabc,s=c2FsdA==,i=4096", "r=abcdef,s=,i=4096",
            "r=abcdef,s=!,i=4096", "r=abcdef,s=c2FsdA==,i=0", "r=abcdef,s=c2FsdA==,i=-1",
            "r=abcdef,s=c2FsdA==,i=1000001", "r=abcdef,s=c2FsdA==,i=99999999999999999999",
            "r=abcdef,s=c2FsdA==,i=+5", "r=abcdef,s=c2FsdA==,i=", "r=abcdef,s=c2FsdA==",
            "m=x,r=abcdef,s=c2FsdA==,i=4096", "s=c2FsdA==,r=abcdef,i=4096",
            "r=abc\u{7F},s=c2FsdA==,i=4096", "r=abcdé,s=c2FsdA==,i=4096",
            "r=abc\(String(repeating: "x", count: 600)),s=c2FsdA==,i=4096",
        ])
    func flawedServerFirst(message: String) throws {
        var machine = ServerAuthenticationStateMachine(
            user: "u", password: Secret("pw"), makeNonce: { "abc" })
        _ = try machine.messageReceived(Self.request(10, "SCRAM-SHA-256\0\0"))
        let error = #expect(throws: PostgresError.self) {
            try machine.messageReceived(Self.request(11, message))
        }
        #expect(error?.severity == .fatal)
    }

    @Test("Methods that are not supported are named", arguments: [Int32(1), 2, 6, 7, 8, 9, 99, -1])
    func unsupported(code: Int32) {
        var machine = ServerAuthenticationStateMachine(user: "u", password: Secret("pw"))
        let error = #expect(throws: PostgresError.self) {
            try machine.messageReceived(Self.request(code))
        }
        #expect(error?.sqlState == .featureNotSupported)
        #expect(throws: PostgresError.self) { try machine.messageReceived(Self.request(0)) }
    }

    @Test("No password and a server that asks for one is an error with a hint")
    func missingPassword() {
        for request in [
            Self.request(3), Self.request(5, "salt"), Self.request(10, "SCRAM-SHA-256\0\0"),
        ] {
            var machine = ServerAuthenticationStateMachine(user: "u", password: nil)
            let error = #expect(throws: PostgresError.self) {
                try machine.messageReceived(request)
            }
            #expect(error?.sqlState == .invalidPassword)
            #expect(error?.hint != nil)
        }
    }

    @Test("A SASL mechanism that binds channels only is refused")
    func plusOnly() {
        var machine = ServerAuthenticationStateMachine(user: "u", password: Secret("pw"))
        let error = #expect(throws: PostgresError.self) {
            try machine.messageReceived(Self.request(10, "SCRAM-SHA-256-PLUS\0\0"))
        }
        #expect(error?.sqlState == .featureNotSupported)
    }

    @Test("Nonces differ, and hold nothing that SCRAM's syntax uses")
    func nonces() {
        let nonces = Set((0..<100).map { _ in ScramClient.makeNonce() })
        #expect(nonces.count == 100)
        #expect(nonces.allSatisfy { $0.utf8.count == 24 && !$0.contains(",") })
    }

    // MARK: Channel binding

    private func bound(_ policy: ChannelBinding.Policy, _ hash: [UInt8]?)
        -> ServerAuthenticationStateMachine
    {
        ServerAuthenticationStateMachine(
            user: "u", password: Secret("pw"),
            binding: ChannelBinding(policy: policy, serverEndPoint: hash), makeNonce: { "abc" })
    }

    private static let both = request(10, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    private static let plain = request(10, "SCRAM-SHA-256\0\0")

    @Test("Over TLS the proof is bound to the certificate where the server offers it")
    func boundProof() throws {
        for policy in [ChannelBinding.Policy.prefer, .require] {
            var machine = bound(policy, [1, 2, 3])
            let first = try sent(try machine.messageReceived(Self.both))
            #expect(first.hasPrefix("SCRAM-SHA-256-PLUS\0"))
            #expect(first.hasSuffix("p=tls-server-end-point,,n=,r=abc"))
        }
        let client = ScramClient(
            credentials: .password(Secret("pw")), nonce: "abc",
            binding: .serverEndPoint([1, 2, 3]))
        let derivation = try client.receiveServerFirst("r=abcdef,s=c2FsdA==,i=2")
        // Base64 of the header and the hash: what a server with another certificate finds wrong.
        #expect(derivation.withoutProof == "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAQID,r=abcdef")
    }

    @Test("What cannot be bound says so, in a way that shows a tampered offer")
    func unboundProof() throws {
        // TLS, but the server does not offer it: were it to have, it would end the attempt.
        var notOffered = bound(.prefer, [1])
        #expect(
            try sent(try notOffered.messageReceived(Self.plain)).hasSuffix("y,,n=,r=abc"))
        var clear = bound(.prefer, nil)
        #expect(try sent(try clear.messageReceived(Self.both)).hasSuffix("n,,n=,r=abc"))
        var disabled = bound(.disable, [1])
        let first = try sent(try disabled.messageReceived(Self.both))
        #expect(first.hasPrefix("SCRAM-SHA-256\0") && first.hasSuffix("n,,n=,r=abc"))
    }

    @Test("channel_binding=require takes nothing less")
    func requiredBinding() {
        for (hash, request) in [
            (nil, Self.both), ([1], Self.plain), ([1], Self.request(0)), ([1], Self.request(3)),
            ([1], Self.request(5, "salt")),
        ] as [([UInt8]?, ByteBuffer)] {
            var machine = bound(.require, hash)
            let error = #expect(throws: PostgresError.self) {
                try machine.messageReceived(request)
            }
            #expect(error?.message.contains("channel binding is required") == true)
        }
    }

    @Test("A server that offers the binding mechanism alone, without TLS, is refused")
    func onlyBinding() {
        var machine = bound(.prefer, nil)
        #expect(throws: PostgresError.self) {
            try machine.messageReceived(Self.request(10, "SCRAM-SHA-256-PLUS\0\0"))
        }
    }
}
