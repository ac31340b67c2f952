import SQLAnalysis

/// The operator's rules about what may be cached and for how long. Correctness never rests on
/// them: they can only make the cache hold less, or entries live shorter or longer.
package struct CachePolicy: Sendable, Equatable {
    package var rules: [CacheRule]
    /// `cache.ttl`; nil for until invalidated.
    package var defaultTTL: Duration?

    package init(rules: [CacheRule] = [], defaultTTL: Duration? = nil) {
        self.rules = rules
        self.defaultTTL = defaultTTL
    }

    /// What the rules say about one statement.
    package struct Decision: Sendable, Equatable {
        /// Whether the answer may be kept and served from memory.
        package var cache: Bool
        /// How long at most; nil for until invalidated.
        package var ttl: Duration?

        package init(cache: Bool, ttl: Duration?) {
            self.cache = cache
            self.ttl = ttl
        }
    }

    /// The decision of the first rule that matches; the defaults where none does.
    ///
    /// - Parameters:
    ///   - readSet: what the statement reads.
    ///   - query: its text.
    package func decision(readSet: [Relation], query: String) -> Decision {
        decision(tables: readSet.map { (name: $0.name, schema: $0.schema) }, query: query)
    }

    func decision(tables: [(name: String, schema: String)], query: String) -> Decision {
        guard let index = firstMatch(tables: tables, query: query) else {
            return Decision(cache: true, ttl: defaultTTL)
        }
        let rule = rules[index]
        return Decision(cache: rule.cache, ttl: rule.ttl.isSet ? rule.ttl.value : defaultTTL)
    }

    /// The rule that decides, by its number in the file and in the file's words; nil where none
    /// matches.
    package func matchingRule(readSet: [Relation], query: String) -> String? {
        let tables = readSet.map { (name: $0.name, schema: $0.schema) }
        guard let index = firstMatch(tables: tables, query: query) else { return nil }
        let words = rules[index].tomlText.split(separator: "\n").joined(separator: ", ")
        return "number \(index + 1): \(words)"
    }

    private func firstMatch(tables: [(name: String, schema: String)], query: String) -> Int? {
        rules.firstIndex { $0.matches(tables: tables, query: query) }
    }
}
