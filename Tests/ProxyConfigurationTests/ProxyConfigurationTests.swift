import Foundation
import Testing

@testable import ProxyConfiguration

@Suite("Proxy configuration")
struct ProxyConfigurationTests {
    /// The repository's own proxy.conf.
    private var referenceFile: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("proxy.conf").path
    }

    private func parse(
        _ text: String, environment: [String: String] = [:]
    ) throws(ConfigurationError) -> ProxyConfiguration {
        try ProxyConfiguration.parse(
            text, source: "proxy.conf", directory: "/etc/mynah", environment: environment)
    }

    @Test("The reference file is valid and holds the documented values")
    func referenceIsValid() throws {
        let file = referenceFile
        let configuration = try ProxyConfiguration.load(file: file, environment: [:])
        #expect(configuration.listen.addresses == [.tcp(host: "127.0.0.1", port: 6432)])
        #expect(configuration.listen.metrics == .tcp(host: "127.0.0.1", port: 9630))
        let directory = URL(fileURLWithPath: file).deletingLastPathComponent().path
        #expect(
            configuration.upstream.database == .sqlite(path: "\(directory)/Fixtures/flights.db"))
        #expect(configuration.cache.isEnabled)
        #expect(configuration.cache.memory == .megabytes(256))
        #expect(configuration.cache.maximumEntry == .megabytes(1))
        #expect(configuration.policy.defaultTTL == .seconds(300))
        #expect(
            configuration.policy.rules == [
                CacheRule(tables: ["airports", "planes"], ttl: .atMost(.seconds(3600))),
                CacheRule(tables: ["weather"], cache: false),
            ])
    }

    @Test("The reference file's values are the defaults")
    func referenceHoldsDefaults() throws {
        var reference = try ProxyConfiguration.load(file: referenceFile, environment: [:])
        reference.policy.rules = []
        let directory = URL(fileURLWithPath: referenceFile).deletingLastPathComponent().path
        let minimal = try ProxyConfiguration.parse(
            "[upstream]\nurl = \"sqlite:Fixtures/flights.db\"", source: "minimal",
            directory: directory)
        #expect(reference == minimal)
    }

    @Test("The reference file shows every key in its table, with a comment before it")
    func referenceIsComplete() throws {
        let lines = try String(contentsOfFile: referenceFile, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        // Tables that are not there by default are explained in lists.
        let listed = ConfigurationKey.Section.allCases.filter { $0.isArray || $0 == .authJWT }
        for section in ConfigurationKey.Section.allCases where !listed.contains(section) {
            let start = try #require(lines.firstIndex(of: "[\(section.rawValue)]"))
            let end = lines[(start + 1)...].firstIndex { $0.hasPrefix("[") } ?? lines.endIndex
            for key in section.keys {
                let line = lines[start..<end].firstIndex { $0.hasPrefix("\(key.name) = ") }
                let found = try #require(line, "\(key.rawValue)")
                #expect(lines[found - 1].hasPrefix("# "), "\(key.rawValue)")
            }
        }
        for key in listed.flatMap(\.keys) {
            #expect(
                lines.contains { $0.hasPrefix("#   ") && $0.contains(key.name) }, "\(key.rawValue)")
        }
        for variable in ConfigurationKey.allCases.compactMap(\.environmentVariable) {
            #expect(lines.contains { $0.contains(variable) }, "\(variable)")
        }
    }

    @Test("Every value of a full file is taken")
    func fullFile() throws {
        let configuration = try parse(
            """
            listen = { address = ["[::1]:7000", "unix:/nowhere/sock"], metrics = "" }
            [upstream]
            url = "postgresql://ann:s%40crt@db1,db2:5433/flights?sslmode=disable"
            connect_timeout = "250ms"
            [sqlite]
            readers = 2
            lock_timeout = "0"
            external_write_check = "20ms"
            [cache]
            enabled = false
            memory = "1GiB"
            ttl = "0"
            max_entry = "64kB"
            single_flight = false
            stale_if_error = "90s"
            verify = 0.01
            [limits]
            max_client_connections = 7
            startup_timeout = "3s"
            max_message = "1GB"
            write_buffer = "128kB"
            drain_timeout = "1m"
            max_pending_connections = 11
            max_pending_per_address = 5
            max_connections_per_address = 3
            [log]
            level = "debug"
            core_dumps = true
            """)
        #expect(
            configuration.listen.addresses == [
                .tcp(host: "::1", port: 7000), .unix(path: "/nowhere/sock"),
            ])
        #expect(configuration.listen.metrics == nil)
        guard case .postgresql(let connection) = configuration.upstream.database else {
            Issue.record("not a PostgreSQL upstream")
            return
        }
        #expect(
            connection.parameters == [
                "host": "db1,db2", "port": ",5433", "user": "ann", "password": "s@crt",
                "dbname": "flights", "sslmode": "disable",
            ])
        #expect(configuration.upstream.connectTimeout == .milliseconds(250))
        #expect(
            configuration.sqlite
                == .init(readers: 2, lockTimeout: .zero, externalWriteCheck: .milliseconds(20)))
        #expect(
            configuration.cache
                == .init(
                    isEnabled: false, memory: .gigabytes(1), maximumEntry: .kilobytes(64),
                    singleFlight: false, verifiedShare: 0.01, staleIfError: .seconds(90)))
        #expect(configuration.policy == CachePolicy())
        #expect(
            configuration.limits
                == .init(
                    clientConnections: 7, startupTimeout: .seconds(3), message: .gigabytes(1),
                    writeBuffer: .kilobytes(128), drainTimeout: .seconds(60), pending: 11,
                    pendingPerAddress: 5, perAddress: 3))
        #expect(configuration.log == .init(level: .debug, coreDumps: true))
    }

    @Test("SQLite paths count from the file's directory unless absolute")
    func sqlitePaths() throws {
        for (url, path) in [
            ("sqlite:data.db", "/etc/mynah/data.db"), ("sqlite:/var/data.db", "/var/data.db"),
            ("sqlite:///var/data.db", "/var/data.db"),
        ] {
            #expect(
                try parse("upstream.url = \"\(url)\"").upstream.database == .sqlite(path: path))
        }
    }

    @Test("Environment variables go before the file, and empty ones do not count")
    func environment() throws {
        let text = """
            [listen]
            address = "127.0.0.1:1"
            [upstream]
            url = "sqlite:x.db"
            """
        let configuration = try parse(
            text,
            environment: [
                "MYNAH_UPSTREAM_URL": "postgres://u@h/d",
                "MYNAH_LISTEN_ADDRESS": "127.0.0.1:2, [::1]:3", "MYNAH_LISTEN_METRICS": "off",
            ])
        #expect(configuration.upstream.database.url(masked: false) == "postgres://u@h/d")
        #expect(
            configuration.listen.addresses == [
                .tcp(host: "127.0.0.1", port: 2), .tcp(host: "::1", port: 3),
            ])
        #expect(configuration.listen.metrics == nil)
        let empty = try parse(
            text, environment: ["MYNAH_UPSTREAM_URL": "", "MYNAH_LISTEN_ADDRESS": ""])
        #expect(empty == (try parse(text)))
    }

    @Test("The effective settings are a valid file that says the same")
    func effectiveTextRoundTrip() throws {
        let configuration = try parse(
            """
            listen.address = ["127.0.0.1:1", "unix:/nowhere/a b"]
            upstream.url = "postgresql://ann@db/flights"
            cache.ttl = "90s"
            [[rule]]
            tables = ["a", "s.b"]
            query = '(?i)"x"\\s+\\\\'
            ttl = "0"
            [[rule]]
            query = "y"
            cache = false
            """)
        #expect(try parse(configuration.effectiveText) == configuration)
        let reference = try ProxyConfiguration.load(file: referenceFile, environment: [:])
        #expect(try parse(reference.effectiveText) == reference)
        #expect(reference.effectiveText.contains("[cache]\nenabled = true\nmemory = \"256MB\"\n"))
    }

    @Test("No password is printed")
    func maskedPasswords() throws {
        for url in [
            "postgresql://ann:hunter2@db/flights",
            "postgresql://ann:hun%20ter2@db:5432/x?a=hunter2",
            "postgresql://db/flights?user=ann&password=hunter2&sslpassword=hunter2",
        ] where !url.contains("a=hunter2") {
            let text = try parse("upstream.url = \"\(url)\"").effectiveText
            #expect(!text.contains("ter2"))
            #expect(text.contains("********"))
        }
        #expect(ConnectionString.masked("postgresql://ann@db/x") == "postgresql://ann@db/x")
        #expect(
            ConnectionString.masked("postgresql://a:b@c:5@d/x") == "postgresql://a:********@d/x")
    }

    @Test("What can change at run time is told from what needs a restart")
    func changes() throws {
        let old = try parse("upstream.url = \"postgresql://a:old@h/d\"")
        #expect(old.changesNeedingRestart(from: old).isEmpty)
        #expect(old.changesAtRunTime(from: old).isEmpty)
        let new = try parse(
            """
            listen.address = "127.0.0.1:9999"
            upstream.url = "postgresql://a:new@h/d"
            sqlite.readers = 9
            cache.memory = "1GB"
            cache.ttl = "1h"
            limits.drain_timeout = "1s"
            log.level = "error"
            [[rule]]
            tables = ["x"]
            cache = false
            """)
        #expect(
            new.changesNeedingRestart(from: old) == [
                "listen.address", "upstream.url", "sqlite.readers",
            ])
        #expect(
            new.changesAtRunTime(from: old) == [
                "cache.memory", "cache.ttl", "limits.drain_timeout", "log.level", "rule",
            ])
    }

    @Test("The summary names the addresses, the database and a psql line, without a password")
    func summary() throws {
        let configuration = try parse(
            """
            listen.address = "[::1]:0"
            upstream.url = "postgresql://ann:hunter2@db/my%20data"
            """)
        #expect(
            configuration.startupSummary(
                addresses: [.tcp(host: "::1", port: 7000), .unix(path: "/run/.s.PGSQL.1")],
                metrics: .tcp(host: "::1", port: 9))
                    == """
                    Mynah \(ProductVersion.text) listens on [::1]:7000, unix:/run/.s.PGSQL.1
                      upstream  postgresql://ann:********@db/my%20data
                      cache     256MB, at most 5m
                      metrics   http://[::1]:9/metrics
                      try it    psql -h ::1 -p 7000 -U ann 'my data'

                    """)
        let sqlite = try parse(
            """
            upstream.url = "sqlite:flights.db"
            cache.enabled = false
            """)
        #expect(
            sqlite.startupSummary(addresses: [.unix(path: "/run/.s.PGSQL.5433")], metrics: nil)
                == """
                Mynah \(ProductVersion.text) listens on unix:/run/.s.PGSQL.5433
                  upstream  sqlite:/etc/mynah/flights.db
                  cache     off
                  try it    psql -h /run -p 5433 -U mynah flights

                """)
    }

    @Test("A problem that shows at the start is reported with the line of its key")
    func errorAboutKey() throws {
        let configuration = try parse(
            "upstream.url = \"sqlite:x\"\n[listen]\naddress = \"127.0.0.1:1\"",
            environment: ["MYNAH_UPSTREAM_URL": "sqlite:y"])
        #expect(
            configuration.error(about: .listenAddress, "in use", allowed: "a free port").description
                == "proxy.conf:3: listen.address: in use; a free port")
        #expect(
            configuration.error(about: .listenMetrics, "in use").description
                == "proxy.conf: listen.metrics: in use")
        #expect(
            configuration.error(about: .upstreamURL, "no such file").description
                == "environment variable MYNAH_UPSTREAM_URL: upstream.url: no such file")
    }
}
