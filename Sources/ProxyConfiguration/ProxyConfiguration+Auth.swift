import PostgresWire
import Security

extension ProxyConfiguration {
    /// `[auth]` and the tables below it: who may come in.
    package struct Auth: Sendable, Equatable {
        /// From accepting a connection to the end of its authentication.
        package var timeout: Duration
        /// Failed logins from one address within `failureWindow`; 0 for any number.
        package var maximumFailures: Int
        package var failureWindow: Duration
        package var allowsMD5: Bool
        /// Nil where the database is not asked for secrets.
        package var query: Query?
        /// How long an answer of `auth_query` is kept.
        package var queryTTL: Duration
        /// None: nobody is asked who they are, and only this machine can connect.
        package var rules: [AuthenticationRule]
        package var users: [User]
        package var tokens: Tokens?
    }

    /// How the database is asked for a user's secret.
    package struct Query: Sendable, Equatable {
        /// Nil for the built-in one.
        package var sql: String?
        /// Nil: the user of `upstream.url`.
        package var user: String?
        package var database: String
        package var password: SecretSource?
    }

    /// A secret and where it stands, which may be shown.
    package struct SecretSource: Sendable, Equatable {
        package enum Place: Sendable, Equatable {
            case verifier
            case file(String)
            case environment(String)
        }

        package var place: Place
        package var secret: Secret
    }

    /// One `[[auth.user]]`.
    package struct User: Sendable, Equatable {
        package var name: String
        package var secret: SecretSource?
        package var certificates: [String]
    }

    /// `[auth.jwt]`.
    package struct Tokens: Sendable, Equatable {
        package struct Key: Sendable {
            /// As written: the algorithm or `JWKS`, and the file.
            package var text: String
            package var keys: [TokenKey]
            var contents: [UInt8]
        }

        package var keys: [Key]
        package var issuer: String
        package var audiences: [String]
        package var claim: String
        /// None: the claim's value is the role.
        package var roles: [Role]
        package var leeway: Duration
        package var maximumLength: ByteCount
    }

    /// A value of the token's claim and the role that it stands for.
    package struct Role: Sendable, Equatable {
        package var value: String
        package var role: String
    }
}

extension ProxyConfiguration.Tokens.Key: Equatable {
    package static func == (left: Self, right: Self) -> Bool {
        left.text == right.text && left.contents == right.contents
    }
}

extension ProxyConfiguration.Auth {
    /// What the rules, users and keys come to. Derives verifiers of passwords, which takes
    /// milliseconds each: not for an event loop.
    package var policy: AuthenticationPolicy {
        AuthenticationPolicy(
            rules: rules, users: users.map(\.policyUser), tokens: tokens?.verifier,
            looksUpSecrets: query != nil)
    }
}

extension ProxyConfiguration.User {
    fileprivate var policyUser: AuthenticationPolicy.User {
        var user = AuthenticationPolicy.User(name: name, certificateNames: certificates)
        guard let secret else { return user }
        // A file or variable may hold a verifier, too.
        if let stored = StoredSecret(secret.secret.value) {
            user.secret = stored
        } else if let verifier = ScramVerifier(password: secret.secret) {
            user.secret = .scram(verifier)
            user.password = secret.secret
        }
        return user
    }
}

extension ProxyConfiguration.Tokens {
    fileprivate var verifier: TokenVerifier {
        let pairs = roles.map { ($0.value, $0.role) }
        return TokenVerifier(
            keys: keys.flatMap(\.keys), issuer: issuer, audiences: audiences, roleClaim: claim,
            roles: pairs.isEmpty ? nil : Dictionary(pairs) { first, _ in first },
            leeway: leeway / .seconds(1), maximumLength: maximumLength.bytes)
    }
}
