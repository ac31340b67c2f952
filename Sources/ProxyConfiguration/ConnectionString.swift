import CLibPQ

/// A PostgreSQL connection URL, as libpq understands it.
package struct ConnectionString: Hashable, Sendable {
    /// As written, password included: not for logs.
    package let text: String
    /// The parameters that `text` sets, under libpq's names (`host`, `port`, `user`, `password`,
    /// `dbname` …). Defaults, environment variables and service files are not applied.
    package let parameters: [String: String]

    /// Why a text is not a connection URL, without a secret in it.
    struct Invalid: Error {
        let reason: String
    }

    init(_ text: String) throws(Invalid) {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &message) else {
            let reason = message.map { String(cString: $0) } ?? "out of memory"
            PQfreemem(message)
            throw Invalid(reason: Self.withoutSecrets(reason, of: text))
        }
        defer { PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                parameters[String(cString: keyword)] = String(cString: value)
            }
            option += 1
        }
        self.text = text
        self.parameters = parameters
    }

    /// `text` with every password replaced.
    package var masked: String {
        Self.masked(text)
    }

    /// Replaces all between the first colon and the last at sign before the query, and the values
    /// of query parameters named `…password`. Rather too much than too little: also for URLs that
    /// libpq refuses.
    static func masked(_ url: String) -> String {
        guard let scheme = url.range(of: "://") else { return url }
        var result = String(url[..<scheme.upperBound])
        let rest = url[scheme.upperBound...]
        let queryStart = rest.firstIndex(of: "?") ?? rest.endIndex
        let authority = rest[..<queryStart]
        if let at = authority.lastIndex(of: "@"),
            let colon = authority[..<at].firstIndex(of: ":")
        {
            result += "\(authority[..<colon]):********\(authority[at...])"
        } else {
            result += authority
        }
        guard queryStart < rest.endIndex else { return result }
        let parameters = rest[rest.index(after: queryStart)...]
            .split(separator: "&", omittingEmptySubsequences: false)
            .map { parameter -> String in
                guard let equals = parameter.firstIndex(of: "="),
                    parameter[..<equals].lowercased().hasSuffix("password")
                else { return String(parameter) }
                return "\(parameter[..<equals])=********"
            }
        return result + "?" + parameters.joined(separator: "&")
    }

    /// libpq quotes the whole URL in some messages and the token that it could not decode, which
    /// may be the password, in others.
    private static func withoutSecrets(_ message: String, of url: String) -> String {
        var line = message.split(whereSeparator: \.isNewline).joined(separator: " ")
        if let quoted = line.range(of: url) {
            line.replaceSubrange(quoted, with: masked(url))
        } else if line.contains("percent-encoded"), let quote = line.firstIndex(of: "\"") {
            line = line[..<quote].trimmingSuffix { $0 == " " || $0 == ":" }
        }
        return line
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
        var result = self
        while let last = result.last, predicate(last) {
            result.removeLast()
        }
        return String(result)
    }
}
