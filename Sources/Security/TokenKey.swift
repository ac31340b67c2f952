import Crypto
import CryptoExtras

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A key that tokens are signed with, and the one algorithm that it is for (RFC 7518): what a token
/// says of its algorithm never chooses how a key is used.
package struct TokenKey: Sendable {
    package enum Algorithm: String, CaseIterable, Sendable {
        case hs256 = "HS256"
        case rs256 = "RS256"
        case ps256 = "PS256"
        case es256 = "ES256"
        case edDSA = "EdDSA"
    }

    /// Why a key cannot be used; without a word of the key.
    package struct Invalid: Error {
        package let reason: String
    }

    private enum Material: Sendable {
        case secret(SymmetricKey)
        case rsa(_RSA.Signing.PublicKey)
        case p256(P256.Signing.PublicKey)
        case ed25519(Curve25519.Signing.PublicKey)
    }

    package let algorithm: Algorithm
    /// Nil where the key has no name.
    package let identifier: String?
    private let material: Material

    private static let smallestRSA = 2048
    private static let largestRSA = 8192
    /// RFC 7518, 3.2: as long as the hash.
    private static let shortestSecret = 32

    private init(_ algorithm: Algorithm, _ identifier: String?, _ material: Material) {
        self.algorithm = algorithm
        self.identifier = identifier
        self.material = material
    }

    /// The key in a file: PEM for public keys, for `HS256` the secret's bytes (a line break at the
    /// end is not part of them).
    package init(_ algorithm: Algorithm, file: [UInt8]) throws(Invalid) {
        guard algorithm != .hs256 else {
            var secret = file
            while let last = secret.last, last == 0x0A || last == 0x0D { secret.removeLast() }
            try self.init(secret: secret, identifier: nil)
            return
        }
        let pem = String(decoding: file, as: UTF8.self)
        guard !pem.contains("PRIVATE KEY") else {
            throw Invalid(reason: "holds a private key; only the public one belongs here")
        }
        do {
            switch algorithm {
            case .rs256, .ps256:
                self.init(algorithm, nil, .rsa(try Self.checked(.init(pemRepresentation: pem))))
            case .es256:
                self.init(algorithm, nil, .p256(try .init(pemRepresentation: pem)))
            case .edDSA, .hs256:
                self.init(algorithm, nil, .ed25519(try Self.ed25519(pem)))
            }
        } catch let error as Invalid {
            throw error
        } catch {
            throw Invalid(reason: "holds no public key for \(algorithm.rawValue) in PEM")
        }
    }

    private init(secret: [UInt8], identifier: String?) throws(Invalid) {
        guard secret.count >= Self.shortestSecret else {
            throw Invalid(
                reason: "the secret for HS256 has \(secret.count) bytes; it needs "
                    + "\(Self.shortestSecret)")
        }
        self.init(.hs256, identifier, .secret(SymmetricKey(data: secret)))
    }

    private static func checked(_ key: _RSA.Signing.PublicKey) throws(Invalid)
        -> _RSA.Signing.PublicKey
    {
        guard (smallestRSA...largestRSA).contains(key.keySizeInBits) else {
            throw Invalid(
                reason: "the RSA key has \(key.keySizeInBits) bits; allowed are "
                    + "\(smallestRSA) to \(largestRSA)")
        }
        return key
    }

    /// SubjectPublicKeyInfo of an Ed25519 key is a fixed prefix and the key (RFC 8410).
    private static func ed25519(_ pem: String) throws -> Curve25519.Signing.PublicKey {
        let lines = pem.split(whereSeparator: \.isNewline)
        guard lines.first == "-----BEGIN PUBLIC KEY-----", lines.last == "-----END PUBLIC KEY-----",
            let der = Base64.decode(lines.dropFirst().dropLast().joined()), der.count == 44,
            der.starts(with: [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0])
        else { throw Invalid(reason: "holds no public key for EdDSA in PEM") }
        return try .init(rawRepresentation: der.suffix(32))
    }

    /// Whether `signature` is this key's of `message`. Blocking: RSA takes some hundred
    /// microseconds.
    func signed(_ message: [UInt8], _ signature: [UInt8]) -> Bool {
        switch material {
        case .secret(let key):
            return HMAC<SHA256>.isValidAuthenticationCode(
                signature, authenticating: message, using: key)
        case .rsa(let key):
            return key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature),
                for: SHA256.hash(data: message),
                padding: algorithm == .ps256 ? .PSS : .insecurePKCS1v1_5)
        case .p256(let key):
            guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature)
            else { return false }
            return key.isValidSignature(signature, for: message)
        case .ed25519(let key):
            return key.isValidSignature(signature, for: message)
        }
    }
}

extension TokenKey {
    /// The keys of a JSON Web Key Set (RFC 7517) that are of a kind known here and for signatures;
    /// others are passed over, as the RFC asks.
    package static func set(file: [UInt8]) throws(Invalid) -> [TokenKey] {
        let entries: [Entry]
        do {
            entries = try JSONDecoder().decode(Entries.self, from: Data(file)).keys
        } catch {
            throw Invalid(reason: "is not a JSON Web Key Set")
        }
        var keys: [TokenKey] = []
        for entry in entries.prefix(maximumCount) {
            if let key = try entry.key() { keys.append(key) }
        }
        guard !keys.isEmpty else {
            throw Invalid(reason: "holds no key for HS256, RS256, PS256, ES256 or EdDSA")
        }
        return keys
    }

    package static let maximumCount = 64

    private struct Entries: Decodable {
        var keys: [Entry]
    }

    private struct Entry: Decodable {
        var kty: String
        var alg: String?
        var use: String?
        var kid: String?
        var crv: String?
        var n: String?
        var e: String?
        var x: String?
        var y: String?
        var k: String?

        func key() throws(Invalid) -> TokenKey? {
            guard use == nil || use == "sig", let algorithm = algorithm else { return nil }
            do {
                switch (kty, algorithm) {
                case ("oct", .hs256):
                    return try TokenKey(secret: try bytes(k), identifier: kid)
                case ("RSA", .rs256), ("RSA", .ps256):
                    let key = try _RSA.Signing.PublicKey(n: try bytes(n), e: try bytes(e))
                    return TokenKey(algorithm, kid, .rsa(try checked(key)))
                case ("EC", .es256) where crv == "P-256":
                    let point = try bytes(x) + bytes(y)
                    return TokenKey(algorithm, kid, .p256(try .init(rawRepresentation: point)))
                case ("OKP", .edDSA) where crv == "Ed25519":
                    return TokenKey(
                        algorithm, kid, .ed25519(try .init(rawRepresentation: try bytes(x))))
                default: return nil
                }
            } catch let error as Invalid {
                throw error
            } catch {
                throw Invalid(reason: "holds a malformed key")
            }
        }

        /// The entry's own, or the only one that its kind of key is for here.
        private var algorithm: Algorithm? {
            if let alg { return Algorithm(rawValue: alg) }
            return switch kty {
            case "RSA": .rs256
            case "EC": .es256
            case "OKP": .edDSA
            default: nil
            }
        }

        private func bytes(_ text: String?) throws(Invalid) -> [UInt8] {
            guard let text, let bytes = Base64.decodeURL(text) else {
                throw Invalid(reason: "holds a malformed key")
            }
            return bytes
        }
    }
}
