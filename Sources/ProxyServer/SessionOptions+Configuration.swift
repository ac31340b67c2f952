import NIOCore
import ProxyConfiguration
import Session

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
    }
}
