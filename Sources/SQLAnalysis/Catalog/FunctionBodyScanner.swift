/// Judges functions written in SQL or PL/pgSQL by the words in their bodies.
///
/// Sound because a body can change a table only with one of a few keywords, or by calling (by
/// name, with an operator or through a view) something that can. What the words cannot show,
/// dynamic SQL included, counts as everything. Where the words are those of INSERT and its like,
/// `FunctionBodyReader` finds the tables.
struct FunctionBodyScanner: Sendable {
    /// The words in a body.
    struct Words: Sendable {
        /// What the words show for certain to be possible, `changes` left aside.
        var behaviour: FunctionBehaviour
        var names: Set<String>
        var operators: Set<String>
        /// How often each word of `changeWords` occurs.
        var changes: [String: Int] = [:]
        /// Words that open a block, branch or loop.
        var blocks = 0

        /// What has to be assumed where nobody finds the targets of `changes`.
        var unexplained: FunctionBehaviour {
            var behaviour = behaviour
            if changes["into"] != nil { behaviour = .opaque }
            if !changes.isEmpty { behaviour.insert(.mayWrite) }
            return behaviour
        }
    }

    /// Words of the statements that change a table that they name. In SQL `into` is one too:
    /// SELECT … INTO makes a table there, where in PL/pgSQL it assigns a variable.
    static let changeWords: Set<String> = [
        "insert", "update", "delete", "merge", "truncate", "refresh",
    ]
    private static let writeWords: Set<String> = [
        "copy", "execute", "call", "create", "alter", "drop", "grant", "revoke", "import",
        "security", "load", "reassign", "commit", "rollback",
    ]
    private static let stateWords: Set<String> = [
        "execute", "call", "create", "alter", "load", "import", "reset", "discard",
        "commit", "rollback", "temp", "temporary", "pg_temp", "listen", "unlisten", "prepare",
        "deallocate", "hold",
    ]
    /// Words that a PL/pgSQL or SQL statement can follow.
    private static let statementStarts: Set<String> = ["begin", "then", "else", "loop"]
    private static let blockWords: Set<String> = ["begin", "if", "loop", "case"]

    static func words(of function: CatalogRows.Function) -> Words {
        switch function.language {
        case "sql", "plpgsql":
            var words = words(ofText: function.source, isSQL: function.language == "sql")
            // Defaults of arguments are evaluated with the call. The body is a string in there.
            guard !function.definition.isEmpty else { return words }
            let header = Self.words(ofText: function.definition, isSQL: false)
            guard !header.names.isEmpty else { return .opaque }
            words.names.formUnion(header.names)
            words.operators.formUnion(header.operators)
            return words
        case CatalogRows.Function.aggregateLanguage:
            return words(ofText: function.source, isSQL: true)
        default: return .opaque
        }
    }

    static func words(ofText text: String, isSQL: Bool) -> Words {
        guard let tokens = try? PgQuery.scan(text) else {
            return .opaque
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
                words.insert(
                    name: spelling.dropFirst().dropLast().split(
                        separator: "\"\"", omittingEmptySubsequences: false
                    ).joined(separator: "\""))
            case .identifier, .keyword:
                let word = spelling.lowercased()
                words.insert(name: word)
                // The server may fold ASCII letters alone.
                if !spelling.utf8.allSatisfy({ $0 < 0x80 }) {
                    words.insert(name: asciiLowercased(spelling))
                }
                if changeWords.contains(word) { words.changes[word, default: 0] += 1 }
                if isSQL, word == "into" { words.changes[word, default: 0] += 1 }
                if blockWords.contains(word) { words.blocks += 1 }
                if writeWords.contains(word) { words.behaviour.insert(.mayWrite) }
                if stateWords.contains(word) { words.behaviour.insert(.leavesState) }
                if word == "share" || word == "lock" { words.behaviour.insert(.takesLocks) }
                // ON CONFLICT DO … is no statement of its own, nor is UPDATE … SET.
                if word == "do", startsStatement { words.behaviour.insert(.opaque) }
                if word == "set", startsStatement { words.behaviour.insert(.leavesState) }
                nextStarts = statementStarts.contains(word)
            case .string where spelling.hasPrefix("'") && spelling.contains("\\'"):
                // Without standard_conforming_strings it ends elsewhere.
                words.behaviour = .opaque
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

extension FunctionBodyScanner {
    private static func asciiLowercased(_ name: String) -> String {
        String(
            decoding: name.utf8.map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}

extension FunctionBodyScanner.Words {
    /// The most bytes of a name; the server cuts what is longer at a character.
    private static let maximumNameLength = 63

    fileprivate mutating func insert(name: String) {
        names.insert(name)
        guard name.utf8.count > Self.maximumNameLength else { return }
        var end = name.utf8.index(name.startIndex, offsetBy: Self.maximumNameLength)
        while end.samePosition(in: name.unicodeScalars) == nil {
            end = name.utf8.index(before: end)
        }
        names.insert(String(name[..<end]))
    }

    fileprivate static var opaque: Self {
        Self(behaviour: .opaque, names: [], operators: [])
    }
}
