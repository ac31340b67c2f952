import Crypto
import CryptoExtras
import NIOCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS. RFC 5802, RFC 7677.
///
/// Passwords are used as their UTF-8 bytes. SASLprep (RFC 4013) leaves ASCII as it is; the server
/// falls back to the raw bytes for text that SASLprep prohibits. What is not supported is a
/// password that NFKC or the mapping of non-ASCII spaces would change.
struct ScramClient: Sendable {
    static let mechanism = "SCRAM-SHA-256"
    static let bindingMechanism = "SCRAM-SHA-256-PLUS"

    /// What is said about channel binding, ahead of the first message.
    enum Binding: Hashable, Sendable {
        /// Not supported here.
        case none
        /// Supported here, and not offered by the server, which ends the attempt if it did offer
        /// it: somebody has then changed its offer on the way.
        case notOffered
        case serverEndPoint([UInt8])

        var header: String {
            switch self {
            case .none: "n,,"
            case .notOffered: "y,,"
            case .serverEndPoint: "p=tls-server-end-point,,"
            }
        }

        /// Content of the final message's `c=`.
        var proofInput: String {
            var data = Data(header.utf8)
            if case .serverEndPoint(let hash) = self { data.append(contentsOf: hash) }
            return data.base64EncodedString()
        }
    }

    private let binding: Binding
    private let clientFirstBare: String
    private let nonce: String
    private let credentials: UpstreamCredentials

    /// `nonce` is printable ASCII without a comma, fresh for each authentication.
    init(credentials: UpstreamCredentials, nonce: String, binding: Binding = .none) {
        self.credentials = credentials
        self.binding = binding
        self.nonce = nonce
        // The server takes the user from the startup message and ignores the one here.
        clientFirstBare = "n=,r=\(nonce)"
    }

    init(password: Secret, nonce: String) {
        self.init(credentials: .password(password), nonce: nonce)
    }

    /// For RFC 7677's example, which names the user.
    init(user: String, password: Secret, nonce: String) {
        credentials = .password(password)
        binding = .none
        self.nonce = nonce
        clientFirstBare = "n=\(user),r=\(nonce)"
    }

    static func makeNonce() -> String {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<18).map { _ in UInt8.random(in: 0...255, using: &generator) }
        return Data(bytes).base64EncodedString()
    }

    var mechanism: String {
        if case .serverEndPoint = binding { Self.bindingMechanism } else { Self.mechanism }
    }

    /// Content of SASLInitialResponse.
    var clientFirst: String { "\(binding.header)\(clientFirstBare)" }

    /// Takes the server's first message; what comes back has to be computed off the event loop.
    ///
    /// Throws where the nonce does not extend ours, or a bound of lengths or iterations is passed.
    func receiveServerFirst(_ message: String) throws(PostgresError) -> ScramKeyDerivation {
        guard message.utf8.count <= 4096 else { throw Self.malformed }
        let attributes = message.split(separator: ",", omittingEmptySubsequences: false)
        // r, s, i in this order; extensions may follow; a mandatory one (m=) would come first.
        guard attributes.count >= 3, attributes[0].hasPrefix("r="), attributes[1].hasPrefix("s="),
            attributes[2].hasPrefix("i=")
        else { throw Self.malformed }
        let combinedNonce = attributes[0].dropFirst(2)
        guard combinedNonce.utf8.count <= 512, combinedNonce.hasPrefix(nonce),
            combinedNonce.utf8.count > nonce.utf8.count,
            combinedNonce.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw PostgresError(
                .protocolViolation, "SCRAM nonce from the upstream server is not valid",
                severity: .fatal)
        }
        guard let salt = Data(base64Encoded: String(attributes[1].dropFirst(2))),
            (1...1024).contains(salt.count)
        else { throw Self.malformed }
        let digits = attributes[2].dropFirst(2)
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let iterations = Int(digits)
        else { throw Self.malformed }
        guard (1...ScramKeyDerivation.maximumIterations).contains(iterations) else {
            throw PostgresError(
                .protocolViolation,
                "SCRAM iteration count from the upstream server is out of bounds",
                severity: .fatal,
                detail: "Accepted are 1 to \(ScramKeyDerivation.maximumIterations) iterations.")
        }
        return ScramKeyDerivation(
            credentials: credentials, salt: Array(salt), iterations: iterations,
            withoutProof: "c=\(binding.proofInput),r=\(combinedNonce)",
            authMessagePrefix: "\(clientFirstBare),\(message)")
    }

    static var malformed: PostgresError {
        PostgresError(
            .protocolViolation, "malformed SCRAM message from the upstream server",
            severity: .fatal)
    }
}

/// The slow step of SCRAM: PBKDF2 of the password. Milliseconds to most of a second; with keys that
/// are known already, next to nothing.
package struct ScramKeyDerivation: Sendable {
    package static let maximumIterations = 1_000_000

    let credentials: UpstreamCredentials
    let salt: [UInt8]
    package let iterations: Int
    let withoutProof: String
    let authMessagePrefix: String

    /// Computes the client's final message and the signature expected from the server. Blocking:
    /// call on a thread that may block, not on an event loop.
    package func derive() throws(PostgresError) -> ScramProof {
        let clientKey: [UInt8]
        let serverKey: SymmetricKey
        switch credentials {
        case .password(let password):
            let salted = try saltedPassword(password)
            clientKey = Self.mac(Array("Client Key".utf8), key: salted)
            serverKey = SymmetricKey(data: Self.mac(Array("Server Key".utf8), key: salted))
        case .scramKeys(let client, let server):
            clientKey = client
            serverKey = SymmetricKey(data: server)
        }
        let authMessage = Array("\(authMessagePrefix),\(withoutProof)".utf8)
        let storedKey = SymmetricKey(data: Array(SHA256.hash(data: clientKey)))
        let clientSignature = Self.mac(authMessage, key: storedKey)
        let proof = zip(clientKey, clientSignature).map { $0 ^ $1 }
        return ScramProof(
            clientFinal: "\(withoutProof),p=\(Data(proof).base64EncodedString())",
            serverKey: serverKey, authMessage: authMessage)
    }

    private func saltedPassword(_ password: Secret) throws(PostgresError) -> SymmetricKey {
        do {
            return try KDF.Insecure.PBKDF2.deriveKey(
                from: Array(password.value.utf8), salt: salt, using: .sha256, outputByteCount: 32,
                unsafeUncheckedRounds: iterations)
        } catch {
            throw PostgresError(
                .internalError, "could not derive the SCRAM key", severity: .fatal)
        }
    }

    private static func mac(_ data: [UInt8], key: SymmetricKey) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: data, using: key))
    }
}

/// What `ScramKeyDerivation` computed.
package struct ScramProof: Sendable {
    let clientFinal: String
    let serverKey: SymmetricKey
    let authMessage: [UInt8]

    /// Proves that the server knows the password too. The comparison takes constant time.
    func verifyServerFinal(_ message: String) throws(PostgresError) {
        guard message.utf8.count <= 4096 else { throw ScramClient.malformed }
        let attributes = message.split(separator: ",", omittingEmptySubsequences: false)
        guard let first = attributes.first else { throw ScramClient.malformed }
        if first.hasPrefix("e=") {
            throw PostgresError(
                .invalidPassword, "SCRAM authentication with the upstream server failed",
                severity: .fatal)
        }
        guard first.hasPrefix("v="),
            let signature = Data(base64Encoded: String(first.dropFirst(2)))
        else { throw ScramClient.malformed }
        guard
            HMAC<SHA256>.isValidAuthenticationCode(
                Array(signature), authenticating: authMessage, using: serverKey)
        else {
            throw PostgresError(
                .invalidAuthorization,
                "the upstream server did not prove that it knows the password",
                severity: .fatal)
        }
    }
}
