import Foundation
import Testing

@testable import ProxyConfiguration

@Suite("Configuration errors")
struct ConfigurationErrorTests {
    /// The error that `text` is refused with, as printed. A valid upstream is on line 1.
    private func message(
        _ text: String, environment: [String: String] = [:]
    ) throws -> String {
        let error = #expect(throws: ConfigurationError.self) {
            try ProxyConfiguration.parse(
                "upstream.url = \"sqlite:x.db\"\n" + text, source: "proxy.conf", directory: "/",
                environment: environment)
        }
        return try #require(error).description
    }

    private func upstreamMessage(_ url: String) throws -> String {
        let error = #expect(throws: ConfigurationError.self) {
            try ProxyConfiguration.parse(
                "\n\nupstream.url = '\(url)'", source: "proxy.conf", directory: "/")
        }
        return try #require(error).description
    }

    @Test("An unknown key names line, key, what is allowed, and the likely intention")
    func unknownKey() throws {
        #expect(
            try message("[cache]\nenabled = true\nmemroy = \"1GB\"") == """
                proxy.conf:4: cache.memroy: unknown key; allowed keys here: enabled, memory, ttl, \
                max_entry, single_flight, verify, stale_if_error (did you mean "memory"?)
                """)
        #expect(
            try message("[log]\ncolour = 1") == """
                proxy.conf:3: log.colour: unknown key; allowed keys here: level, core_dumps
                """)
        #expect(
            try message("[[rule]]\ntables = [\"a\"]\nttl = \"1s\"\n[[rule]]\ntable = [\"a\"]")
                == """
                proxy.conf:6: rule.table: unknown key; allowed keys here: tables, query, cache, \
                ttl (did you mean "tables"?)
                """)
    }

    @Test("An unknown table or a key outside its table is named")
    func unknownTable() throws {
        let tables =
            "tables of this file: listen, tls, upstream, pool, sqlite, cache, snapshot, replication, "
            + "limits, auth, log, rule"
        #expect(
            try message("[cahce]\nttl = \"1s\"")
                == "proxy.conf:2: cahce: unknown table; \(tables) (did you mean \"cache\"?)")
        #expect(
            try message("memory = \"1GB\"")
                == "proxy.conf:2: memory: unknown key; \(tables) (did you mean \"cache.memory\"?)")
        #expect(
            try message("[nothing_like_it]")
                == "proxy.conf:2: nothing_like_it: unknown table; \(tables)")
    }

    @Test("A table of the wrong shape is named")
    func wrongShape() throws {
        #expect(
            try message("cache = 3")
                == "proxy.conf:2: cache: found the integer 3; allowed: a table: [cache]")
        #expect(
            try message("[rule]\ntables = [\"a\"]")
                == "proxy.conf:2: rule: found a table; allowed: [[rule]], once per rule")
        #expect(
            try message("rule = [1]")
                == "proxy.conf:2: rule: found the integer 1; allowed: [[rule]], once per rule")
    }

    @Test("The first mistake of the file is the one reported")
    func firstMistake() throws {
        #expect(try message("[log]\nb = 1\n[cache]\na = 1").hasPrefix("proxy.conf:3: log.b:"))
    }

    @Test("What is not TOML is reported with its line")
    func syntax() throws {
        #expect(try message("[cache]\nttl = ").hasPrefix("proxy.conf:3: not valid TOML: "))
        #expect(try message("[cache\nttl = 1").hasPrefix("proxy.conf:2: not valid TOML: "))
        #expect(
            try message("[log]\nlevel = \"info\"\nlevel = \"debug\"")
                .hasPrefix("proxy.conf:4: not valid TOML: "))
    }

    @Test("A wrong unit or an amount out of range shows the notation and the range")
    func amounts() throws {
        let memory =
            "a whole number with a unit (B, kB, MB, GB, TB), such as \"256MB\", from 1MB to 1TB"
        for found in ["256", "256mb", "12 bananas", "10kB", "2TB"] {
            #expect(
                try message("[cache]\nmemory = \"\(found)\"")
                    == "proxy.conf:3: cache.memory: found \"\(found)\"; allowed: \(memory)")
        }
        #expect(
            try message("cache.memory = 256")
                == "proxy.conf:2: cache.memory: found the integer 256; allowed: \(memory)")
        let ttl = """
            a whole number with a unit (ms, s, m, h, d), such as "5m", from 1ms to 365d, or "0" \
            (until invalidated)
            """
        for found in ["5", "5 minutes", "366d", "-1s"] {
            #expect(
                try message("[cache]\nttl = \"\(found)\"")
                    == "proxy.conf:3: cache.ttl: found \"\(found)\"; allowed: \(ttl)")
        }
        #expect(
            try message("limits.startup_timeout = \"0\"")
                .hasPrefix("proxy.conf:2: limits.startup_timeout: found \"0\"; allowed: "))
        #expect(
            try message("[cache]\nmemory = \"2MB\"\nmax_entry = \"3MB\"") == """
                proxy.conf:4: cache.max_entry: found "3MB"; allowed: no more than cache.memory, \
                which is "2MB"
                """)
    }

    @Test("Values of the wrong type or out of their list are named with what is allowed")
    func types() throws {
        #expect(
            try message("cache.enabled = \"yes\"")
                == "proxy.conf:2: cache.enabled: found \"yes\"; allowed: true or false")
        #expect(
            try message("sqlite.readers = 0") == """
                proxy.conf:2: sqlite.readers: found the integer 0; allowed: a whole number from 1 \
                to 64
                """)
        for (text, found) in [("2", "the integer 2"), ("\"often\"", "\"often\"")] {
            #expect(
                try message("cache.verify = \(text)") == """
                    proxy.conf:2: cache.verify: found \(found); allowed: a number from 0 to 1, \
                    such as 0.01
                    """)
        }
        #expect(
            try message("sqlite.readers = 1.5").contains("found the floating-point number 1.5"))
        #expect(
            try message("log.level = \"loud\"") == """
                proxy.conf:2: log.level: found "loud"; allowed: trace, debug, info, notice, \
                warning, error, critical
                """)
        #expect(try message("log.level = 2013-01-01").contains("found a date or time"))
        #expect(try message("log.level = []").contains("found an array"))
    }

    @Test("A bad listen address shows the forms that are allowed")
    func addresses() throws {
        #expect(
            try message("listen.address = \"6432\"") == """
                proxy.conf:2: listen.address: found "6432"; allowed: "host:port" such as \
                "127.0.0.1:6432", "[::1]:6432" or "localhost:6432", or \
                "unix:/directory/.s.PGSQL.6432"
                """)
        #expect(try message("listen.address = []").contains("listen.address: found no address"))
        #expect(try message("listen.address = [1]").contains("found the integer 1 in the array"))
        #expect(
            try message("listen.address = [\"[::1]:1\", \"[::1]:1\"]")
                == "proxy.conf:2: listen.address: \"[::1]:1\" stands there twice")
        #expect(
            try message("listen.metrics = \"unix:/nowhere/x\"") == """
                proxy.conf:2: listen.metrics: found "unix:/nowhere/x"; allowed: "host:port" such \
                as "127.0.0.1:9630", or "" (off)
                """)
        #expect(
            try message("[listen]\naddress = \"[::1]:1\"\nmetrics = \"[::1]:1\"") == """
                proxy.conf:4: listen.metrics: found "[::1]:1", which is also in listen.address; \
                allowed: an address of its own
                """)
    }

    @Test(
        "Listening where other machines can connect is refused", arguments: ["address", "metrics"])
    func notLoopback(key: String) throws {
        let sockets = key == "address" ? " or unix:/path; others with [[auth.rule]]" : ""
        for address in ["0.0.0.0:6000", "[::]:6000", "192.168.1.1:6000", "example.org:6000"] {
            #expect(
                try message("[listen]\n\(key) = \"\(address)\"") == """
                    proxy.conf:3: listen.\(key): found "\(address)", which other machines can \
                    reach, and no authentication of clients is configured; allowed: loopback \
                    (127.0.0.1, [::1], localhost)\(sockets)
                    """)
        }
    }

    @Test("A missing or unusable upstream is named")
    func upstream() throws {
        let missing = #expect(throws: ConfigurationError.self) {
            try ProxyConfiguration.parse("[cache]", source: "proxy.conf", directory: "/")
        }
        #expect(
            missing?.description == """
                proxy.conf: upstream.url: missing; allowed: "sqlite:PATH" or \
                "postgresql://user@host:port/database", or "primary" for a node that follows another one
                """)
        #expect(
            try upstreamMessage("sqlite:").contains("found \"sqlite:\"; allowed: \"sqlite:PATH\""))
        #expect(
            try upstreamMessage("sqlite::memory:").hasPrefix("proxy.conf:3: upstream.url: found"))
        #expect(try upstreamMessage("sqlite://data.db").contains("absolute or relative"))
        #expect(
            try upstreamMessage("postgresql://h/d?sslmod=x") == """
                proxy.conf:3: upstream.url: not a connection URL: invalid URI query parameter: \
                "sslmod"; allowed: "sqlite:PATH" or "postgresql://user@host:port/database", or \
                "primary" for a node that follows another one
                """)
        #expect(try upstreamMessage("postgresql://[::1/d").contains("matching \"]\""))
    }

    @Test(
        "No error prints a password",
        arguments: [
            "mysql://ann:hunter2@db/x", "postgresql://ann:hunter2@[::1/x",
            "postgresql://ann:hunter2%zz@db/x", "postgresql://ann:%00hunter2@db/x",
            "postgresql://db/x?password=hunter2%zz", "postgresql://ann:hunter2@db/x?bad=1",
        ])
    func noPassword(url: String) throws {
        let message = try upstreamMessage(url)
        #expect(message.hasPrefix("proxy.conf:3: upstream.url: "))
        #expect(!message.contains("hunter2"))
    }

    @Test("A bad environment variable is named instead of the file")
    func environment() throws {
        #expect(
            try message("", environment: ["MYNAH_LISTEN_ADDRESS": "0.0.0.0:1"])
                .hasPrefix("environment variable MYNAH_LISTEN_ADDRESS: listen.address: found \"0.0")
        )
        #expect(
            try message("", environment: ["MYNAH_LISTEN_METRICS": "x"])
                .hasPrefix("environment variable MYNAH_LISTEN_METRICS: listen.metrics: found \"x\"")
        )
        #expect(
            try message("", environment: ["MYNAH_UPSTREAM_URL": "x"])
                .hasPrefix("environment variable MYNAH_UPSTREAM_URL: upstream.url: found \"x\""))
    }

    @Test("A rule that is about nothing, changes nothing or contradicts itself is refused")
    func rules() throws {
        let allowed = "a rule has tables and/or query, and cache and/or ttl"
        #expect(
            try message("\n[[rule]]\nttl = \"1s\"") == """
                proxy.conf:3: rule: this rule names neither tables nor query, so it is about \
                nothing; \(allowed)
                """)
        #expect(
            try message("[[rule]]\ntables = [\"a\"]") == """
                proxy.conf:2: rule: this rule has neither cache nor ttl, so it changes nothing; \
                \(allowed)
                """)
        #expect(
            try message("[[rule]]\ntables = [\"a\"]\ncache = false\nttl = \"1s\"")
                == "proxy.conf:5: rule.ttl: has no effect in a rule with cache = false")
        #expect(
            try message("[[rule]]\ntables = []\ncache = false")
                .hasPrefix("proxy.conf:3: rule.tables: found no name or an empty one; allowed: "))
        #expect(
            try message("[[rule]]\ntables = [1]\ncache = false")
                .hasPrefix("proxy.conf:3: rule.tables: found the integer 1 in the array"))
        #expect(
            try message("[[rule]]\nquery = \"(unclosed\"\ncache = false")
                .hasPrefix("proxy.conf:3: rule.query: found \"(unclosed\": "))
    }

    @Test("A file that cannot be read, or is not text, is named")
    func files() throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("mynah-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        func message(_ file: String) throws -> String {
            let error = #expect(throws: ConfigurationError.self) {
                try ProxyConfiguration.load(file: file, environment: [:])
            }
            return try #require(error).description
        }
        let absent = directory.appendingPathComponent("absent").path
        #expect(try message(absent) == "\(absent): no such file; give a file with --config FILE")
        #expect(
            try message(directory.path)
                == "\(directory.path): is a directory; give a file with --config FILE")
        let binary = directory.appendingPathComponent("binary")
        try Data([0xFF, 0xFE, 0x00]).write(to: binary)
        #expect(try message(binary.path) == "\(binary.path): not a UTF-8 text file")
        let long = directory.appendingPathComponent("long")
        try Data(repeating: UInt8(ascii: "#"), count: (1 << 20) + 1).write(to: long)
        #expect(try message(long.path).hasPrefix("\(long.path): too long to be a configuration"))
    }
}
