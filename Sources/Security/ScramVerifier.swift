import Crypto
import CryptoExtras
import PostgresWire

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a server keeps of a password for SCRAM-SHA-256: enough to check it, not enough to log in.
/// RFC 5803; written `SCRAM-SHA-256$iterations:salt$storedKey:serverKey`, as in `pg_authid`.
package struct ScramVerifier: Hashable, Sendable {
    /// PostgreSQL's `scram_iterations` by default.
    package static let defaultIterations = 4096
    /// The salt of the verifiers that PostgreSQL makes.
    static let saltLength = 16
    /// More than any that PostgreSQL writes.
    private static let longestText = 2048

    package let iterations: Int
    package let salt: [UInt8]
    let storedKey: [UInt8]
    let serverKey: [UInt8]

    /// Nil where `text` is not a verifier, or a length or number is out of bounds.
    package init?(_ text: String) {
        guard text.utf8.count <= Self.longestText else { return nil }
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "SCRAM-SHA-256" else { return nil }
        let parameters = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        let keys = parts[2].split(separator: ":", omittingEmptySubsequences: false)
        guard parameters.count == 2, keys.count == 2,
            parameters[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let iterations = Int32(parameters[0]), iterations > 0,
            let salt = Base64.decode(parameters[1]), (1...1024).contains(salt.count),
            let storedKey = Base64.decode(keys[0]), storedKey.count == 32,
            let serverKey = Base64.decode(keys[1]), serverKey.count == 32
        else { return nil }
        self.iterations = Int(iterations)
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    init(iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// The verifier of a password that is at hand. Blocking, for milliseconds: not for an event
    /// loop. Nil where the cryptographic library fails.
    package init?(
        password: Secret, salt: [UInt8] = SecureRandom.bytes(saltLength),
        iterations: Int = defaultIterations
    ) {
        guard
            let salted = try? KDF.Insecure.PBKDF2.deriveKey(
                from: Array(password.value.utf8), salt: salt, using: .sha256, outputByteCount: 32,
                unsafeUncheckedRounds: iterations)
        else { return nil }
        let clientKey = Self.mac("Client Key", salted)
        self.init(
            iterations: iterations, salt: salt, storedKey: Array(SHA256.hash(data: clientKey)),
            serverKey: Self.mac("Server Key", salted))
    }

    /// A verifier that no password fits, the same whenever `user` is asked for: what someone who
    /// tries names sees of a user that does not exist.
    ///
    /// - Parameter secret: of this process alone.
    static func mock(user: String, secret: SymmetricKey, iterations: Int) -> ScramVerifier {
        let salt = Array(HMAC<SHA256>.authenticationCode(for: Array(user.utf8), using: secret))
        return ScramVerifier(
            iterations: iterations, salt: Array(salt.prefix(saltLength)),
            storedKey: [UInt8](repeating: 0, count: 32), serverKey: salt)
    }

    private static func mac(_ text: String, _ key: SymmetricKey) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key))
    }

    /// As in `pg_authid`: a secret.
    package var text: Secret {
        Secret(
            "SCRAM-SHA-256$\(iterations):\(Base64.encode(salt))$\(Base64.encode(storedKey)):"
                + Base64.encode(serverKey))
    }
}

extension ScramVerifier: CustomStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Base64 as RFC 4648 has it: padded, without line breaks.
enum Base64 {
    static func encode(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    /// Nil for anything that `encode` would not have written.
    static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let text = String(text)
        guard let data = Data(base64Encoded: text), data.base64EncodedString() == text else {
            return nil
        }
        return Array(data)
    }

    /// The alphabet for URLs, without padding (RFC 7515); nil for anything else.
    static func decodeURL(_ text: some StringProtocol) -> [UInt8]? {
        var padded: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "-"): padded.append(UInt8(ascii: "+"))
            case UInt8(ascii: "_"): padded.append(UInt8(ascii: "/"))
            case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): return nil
            default: padded.append(byte)
            }
        }
        while padded.count % 4 != 0 { padded.append(UInt8(ascii: "=")) }
        return decode(String(decoding: padded, as: UTF8.self))
    }
}

/// Bytes that nobody can foretell.
package enum SecureRandom {
    package static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
}
