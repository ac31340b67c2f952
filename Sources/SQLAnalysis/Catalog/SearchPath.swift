/// A `search_path` with its names resolved as far as that is possible without asking the server.
///
/// Analysis takes every schema of the path as a candidate, not only the first that has the name:
/// a schema may be skipped because the role may not use it.
/// https://www.postgresql.org/docs/15/ddl-schemas.html#DDL-SCHEMAS-PATH
package struct SearchPath: Hashable, Sendable {
    /// The path with which view definitions are printed: nothing but pg_catalog.
    package static let empty = SearchPath(schemas: [])

    /// Whatever the path may be: a name without a schema is looked for in every one.
    package static let any = SearchPath(schemas: [], isAny: true)

    package let schemas: Set<String>
    private let isAny: Bool

    private init(schemas: Set<String>, isAny: Bool = false) {
        self.schemas = schemas
        self.isAny = isAny
    }

    /// - Parameter text: the value of `search_path` as SHOW prints it.
    package init(_ text: String, sessionUser: String, currentRole: String) {
        var schemas: Set<String> = []
        for name in Self.names(in: text) {
            if name == "$user" {
                schemas.insert(currentRole)
                schemas.insert(sessionUser)
            } else {
                schemas.insert(name)
            }
        }
        self.schemas = schemas
        isAny = false
    }

    package func includes(schema: String, qualifiedWith qualifier: String?) -> Bool {
        if let qualifier { return schema == qualifier }
        return isAny || schema == "pg_catalog" || schemas.contains(schema)
    }

    /// Whether new objects may become temporary by the path alone.
    package var namesTemporarySchema: Bool {
        schemas.contains(where: RelationName.isTemporarySchema)
    }

    /// Splits a list of identifiers: bare ones are folded to lower case, quoted ones are not.
    private static func names(in text: String) -> [String] {
        var names: [String] = []
        var current = ""
        var isQuoted = false
        var inQuotes = false
        var characters = text.unicodeScalars.makeIterator()
        var pending = characters.next()
        while let scalar = pending {
            pending = characters.next()
            if inQuotes {
                if scalar != "\"" {
                    current.unicodeScalars.append(scalar)
                } else if pending == "\"" {
                    current.append("\"")
                    pending = characters.next()
                } else {
                    inQuotes = false
                }
            } else if scalar == "\"" {
                inQuotes = true
                isQuoted = true
            } else if scalar == "," {
                if isQuoted || !current.isEmpty { names.append(current) }
                current = ""
                isQuoted = false
            } else if !scalar.properties.isWhitespace {
                current += String(scalar).lowercased()
            }
        }
        if isQuoted || !current.isEmpty { names.append(current) }
        return names
    }
}
