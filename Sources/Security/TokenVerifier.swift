import PostgresWire
import Telemetry

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Checks signed tokens (JSON Web Tokens, RFC 7519, RFC 8725) that clients send as passwords.
package struct TokenVerifier: Sendable {
    /// At least one.
    package var keys: [TokenKey]
    package var issuer: String
    /// One of them has to be in the token's `aud`.
    package var audiences: [String]
    /// The claim that says who the token is for.
    package var roleClaim: String
    /// From values of that claim to roles; nil: the value is the role.
    package var roles: [String: String]?
    /// What clocks may differ by, in seconds.
    package var leeway: Double
    /// The longest token, in bytes.
    package var maximumLength: Int

    package init(
        keys: [TokenKey], issuer: String, audiences: [String], roleClaim: String = "sub",
        roles: [String: String]? = nil, leeway: Double = 30, maximumLength: Int = 16 << 10
    ) {
        self.keys = keys
        self.issuer = issuer
        self.audiences = audiences
        self.roleClaim = roleClaim
        self.roles = roles
        self.leeway = leeway
        self.maximumLength = maximumLength
    }

    /// Longer ones mean nothing that is known here.
    private static let longestHeader = 4096

    /// Nil where `token` lets in as `user` at `now`, in seconds since 1970. Blocking.
    ///
    /// Nothing that the token says, its algorithm least of all, is believed before its signature.
    package func failure(_ token: Secret, user: String, now: Double) -> LoginFailure? {
        guard (1...maximumLength).contains(token.value.utf8.count) else { return .tokenMalformed }
        let parts = token.value.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].utf8.count <= Self.longestHeader,
            let header: Header = Self.decode(parts[0]), header.crit == nil,
            let signature = Base64.decodeURL(parts[2])
        else { return .tokenMalformed }
        let message = Array(parts[0].utf8) + [UInt8(ascii: ".")] + Array(parts[1].utf8)
        let candidates = keys.filter { key in
            key.algorithm.rawValue == header.alg
                && (key.identifier == nil || header.kid == nil || key.identifier == header.kid)
        }
        // Each costs a signature check.
        guard candidates.prefix(8).contains(where: { $0.signed(message, signature) }) else {
            return .tokenSignature
        }
        guard let claims: Claims = Self.decode(parts[1], roleClaim: roleClaim) else {
            return .tokenMalformed
        }
        return failure(of: claims, user: user, now: now)
    }

    private func failure(of claims: Claims, user: String, now: Double) -> LoginFailure? {
        guard claims.issuer.map({ Self.same($0, issuer) }) == true,
            claims.audiences.contains(where: { audience in
                audiences.contains { Self.same($0, audience) }
            })
        else { return .tokenClaims }
        guard let expiry = claims.expiry, expiry.isFinite, claims.notBefore?.isFinite != false
        else {
            return .tokenClaims
        }
        guard now < expiry + leeway, now >= (claims.notBefore ?? now) - leeway else {
            return .tokenExpired
        }
        let isFor = claims.roles.contains { value in
            guard let roles else { return Self.same(value, user) }
            return roles.contains { Self.same($0.key, value) && Self.same($0.value, user) }
        }
        return isFor ? nil : .tokenRole
    }

    private static func same(_ left: String, _ right: String) -> Bool {
        left.utf8.elementsEqual(right.utf8)
    }

    private struct Header: Decodable {
        var alg: String
        var kid: String?
        /// Extensions that must be understood: none is.
        var crit: [String]?
    }

    private struct Claims: Decodable {
        var issuer: String?
        var audiences: [String]
        var expiry: Double?
        var notBefore: Double?
        var roles: [String]

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: Name.self)
            issuer = try values.decodeIfPresent(String.self, forKey: Name("iss"))
            audiences = try Self.strings(values, "aud")
            expiry = try values.decodeIfPresent(Double.self, forKey: Name("exp"))
            notBefore = try values.decodeIfPresent(Double.self, forKey: Name("nbf"))
            let claim = decoder.userInfo[.roleClaim] as? String ?? "sub"
            roles = try Self.strings(values, claim)
        }

        /// A string or an array of strings.
        private static func strings(
            _ values: KeyedDecodingContainer<Name>, _ name: String
        ) throws -> [String] {
            guard values.contains(Name(name)) else { return [] }
            if let one = try? values.decode(String.self, forKey: Name(name)) { return [one] }
            return try values.decode([String].self, forKey: Name(name))
        }
    }

    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    private static func decode<Value: Decodable>(
        _ part: Substring, roleClaim: String = ""
    ) -> Value? {
        guard let bytes = Base64.decodeURL(part) else { return nil }
        let decoder = JSONDecoder()
        decoder.userInfo[.roleClaim] = roleClaim
        return try? decoder.decode(Value.self, from: Data(bytes))
    }
}

extension CodingUserInfoKey {
    fileprivate static var roleClaim: CodingUserInfoKey {
        guard let key = CodingUserInfoKey(rawValue: "roleClaim") else {
            preconditionFailure("any string is a key")
        }
        return key
    }
}
