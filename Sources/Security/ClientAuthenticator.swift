import Crypto
import Synchronization

/// What the authentication of all clients shares: the policy in force, and what is counted across
/// connections. One per process; thread-safe.
package final class ClientAuthenticator: Sendable {
    /// What may change while the process runs.
    package struct Settings: Sendable {
        package var policy: AuthenticationPolicy
        package var quota: ConnectionQuota.Limits
        /// From a connection's beginning to AuthenticationOk, in nanoseconds.
        package var timeout: Int64
        /// Failed logins from an address within `failureWindow` until it is refused; 0: any number.
        package var failureLimit: Int
        /// In nanoseconds.
        package var failureWindow: UInt64
        /// How long an answer of `auth_query` is kept, in nanoseconds.
        package var secretLifetime: UInt64

        package init(
            policy: AuthenticationPolicy = .open, quota: ConnectionQuota.Limits = .init(),
            timeout: Int64 = 10_000_000_000, failureLimit: Int = 10,
            failureWindow: UInt64 = 60_000_000_000, secretLifetime: UInt64 = 10_000_000_000
        ) {
            self.policy = policy
            self.quota = quota
            self.timeout = timeout
            self.failureLimit = failureLimit
            self.failureWindow = failureWindow
            self.secretLifetime = secretLifetime
        }
    }

    private let current: Mutex<Settings>
    package let quota = ConnectionQuota()
    package let secrets = RoleSecretTable()
    private let failures = FailedLogins()
    private let mockSecret = SymmetricKey(size: .bits256)

    package init(_ settings: Settings = Settings()) {
        current = Mutex(settings)
    }

    /// The settings in force. New ones hold for the connections that begin from then on.
    package var settings: Settings {
        get { current.withLock { $0 } }
        set {
            current.withLock { $0 = newValue }
            secrets.removeAll()
        }
    }

    package func machine(
        _ policy: AuthenticationPolicy, _ client: ClientIdentity
    ) -> ClientAuthenticationStateMachine {
        ClientAuthenticationStateMachine(policy: policy, client: client, mockSecret: mockSecret)
    }

    /// Whether this address may (still) try. `now` is monotonic, in nanoseconds.
    package func mayTry(_ peer: PeerAddress, _ settings: Settings, now: UInt64) -> Bool {
        failures.allows(
            peer.group, limit: settings.failureLimit, window: settings.failureWindow, now: now)
    }

    package func failed(_ peer: PeerAddress, _ settings: Settings, now: UInt64) {
        failures.failed(peer.group, window: settings.failureWindow, now: now)
    }
}
