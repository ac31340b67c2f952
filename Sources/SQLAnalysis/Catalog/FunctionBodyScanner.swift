/// Judges functions written in SQL or PL/pgSQL by the words in their bodies.
///
/// Sound because a body can change a table only with one of a few keywords, or by calling (by
/// name, with an operator or through a view) something that can. What the words cannot show,
/// dynamic SQL included, counts as everything.
struct FunctionBodyScanner: Sendable {
    /// The words in a body.
    struct Words: Sendable {
        var behaviour: FunctionBehaviour
        var names: Set<String>
        var operators: Set<String>
    }

    private static let writeWords: Set<String> = [
        "insert", "update", "delete", "merge", "truncate", "copy", "execute", "call", "create",
        "alter", "drop", "grant", "revoke", "refresh", "import", "security", "load", "reassign",
        "commit", "rollback",
    ]
    private static let stateWords: Set<String> = [
        "execute", "call", "create", "alter", "load", "import", "reset", "discard",
        "commit", "rollback", "temp", "temporary", "pg_temp", "listen", "unlisten",
    ]
    /// Words that a PL/pgSQL or SQL statement can follow.
    private static let statementStarts: Set<String> = ["begin", "then", "else", "loop"]

    static func words(of function: CatalogRows.Function) -> Words {
        guard function.language == "plpgsql" || function.language == "sql" else {
            return Words(behaviour: .opaque, names: [], operators: [])
        }
        return words(ofText: function.source, isSQL: function.language == "sql")
    }

    static func words(ofText text: String, isSQL: Bool) -> Words {
        guard let tokens = try? PgQuery.scan(text) else {
            return Words(behaviour: .opaque, names: [], operators: [])
        }
        let bytes = Array(text.utf8)
        var words = Words(behaviour: [], names: [], operators: [])
        var startsStatement = true
        for token in tokens where token.kind != .comment {
            let spelling = String(decoding: bytes[token.start..<token.end], as: UTF8.self)
            var nextStarts = false
            switch token.kind {
            case .unicodeIdentifier: words.behaviour = .opaque
            case .identifier where spelling.hasPrefix("\""):
                words.names.insert(
                    spelling.dropFirst().dropLast().split(
                        separator: "\"\"", omittingEmptySubsequences: false
                    ).joined(separator: "\""))
            case .identifier, .keyword:
                let word = spelling.lowercased()
                words.names.insert(word)
                if writeWords.contains(word) { words.behaviour.insert(.mayWrite) }
                if stateWords.contains(word) { words.behaviour.insert(.leavesState) }
                if word == "share" || word == "lock" { words.behaviour.insert(.takesLocks) }
                // In SQL, SELECT … INTO makes a table; in PL/pgSQL it assigns a variable.
                if isSQL, word == "into" { words.behaviour.insert(.opaque) }
                // ON CONFLICT DO … is no statement of its own, nor is UPDATE … SET.
                if word == "do", startsStatement { words.behaviour.insert(.opaque) }
                if word == "set", startsStatement { words.behaviour.insert(.leavesState) }
                nextStarts = statementStarts.contains(word)
            case .op:
                words.operators.insert(spelling)
                // The end of a PL/pgSQL label, `<<name>>`.
                nextStarts = spelling == ">>"
            case .punctuation(let byte):
                words.operators.insert(spelling)
                nextStarts = byte == UInt8(ascii: ";")
            default: break
            }
            startsStatement = nextStarts
        }
        return words
    }
}
