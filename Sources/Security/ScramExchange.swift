import Crypto
import PostgresWire

/// The server's side of one SCRAM-SHA-256 exchange. RFC 5802, RFC 7677; channel binding as in
/// RFC 5929, `tls-server-end-point`. Pure: messages in, messages out.
struct ScramExchange: Sendable {
    static let mechanism = "SCRAM-SHA-256"
    static let bindingMechanism = "SCRAM-SHA-256-PLUS"
    /// Longer than any client's.
    private static let longestNonce = 256
    static let longestMessage = 4096

    enum Verdict: Sendable {
        /// `clientKey` lets us log in to a server that has the same verifier.
        case accepted(serverFinal: [UInt8], clientKey: [UInt8])
        case wrongPassword
    }

    private let verifier: ScramVerifier
    private let serverEndPoint: [UInt8]?
    private let nonce: String
    private var header: [UInt8] = []
    private var bindsChannel = false
    private var clientFirstBare: [UInt8] = []
    private var serverFirst: [UInt8] = []
    private var combinedNonce: [UInt8] = []

    /// - Parameters:
    ///   - serverEndPoint: the hash of our certificate, where the connection is TLS and it has one.
    ///   - nonce: printable ASCII without a comma, fresh for each exchange.
    init(verifier: ScramVerifier, serverEndPoint: [UInt8]?, nonce: String = Self.makeNonce()) {
        self.verifier = verifier
        self.serverEndPoint = serverEndPoint
        self.nonce = nonce
    }

    static func makeNonce() -> String { Base64.encode(SecureRandom.bytes(18)) }

    /// What is offered, the best first.
    var mechanisms: [String] {
        serverEndPoint == nil ? [Self.mechanism] : [Self.bindingMechanism, Self.mechanism]
    }

    /// Takes client-first-message and returns server-first-message.
    ///
    /// Throws `protocolViolation` where it is malformed, `invalidAuthorization` where its channel
    /// binding does not fit what was offered: someone may stand between.
    mutating func clientFirstReceived(
        mechanism: String, _ message: [UInt8]
    ) throws(PostgresError) -> [UInt8] {
        guard mechanisms.contains(mechanism) else {
            throw PostgresError(
                .protocolViolation, "client selected an invalid SASL authentication mechanism")
        }
        let fields = try Self.fields(message)
        guard fields.count >= 4 else { throw Self.malformed }
        try readBinding(fields[0], isPlus: mechanism == Self.bindingMechanism)
        guard fields[1].isEmpty else {
            if fields[1].starts(with: Array("a=".utf8)) {
                throw PostgresError(
                    .featureNotSupported,
                    "client uses authorization identity, but it is not supported")
            }
            throw Self.malformed
        }
        // The server takes the user from the startup message and ignores the one here.
        guard Self.value("n", fields[2]) != nil, let clientNonce = Self.value("r", fields[3]),
            (1...Self.longestNonce).contains(clientNonce.count),
            clientNonce.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw Self.malformed }
        header = Array(fields[0]) + [UInt8(ascii: ","), UInt8(ascii: ",")]
        clientFirstBare = Array(message.dropFirst(header.count))
        combinedNonce = clientNonce + Array(nonce.utf8)
        serverFirst =
            Array("r=".utf8) + combinedNonce
            + Array(",s=\(Base64.encode(verifier.salt)),i=\(verifier.iterations)".utf8)
        return serverFirst
    }

    private mutating func readBinding(
        _ flag: ArraySlice<UInt8>, isPlus: Bool
    ) throws(PostgresError) {
        switch (String(decoding: flag, as: UTF8.self), isPlus) {
        case ("n", false):
            bindsChannel = false
        case ("y", false):
            // The client could have bound the channel and was told that we cannot.
            guard serverEndPoint == nil else {
                throw PostgresError(
                    .invalidAuthorization, "SCRAM channel binding negotiation error",
                    detail: "The client supports SCRAM channel binding but thinks the server does "
                        + "not. However, this server does support channel binding.")
            }
            bindsChannel = false
        case ("p=tls-server-end-point", true):
            bindsChannel = true
        case (let text, true) where text.hasPrefix("p="):
            throw PostgresError(.protocolViolation, "unsupported SCRAM channel-binding type")
        default:
            throw Self.malformed
        }
    }

    /// Takes client-final-message. Throws as `clientFirstReceived`.
    ///
    /// A wrong proof takes the same time as a right one, whatever the verifier.
    func clientFinalReceived(_ message: [UInt8]) throws(PostgresError) -> Verdict {
        let fields = try Self.fields(message)
        guard fields.count >= 3, let last = fields.last, let binding = Self.value("c", fields[0]),
            let receivedNonce = Self.value("r", fields[1]),
            let encodedProof = Self.value("p", last),
            let proof = Base64.decode(String(decoding: encodedProof, as: UTF8.self)),
            proof.count == 32
        else { throw Self.malformed }
        guard ConstantTime.areEqual(receivedNonce, combinedNonce) else {
            throw PostgresError(
                .protocolViolation, "invalid SCRAM response", detail: "Nonce does not match.")
        }
        let expected = header + (bindsChannel ? serverEndPoint ?? [] : [])
        guard ConstantTime.areEqual(binding, Array(Base64.encode(expected).utf8)) else {
            throw PostgresError(.invalidAuthorization, "SCRAM channel binding check failed")
        }
        let withoutProof = message.prefix(last.startIndex - 1)
        let authMessage =
            clientFirstBare + [UInt8(ascii: ",")] + serverFirst + [UInt8(ascii: ",")] + withoutProof
        let signature = Self.mac(authMessage, verifier.storedKey)
        let clientKey = zip(proof, signature).map { $0 ^ $1 }
        let serverSignature = Self.mac(authMessage, verifier.serverKey)
        guard ConstantTime.areEqual(Array(SHA256.hash(data: clientKey)), verifier.storedKey) else {
            return .wrongPassword
        }
        return .accepted(
            serverFinal: Array("v=\(Base64.encode(serverSignature))".utf8), clientKey: clientKey)
    }

    private static func fields(_ message: [UInt8]) throws(PostgresError) -> [ArraySlice<UInt8>] {
        guard message.count <= longestMessage, !message.contains(0) else { throw malformed }
        // Extensions are allowed and ignored; a hundred are an attack.
        let fields = message.split(
            separator: UInt8(ascii: ","), maxSplits: 32, omittingEmptySubsequences: false)
        guard fields.count <= 32 else { throw malformed }
        return fields
    }

    /// What follows `name=`.
    private static func value(_ name: Character, _ field: ArraySlice<UInt8>) -> [UInt8]? {
        field.starts(with: Array("\(name)=".utf8)) ? Array(field.dropFirst(2)) : nil
    }

    private static func mac(_ message: [UInt8], _ key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }

    static var malformed: PostgresError {
        PostgresError(.protocolViolation, "malformed SCRAM message")
    }
}
