/// What is wrong with a configuration, for the person who wrote it: where, what was found and what
/// is allowed. Never holds a password.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    /// The file as it was named to us, or `environment variable NAME`.
    package var source: String
    /// Counted from 1; nil where the problem has no line (an unreadable file, an environment
    /// variable, a key that is absent).
    package var line: Int?
    /// The dotted key, such as `cache.memory`; nil where the problem is not about one key.
    package var key: String?
    /// What was found.
    package var problem: String
    /// What would be right; nil where the problem says it all.
    package var allowed: String?

    package init(
        source: String, line: Int? = nil, key: String? = nil, problem: String,
        allowed: String? = nil
    ) {
        self.source = source
        self.line = line
        self.key = key
        self.problem = problem
        self.allowed = allowed
    }

    /// One line, such as `proxy.conf:12: cache.memory: found "12"; allowed: …`.
    package var description: String {
        var text = source
        if let line {
            text += ":\(line)"
        }
        text += ": "
        if let key {
            text += "\(key): "
        }
        text += problem
        if let allowed {
            text += "; \(allowed)"
        }
        return text
    }
}
