extension ProxyConfiguration {
    /// What is written to disk of the cache, and what becomes of it at the next start.
    package struct Snapshot: Sendable, Equatable {
        /// Where files are written to and read from, an absolute path; nil: none are.
        package var directory: String?
        /// Between two scheduled ones; zero: none are scheduled.
        package var interval: Duration
        /// How many are kept.
        package var keep: Int
        /// Whether one is written when the process is told to stop.
        package var onShutdown: Bool
        /// Where the key is that they are encrypted with; at most one of the two.
        package var keyFile: String?
        package var keyEnvironment: String?
        /// Statements per second that a warm-up runs at most; 0: there is none.
        package var warmUpRate: Int
        /// The most statements that one warm-up runs.
        package var warmUpLimit: Int
    }
}

extension ProxyConfiguration.Snapshot {
    init(_ reader: SectionReader, directory base: String) throws(ConfigurationError) {
        directory = try Self.path(.snapshotDirectory, reader, base, what: "a directory")
        interval =
            try reader.duration(
                .snapshotInterval, in: .seconds(1) ... .seconds(30 * 86_400), zero: "no schedule")
            ?? .zero
        keep = try reader.integer(.snapshotKeep, in: 1...1000) ?? 3
        onShutdown = try reader.bool(.snapshotOnShutdown) ?? true
        keyFile = try Self.path(.snapshotKeyFile, reader, base, what: "a file with a key")
        let variable = try reader.string(
            .snapshotKeyEnvironment, allowed: "the name of an environment variable")
        keyEnvironment = variable?.isEmpty == true ? nil : variable
        if keyFile != nil, keyEnvironment != nil {
            throw reader.error(
                .snapshotKeyEnvironment, "is one key too many",
                allowed: "snapshot.key_file or snapshot.key_env")
        }
        warmUpRate = try reader.integer(.snapshotWarmUpRate, in: 0...100_000) ?? 20
        warmUpLimit = try reader.integer(.snapshotWarmUpLimit, in: 0...1_000_000) ?? 1000
        if directory == nil, interval != .zero {
            throw reader.error(
                .snapshotInterval, "has no effect without snapshot.directory",
                allowed: "\"0\", or a directory")
        }
    }

    private static func path(
        _ key: ConfigurationKey, _ reader: SectionReader, _ base: String, what: String
    ) throws(ConfigurationError) -> String? {
        let allowed =
            "the path of \(what), absolute or relative to the configuration file's directory"
        guard let text = try reader.string(key, allowed: allowed), !text.isEmpty else {
            return nil
        }
        guard !text.utf8.contains(0) else {
            throw reader.error(key, "holds a NUL character", allowed: allowed)
        }
        return text.hasPrefix("/") ? text : "\(base)/\(text)"
    }

    /// The value of one of its keys, as TOML.
    func tomlValue(of key: ConfigurationKey) -> String {
        switch key {
        case .snapshotDirectory: TOMLText.quoted(directory ?? "")
        case .snapshotInterval: interval.tomlText
        case .snapshotKeep: "\(keep)"
        case .snapshotOnShutdown: "\(onShutdown)"
        case .snapshotKeyFile: TOMLText.quoted(keyFile ?? "")
        case .snapshotKeyEnvironment: TOMLText.quoted(keyEnvironment ?? "")
        case .snapshotWarmUpRate: "\(warmUpRate)"
        case .snapshotWarmUpLimit: "\(warmUpLimit)"
        default: preconditionFailure("not a key of [snapshot]")
        }
    }
}

extension CachePolicy {
    /// All that it says, in words that are the same whenever it decides the same.
    package var canonicalText: String {
        rules.map { "[[rule]]\n\($0.tomlText)" }.joined()
            + "ttl = \((defaultTTL ?? .zero).tomlText)\n"
    }
}
