import Testing

@testable import ProxyConfiguration

@Suite("Replication in the configuration")
struct ReplicationConfigurationTests {
    private func parse(_ text: String, sqlite: Bool = false) throws -> ProxyConfiguration {
        let url = sqlite ? "sqlite:f.db" : "postgresql://u@h/d"
        return try ProxyConfiguration.parse(
            "upstream.url = \"\(url)\"\n[replication]\n" + text, source: "proxy.conf",
            directory: "/etc/mynah")
    }

    private func message(_ text: String, sqlite: Bool = false) throws -> String {
        let error = #expect(throws: ConfigurationError.self) {
            try parse(text, sqlite: sqlite)
        }
        return try #require(error).description
    }

    @Test("A node is alone unless told otherwise")
    func alone() throws {
        let replication = try parse("").replication
        #expect(replication.listen == nil && replication.follow.isEmpty && !replication.failover)
        #expect(replication.mode == .async && replication.lease == .seconds(1))
    }

    @Test("Every value is taken")
    func everything() throws {
        let configuration = try parse(
            """
            listen = "192.0.2.1:6532"
            follow = ["192.0.2.2:6532", "[2001:db8::3]:6532"]
            failover = true
            arbiter = "postgresql://arbiter:s%40crt@h/postgres"
            mode = "sync"
            lease = "250ms"
            buffer = "1GB"
            advertise = "one.example.com:5432"
            key_file = "mirror.key"
            """)
        let replication = configuration.replication
        #expect(replication.listen == .tcp(host: "192.0.2.1", port: 6532))
        #expect(replication.follow.count == 2 && replication.failover)
        #expect(replication.mode == .sync && replication.lease == .milliseconds(250))
        #expect(replication.keyFile == "/etc/mynah/mirror.key")
        #expect(replication.advertise == .tcp(host: "one.example.com", port: 5432))
        #expect(!configuration.effectiveText.contains("s%40crt"))
        let again = try ProxyConfiguration.parse(
            configuration.effectiveText, source: "proxy.conf", directory: "/")
        #expect(again.replication.follow == replication.follow)
        #expect(again.replication.lease == replication.lease)
    }

    @Test("Off this machine nodes have to know each other")
    func unauthenticated() throws {
        #expect(
            try message("listen = \"0.0.0.0:6532\"").hasPrefix(
                "proxy.conf:3: replication.listen: found \"0.0.0.0:6532\", which is not on this "
                    + "machine, and nothing by which nodes know each other"))
        #expect(
            try message("follow = \"192.0.2.2:6532\"").hasPrefix(
                "proxy.conf:3: replication.follow: found \"192.0.2.2:6532\", which is not"))
        _ = try parse("listen = \"0.0.0.0:6532\"\nkey_env = \"KEY\"")
    }

    @Test(
        "What cannot be meant is refused",
        arguments: [
            ("listen = \"6532\"", "replication.listen: found \"6532\""),
            ("follow = [\"127.0.0.1:1\", \"nothing\"]", "replication.follow: found \"nothing\""),
            ("mode = \"both\"", "replication.mode: found \"both\"; allowed: \"sync\" or \"async\""),
            ("lease = \"1ms\"", "replication.lease: found \"1ms\""),
            ("buffer = \"1kB\"", "replication.buffer: found \"1kB\""),
            ("key_file = \"a\"\nkey_env = \"b\"", "replication.key_env: is given besides"),
            ("certificate = \"a\"", "replication.certificate_key: missing"),
            (
                "listen = \"127.0.0.1:1\"\nfollow = \"127.0.0.1:1\"",
                "replication.follow: found \"127.0.0.1:1\", where this node itself is followed"
            ),
            ("failover = true", "replication.failover: needs to know the other nodes"),
            (
                "arbiter = \"postgresql://h/d\"",
                "replication.arbiter: has no effect without replication.failover = true"
            ),
        ])
    func refused(_ text: String, _ expected: String) throws {
        #expect(try message(text).contains(expected))
    }

    @Test("A SQLite file has one node that leads")
    func sqlite() throws {
        #expect(
            try message("follow = \"127.0.0.1:6532\"", sqlite: true).contains(
                "replication.follow: has no effect in front of a SQLite file"))
        _ = try parse("listen = \"127.0.0.1:6532\"", sqlite: true)
    }
}
