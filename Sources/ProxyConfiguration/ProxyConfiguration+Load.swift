import Foundation

extension ProxyConfiguration {
    /// A configuration file is a few kilobytes; far more is a mistaken path.
    private static let longestFile = 1 << 20

    /// Reads and checks the file at `file`.
    ///
    /// `MYNAH_UPSTREAM_URL`, `MYNAH_LISTEN_ADDRESS` and `MYNAH_LISTEN_METRICS` in `environment`,
    /// where not empty, take the place of the file's values. A relative SQLite path counts from the
    /// file's directory.
    package static func load(
        file: String, environment: [String: String]
    ) throws(ConfigurationError) -> ProxyConfiguration {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: file))
        } catch {
            var isDirectory: ObjCBool = false
            let exists = FileManager.default.fileExists(atPath: file, isDirectory: &isDirectory)
            let problem =
                if !exists {
                    "no such file"
                } else {
                    isDirectory.boolValue ? "is a directory" : "cannot be read"
                }
            throw ConfigurationError(
                source: file, problem: problem, allowed: "give a file with --config FILE")
        }
        guard data.count <= longestFile else {
            throw ConfigurationError(
                source: file, problem: "too long to be a configuration (\(data.count) bytes)",
                allowed: "allowed: \(longestFile) bytes")
        }
        guard let text = String(data: data, encoding: .utf8), !data.contains(0) else {
            throw ConfigurationError(source: file, problem: "not a UTF-8 text file")
        }
        let directory = URL(fileURLWithPath: file).deletingLastPathComponent().path
        return try parse(text, source: file, directory: directory, environment: environment)
    }

    /// Checks a configuration's text. `directory` is what relative paths count from, `source` what
    /// errors call the text.
    package static func parse(
        _ text: String, source: String, directory: String, environment: [String: String] = [:]
    ) throws(ConfigurationError) -> ProxyConfiguration {
        let document = try ConfigurationDocument(
            text: text, source: source, environment: environment)
        let cache = document.reader(for: .cache)
        let upstream = try Upstream(document.reader(for: .upstream), directory: directory)
        let auth = try Auth(document, upstream: upstream.database, directory: directory)
        return ProxyConfiguration(
            listen: try Listen(
                document.reader(for: .listen), authenticates: !auth.rules.isEmpty),
            tls: try TLS(document.reader(for: .tls), directory: directory),
            upstream: upstream,
            pool: try Pool(document.reader(for: .pool)),
            sqlite: try SQLite(document.reader(for: .sqlite)),
            cache: try Cache(cache),
            replication: try Replication(
                document.reader(for: .replication), upstream: upstream.database,
                directory: directory),
            snapshot: try Snapshot(document.reader(for: .snapshot), directory: directory),
            limits: try Limits(document.reader(for: .limits)),
            auth: auth,
            log: try Log(document.reader(for: .log)),
            policy: try CachePolicy(
                rules: CacheRule.all(document.readers(for: .rule)), defaultTTL: defaultTTL(cache)),
            origins: KeyOrigins(document))
    }

    private static func defaultTTL(_ reader: SectionReader) throws(ConfigurationError) -> Duration?
    {
        let ttl = try reader.duration(.cacheTTL, in: CacheRule.lifetimes, zero: "until invalidated")
        return ttl == .zero ? nil : ttl ?? .seconds(300)
    }
}

extension ProxyConfiguration.Listen {
    /// - Parameter authenticates: whether there are rules that say who may come in.
    init(_ reader: SectionReader, authenticates: Bool) throws(ConfigurationError) {
        let texts = try reader.strings(
            .listenAddress, allowed: "\(ListenAddress.notation), or an array of these")
        addresses = []
        for text in texts ?? ["127.0.0.1:6432"] {
            let address = try Self.address(
                text, .listenAddress, reader, authenticates: authenticates)
            guard !addresses.contains(address) else {
                throw reader.error(.listenAddress, "\"\(address)\" stands there twice")
            }
            addresses.append(address)
        }
        guard !addresses.isEmpty else {
            throw reader.error(
                .listenAddress, "found no address", allowed: ListenAddress.notation)
        }
        let allowed = "\"host:port\" such as \"127.0.0.1:9630\", or \"\" (off)"
        let text = try reader.string(.listenMetrics, allowed: allowed) ?? "127.0.0.1:9630"
        guard !text.isEmpty, text != "off" else {
            metrics = nil
            return
        }
        let address = try Self.address(text, .listenMetrics, reader, allowed: allowed)
        guard case .tcp(_, let port) = address else {
            throw reader.error(
                .listenMetrics, "found \(SectionReader.quoted(text))", allowed: allowed)
        }
        guard port == 0 || !addresses.contains(address) else {
            throw reader.error(
                .listenMetrics, "found \"\(address)\", which is also in listen.address",
                allowed: "an address of its own")
        }
        metrics = address
    }

    /// Refuses what other machines can reach where nothing asks clients who they are.
    private static func address(
        _ text: String, _ key: ConfigurationKey, _ reader: SectionReader,
        allowed: String = ListenAddress.notation, authenticates: Bool = false
    ) throws(ConfigurationError) -> ListenAddress {
        guard let address = ListenAddress(text) else {
            throw reader.error(key, "found \(SectionReader.quoted(text))", allowed: allowed)
        }
        guard address.isLocal || authenticates else {
            throw reader.error(
                key,
                "found \"\(address)\", which other machines can reach, and no authentication of "
                    + "clients is configured",
                allowed: "loopback (127.0.0.1, [::1], localhost)"
                    + (key == .listenAddress
                        ? " or unix:/path; others with [[auth.rule]]" : ""))
        }
        return address
    }
}

extension ProxyConfiguration.Upstream {
    private static let allowed =
        "\"sqlite:PATH\" or \"postgresql://user@host:port/database\", or \"primary\" for a node that "
        + "follows another one"

    init(_ reader: SectionReader, directory: String) throws(ConfigurationError) {
        guard let url = try reader.string(.upstreamURL, allowed: Self.allowed) else {
            throw reader.error(.upstreamURL, "missing", allowed: Self.allowed)
        }
        if url == "primary" {
            database = .primary
        } else if url.hasPrefix("sqlite:") {
            database = .sqlite(path: try Self.sqlitePath(url, reader, directory: directory))
        } else if url.hasPrefix("postgresql://") || url.hasPrefix("postgres://") {
            do {
                database = .postgresql(try ConnectionString(url))
            } catch {
                throw reader.error(
                    .upstreamURL, "not a connection URL: \(error.reason)", allowed: Self.allowed)
            }
        } else {
            // An unknown scheme may carry a password too.
            let found = SectionReader.quoted(ConnectionString.masked(url))
            throw reader.error(.upstreamURL, "found \(found)", allowed: Self.allowed)
        }
        connectTimeout =
            try reader.duration(
                .upstreamConnectTimeout, in: .milliseconds(100) ... .seconds(600))
            ?? .seconds(10)
    }

    private static func sqlitePath(
        _ url: String, _ reader: SectionReader, directory: String
    ) throws(ConfigurationError) -> String {
        var path = String(url.dropFirst("sqlite:".count))
        // sqlite:///absolute/path, as some tools write it.
        if path.hasPrefix("///") {
            path.removeFirst(2)
        }
        guard !path.isEmpty, path != ":memory:", !path.hasPrefix("//"), !path.utf8.contains(0)
        else {
            throw reader.error(
                .upstreamURL, "found \(SectionReader.quoted(url))",
                allowed: "\"sqlite:PATH\" with the path of a database file, absolute or relative "
                    + "to the configuration file's directory")
        }
        return path.hasPrefix("/") ? path : "\(directory)/\(path)"
    }
}

extension ProxyConfiguration.Pool {
    init(_ reader: SectionReader) throws(ConfigurationError) {
        let modes = ProxyConfiguration.PoolMode.allCases.map { "\"\($0.rawValue)\"" }
            .joined(separator: " or ")
        let text = try reader.string(.poolMode, allowed: modes) ?? "transaction"
        guard let mode = ProxyConfiguration.PoolMode(rawValue: text) else {
            throw reader.error(.poolMode, "found \(SectionReader.quoted(text))", allowed: modes)
        }
        self.mode = mode
        size = try reader.integer(.poolSize, in: 1...10_000) ?? 40
        minimumIdle = try reader.integer(.poolMinimumIdle, in: 0...10_000) ?? 0
        guard minimumIdle <= size else {
            throw reader.error(
                .poolMinimumIdle, "found \(minimumIdle)",
                allowed: "no more than pool.size, which is \(size)")
        }
        maximumLifetime =
            try reader.duration(
                .poolMaximumLifetime, in: .seconds(1) ... .seconds(30 * 86_400), zero: "no limit")
            ?? .seconds(3600)
        idleTimeout =
            try reader.duration(
                .poolIdleTimeout, in: .seconds(1) ... .seconds(30 * 86_400), zero: "no limit")
            ?? .seconds(600)
        checkoutTimeout =
            try reader.duration(
                .poolCheckoutTimeout, in: .milliseconds(1) ... .seconds(3600))
            ?? .seconds(30)
        clientConnections = try reader.integer(.poolClientConnections, in: 0...1_000_000) ?? 0
        preparedStatements = try reader.integer(.poolPreparedStatements, in: 1...100_000) ?? 500
    }
}

extension ProxyConfiguration.SQLite {
    init(_ reader: SectionReader) throws(ConfigurationError) {
        readers = try reader.integer(.sqliteReaders, in: 1...64) ?? 4
        lockTimeout =
            try reader.duration(
                .sqliteLockTimeout, in: .milliseconds(1) ... .seconds(600), zero: "do not wait")
            ?? .seconds(5)
        externalWriteCheck =
            try reader.duration(
                .sqliteExternalWriteCheck, in: .milliseconds(1) ... .seconds(60),
                zero: "before every answer from memory")
            ?? .zero
    }
}

extension ProxyConfiguration.Cache {
    init(_ reader: SectionReader) throws(ConfigurationError) {
        isEnabled = try reader.bool(.cacheEnabled) ?? true
        memory =
            try reader.byteCount(.cacheMemory, in: .megabytes(1) ... .gigabytes(1024))
            ?? .megabytes(256)
        // Without a setting of its own, an entry may not be larger than a small cache.
        maximumEntry =
            try reader.byteCount(.cacheMaximumEntry, in: .kilobytes(1) ... .gigabytes(1))
            ?? min(.megabytes(1), memory)
        guard maximumEntry <= memory else {
            throw reader.error(
                .cacheMaximumEntry, "found \"\(maximumEntry)\"",
                allowed: "no more than cache.memory, which is \"\(memory)\"")
        }
        singleFlight = try reader.bool(.cacheSingleFlight) ?? true
        verifiedShare = try reader.share(.cacheVerify) ?? 0
        staleIfError =
            try reader.duration(
                .cacheStaleIfError, in: .seconds(1) ... .seconds(86_400), zero: "never")
            ?? .zero
    }
}

extension ProxyConfiguration.Limits {
    init(_ reader: SectionReader) throws(ConfigurationError) {
        clientConnections = try reader.integer(.limitsClientConnections, in: 1...1_000_000) ?? 1000
        startupTimeout =
            try reader.duration(.limitsStartupTimeout, in: .milliseconds(100) ... .seconds(600))
            ?? .seconds(10)
        message =
            try reader.byteCount(.limitsMessage, in: .kilobytes(16) ... .gigabytes(1))
            ?? .megabytes(64)
        writeBuffer =
            try reader.byteCount(.limitsWriteBuffer, in: .kilobytes(64) ... .gigabytes(1))
            ?? .megabytes(1)
        drainTimeout =
            try reader.duration(
                .limitsDrainTimeout, in: .milliseconds(1) ... .seconds(3600),
                zero: "stop at once")
            ?? .seconds(30)
        pending = try reader.integer(.limitsPending, in: 1...1_000_000) ?? 2000
        pendingPerAddress =
            try reader.integer(.limitsPendingPerAddress, in: 1...1_000_000) ?? 1000
        perAddress = try reader.integer(.limitsPerAddress, in: 0...1_000_000) ?? 0
    }
}

extension ProxyConfiguration.Log {
    init(_ reader: SectionReader) throws(ConfigurationError) {
        let names = ProxyConfiguration.LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
        let text = try reader.string(.logLevel, allowed: names) ?? "info"
        guard let level = ProxyConfiguration.LogLevel(rawValue: text) else {
            throw reader.error(
                .logLevel, "found \(SectionReader.quoted(text))", allowed: names)
        }
        self.level = level
        coreDumps = try reader.bool(.logCoreDumps) ?? false
    }
}

extension CacheRule {
    static let lifetimes: ClosedRange<Duration> = .milliseconds(1) ... .seconds(365 * 86_400)

    static func all(_ readers: [SectionReader]) throws(ConfigurationError) -> [CacheRule] {
        var rules: [CacheRule] = []
        for reader in readers {
            rules.append(try CacheRule(reader))
        }
        return rules
    }

    private init(_ reader: SectionReader) throws(ConfigurationError) {
        let names = "table names such as [\"airports\", \"public.planes\"]"
        let tables = try reader.strings(.ruleTables, allowed: names)
        if let tables, tables.isEmpty || tables.contains("") {
            throw reader.error(.ruleTables, "found no name or an empty one", allowed: names)
        }
        let query = try Self.pattern(reader)
        guard tables != nil || query != nil else {
            throw Self.incomplete(reader, "names neither tables nor query, so it is about nothing")
        }
        let cache = try reader.bool(.ruleCache)
        let ttl = try reader.duration(.ruleTTL, in: Self.lifetimes, zero: "until invalidated")
        guard cache != nil || ttl != nil else {
            throw Self.incomplete(reader, "has neither cache nor ttl, so it changes nothing")
        }
        if cache == false, ttl != nil {
            throw reader.error(.ruleTTL, "has no effect in a rule with cache = false")
        }
        let lifetime: Lifetime =
            switch ttl {
            case nil: .unspecified
            case .some(.zero): .untilInvalidated
            case .some(let duration): .atMost(duration)
            }
        self.init(tables: tables ?? [], query: query, cache: cache ?? true, ttl: lifetime)
    }

    private static func pattern(_ reader: SectionReader) throws(ConfigurationError) -> QueryPattern?
    {
        let allowed = "a regular expression such as \"(?i)from +flights\""
        guard let text = try reader.string(.ruleQuery, allowed: allowed) else { return nil }
        do {
            return try QueryPattern(text)
        } catch {
            let reason = "\(error)".split(whereSeparator: \.isNewline).joined(separator: " ")
            throw reader.error(
                .ruleQuery, "found \(SectionReader.quoted(text)): \(reason)", allowed: allowed)
        }
    }

    private static func incomplete(_ reader: SectionReader, _ problem: String) -> ConfigurationError
    {
        ConfigurationError(
            source: reader.document.source, line: reader.document.locator.line(of: reader.path),
            key: ConfigurationKey.Section.rule.rawValue, problem: "this rule \(problem)",
            allowed: "a rule has tables and/or query, and cache and/or ttl")
    }
}
