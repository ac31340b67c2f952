import NIOCore
import ProxyConfiguration
import Security
import Session
import Upstream

extension SessionOptions {
    /// What a configuration asks of sessions.
    init(_ configuration: ProxyConfiguration) {
        let policy = configuration.policy
        self.init(
            isCacheEnabled: configuration.cache.isEnabled,
            maximumEntry: configuration.cache.maximumEntry.bytes,
            maximumMessage: configuration.limits.message.bytes,
            startupTimeout: TimeAmount(configuration.limits.startupTimeout),
            sharesFlights: configuration.cache.singleFlight,
            verifiedShare: configuration.cache.verifiedShare,
            matchingRule: { policy.matchingRule(readSet: $0, query: $1) },
            policy: { readSet, query in
                let decision = policy.decision(readSet: readSet, query: query)
                guard decision.cache else { return .never }
                return .store(
                    timeToLive: decision.ttl.map { UInt64(max(0, TimeAmount($0).nanoseconds)) })
            })
        staleIfError = UInt64(
            max(0, TimeAmount(configuration.cache.staleIfError).nanoseconds))
        secretQuestion = configuration.auth.query.map { query in
            RoleSecretQuestion(
                sql: query.sql, user: query.user, password: query.password?.secret,
                database: query.database)
        }
    }
}

extension ClientAuthenticator.Settings {
    /// What a configuration says of who may come in. Derives verifiers: not for an event loop.
    init(_ configuration: ProxyConfiguration) {
        let auth = configuration.auth
        let limits = configuration.limits
        self.init(
            policy: auth.policy,
            quota: ConnectionQuota.Limits(
                pending: limits.pending, pendingPerAddress: limits.pendingPerAddress,
                perAddress: limits.perAddress),
            timeout: TimeAmount(auth.timeout).nanoseconds, failureLimit: auth.maximumFailures,
            failureWindow: UInt64(max(1, TimeAmount(auth.failureWindow).nanoseconds)),
            secretLifetime: UInt64(max(0, TimeAmount(auth.queryTTL).nanoseconds)))
    }
}
