import Foundation
import PostgresWire
import Security
import Telemetry

extension ProxyConfiguration.Auth {
    init(
        _ document: ConfigurationDocument, upstream: ProxyConfiguration.UpstreamDatabase,
        directory: String
    ) throws(ConfigurationError) {
        let reader = document.reader(for: .auth)
        let secrets = SecretReader(environment: document.environment, directory: directory)
        timeout =
            try reader.duration(.authTimeout, in: .milliseconds(100) ... .seconds(600))
            ?? .seconds(10)
        maximumFailures = try reader.integer(.authMaximumFailures, in: 0...1_000_000) ?? 10
        failureWindow =
            try reader.duration(.authFailureWindow, in: .seconds(1) ... .seconds(86_400))
            ?? .seconds(60)
        allowsMD5 = try reader.bool(.authAllowMD5) ?? false
        query = try ProxyConfiguration.Query(reader, upstream: upstream, secrets: secrets)
        queryTTL =
            try reader.duration(
                .authQueryTTL, in: .milliseconds(1) ... .seconds(3600), zero: "ask every time")
            ?? .seconds(10)
        users = []
        for userReader in document.readers(for: .authUser) {
            let user = try ProxyConfiguration.User(
                userReader, secrets: secrets, allowsMD5: allowsMD5)
            guard !users.contains(where: { $0.name.utf8.elementsEqual(user.name.utf8) }) else {
                throw userReader.error(
                    .authUserName, "\(SectionReader.quoted(user.name)) stands there twice")
            }
            users.append(user)
        }
        tokens = try ProxyConfiguration.Tokens(document.reader(for: .authJWT), secrets: secrets)
        rules = []
        for ruleReader in document.readers(for: .authRule) {
            rules.append(
                try AuthenticationRule(
                    ruleReader, allowsMD5: allowsMD5, hasTokens: tokens != nil))
        }
        if rules.isEmpty, !users.isEmpty || tokens != nil || query != nil {
            throw ConfigurationError(
                source: document.source, line: document.locator.line(of: [.key("auth")]),
                key: "auth",
                problem: "says who may log in, but has no [[auth.rule]]: nobody would "
                    + "be asked who they are", allowed: "allowed: at least one [[auth.rule]]")
        }
    }
}

extension ProxyConfiguration.Query {
    private static let allowed = "\"off\", \"default\", or a SELECT with the parameter $1"

    /// Nil for `off`.
    fileprivate init?(
        _ reader: SectionReader, upstream: ProxyConfiguration.UpstreamDatabase,
        secrets: SecretReader
    ) throws(ConfigurationError) {
        let text = try reader.string(.authQuery, allowed: Self.allowed) ?? "off"
        let user = try reader.string(.authUser, allowed: "a user name")
        let database = try reader.string(.authDatabase, allowed: "a database name")
        let password = try secrets.secret(
            reader, file: .authPasswordFile, environment: .authPasswordEnvironment)
        guard text != "off" else { return nil }
        guard text == "default" || text.contains("$1") else {
            throw reader.error(
                .authQuery, "found \(SectionReader.quoted(text))", allowed: Self.allowed)
        }
        guard case .postgresql(let url) = upstream else {
            throw reader.error(
                .authQuery, "asks a PostgreSQL server, and upstream.url names none",
                allowed: "\"off\"")
        }
        guard user?.isEmpty == false || url.parameters["user"] != nil else {
            throw reader.error(
                .authQuery, "has nobody to ask as", allowed: "auth_user, or a user in upstream.url")
        }
        sql = text == "default" ? nil : text
        self.user = user?.isEmpty == false ? user : nil
        let named = database?.isEmpty == false ? database : url.parameters["dbname"]
        self.database = named ?? "postgres"
        self.password = password
    }
}

extension ProxyConfiguration.User {
    fileprivate init(
        _ reader: SectionReader, secrets: SecretReader, allowsMD5: Bool
    ) throws(ConfigurationError) {
        let name = try reader.string(.authUserName, allowed: "a user name")
        guard let name, !name.isEmpty, !name.utf8.contains(0) else {
            throw reader.error(
                .authUserName, name == nil ? "missing" : "found \"\"", allowed: "a user name")
        }
        let certificates =
            try reader.strings(.authUserCertificates, allowed: "names in certificates") ?? []
        secret = try secrets.secret(
            reader, verifier: .authUserVerifier, file: .authUserPasswordFile,
            environment: .authUserPasswordEnvironment)
        if !allowsMD5, let secret, case .md5? = StoredSecret(secret.secret.value) {
            throw reader.error(
                .authUserVerifier, "is one of md5, which is not allowed",
                allowed: "SCRAM-SHA-256$…, or auth.allow_md5 = true")
        }
        self.name = name
        self.certificates = certificates
    }
}

extension AuthenticationRule {
    private static let addressesAllowed =
        "\"all\", \"unix\", or blocks of addresses such as \(AddressBlock.notation)"

    fileprivate init(
        _ reader: SectionReader, allowsMD5: Bool, hasTokens: Bool
    ) throws(ConfigurationError) {
        self.init(
            users: try Self.names(reader, .authRuleUsers, "users"),
            databases: try Self.names(reader, .authRuleDatabases, "databases"),
            sources: try Self.sources(reader), encrypted: try reader.bool(.authRuleTLS),
            method: try Self.method(reader))
        switch method {
        case .md5 where !allowsMD5:
            throw reader.error(
                .authRuleMethod, "found \"md5\", which is broken and only for old clients",
                allowed: "\"scram-sha-256\", or auth.allow_md5 = true")
        case .jwt where !hasTokens:
            throw reader.error(
                .authRuleMethod, "found \"jwt\", and no keys to check tokens with",
                allowed: "a table [auth.jwt] with keys")
        case .trust where !sources.allSatisfy(\.isLocal):
            throw reader.error(
                .authRuleMethod, "found \"trust\" in a rule about addresses of other machines",
                allowed:
                    "\"trust\" with addresses = [\"unix\", \"127.0.0.0/8\", \"::1\"] or some of "
                    + "these")
        case .cert where encrypted == false:
            throw reader.error(
                .authRuleMethod, "found \"cert\" in a rule with tls = false",
                allowed: "a rule for encrypted connections")
        case .scram, .md5, .jwt, .cert, .trust, .reject:
            break
        }
    }

    private static func names(
        _ reader: SectionReader, _ key: ConfigurationKey, _ what: String
    ) throws(ConfigurationError) -> Names {
        let allowed = "\"all\", or an array of names of \(what)"
        let names = try reader.strings(key, allowed: allowed) ?? ["all"]
        guard !names.isEmpty, !names.contains("") else {
            throw reader.error(key, "found no name or an empty one", allowed: allowed)
        }
        return names.contains("all") ? .all : .some(names)
    }

    private static func sources(_ reader: SectionReader) throws(ConfigurationError) -> [Source] {
        let texts = try reader.strings(.authRuleAddresses, allowed: addressesAllowed) ?? ["all"]
        guard !texts.isEmpty else {
            throw reader.error(.authRuleAddresses, "found none", allowed: addressesAllowed)
        }
        var sources: [Source] = []
        for text in texts {
            switch text {
            case "all": sources.append(.all)
            case "unix": sources.append(.unix)
            default:
                guard let block = AddressBlock(text) else {
                    throw reader.error(
                        .authRuleAddresses, "found \(SectionReader.quoted(text))",
                        allowed: addressesAllowed + ", with no bit set behind the prefix")
                }
                sources.append(.block(block))
            }
        }
        return sources
    }

    private static func method(_ reader: SectionReader) throws(ConfigurationError)
        -> AuthenticationMethod
    {
        let names = AuthenticationMethod.allCases.map { "\"\($0.rawValue)\"" }
            .joined(separator: ", ")
        guard let text = try reader.string(.authRuleMethod, allowed: names) else {
            throw ConfigurationError(
                source: reader.document.source,
                line: reader.document.locator.line(of: reader.path),
                key: ConfigurationKey.authRuleMethod.rawValue, problem: "missing",
                allowed: "allowed: \(names)")
        }
        guard let method = AuthenticationMethod(rawValue: text) else {
            throw reader.error(
                .authRuleMethod, "found \(SectionReader.quoted(text))", allowed: names)
        }
        return method
    }
}

extension ProxyConfiguration.Tokens {
    private static let keysAllowed =
        "an array of \"ALGORITHM:FILE\" with RS256, PS256, ES256 or EdDSA and a public key in PEM, "
        + "HS256 and a secret, or JWKS and a key set"

    /// Nil where there is no such table.
    fileprivate init?(
        _ reader: SectionReader, secrets: SecretReader
    ) throws(ConfigurationError) {
        guard reader.table != nil else { return nil }
        keys = []
        for text in try reader.strings(.authJWTKeys, allowed: Self.keysAllowed) ?? [] {
            keys.append(try Self.key(text, reader, secrets))
        }
        guard !keys.isEmpty, keys.reduce(0, { $0 + $1.keys.count }) <= TokenKey.maximumCount else {
            throw reader.error(
                .authJWTKeys, keys.isEmpty ? "missing" : "found too many keys",
                allowed: Self.keysAllowed)
        }
        let issuer = try reader.string(.authJWTIssuer, allowed: "the issuer of the tokens")
        guard let issuer, !issuer.isEmpty else {
            throw reader.error(.authJWTIssuer, "missing", allowed: "the issuer of the tokens")
        }
        self.issuer = issuer
        let audience = "what tokens for this proxy name as their audience"
        audiences = try reader.strings(.authJWTAudience, allowed: audience) ?? []
        guard !audiences.isEmpty, !audiences.contains("") else {
            throw reader.error(.authJWTAudience, "missing", allowed: audience)
        }
        let name = "the name of a claim"
        claim = try reader.string(.authJWTClaim, allowed: name) ?? "sub"
        guard !claim.isEmpty else {
            throw reader.error(.authJWTClaim, "found \"\"", allowed: name)
        }
        let example = "a table such as { \"alice@example.org\" = \"alice\" }"
        let pairs = try reader.stringTable(.authJWTRoles, allowed: example) ?? []
        roles = pairs.map { ProxyConfiguration.Role(value: $0.name, role: $0.value) }
        leeway =
            try reader.duration(
                .authJWTLeeway, in: .milliseconds(1) ... .seconds(300), zero: "none")
            ?? .seconds(30)
        maximumLength =
            try reader.byteCount(.authJWTMaximumLength, in: .kilobytes(1) ... .kilobytes(64))
            ?? .kilobytes(16)
    }

    private static func key(
        _ text: String, _ reader: SectionReader, _ secrets: SecretReader
    ) throws(ConfigurationError) -> Key {
        let colon = text.firstIndex(of: ":") ?? text.endIndex
        let kind = String(text[..<colon])
        let path = String(text[colon...].dropFirst())
        let algorithm = TokenKey.Algorithm(rawValue: kind)
        guard algorithm != nil || kind == "JWKS", !path.isEmpty else {
            throw reader.error(
                .authJWTKeys, "found \(SectionReader.quoted(text))", allowed: keysAllowed)
        }
        let contents = try secrets.contents(path, .authJWTKeys, reader)
        do {
            let keys =
                if let algorithm {
                    [try TokenKey(algorithm, file: contents)]
                } else {
                    try TokenKey.set(file: contents)
                }
            return Key(text: text, keys: keys, contents: contents)
        } catch {
            throw reader.error(
                .authJWTKeys, "\(SectionReader.quoted(path)): \(error.reason)",
                allowed: keysAllowed)
        }
    }
}

/// Reads secrets from where the file says they stand. Its errors hold none.
private struct SecretReader {
    let environment: [String: String]
    let directory: String

    private static let longestFile = 1 << 20
    /// PostgreSQL takes no longer password.
    private static let longestPassword = 1024

    /// At most one of the keys may be there; nil where none is.
    func secret(
        _ reader: SectionReader, verifier: ConfigurationKey? = nil, file: ConfigurationKey,
        environment variable: ConfigurationKey
    ) throws(ConfigurationError) -> ProxyConfiguration.SecretSource? {
        var found: [ProxyConfiguration.SecretSource] = []
        if let verifier, let text = try reader.string(verifier, allowed: "a verifier") {
            guard StoredSecret(text) != nil else {
                throw reader.error(
                    verifier, "is no verifier",
                    allowed: "\"SCRAM-SHA-256$iterations:salt$stored key:server key\", as in "
                        + "pg_authid.rolpassword; a password belongs into a file")
            }
            found.append(.init(place: .verifier, secret: Secret(text)))
        }
        if let path = try reader.string(file, allowed: "the path of a file"), !path.isEmpty {
            var text = String(decoding: try contents(path, file, reader), as: UTF8.self)
            while text.last?.isNewline == true { text.removeLast() }
            try check(text, file, reader)
            found.append(.init(place: .file(path), secret: Secret(text)))
        }
        let allowed = "the name of an environment variable"
        if let name = try reader.string(variable, allowed: allowed), !name.isEmpty {
            let text = environment[name] ?? ""
            try check(text, variable, reader)
            found.append(.init(place: .environment(name), secret: Secret(text)))
        }
        guard found.count <= 1 else {
            throw reader.error(
                file, "is one secret too many", allowed: "one of the ways to give it")
        }
        return found.first
    }

    private func check(
        _ text: String, _ key: ConfigurationKey, _ reader: SectionReader
    ) throws(ConfigurationError) {
        guard (1...Self.longestPassword).contains(text.utf8.count), !text.utf8.contains(0) else {
            throw reader.error(
                key, text.isEmpty ? "holds no password" : "holds something that is no password",
                allowed: "a password of 1 to \(Self.longestPassword) bytes")
        }
    }

    func contents(
        _ path: String, _ key: ConfigurationKey, _ reader: SectionReader
    ) throws(ConfigurationError) -> [UInt8] {
        let absolute = path.hasPrefix("/") ? path : "\(directory)/\(path)"
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: absolute)) else {
            throw reader.error(
                key, "\(SectionReader.quoted(path)) cannot be read", allowed: "a file")
        }
        guard data.count <= Self.longestFile else {
            throw reader.error(
                key, "\(SectionReader.quoted(path)) has \(data.count) bytes",
                allowed: "a file of up to \(Self.longestFile) bytes")
        }
        return Array(data)
    }
}
