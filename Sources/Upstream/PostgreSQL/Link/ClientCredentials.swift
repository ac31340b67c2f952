import PostgresWire
import SQLAnalysis
import Synchronization

/// What clients have shown when they logged in, by user: the latest, for as many users as are
/// likely to be there. In memory alone. Thread-safe.
package final class ClientCredentials: Sendable {
    private static let maximumUsers = 10_000

    private let users = Mutex<[ExactText: UpstreamCredentials]>([:])

    package init() {}

    /// Beyond the limit another user's are forgotten: it shows them again with its next login.
    package func remember(_ credentials: UpstreamCredentials, of user: String) {
        let name = ExactText(user)
        users.withLock { users in
            if users.count >= Self.maximumUsers, users[name] == nil,
                let other = users.keys.randomElement()
            {
                users[other] = nil
            }
            users[name] = credentials
        }
    }

    package func of(_ user: String) -> UpstreamCredentials? {
        users.withLock { $0[ExactText(user)] }
    }
}
