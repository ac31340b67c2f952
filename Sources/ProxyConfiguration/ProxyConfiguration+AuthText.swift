import Security

/// The effective settings of `[auth]` as TOML; secrets are masked.
extension ProxyConfiguration.Auth {
    func tomlValue(of key: ConfigurationKey) -> String {
        switch key {
        case .authTimeout: timeout.tomlText
        case .authMaximumFailures: "\(maximumFailures)"
        case .authFailureWindow: failureWindow.tomlText
        case .authAllowMD5: "\(allowsMD5)"
        case .authQuery: TOMLText.quoted(query.map { $0.sql ?? "default" } ?? "off")
        case .authQueryTTL: queryTTL.tomlText
        case .authUser: TOMLText.quoted(query?.user ?? "")
        case .authDatabase: TOMLText.quoted(query?.database ?? "")
        case .authPasswordFile: query?.password?.file ?? TOMLText.quoted("")
        case .authPasswordEnvironment: query?.password?.variable ?? TOMLText.quoted("")
        default: preconditionFailure("\(key.rawValue) is no key of [auth]")
        }
    }
}

extension ProxyConfiguration.Tokens {
    func tomlValue(of key: ConfigurationKey) -> String {
        switch key {
        case .authJWTKeys: return TOMLText.array(keys.map(\.text))
        case .authJWTIssuer: return TOMLText.quoted(issuer)
        case .authJWTAudience: return TOMLText.array(audiences)
        case .authJWTClaim: return TOMLText.quoted(claim)
        case .authJWTRoles:
            let pairs = roles.map {
                "\(TOMLText.quoted($0.value)) = \(TOMLText.quoted($0.role))"
            }
            return pairs.isEmpty ? "{}" : "{ \(pairs.joined(separator: ", ")) }"
        case .authJWTLeeway: return leeway.tomlText
        case .authJWTMaximumLength: return TOMLText.quoted(maximumLength.description)
        default: preconditionFailure("\(key.rawValue) is no key of [auth.jwt]")
        }
    }
}

extension ProxyConfiguration.SecretSource {
    fileprivate var file: String? {
        if case .file(let path) = place { TOMLText.quoted(path) } else { nil }
    }

    fileprivate var variable: String? {
        if case .environment(let name) = place { TOMLText.quoted(name) } else { nil }
    }

    /// The key that gives it, without the secret.
    fileprivate var tomlText: String {
        switch place {
        case .verifier: "verifier = \"********\"\n"
        case .file(let path): "password_file = \(TOMLText.quoted(path))\n"
        case .environment(let name): "password_env = \(TOMLText.quoted(name))\n"
        }
    }
}

extension ProxyConfiguration.User {
    var tomlText: String {
        var text = "name = \(TOMLText.quoted(name))\n" + (secret?.tomlText ?? "")
        if !certificates.isEmpty { text += "certificates = \(TOMLText.array(certificates))\n" }
        return text
    }
}

extension AuthenticationRule {
    var tomlText: String {
        var text = "users = \(users.tomlText)\ndatabases = \(databases.tomlText)\n"
        let addresses = sources.map { source in
            switch source {
            case .all: "all"
            case .unix: "unix"
            case .block(let block): block.description
            }
        }
        text += "addresses = \(TOMLText.array(addresses))\n"
        if let encrypted { text += "tls = \(encrypted)\n" }
        return text + "method = \(TOMLText.quoted(method.rawValue))\n"
    }
}

extension AuthenticationRule.Names {
    fileprivate var tomlText: String {
        switch self {
        case .all: TOMLText.array(["all"])
        case .some(let names): TOMLText.array(names)
        }
    }
}
