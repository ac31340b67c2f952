import Logging
import ProxyConfiguration
import ResultCache
import ServiceLifecycle
import Session
import UnixSignals
import Upstream

/// Reads the configuration file again on SIGHUP. What can change at run time does; what cannot is
/// named in the log; a file with an error changes nothing.
struct ReloadService: Service {
    let configuration: ProxyConfiguration
    let file: String
    let environment: [String: String]
    let services: SessionServices
    let registry: ConnectionRegistry
    let cache: ReplyCache
    let logger: Logger
    let setLogLevel: @Sendable (Logger.Level) -> Void
    var snapshots: SnapshotKeeper?

    func run() async throws {
        try? await withGracefulShutdownHandlerCancelling {
            var current = configuration
            for await _ in await UnixSignalsSequence(trapping: .sighup) {
                current = reload(from: current)
            }
        }
    }

    /// What cannot be used leaves in force what was there.
    private func reloadCertificates(_ new: ProxyConfiguration) {
        do {
            services.encryption.offer = try ClientEncryption.Offer(new.tls)
        } catch {
            let shown = ConfigurationKey(rawValue: error.key).map {
                new.error(about: $0, error.problem, allowed: error.allowed).description
            }
            logger.error("certificates for clients not reloaded: \(shown ?? "\(error)")")
        }
        do {
            try services.upstream.reloadCertificates()
        } catch {
            logger.error("certificates of the upstream connection not reloaded: \(error)")
        }
    }

    private func reload(from old: ProxyConfiguration) -> ProxyConfiguration {
        let new: ProxyConfiguration
        do {
            new = try ProxyConfiguration.load(file: file, environment: environment)
        } catch {
            logger.error("configuration not reloaded: \(error)")
            return old
        }
        var fixed = new.changesNeedingRestart(from: configuration)
        if new.cache.isEnabled, !services.analyses {
            // Nothing has been analysed so far: the cache could not tell what writes under way
            // change. (Off and on again is fine where it was on at the start.)
            fixed.append("cache.enabled (from false to true)")
        }
        if new.pool.mode == .transaction, !services.analyses {
            fixed.append("pool.mode (from \"session\" to \"transaction\")")
        }
        for key in fixed {
            logger.warning("changed in the file, but takes effect only after a restart: \(key)")
        }
        services.options = SessionOptions(new)
        services.upstream.pools?.update(PoolSettings(new.pool))
        reloadCertificates(new)
        services.authenticator.settings = .init(new)
        CoreDumps.allow(new.log.coreDumps, logger: logger)
        cache.setLimits(
            CacheLimits(
                memory: new.cache.memory.bytes, maximumEntry: new.cache.maximumEntry.bytes))
        registry.limit = new.limits.clientConnections
        setLogLevel(Logger.Level(rawValue: new.log.level.rawValue) ?? .info)
        if new.policy != old.policy {
            // Entries carry the rules under which they were stored.
            cache.removeAll()
            snapshots?.policyChanged(to: new.policy)
        }
        logger.notice("configuration reloaded", metadata: ["file": "\(file)"])
        return new
    }
}
