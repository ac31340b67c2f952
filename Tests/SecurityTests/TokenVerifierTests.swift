import Crypto
import CryptoExtras
import Foundation
import PostgresWire
import Telemetry
import TestSupport
import Testing

@testable import Security

struct TokenVerifierTests {
    private func failure(
        _ token: Secret, user: String = "alice", now: Double = TokenFixture.now,
        _ verifier: TokenVerifier? = nil
    ) throws -> LoginFailure? {
        try (verifier ?? TokenFixture.verifier()).failure(token, user: user, now: now)
    }

    @Test("A good token of every algorithm", arguments: ["ES256", "EdDSA", "HS256"])
    func good(algorithm: String) throws {
        #expect(try failure(TokenFixture.token(algorithm)) == nil)
        #expect(try failure(TokenFixture.token(algorithm), user: "bob") == .tokenRole)
    }

    @Test("RSA with both paddings, each key for its own alone")
    func rsa() throws {
        let key = try TokenFixture.rsa()
        let pem = Array(key.publicKey.pemRepresentation.utf8)
        func token(_ algorithm: String, _ padding: _RSA.Signing.Padding) throws -> Secret {
            try TokenFixture.token(algorithm) {
                Array(
                    try key.signature(for: SHA256.hash(data: $0), padding: padding)
                        .rawRepresentation)
            }
        }
        let pkcs = try TokenFixture.verifier([TokenKey(.rs256, file: pem)])
        let pss = try TokenFixture.verifier([TokenKey(.ps256, file: pem)])
        #expect(try failure(token("RS256", .insecurePKCS1v1_5), pkcs) == nil)
        #expect(try failure(token("PS256", .PSS), pss) == nil)
        #expect(try failure(token("PS256", .PSS), pkcs) == .tokenSignature)
        #expect(try failure(token("RS256", .insecurePKCS1v1_5), pss) == .tokenSignature)
        #expect(try failure(token("RS256", .PSS), pkcs) == .tokenSignature)
        // The public key is no secret: a token that takes it for one is not signed by anybody.
        for pretended in [pem, Array(key.publicKey.derRepresentation)] {
            let confused = try TokenFixture.token("HS256") { TokenFixture.hmac($0, pretended) }
            #expect(try failure(confused, pkcs) == .tokenSignature)
        }
        expectInvalid { try TokenKey(.rs256, file: Array(key.pemRepresentation.utf8)) }
        let small = try _RSA.Signing.PrivateKey(unsafeKeySize: .init(bitCount: 1024))
        expectInvalid {
            try TokenKey(.rs256, file: Array(small.publicKey.pemRepresentation.utf8))
        }
    }

    @Test(
        "No algorithm, another algorithm, no signature",
        arguments: [
            "none", "None", "NONE", "", "HS384", "RS256", "ES384", "es256",
        ])
    func algorithms(name: String) throws {
        let signed = try TokenFixture.token(name) {
            Array(try TokenFixture.p256.signature(for: $0).rawRepresentation)
        }
        #expect(try failure(signed) == .tokenSignature)
        #expect(try failure(TokenFixture.token(name) { _ in [] }) == .tokenSignature)
    }

    @Test("Expiry, with leeway and no more")
    func expiry() throws {
        let token = try TokenFixture.token()
        #expect(try failure(token, now: TokenFixture.now + 89) == nil)
        #expect(try failure(token, now: TokenFixture.now + 90) == .tokenExpired)
        var claims = TokenFixture.claims
        claims["nbf"] = TokenFixture.now
        let later = try TokenFixture.token(claims: claims)
        #expect(try failure(later, now: TokenFixture.now - 30) == nil)
        #expect(try failure(later, now: TokenFixture.now - 31) == .tokenExpired)
        claims["exp"] = nil
        #expect(try failure(TokenFixture.token(claims: claims)) == .tokenClaims)
        for value: any Sendable in [1e308, -1e308, 0] {
            claims["exp"] = value
            let expected: LoginFailure? = (value as? Double) == 1e308 ? nil : .tokenExpired
            #expect(try failure(TokenFixture.token(claims: claims)) == expected)
        }
        for value: any Sendable in ["2100-01-01", true, [1], "9999999999"] as [any Sendable] {
            claims["exp"] = value
            #expect(try failure(TokenFixture.token(claims: claims)) == .tokenMalformed)
        }
    }

    @Test("Issuer and audience")
    func issuerAndAudience() throws {
        for (claim, value, expected) in [
            ("iss", "https://idp.example", LoginFailure.tokenClaims), ("iss", "", .tokenClaims),
            ("aud", "mynah2", .tokenClaims), ("aud", "", .tokenClaims), ("iss", nil, .tokenClaims),
            ("aud", nil, .tokenClaims), ("sub", nil, .tokenRole), ("sub", "Alice", .tokenRole),
            ("sub", "", .tokenRole), ("aud", "other", nil),
        ] as [(String, String?, LoginFailure?)] {
            var claims = TokenFixture.claims
            claims[claim] = value
            #expect(try failure(TokenFixture.token(claims: claims)) == expected, "\(claim)")
        }
        var claims = TokenFixture.claims
        claims["aud"] = ["x", "mynah"]
        #expect(try failure(TokenFixture.token(claims: claims)) == nil)
        claims["aud"] = [String]()
        #expect(try failure(TokenFixture.token(claims: claims)) == .tokenClaims)
    }

    @Test("Claims are mapped to roles")
    func roles() throws {
        let verifier = try TokenFixture.verifier(
            roles: ["alice@example": "alice", "team": "app"], claim: "groups")
        var claims = TokenFixture.claims
        claims["groups"] = ["x", "team"]
        let token = try TokenFixture.token(claims: claims)
        #expect(try failure(token, user: "app", verifier) == nil)
        for user in ["alice", "team", "x", ""] {
            #expect(try failure(token, user: user, verifier) == .tokenRole)
        }
        claims["groups"] = "alice@example"
        #expect(try failure(TokenFixture.token(claims: claims), user: "alice", verifier) == nil)
        claims["groups"] = 7
        #expect(
            try failure(TokenFixture.token(claims: claims), user: "alice", verifier)
                == .tokenMalformed)
    }

    @Test("A changed token is none, wherever it is changed")
    func tampered() throws {
        let token = try TokenFixture.token().value
        var accepted = 0
        for index in token.utf8.indices {
            var bytes = Array(token.utf8)
            let offset = token.utf8.distance(from: token.utf8.startIndex, to: index)
            bytes[offset] = bytes[offset] == 0x41 ? 0x42 : 0x41
            guard bytes != Array(token.utf8) else { continue }
            if try failure(Secret(String(decoding: bytes, as: UTF8.self))) == nil { accepted += 1 }
        }
        #expect(accepted == 0)
    }

    @Test(
        "What is no token",
        arguments: ["", ".", "..", "...", "a.b", "a.b.c.d", "e30.e30.", "🔑.🔑.🔑"])
    func malformed(text: String) throws {
        #expect(
            try failure(Secret(text)) == .tokenMalformed || failure(Secret(text)) == .tokenSignature
        )
        let good = try TokenFixture.token().value
        #expect(try failure(Secret(good + "=")) == .tokenMalformed)
        #expect(try failure(Secret(good + ".")) == .tokenMalformed)
        #expect(try failure(Secret(" " + good)) == .tokenMalformed)
    }

    @Test("Sizes are bounded, extensions that must be understood are not, keys go by name")
    func bounds() throws {
        var claims = TokenFixture.claims
        claims["padding"] = String(repeating: "x", count: 16_000)
        #expect(try failure(TokenFixture.token(claims: claims)) == .tokenMalformed)
        #expect(
            try failure(TokenFixture.token(header: ["crit": ["b64"], "b64": false]))
                == .tokenMalformed)
        let padding = String(repeating: "x", count: 5000)
        #expect(try failure(TokenFixture.token(header: ["x": padding])) == .tokenMalformed)
        let deep = String(repeating: "[", count: 6000)
        let message =
            TokenFixture.url(Array(#"{"alg":"ES256"}"#.utf8)) + "."
            + TokenFixture.url(Array(deep.utf8))
        #expect(try failure(TokenFixture.signed(message)) == .tokenMalformed)
        let set = try TokenKey.set(file: Array(jwks.utf8))
        let verifier = try TokenFixture.verifier(set)
        #expect(try failure(TokenFixture.token(header: ["kid": "one"]), verifier) == nil)
        #expect(try failure(TokenFixture.token(), verifier) == nil)
        #expect(
            try failure(TokenFixture.token(header: ["kid": "two"]), verifier) == .tokenSignature)
    }

    private var jwks: String {
        let point = Array(TokenFixture.p256.publicKey.rawRepresentation)
        let x = TokenFixture.url(Array(point[..<32]))
        let y = TokenFixture.url(Array(point[32...]))
        return """
            {"keys": [
              {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "zero"},
              {"kty": "EC", "crv": "P-256", "x": "\(x)", "y": "\(y)", "kid": "one", "use": "sig"},
              {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
              {"kty": "oct", "alg": "HS256", "kid": "two", "k": "\(TokenFixture.url(TokenFixture.secret))"}
            ]}
            """
    }

    @Test("Key sets without a key, and keys that are none")
    func keys() throws {
        for text in [
            "", "{}", "[]", #"{"keys": []}"#, #"{"keys": [{"kty": "EC", "crv": "P-384"}]}"#,
            #"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#,
            #"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#,
            #"{"keys": [{"kty": "oct", "alg": "HS256", "k": "AAAA"}]}"#,
            #"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#,
        ] {
            expectInvalid { try TokenKey.set(file: Array(text.utf8)) }
        }
        for algorithm in TokenKey.Algorithm.allCases {
            for text in ["", "short", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"] {
                if algorithm == .hs256, text.utf8.count >= 32 { continue }
                expectInvalid { try TokenKey(algorithm, file: Array(text.utf8)) }
            }
        }
        expectInvalid {
            try TokenKey(.es256, file: Array(TokenFixture.p256.pemRepresentation.utf8))
        }
    }

    @Test("Mutated tokens never let in, never trap")
    func fuzz() throws {
        var generator = SeededGenerator(seed: 31)
        let verifier = try TokenFixture.verifier()
        let token = Array(try TokenFixture.token("HS256").value.utf8)
        let set = Array(jwks.utf8)
        for round in 0..<4_000 {
            let mutated = generator.mutated(token)
            let text = String(decoding: mutated, as: UTF8.self)
            if Array(text.utf8) != token,
                verifier.failure(Secret(text), user: "alice", now: TokenFixture.now) == nil
            {
                Issue.record("let in by \(text)")
            }
            if round % 10 == 0 { _ = try? TokenKey.set(file: generator.mutated(set)) }
            _ = ScramVerifier(
                String(
                    decoding: generator.mutated(Array(ScramVerifierTests.pencil.utf8)),
                    as: UTF8.self))
            _ = AddressBlock(
                String(decoding: generator.mutated(Array("2001:db8::/32".utf8)), as: UTF8.self))
        }
    }

    private func expectInvalid(
        _ body: () throws -> Any, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do {
            _ = try body()
            Issue.record("accepted", sourceLocation: sourceLocation)
        } catch {
            #expect(error is TokenKey.Invalid, sourceLocation: sourceLocation)
        }
    }
}
