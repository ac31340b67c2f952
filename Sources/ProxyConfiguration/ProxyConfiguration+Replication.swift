extension ProxyConfiguration.Replication {
    private static let notation = "\"host:port\" such as \"127.0.0.1:6532\", or \"\" (none)"
    private static let pathNotation =
        "the path of a file, absolute or relative to the configuration file's directory"

    init(
        _ reader: SectionReader, upstream: ProxyConfiguration.UpstreamDatabase, directory: String
    ) throws(ConfigurationError) {
        listen = try Self.address(.replicationListen, reader)
        follow = try Self.address(.replicationFollow, reader)
        advertise = try Self.address(.replicationAdvertise, reader)
        let modes = ProxyConfiguration.ReplicationMode.allCases.map { "\"\($0.rawValue)\"" }
            .joined(separator: " or ")
        let text = try reader.string(.replicationMode, allowed: modes) ?? "async"
        guard let mode = ProxyConfiguration.ReplicationMode(rawValue: text) else {
            throw reader.error(
                .replicationMode, "found \(SectionReader.quoted(text))", allowed: modes)
        }
        self.mode = mode
        lease =
            try reader.duration(
                .replicationLease, in: .milliseconds(50) ... .seconds(60)) ?? .seconds(1)
        buffer =
            try reader.byteCount(.replicationBuffer, in: .megabytes(1) ... .gigabytes(64))
            ?? .megabytes(64)
        keyFile = try Self.path(.replicationKeyFile, reader, directory)
        keyEnvironment = try reader.string(
            .replicationKeyEnvironment, allowed: "the name of an environment variable"
        ).flatMap { $0.isEmpty ? nil : $0 }
        certificate = try Self.path(.replicationCertificate, reader, directory)
        certificateKey = try Self.path(.replicationCertificateKey, reader, directory)
        ca = try Self.path(.replicationCA, reader, directory)
        try check(reader, upstream)
    }

    private func check(
        _ reader: SectionReader, _ upstream: ProxyConfiguration.UpstreamDatabase
    ) throws(ConfigurationError) {
        if keyFile != nil, keyEnvironment != nil {
            throw reader.error(
                .replicationKeyEnvironment, "is given besides replication.key_file",
                allowed: "one of them")
        }
        if certificate != nil || certificateKey != nil || ca != nil {
            for (key, value) in [
                (ConfigurationKey.replicationCertificate, certificate),
                (.replicationCertificateKey, certificateKey), (.replicationCA, ca),
            ] where value == nil {
                throw reader.error(
                    key, "missing",
                    allowed: "all of certificate, certificate_key and ca, or none of them")
            }
        }
        for (key, address) in [
            (ConfigurationKey.replicationListen, listen), (.replicationFollow, follow),
        ] {
            guard let address, !address.isLocal, !authenticates else { continue }
            throw reader.error(
                key,
                "found \"\(address)\", which is not on this machine, and nothing by which nodes "
                    + "know each other",
                allowed: "loopback; other addresses with key_file, key_env, or certificate, "
                    + "certificate_key and ca")
        }
        if let follow, follow == listen {
            throw reader.error(
                .replicationFollow, "found \"\(follow)\", where this node itself is followed",
                allowed: "the mirror port of another node")
        }
        if follow != nil, case .sqlite = upstream {
            throw reader.error(
                .replicationFollow, "has no effect in front of a SQLite file",
                allowed: "a node in front of PostgreSQL; a SQLite file has one node that leads")
        }
    }

    private static func address(
        _ key: ConfigurationKey, _ reader: SectionReader
    ) throws(ConfigurationError) -> ListenAddress? {
        guard let text = try reader.string(key, allowed: notation), !text.isEmpty else {
            return nil
        }
        guard let address = ListenAddress(text), case .tcp = address else {
            throw reader.error(key, "found \(SectionReader.quoted(text))", allowed: notation)
        }
        return address
    }

    private static func path(
        _ key: ConfigurationKey, _ reader: SectionReader, _ directory: String
    ) throws(ConfigurationError) -> String? {
        guard let text = try reader.string(key, allowed: pathNotation), !text.isEmpty else {
            return nil
        }
        return text.hasPrefix("/") ? text : "\(directory)/\(text)"
    }
}
