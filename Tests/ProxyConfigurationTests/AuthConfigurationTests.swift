import Foundation
import Security
import Testing

@testable import ProxyConfiguration

@Suite("Configuration of authentication")
struct AuthConfigurationTests {
    /// RFC 7677's example as a verifier: password `pencil`.
    static let verifier =
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        + ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

    private let directory: String

    init() throws {
        directory = NSTemporaryDirectory() + "mynah-auth-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        try "0123456789abcdef0123456789abcdef\n".write(
            toFile: directory + "/token-secret", atomically: false, encoding: .utf8)
        try "hunter2\r\n".write(
            toFile: directory + "/password", atomically: false, encoding: .utf8)
    }

    private func parse(
        _ text: String, environment: [String: String] = ["PW": "hunter3"]
    ) throws -> ProxyConfiguration {
        try ProxyConfiguration.parse(
            "upstream.url = \"postgresql://u@h/d\"\n" + text, source: "proxy.conf",
            directory: directory, environment: environment)
    }

    private func message(_ text: String) throws -> String {
        let error = #expect(throws: ConfigurationError.self) { try parse(text) }
        return try #require(error).description
    }

    private static let full = """
        listen.address = "0.0.0.0:6432"
        [auth]
        timeout = "3s"
        max_failures = 4
        failure_window = "2m"
        allow_md5 = true
        auth_query = "SELECT s FROM x.y($1)"
        auth_query_ttl = "1s"
        auth_user = "asker"
        auth_database = "accounts"
        auth_password_env = "PW"
        [auth.jwt]
        keys = ["HS256:token-secret"]
        issuer = "https://idp/"
        audience = ["mynah", "other"]
        claim = "email"
        roles = { "a@b" = "alice" }
        leeway = "5s"
        max_length = "8kB"
        [[auth.user]]
        name = "alice"
        verifier = "\(verifier)"
        certificates = ["alice.example"]
        [[auth.user]]
        name = "bob"
        password_file = "password"
        [[auth.user]]
        name = "carol"
        password_env = "PW"
        [[auth.rule]]
        addresses = ["unix", "127.0.0.0/8"]
        method = "trust"
        [[auth.rule]]
        users = ["alice", "bob"]
        databases = "shop"
        addresses = ["192.0.2.0/24", "2001:db8::/32"]
        tls = true
        method = "scram-sha-256"
        """

    @Test("Every value is taken")
    func full() throws {
        let configuration = try parse(Self.full)
        let auth = configuration.auth
        #expect(configuration.listen.addresses == [.tcp(host: "0.0.0.0", port: 6432)])
        #expect(auth.timeout == .seconds(3) && auth.maximumFailures == 4 && auth.allowsMD5)
        #expect(auth.failureWindow == .seconds(120) && auth.queryTTL == .seconds(1))
        #expect(auth.query?.sql == "SELECT s FROM x.y($1)")
        #expect(auth.query?.user == "asker" && auth.query?.database == "accounts")
        #expect(auth.query?.password?.secret.value == "hunter3")
        #expect(auth.users.map(\.name) == ["alice", "bob", "carol"])
        #expect(
            auth.users.map { $0.secret?.secret.value } == [Self.verifier, "hunter2", "hunter3"])
        #expect(auth.users[0].certificates == ["alice.example"])
        #expect(auth.rules.map(\.method) == [.trust, .scram])
        #expect(auth.rules[1].encrypted == true && auth.rules[0].encrypted == nil)
        #expect(auth.rules[1].sources.count == 2)
        #expect(auth.tokens?.roles == [.init(value: "a@b", role: "alice")])
        #expect(auth.tokens?.audiences == ["mynah", "other"] && auth.tokens?.claim == "email")
        #expect(auth.tokens?.leeway == .seconds(5) && auth.tokens?.maximumLength == .kilobytes(8))
        #expect(auth.policy.looksUpSecrets)
    }

    @Test("Without rules nobody is asked, as before")
    func open() throws {
        let auth = try parse("").auth
        #expect(auth.policy.isOpen && auth.query == nil && auth.tokens == nil)
    }

    @Test("The effective settings say the same, but for secrets, which they do not hold")
    func effective() throws {
        let configuration = try parse(Self.full)
        let text = configuration.effectiveText
        for secret in ["hunter2", "hunter3", "W22Z", "0123456789abcdef"] {
            #expect(!text.contains(secret))
            #expect(!"\(configuration)".contains(secret))
        }
        let filled = text.replacing("\"********\"", with: "\"\(Self.verifier)\"")
        let again = try ProxyConfiguration.parse(
            filled, source: "effective", directory: directory, environment: ["PW": "hunter3"])
        #expect(again == configuration)
    }

    @Test("A change of rules, users or their secrets is noticed, and takes effect at run time")
    func changes() throws {
        let old = try parse(Self.full)
        let rules = try parse(Self.full.replacing("\"shop\"", with: "\"bank\""))
        #expect(rules.changesAtRunTime(from: old) == ["auth.rule"])
        let users = try parse(Self.full, environment: ["PW": "changed"])
        #expect(users.changesAtRunTime(from: old).contains("auth.user"))
        #expect(users.changesNeedingRestart(from: old).isEmpty)
        let jwt = try parse(Self.full.replacing("\"5s\"", with: "\"6s\""))
        #expect(jwt.changesAtRunTime(from: old) == ["auth.jwt.leeway"])
    }

    @Test("Trust is for this machine alone")
    func trust() throws {
        for addresses in ["\"all\"", "[\"10.0.0.0/8\"]", "[\"unix\", \"0.0.0.0/0\"]", "[\"::/0\"]"]
        {
            #expect(
                try message("[[auth.rule]]\naddresses = \(addresses)\nmethod = \"trust\"")
                    .hasPrefix("proxy.conf:4: auth.rule.method: found \"trust\" in a rule about"))
        }
        #expect(
            try message("[[auth.rule]]\nmethod = \"trust\"").contains("found \"trust\" in a rule"))
    }

    @Test("Mistakes are named, with their line and what is allowed")
    func mistakes() throws {
        let rule = "[[auth.rule]]\nmethod = \"reject\"\n"
        for (text, expected) in [
            (
                "[[auth.rule]]",
                "proxy.conf:2: auth.rule.method: missing; allowed: \"scram-sha-256\""
            ),
            (
                "[[auth.rule]]\nmethod = \"password\"",
                "proxy.conf:3: auth.rule.method: found \"password\"; allowed:"
            ),
            (
                "[[auth.rule]]\nmethod = \"md5\"",
                "proxy.conf:3: auth.rule.method: found \"md5\", which is broken"
            ),
            (
                "[[auth.rule]]\nmethod = \"jwt\"",
                "proxy.conf:3: auth.rule.method: found \"jwt\", and no keys"
            ),
            (
                "[[auth.rule]]\nmethod = \"cert\"\ntls = false",
                "proxy.conf:3: auth.rule.method: found \"cert\" in a rule with tls = false"
            ),
            (
                "[[auth.rule]]\nmethod = \"reject\"\n\n[[auth.rule]]\nmethods = \"reject\"",
                "proxy.conf:6: auth.rule.methods: unknown key; allowed keys here: users, databases, "
                    + "addresses, tls, method (did you mean \"method\"?)"
            ),
            (
                "[auth]\nrules = 1",
                "proxy.conf:3: auth.rules: unknown key; allowed keys here: timeout,"
            ),
            (
                "[auth.rule]\nmethod = \"reject\"",
                "proxy.conf:2: auth.rule: found a table; allowed: [[auth.rule]]"
            ),
            ("[[auth]]\n", "proxy.conf:2: auth: found an array; allowed: a table: [auth]"),
            (
                "[auth]\njwt = 1",
                "proxy.conf:3: auth.jwt: found the integer 1; allowed: a table: [auth.jwt]"
            ),
            ("[auth.ldap]\n", "proxy.conf:2: auth.ldap: unknown key; allowed keys here:"),
            (
                "[[auth.rule]]\naddresses = [\"10.0.0.1/8\"]\nmethod = \"reject\"",
                "proxy.conf:3: auth.rule.addresses: found \"10.0.0.1/8\"; allowed:"
            ),
            (
                "[[auth.rule]]\naddresses = []\nmethod = \"reject\"",
                "proxy.conf:3: auth.rule.addresses: found none"
            ),
            (
                "[[auth.rule]]\nusers = [\"\"]\nmethod = \"reject\"",
                "proxy.conf:3: auth.rule.users: found no name or an empty one"
            ),
            (
                "[[auth.user]]\nname = \"a\"\nverifier = \"hunter2\"\n" + rule,
                "proxy.conf:4: auth.user.verifier: is no verifier; allowed: \"SCRAM-SHA-256"
            ),
            (
                "[[auth.user]]\nname = \"a\"\nverifier = \"md5\(String(repeating: "0", count: 32))\"\n"
                    + rule, "proxy.conf:4: auth.user.verifier: is one of md5"
            ),
            ("[[auth.user]]\nverifier = \"x\"\n" + rule, "proxy.conf: auth.user.name: missing"),
            (
                "[[auth.user]]\nname = \"a\"\n[[auth.user]]\nname = \"a\"\n" + rule,
                "proxy.conf:5: auth.user.name: \"a\" stands there twice"
            ),
            (
                "[[auth.user]]\nname = \"a\"\npassword_file = \"nowhere\"\n" + rule,
                "proxy.conf:4: auth.user.password_file: \"nowhere\" cannot be read"
            ),
            (
                "[[auth.user]]\nname = \"a\"\npassword_env = \"NOT_SET\"\n" + rule,
                "proxy.conf:4: auth.user.password_env: holds no password"
            ),
            (
                "[[auth.user]]\nname = \"a\"\npassword_env = \"PW\"\npassword_file = \"password\"\n"
                    + rule, "proxy.conf:5: auth.user.password_file: is one secret too many"
            ),
            ("[[auth.user]]\nname = \"a\"", "proxy.conf:2: auth: says who may log in, but has no"),
            (
                "[auth]\nauth_query = \"default\"",
                "proxy.conf:2: auth: says who may log in, but has"
            ),
            (
                "[auth]\nauth_query = \"SELECT 1\"\n" + rule,
                "proxy.conf:3: auth.auth_query: found \"SELECT 1\"; allowed: \"off\", \"default\""
            ),
            (
                "[auth.jwt]\nkeys = [\"RS256:token-secret\"]\n" + rule,
                "proxy.conf:3: auth.jwt.keys: \"token-secret\": holds no public key for RS256 in PEM"
            ),
            (
                "[auth.jwt]\nkeys = [\"HS256:password\"]\n" + rule,
                "proxy.conf:3: auth.jwt.keys: \"password\": the secret for HS256 has 7 bytes"
            ),
            (
                "[auth.jwt]\nkeys = [\"none:password\"]\n" + rule,
                "proxy.conf:3: auth.jwt.keys: found \"none:password\"; allowed:"
            ),
            ("[auth.jwt]\n" + rule, "proxy.conf: auth.jwt.keys: missing"),
            (
                "[auth.jwt]\nkeys = [\"HS256:token-secret\"]\n" + rule,
                "proxy.conf: auth.jwt.issuer: missing"
            ),
            (
                "[auth.jwt]\nkeys = [\"HS256:token-secret\"]\nissuer = \"i\"\n" + rule,
                "proxy.conf: auth.jwt.audience: missing"
            ),
            (
                "[auth.jwt]\nkeys = [\"HS256:token-secret\"]\nissuer = \"i\"\naudience = \"a\"\n"
                    + "roles = { a = 1 }\n" + rule,
                "proxy.conf:6: auth.jwt.roles: found something else than a string"
            ),
        ] {
            let found = try message(text)
            #expect(found.hasPrefix(expected), "\(found)")
            #expect(!found.contains("hunter2") && !found.contains("0123456789abcdef"))
        }
    }

    @Test("Metrics stay on this machine, whoever is authenticated")
    func metrics() throws {
        #expect(
            try message(
                "listen.metrics = \"0.0.0.0:1\"\n[[auth.rule]]\nmethod = \"reject\"\n"
            ).contains("listen.metrics: found \"0.0.0.0:1\", which other machines can reach"))
    }

    @Test("SQLite has no users to ask for")
    func sqlite() throws {
        let error = #expect(throws: ConfigurationError.self) {
            try ProxyConfiguration.parse(
                """
                upstream.url = "sqlite:x.db"
                [auth]
                auth_query = "default"
                [[auth.rule]]
                method = "scram-sha-256"
                """, source: "proxy.conf", directory: "/")
        }
        #expect(error?.description.contains("auth_query: asks a PostgreSQL server") == true)
    }
}
