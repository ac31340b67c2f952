import PostgresWire
import Telemetry

/// How clients are authenticated, as a configuration says: a value, exchanged as a whole when the
/// configuration is read anew.
package struct AuthenticationPolicy: Sendable {
    /// One `[[auth.user]]`.
    package struct User: Sendable {
        package var name: String
        /// Nil: logs in with a certificate or a token alone, or `auth_query` knows.
        package var secret: StoredSecret?
        /// The password itself, where it is known: for the connection to the server.
        package var password: Secret?
        /// Names in certificates with which this user may log in; its own name always is one.
        package var certificateNames: [String]

        package init(
            name: String, secret: StoredSecret? = nil, password: Secret? = nil,
            certificateNames: [String] = []
        ) {
            self.name = name
            self.secret = secret
            self.password = password
            self.certificateNames = certificateNames
        }
    }

    /// The first that matches decides; where none does the client is refused.
    package var rules: [AuthenticationRule]
    package var tokens: TokenVerifier?
    /// Whether the database is asked for secrets of users that are not listed.
    package var looksUpSecrets: Bool
    private let users: [ExactName: User]
    /// Of users that do not exist: as most others.
    let mockIterations: Int

    package init(
        rules: [AuthenticationRule], users: [User] = [], tokens: TokenVerifier? = nil,
        looksUpSecrets: Bool = false
    ) {
        self.rules = rules
        self.tokens = tokens
        self.looksUpSecrets = looksUpSecrets
        var table: [ExactName: User] = [:]
        for user in users { table[ExactName(user.name)] = user }
        self.users = table
        let first = users.lazy.compactMap { user -> Int? in
            if case .scram(let verifier)? = user.secret { verifier.iterations } else { nil }
        }.first
        mockIterations = first ?? ScramVerifier.defaultIterations
    }

    /// Nobody is asked who they are: for listeners that only this machine can reach.
    package static let open = AuthenticationPolicy(rules: [])

    package var isOpen: Bool { rules.isEmpty }

    package func rule(for client: ClientIdentity) -> AuthenticationRule? {
        rules.first { $0.matches(client) }
    }

    func user(_ name: String) -> User? { users[ExactName(name)] }
}
