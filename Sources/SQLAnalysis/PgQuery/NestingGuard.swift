/// Refuses texts whose parse tree could be deeper than the stack allows.
///
/// The C library walks the tree recursively without a limit of its own, and the caller's stack may
/// be no more than a few megabytes. What nests is bounded by the brackets around a token and the
/// operators and keywords beside it, which the scanner finds without recursion. A comma, AND or OR
/// starts a sibling (PostgreSQL flattens such lists), so what was counted beside it is forgotten;
/// set operations and joins chain across those, so they are not.
struct NestingGuard {
    /// Levels allowed in the tree, as this guard counts them.
    static let limit = 1_000
    /// A text shorter than this cannot nest deeply enough to matter, so it is not scanned.
    static let alwaysShallowLength = 2_048

    /// What is stacked up inside one open bracket.
    private struct Level {
        var chained = 0
        var beside = 0
        var total: Int { chained + beside }
    }

    private var levels = [Level()]
    private var total = 0

    static func check(_ sql: String) throws(PgQuery.Failure) {
        guard sql.utf8.count > alwaysShallowLength else { return }
        let text = Array(sql.utf8)
        var nesting = NestingGuard()
        for token in try PgQuery.scan(sql) {
            nesting.count(token, text[token.start..<token.end])
            guard nesting.total <= limit else { throw .tooDeep }
        }
    }

    private mutating func count(_ token: Token, _ text: ArraySlice<UInt8>) {
        switch token.kind {
        case .punctuation(UInt8(ascii: "(")), .punctuation(UInt8(ascii: "[")): open()
        case .punctuation(UInt8(ascii: ")")), .punctuation(UInt8(ascii: "]")): close()
        case .punctuation(UInt8(ascii: ",")): forgetBeside()
        case .punctuation(UInt8(ascii: ";")):
            forgetBeside()
            total -= levels[levels.count - 1].chained
            levels[levels.count - 1].chained = 0
        case .number, .string, .unicodeString, .bitString, .parameter, .comment, .identifier,
            .unicodeIdentifier, .punctuation(UInt8(ascii: ".")):
            break
        case .keyword: countKeyword(String(decoding: text, as: UTF8.self).lowercased())
        case .op, .punctuation: countBeside()
        }
    }

    private mutating func countKeyword(_ word: String) {
        switch word {
        case "and", "or": forgetBeside()
        case "case": open()
        case "end": close()
        case "union", "intersect", "except", "join":
            levels[levels.count - 1].chained += 1
            total += 1
        default: countBeside()
        }
    }

    private mutating func open() {
        levels.append(Level(chained: 1))
        total += 1
    }

    /// What was inside may become the left operand of what follows, on top of it.
    private mutating func close() {
        guard levels.count > 1 else { return }
        let inner = levels.removeLast()
        levels[levels.count - 1].beside += inner.total
    }

    private mutating func countBeside() {
        levels[levels.count - 1].beside += 1
        total += 1
    }

    private mutating func forgetBeside() {
        total -= levels[levels.count - 1].beside
        levels[levels.count - 1].beside = 0
    }
}
