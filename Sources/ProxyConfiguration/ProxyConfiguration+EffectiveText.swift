extension ProxyConfiguration {
    /// All settings in effect, defaults included, as a configuration file. Passwords are masked.
    package var effectiveText: String {
        var text = ""
        for section in ConfigurationKey.Section.allCases where !section.isArray {
            // There is no such table, or it has keys that must be given.
            if section == .authJWT, auth.tokens == nil { continue }
            text += "\(text.isEmpty ? "" : "\n")[\(section.rawValue)]\n"
            for key in section.keys {
                text += "\(key.name) = \(tomlValue(of: key, masked: true))\n"
            }
        }
        for user in auth.users {
            text += "\n[[auth.user]]\n\(user.tomlText)"
        }
        for rule in auth.rules {
            text += "\n[[auth.rule]]\n\(rule.tomlText)"
        }
        for rule in policy.rules {
            text += "\n[[rule]]\n\(rule.tomlText)"
        }
        return text
    }

    /// The keys that differ from `old` and that a running proxy cannot change, by name.
    package func changesNeedingRestart(from old: ProxyConfiguration) -> [String] {
        changes(from: old).filter { !$0.changesAtRunTime }.map(\.rawValue)
    }

    /// The keys that differ from `old` and that a running proxy can change, by name; `rule`,
    /// `auth.rule` and `auth.user` for any difference among those.
    package func changesAtRunTime(from old: ProxyConfiguration) -> [String] {
        changes(from: old).filter(\.changesAtRunTime).map(\.rawValue)
            + (auth.users == old.auth.users ? [] : [ConfigurationKey.Section.authUser.rawValue])
            + (auth.rules == old.auth.rules ? [] : [ConfigurationKey.Section.authRule.rawValue])
            + (policy.rules == old.policy.rules ? [] : [ConfigurationKey.Section.rule.rawValue])
    }

    private func changes(from old: ProxyConfiguration) -> [ConfigurationKey] {
        ConfigurationKey.allCases.filter { key in
            !key.section.isArray
                && tomlValue(of: key, masked: false) != old.tomlValue(of: key, masked: false)
        }
    }

    /// The value of `key`, which is not one of a rule, as TOML.
    private func tomlValue(of key: ConfigurationKey, masked: Bool) -> String {
        switch key {
        case .listenAddress:
            let texts = listen.addresses.map(\.description)
            return texts.count == 1 ? TOMLText.quoted(texts[0]) : TOMLText.array(texts)
        case .listenMetrics: return TOMLText.quoted(listen.metrics?.description ?? "")
        case .tlsMode: return TOMLText.quoted(tls.mode.rawValue)
        case .tlsCertificate: return TOMLText.quoted(tls.certificate ?? "")
        case .tlsKey: return TOMLText.quoted(tls.key ?? "")
        case .tlsClientCA: return TOMLText.quoted(tls.clientCA ?? "")
        case .tlsMinimumVersion: return TOMLText.quoted(tls.minimumVersion.rawValue)
        case .upstreamURL: return TOMLText.quoted(upstream.database.url(masked: masked))
        case .upstreamConnectTimeout: return upstream.connectTimeout.tomlText
        case .poolMode: return TOMLText.quoted(pool.mode.rawValue)
        case .poolSize: return "\(pool.size)"
        case .poolMinimumIdle: return "\(pool.minimumIdle)"
        case .poolMaximumLifetime: return pool.maximumLifetime.tomlText
        case .poolIdleTimeout: return pool.idleTimeout.tomlText
        case .poolCheckoutTimeout: return pool.checkoutTimeout.tomlText
        case .poolClientConnections: return "\(pool.clientConnections)"
        case .poolPreparedStatements: return "\(pool.preparedStatements)"
        case .sqliteReaders: return "\(sqlite.readers)"
        case .sqliteLockTimeout: return sqlite.lockTimeout.tomlText
        case .sqliteExternalWriteCheck: return sqlite.externalWriteCheck.tomlText
        case .cacheEnabled: return "\(cache.isEnabled)"
        case .cacheMemory: return TOMLText.quoted(cache.memory.description)
        case .cacheTTL: return (policy.defaultTTL ?? .zero).tomlText
        case .cacheMaximumEntry: return TOMLText.quoted(cache.maximumEntry.description)
        case .cacheSingleFlight: return "\(cache.singleFlight)"
        case .cacheVerify: return cache.verifiedShare == 0 ? "0" : "\(cache.verifiedShare)"
        case .cacheStaleIfError: return cache.staleIfError.tomlText
        case .replicationListen: return TOMLText.quoted(replication.listen?.description ?? "")
        case .replicationFollow:
            let texts = replication.follow.map(\.description)
            return texts.count == 1 ? TOMLText.quoted(texts[0]) : TOMLText.array(texts)
        case .replicationFailover: return "\(replication.failover)"
        case .replicationArbiter:
            let url = replication.arbiter.map { masked ? $0.masked : $0.text }
            return TOMLText.quoted(url ?? "")
        case .replicationGroup: return TOMLText.quoted(replication.group)
        case .replicationMode: return TOMLText.quoted(replication.mode.rawValue)
        case .replicationLease: return replication.lease.tomlText
        case .replicationBuffer: return TOMLText.quoted(replication.buffer.description)
        case .replicationAdvertise:
            return TOMLText.quoted(replication.advertise?.description ?? "")
        case .replicationKeyFile: return TOMLText.quoted(replication.keyFile ?? "")
        case .replicationKeyEnvironment: return TOMLText.quoted(replication.keyEnvironment ?? "")
        case .replicationCertificate: return TOMLText.quoted(replication.certificate ?? "")
        case .replicationCertificateKey: return TOMLText.quoted(replication.certificateKey ?? "")
        case .replicationCA: return TOMLText.quoted(replication.ca ?? "")
        case .snapshotDirectory, .snapshotInterval, .snapshotKeep, .snapshotOnShutdown,
            .snapshotKeyFile, .snapshotKeyEnvironment, .snapshotWarmUpRate, .snapshotWarmUpLimit:
            return snapshot.tomlValue(of: key)
        case .limitsClientConnections: return "\(limits.clientConnections)"
        case .limitsStartupTimeout: return limits.startupTimeout.tomlText
        case .limitsMessage: return TOMLText.quoted(limits.message.description)
        case .limitsWriteBuffer: return TOMLText.quoted(limits.writeBuffer.description)
        case .limitsDrainTimeout: return limits.drainTimeout.tomlText
        case .limitsPending: return "\(limits.pending)"
        case .limitsPendingPerAddress: return "\(limits.pendingPerAddress)"
        case .limitsPerAddress: return "\(limits.perAddress)"
        case .authTimeout, .authMaximumFailures, .authFailureWindow, .authAllowMD5, .authQuery,
            .authQueryTTL, .authUser, .authDatabase, .authPasswordFile, .authPasswordEnvironment:
            return auth.tomlValue(of: key)
        case .authJWTKeys, .authJWTIssuer, .authJWTAudience, .authJWTClaim, .authJWTRoles,
            .authJWTLeeway, .authJWTMaximumLength:
            return auth.tokens?.tomlValue(of: key) ?? ""
        case .logLevel: return TOMLText.quoted(log.level.rawValue)
        case .logCoreDumps: return "\(log.coreDumps)"
        case .ruleTables, .ruleQuery, .ruleCache, .ruleTTL, .authRuleUsers, .authRuleDatabases,
            .authRuleAddresses, .authRuleTLS, .authRuleMethod, .authUserName, .authUserVerifier,
            .authUserPasswordFile, .authUserPasswordEnvironment, .authUserCertificates:
            preconditionFailure("the keys of arrays have a value for each table, not one")
        }
    }
}

extension ProxyConfiguration.UpstreamDatabase {
    /// As it could stand in `upstream.url`; for logs where `masked`.
    package func url(masked: Bool) -> String {
        switch self {
        case .sqlite(let path): "sqlite:\(path)"
        case .primary: "primary"
        case .postgresql(let connection): masked ? connection.masked : connection.text
        }
    }
}

extension CacheRule {
    /// Its keys as they could stand in the file, one a line.
    var tomlText: String {
        var text = ""
        if !tables.isEmpty {
            text += "tables = \(TOMLText.array(tables))\n"
        }
        if let query {
            text += "query = \(TOMLText.quoted(query.pattern))\n"
        }
        text += "cache = \(cache)\n"
        if ttl.isSet {
            text += "ttl = \((ttl.value ?? .zero).tomlText)\n"
        }
        return text
    }
}

extension Duration {
    var tomlText: String {
        TOMLText.quoted(configurationText)
    }
}
