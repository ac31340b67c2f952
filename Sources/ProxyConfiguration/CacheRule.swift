/// One `[[rule]]`.
package struct CacheRule: Sendable, Equatable {
    /// The lifetime that a rule gives, where it gives one.
    package enum Lifetime: Sendable, Equatable {
        case unspecified
        case untilInvalidated
        case atMost(Duration)

        var isSet: Bool { self != .unspecified }

        var value: Duration? {
            if case .atMost(let duration) = self { duration } else { nil }
        }
    }

    /// Names as written: `name` or `schema.name`. Empty: whatever is read.
    package let tables: [String]
    /// Nil: whatever the text.
    package let query: QueryPattern?
    package let cache: Bool
    package let ttl: Lifetime

    package init(
        tables: [String] = [], query: QueryPattern? = nil, cache: Bool = true,
        ttl: Lifetime = .unspecified
    ) {
        self.tables = tables
        self.query = query
        self.cache = cache
        self.ttl = ttl
        foldedTables = Set(tables.map { $0.lowercased() })
    }

    private let foldedTables: Set<String>

    /// Whether the statement reads at least one of the rule's tables, and its text matches the
    /// rule's pattern: both, where the rule has both. Letter case in names makes no difference.
    func matches(tables: [(name: String, schema: String)], query text: String) -> Bool {
        if !foldedTables.isEmpty {
            let readsOne = tables.contains { name, schema in
                let name = name.lowercased()
                return foldedTables.contains(name)
                    || (!schema.isEmpty && foldedTables.contains("\(schema.lowercased()).\(name)"))
            }
            guard readsOne else { return false }
        }
        return query?.matches(text) ?? true
    }
}
