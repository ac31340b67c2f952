/// How a client has to show who it is; the names are those of `proxy.conf` and the metrics.
package enum AuthenticationMethod: String, CaseIterable, Sendable {
    case scram = "scram-sha-256"
    case md5
    /// A signed token as the password.
    case jwt
    /// The client's TLS certificate.
    case cert
    case trust
    case reject
}

/// Why a client was not let in. The client is told less: one message for all that would tell users
/// apart.
package enum LoginFailure: String, CaseIterable, Sendable {
    /// No rule is about this client, or the one that is rejects it.
    case rule
    case unknownUser = "unknown_user"
    case wrongPassword = "wrong_password"
    case tokenMalformed = "token_malformed"
    case tokenSignature = "token_signature"
    case tokenExpired = "token_expired"
    /// Issuer or audience is another, or a claim is missing.
    case tokenClaims = "token_claims"
    /// The token is good but is not for this user.
    case tokenRole = "token_role"
    case certificate
    /// The method is refused in plain text.
    case encryptionRequired = "encryption_required"
    case channelBinding = "channel_binding"
    /// Malformed, or out of order.
    case protocolViolation = "protocol"
    case timeout
    case rateLimited = "rate_limited"
    /// `auth_query` could not be asked.
    case lookup
    /// The connection ended before the password came, as psql's does to ask for it.
    case abandoned
}

/// Counters of logins, by method and by why they failed.
package final class LoginCounters: Sendable {
    private let successes: [Counter]
    /// One row for each method, and one for clients that no rule is about.
    private let failures: [[Counter]]

    package init() {
        successes = AuthenticationMethod.allCases.map { _ in Counter() }
        failures = (0...AuthenticationMethod.allCases.count).map { _ in
            LoginFailure.allCases.map { _ in Counter() }
        }
    }

    package func succeeded(_ method: AuthenticationMethod) {
        if let index = AuthenticationMethod.allCases.firstIndex(of: method) {
            successes[index].increment()
        }
    }

    /// `method` is nil where none had been chosen.
    package func failed(_ method: AuthenticationMethod?, _ reason: LoginFailure) {
        let methods = AuthenticationMethod.allCases
        let row = method.flatMap { methods.firstIndex(of: $0) } ?? methods.count
        if let column = LoginFailure.allCases.firstIndex(of: reason) {
            failures[row][column].increment()
        }
    }

    package func failureCount(_ method: AuthenticationMethod?, _ reason: LoginFailure) -> UInt64 {
        let methods = AuthenticationMethod.allCases
        let row = method.flatMap { methods.firstIndex(of: $0) } ?? methods.count
        guard let column = LoginFailure.allCases.firstIndex(of: reason) else { return 0 }
        return failures[row][column].value
    }

    func write(to text: inout PrometheusText) {
        text.declare(
            "mynah_logins_total", .counter, help: "Clients that were let in, by method.")
        for (method, counter) in zip(AuthenticationMethod.allCases, successes) {
            text.sample(
                "mynah_logins_total", labels: [("method", method.rawValue)], counter.value)
        }
        text.declare(
            "mynah_login_failures_total", .counter,
            help: "Clients that were not let in, by method and reason.")
        let methods = AuthenticationMethod.allCases.map(\.rawValue) + ["none"]
        for (method, row) in zip(methods, failures) {
            // What has not happened yet would be a hundred lines of zeros.
            for (reason, counter) in zip(LoginFailure.allCases, row) where counter.value > 0 {
                text.sample(
                    "mynah_login_failures_total",
                    labels: [("method", method), ("reason", reason.rawValue)], counter.value)
            }
        }
    }
}
