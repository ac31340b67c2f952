import Crypto
import CryptoExtras
import Foundation
import PostgresWire

@testable import Security

/// Makes tokens of every kind.
enum TokenFixture {
    static let p256 = P256.Signing.PrivateKey()
    static let ed25519 = Curve25519.Signing.PrivateKey()
    static let secret = Array("0123456789abcdef0123456789abcdef".utf8)
    static let now = 1_800_000_000.0

    static func rsa() throws -> _RSA.Signing.PrivateKey { try .init(keySize: .bits2048) }

    static let claims: [String: any Sendable] = [
        "iss": "https://idp.example/", "aud": "mynah", "sub": "alice", "exp": now + 60,
    ]

    static func pem(_ label: String, _ der: [UInt8]) -> [UInt8] {
        let lines = Base64.encode(der).split(every: 64).joined(separator: "\n")
        return Array("-----BEGIN \(label)-----\n\(lines)\n-----END \(label)-----\n".utf8)
    }

    static func ed25519PEM() -> [UInt8] {
        let prefix: [UInt8] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0]
        return pem("PUBLIC KEY", prefix + Array(ed25519.publicKey.rawRepresentation))
    }

    static func verifier(
        _ keys: [TokenKey]? = nil, roles: [String: String]? = nil, claim: String = "sub"
    ) throws -> TokenVerifier {
        TokenVerifier(
            keys: try keys ?? [
                TokenKey(.es256, file: Array(p256.publicKey.pemRepresentation.utf8)),
                TokenKey(.edDSA, file: ed25519PEM()), TokenKey(.hs256, file: secret),
            ],
            issuer: "https://idp.example/", audiences: ["mynah", "other"], roleClaim: claim,
            roles: roles)
    }

    static func url(_ bytes: [UInt8]) -> String {
        Base64.encode(bytes).replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
    }

    static func token(
        _ algorithm: String = "ES256", claims: [String: any Sendable] = claims,
        header: [String: any Sendable] = [:],
        sign: (([UInt8]) throws -> [UInt8])? = nil
    ) throws -> Secret {
        let head = header.merging(["alg": algorithm, "typ": "JWT"]) { first, _ in first }
        let parts = try [head, claims].map {
            url(Array(try JSONSerialization.data(withJSONObject: $0)))
        }
        return try signed(parts.joined(separator: "."), algorithm, sign)
    }

    static func signed(
        _ message: String, _ algorithm: String = "ES256",
        _ sign: (([UInt8]) throws -> [UInt8])? = nil
    ) throws -> Secret {
        let bytes = Array(message.utf8)
        let signature: [UInt8] =
            if let sign {
                try sign(bytes)
            } else {
                switch algorithm {
                case "ES256": Array(try p256.signature(for: bytes).rawRepresentation)
                case "EdDSA": Array(try ed25519.signature(for: bytes))
                case "HS256": hmac(bytes, secret)
                default: []
                }
            }
        return Secret("\(message).\(url(signature))")
    }

    static func hmac(_ message: [UInt8], _ key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }
}

extension String {
    fileprivate func split(every count: Int) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while !rest.isEmpty {
            parts.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return parts
    }
}
