import NIOCore
import PostgresWire
import Testing

@testable import PostgresWire
@testable import Security

struct ScramExchangeTests {
    private static let serverNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    private static let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    private static let serverFirst =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    private static let final =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

    private func exchange(serverEndPoint: [UInt8]? = nil) throws -> ScramExchange {
        let verifier = try #require(ScramVerifier(ScramVerifierTests.pencil))
        return ScramExchange(
            verifier: verifier, serverEndPoint: serverEndPoint, nonce: Self.serverNonce)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test("RFC 7677's example")
    func example() throws {
        var exchange = try exchange()
        #expect(exchange.mechanisms == ["SCRAM-SHA-256"])
        let answer = try exchange.clientFirstReceived(
            mechanism: "SCRAM-SHA-256", Array(Self.first.utf8))
        #expect(text(answer) == Self.serverFirst)
        guard
            case .accepted(let final, let clientKey) =
                try exchange.clientFinalReceived(Array(Self.final.utf8))
        else {
            Issue.record("refused")
            return
        }
        #expect(text(final) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        #expect(clientKey.count == 32)
    }

    @Test("The client key that an exchange shows logs in to another server with the same verifier")
    func passThrough() throws {
        var ours = try exchange()
        _ = try ours.clientFirstReceived(mechanism: "SCRAM-SHA-256", Array(Self.first.utf8))
        guard
            case .accepted(_, let clientKey) = try ours.clientFinalReceived(Array(Self.final.utf8))
        else {
            Issue.record("refused")
            return
        }
        let verifier = try #require(ScramVerifier(ScramVerifierTests.pencil))
        let client = ScramClient(
            credentials: .scramKeys(clientKey: clientKey, serverKey: verifier.serverKey),
            nonce: "another")
        var theirs = ScramExchange(verifier: verifier, serverEndPoint: nil)
        let first = try theirs.clientFirstReceived(
            mechanism: "SCRAM-SHA-256", Array(client.clientFirst.utf8))
        let proof = try client.receiveServerFirst(text(first)).derive()
        guard
            case .accepted(let final, _) =
                try theirs.clientFinalReceived(Array(proof.clientFinal.utf8))
        else {
            Issue.record("refused")
            return
        }
        try proof.verifyServerFinal(text(final))
    }

    @Test("A wrong password is refused, and so is any password for a mock verifier")
    func wrong() throws {
        for verifier in [
            try #require(ScramVerifier(ScramVerifierTests.pencil)),
            ScramVerifier.mock(user: "nobody", secret: .init(size: .bits256), iterations: 4096),
        ] {
            let client = ScramClient(password: Secret("pencils"), nonce: "abc")
            var exchange = ScramExchange(verifier: verifier, serverEndPoint: nil)
            let first = try exchange.clientFirstReceived(
                mechanism: "SCRAM-SHA-256", Array(client.clientFirst.utf8))
            let proof = try client.receiveServerFirst(text(first)).derive()
            guard
                case .wrongPassword =
                    try exchange.clientFinalReceived(Array(proof.clientFinal.utf8))
            else {
                Issue.record("accepted")
                return
            }
        }
    }

    @Test("Channel binding is offered first, and its data is compared")
    func binding() throws {
        let hash = [UInt8](1...32)
        var exchange = try exchange(serverEndPoint: hash)
        #expect(exchange.mechanisms == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
        let header = "p=tls-server-end-point,,"
        let client = ScramClient(password: Secret("pencil"), nonce: "abc")
        let bare = String(client.clientFirst.dropFirst(3))
        let first = try exchange.clientFirstReceived(
            mechanism: "SCRAM-SHA-256-PLUS", Array((header + bare).utf8))
        func final(_ bound: [UInt8]) throws -> [UInt8] {
            let derivation = try client.receiveServerFirst(text(first))
            let binding = Base64.encode(Array(header.utf8) + bound)
            let nonce = text(first).split(separator: ",")[0]
            let whole = ScramKeyDerivation(
                credentials: .password(Secret("pencil")), salt: derivation.salt,
                iterations: derivation.iterations, withoutProof: "c=\(binding),\(nonce)",
                authMessagePrefix: derivation.authMessagePrefix)
            return Array(try whole.derive().clientFinal.utf8)
        }
        guard case .accepted = try exchange.clientFinalReceived(try final(hash)) else {
            Issue.record("refused")
            return
        }
        let another = try final([UInt8](2...33))
        expect(.invalidAuthorization) { try exchange.clientFinalReceived(another) }
        let none = try final([])
        expect(.invalidAuthorization) { try exchange.clientFinalReceived(none) }
    }

    @Test("A client that was told that there is no channel binding, when there is, is refused")
    func downgrade() throws {
        let first = Array("y,,n=,r=abc".utf8)
        var plain = try exchange()
        _ = try plain.clientFirstReceived(mechanism: "SCRAM-SHA-256", first)
        var bound = try exchange(serverEndPoint: [1])
        expect(.invalidAuthorization) {
            try bound.clientFirstReceived(mechanism: "SCRAM-SHA-256", first)
        }
    }

    @Test(
        "A first message that is not one is refused",
        arguments: [
            "", ",", ",,,", "n,,", "n,,n=", "n,,r=abc", "n,,n=,r=", "n,,n=u", "n,n=,r=abc",
            "x,,n=,r=abc",
            "p=tls-unique,,n=,r=abc", "p=tls-server-end-point,,n=,r=abc", "n,,n=,r=a b",
            "n,,n=,r=a\u{e9}",
            "n,,m=1,n=,r=abc", "n,,n=,r=abc\u{0}", "n,,n=,x=1", "N,,n=,r=abc", "n,x=,n=,r=abc",
            "n,,n=,r=" + String(repeating: "a", count: 257), String(repeating: ",", count: 100),
            "n,,n=" + String(repeating: "u", count: 5000) + ",r=abc",
        ])
    func malformedFirst(message: String) throws {
        var exchange = try exchange()
        expect(.protocolViolation) {
            try exchange.clientFirstReceived(mechanism: "SCRAM-SHA-256", Array(message.utf8))
        }
    }

    @Test("An authorization identity and an unknown mechanism are refused")
    func refusals() throws {
        var exchange = try exchange()
        expect(.featureNotSupported) {
            try exchange.clientFirstReceived(
                mechanism: "SCRAM-SHA-256", Array("n,a=admin,n=,r=abc".utf8))
        }
        for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "", "PLAIN", "scram-sha-256"] {
            expect(.protocolViolation) {
                try exchange.clientFirstReceived(mechanism: mechanism, Array(Self.first.utf8))
            }
        }
    }

    @Test(
        "A final message that is not one is refused",
        arguments: [
            ("biws", "biwt", SQLState.invalidAuthorization), ("biws", "", .invalidAuthorization),
            ("biws", "eSws", .invalidAuthorization), ("r=rO", "r=xO", .protocolViolation),
            ("k0,", "k0x,", .protocolViolation), ("p=dHzb", "p=dHz", .protocolViolation),
            ("p=dHzb", "q=dHzb", .protocolViolation), ("c=biws,", "", .protocolViolation),
            ("VQ=", "VQ==", .protocolViolation), ("VQ=", "VQ=,x=1", .protocolViolation),
        ])
    func malformedFinal(old: String, new: String, state: SQLState) throws {
        var exchange = try exchange()
        _ = try exchange.clientFirstReceived(
            mechanism: "SCRAM-SHA-256", Array(Self.first.utf8))
        let message = Array(Self.final.replacing(old, with: new).utf8)
        expect(state) { try exchange.clientFinalReceived(message) }
    }

    @Test("Extensions in front of the proof are ignored, but are part of what is proven")
    func extensions() throws {
        var exchange = try exchange()
        _ = try exchange.clientFirstReceived(
            mechanism: "SCRAM-SHA-256", Array(Self.first.utf8))
        let extended = Self.final.replacing(",p=", with: ",x=y,p=")
        guard case .wrongPassword = try exchange.clientFinalReceived(Array(extended.utf8)) else {
            Issue.record("the proof does not cover the extension")
            return
        }
    }
}

/// `body` throws an error with this SQLSTATE.
func expect(
    _ state: SQLState, _ body: () throws -> Any, sourceLocation: SourceLocation = #_sourceLocation
) {
    do {
        let result = try body()
        Issue.record("returned \(result)", sourceLocation: sourceLocation)
    } catch {
        #expect((error as? PostgresError)?.sqlState == state, sourceLocation: sourceLocation)
    }
}
