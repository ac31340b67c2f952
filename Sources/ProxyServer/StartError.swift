/// Why the process cannot start with a configuration that is well-formed in itself.
package struct StartError: Error, CustomStringConvertible {
    /// The configuration key to look at, such as `listen.address`.
    package let key: String
    package let problem: String
    package let allowed: String?

    package init(key: String, problem: String, allowed: String? = nil) {
        self.key = key
        self.problem = problem
        self.allowed = allowed
    }

    package var description: String {
        "\(key): \(problem)" + (allowed.map { "; \($0)" } ?? "")
    }
}
