import Testing

@testable import ProxyConfiguration

/// `[snapshot]`.
@Suite struct SnapshotConfigurationTests {
    private func load(_ text: String) throws -> ProxyConfiguration {
        try ProxyConfiguration.parse(
            "[upstream]\nurl = \"sqlite:a.db\"\n[snapshot]\n" + text, source: "proxy.conf",
            directory: "/etc/mynah")
    }

    @Test("Without anything there are none")
    func defaults() throws {
        let snapshot = try load("").snapshot
        #expect(
            snapshot
                == .init(
                    directory: nil, interval: .zero, keep: 3, onShutdown: true, keyFile: nil,
                    keyEnvironment: nil, warmUpRate: 20, warmUpLimit: 1000))
        #expect(try load("directory = \"\"\nkey_env = \"\"").snapshot == snapshot)
    }

    @Test("Every key is read, relative paths from the file's directory, and shown again")
    func everything() throws {
        let configuration = try load(
            """
            directory = "snapshots"
            interval = "10m"
            keep = 5
            on_shutdown = false
            key_file = "/keys/k"
            warm_up_rate = 7
            warm_up_limit = 0
            """)
        #expect(
            configuration.snapshot
                == .init(
                    directory: "/etc/mynah/snapshots", interval: .seconds(600), keep: 5,
                    onShutdown: false, keyFile: "/keys/k", keyEnvironment: nil, warmUpRate: 7,
                    warmUpLimit: 0))
        let again = try ProxyConfiguration.parse(
            configuration.effectiveText, source: "effective", directory: "/")
        #expect(again == configuration)
        let fixed = configuration.changesNeedingRestart(from: try load(""))
        #expect(fixed.contains("snapshot.directory") && fixed.contains("snapshot.warm_up_rate"))
    }

    @Test(
        "Mistakes are named, with their line and what is allowed",
        arguments: [
            ("keep = 0", "proxy.conf:4: snapshot.keep: found the integer 0; allowed: a whole"),
            ("interval = \"1ms\"", "proxy.conf:4: snapshot.interval: found \"1ms\"; allowed:"),
            (
                "interval = \"1h\"",
                "proxy.conf:4: snapshot.interval: has no effect without snapshot.directory"
            ),
            (
                "key_file = \"a\"\nkey_env = \"B\"",
                "proxy.conf:5: snapshot.key_env: is one key too many; allowed: snapshot.key_file or"
            ),
            ("warm_up_rate = -1", "proxy.conf:4: snapshot.warm_up_rate: found the integer -1"),
            (
                "on_shutdown = 1",
                "proxy.conf:4: snapshot.on_shutdown: found the integer 1; allowed:"
            ),
            ("directory = 3", "proxy.conf:4: snapshot.directory: found the integer 3; allowed:"),
            ("intervall = \"1h\"", "proxy.conf:4: snapshot.intervall: unknown key"),
        ])
    func mistakes(text: String, message: String) {
        #expect {
            try load(text)
        } throws: { error in
            "\(error)".hasPrefix(message)
        }
    }

    @Test("Rules are told apart by what they decide")
    func policies() throws {
        func text(_ rules: String) throws -> String {
            try ProxyConfiguration.parse(
                "[upstream]\nurl = \"sqlite:a.db\"\n" + rules, source: "", directory: "/"
            ).policy.canonicalText
        }
        let none = try text("")
        #expect(try text("[cache]\nmemory = \"2MB\"\n") == none)
        let others = [
            "[cache]\nttl = \"1s\"\n", "[[rule]]\ntables = [\"a\"]\ncache = false\n",
            "[[rule]]\ntables = [\"a\"]\nttl = \"1s\"\n", "[[rule]]\nquery = \"a\"\nttl = \"1s\"\n",
        ]
        #expect(Set(try others.map(text) + [none]).count == others.count + 1)
    }
}
