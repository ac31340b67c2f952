extension ProxyConfiguration.Replication {
    private static let notation = "\"host:port\" such as \"127.0.0.1:6532\", or \"\" (none)"
    private static let pathNotation =
        "the path of a file, absolute or relative to the configuration file's directory"

    init(
        _ reader: SectionReader, upstream: ProxyConfiguration.UpstreamDatabase, directory: String
    ) throws(ConfigurationError) {
        listen = try Self.address(.replicationListen, reader)
        follow = try Self.addresses(reader)
        failover = try reader.bool(.replicationFailover) ?? false
        arbiter = try Self.arbiter(reader)
        group = try reader.string(.replicationGroup, allowed: "a name") ?? ""
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
        let all = (listen.map { [(ConfigurationKey.replicationListen, $0)] } ?? [])
            + follow.map { (.replicationFollow, $0) }
        for (key, address) in all {
            guard !address.isLocal, !authenticates else { continue }
            throw reader.error(
                key,
                "found \"\(address)\", which is not on this machine, and nothing by which nodes "
                    + "know each other",
                allowed: "loopback; other addresses with key_file, key_env, or certificate, "
                    + "certificate_key and ca")
        }
        if let listen, follow.contains(listen) {
            throw reader.error(
                .replicationFollow, "found \"\(listen)\", where this node itself is followed",
                allowed: "the mirror port of another node")
        }
        if !follow.isEmpty, case .sqlite = upstream {
            throw reader.error(
                .replicationFollow, "has no effect in front of a SQLite file",
                allowed: "upstream.url = \"primary\": a SQLite file has one node that leads")
        }
        if case .primary = upstream {
            guard !follow.isEmpty else {
                throw reader.error(
                    .replicationFollow, "is missing, and upstream.url is \"primary\"",
                    allowed: "the mirror port of the node to follow")
            }
            guard !failover else {
                throw reader.error(
                    .replicationFailover, "found true, and upstream.url is \"primary\"",
                    allowed: "false; a node that may lead needs the database's URL")
            }
        }
        if failover, listen == nil || follow.isEmpty {
            throw reader.error(
                .replicationFailover, "needs to know the other nodes, and they this one",
                allowed: "true together with replication.listen, this node's mirror port, and "
                    + "replication.follow, those of all others")
        }
        if arbiter != nil, !failover {
            throw reader.error(
                .replicationArbiter, "has no effect without replication.failover = true")
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

    private static func addresses(
        _ reader: SectionReader
    ) throws(ConfigurationError) -> [ListenAddress] {
        let allowed = "\(notation), or an array of these"
        var found: [ListenAddress] = []
        for text in try reader.strings(.replicationFollow, allowed: allowed) ?? []
        where !text.isEmpty {
            guard let address = ListenAddress(text), case .tcp = address else {
                throw reader.error(
                    .replicationFollow, "found \(SectionReader.quoted(text))", allowed: allowed)
            }
            found.append(address)
        }
        return found
    }

    private static func arbiter(
        _ reader: SectionReader
    ) throws(ConfigurationError) -> ConnectionString? {
        let allowed = "\"postgresql://user@host:port/database\""
        guard let url = try reader.string(.replicationArbiter, allowed: allowed), !url.isEmpty
        else { return nil }
        do {
            return try ConnectionString(url)
        } catch {
            throw reader.error(
                .replicationArbiter, "not a connection URL: \(error.reason)", allowed: allowed)
        }
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
