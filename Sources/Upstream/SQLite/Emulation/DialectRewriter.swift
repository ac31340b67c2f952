import SQLAnalysis

/// One rewriting: reads tokens from left to right onto a stack of pieces, on which every rule
/// that needs what came before (the operand of a cast, say) finds it already rewritten.
struct DialectRewriter {
    /// A token, or several that a rule has made one expression of.
    struct Piece {
        /// White space and comments in front of it.
        var trivia: String
        var text: String
        /// Lower-case text of keywords and bare names; empty for anything else.
        var word: String
        var kind: Token.Kind?
        /// An expression made by a rule: an operand as a whole.
        var isGroup = false
        /// For a closing parenthesis, the index of the one that it closes.
        var opening: Int?

        var whole: String { trivia + text }
        var isPunctuation: Bool {
            if case .punctuation? = kind { return true }
            return false
        }
        var isString: Bool { kind == .string }
        var isName: Bool {
            guard !isGroup else { return false }
            switch kind {
            case .identifier, .unicodeIdentifier: return true
            case .keyword(let keyword): return keyword != .reserved
            default: return false
            }
        }
        var isOperator: Bool {
            kind == .op && text != "::" || isPunctuation && "+-*/%".contains(text)
        }
        func isMark(_ mark: String) -> Bool { isPunctuation && text == mark }
    }

    private(set) var parameterTypes: [Int: UInt32] = [:]
    private var input: [Piece] = []
    private var position = 0
    var output: [Piece] = []
    private var tail = ""
    private var hasChanged = false
    /// Indices on the stack of the parentheses that are still open.
    private var open: [Int] = []
    /// Bytes that rules have put together so far. Casts repeat their operands, so that a chain of
    /// them could otherwise grow without bound.
    private var bytesBuilt = 0
    private static let maximumBytesBuilt = 4_000_000

    init(sql: String, tokens: [Token]) {
        let bytes = Array(sql.utf8)
        var end = 0
        for token in tokens where token.kind != .comment {
            guard token.start >= end, token.end <= bytes.count, token.start <= token.end else {
                continue
            }
            let text = String(decoding: bytes[token.start..<token.end], as: UTF8.self)
            let isWord: Bool
            switch token.kind {
            case .keyword: isWord = true
            case .identifier: isWord = !text.hasPrefix("\"")
            default: isWord = false
            }
            input.append(
                Piece(
                    trivia: String(decoding: bytes[end..<token.start], as: UTF8.self), text: text,
                    word: isWord ? text.lowercased() : "", kind: token.kind))
            end = token.end
        }
        tail = String(decoding: bytes[end...], as: UTF8.self)
    }

    /// The new text; nil where no rule applied.
    mutating func rewrite() -> String? {
        while position < input.count { step() }
        rewritePatternMatches()
        rewriteLimits()
        guard hasChanged else { return nil }
        return output.map(\.whole).joined() + tail
    }

    // MARK: Left to right

    private func peek(_ distance: Int) -> Piece? {
        let index = position + distance
        return input.indices.contains(index) ? input[index] : nil
    }

    /// Whether the words from here on are these.
    private func follows(_ words: String...) -> Bool {
        words.enumerated().allSatisfy { peek($0.offset)?.word == $0.element }
    }

    private mutating func drop(_ count: Int) {
        // What stood in front of the dropped tokens must still separate what is left.
        if let first = peek(0), let next = peek(count), input.indices.contains(position + count) {
            input[position + count].trivia = first.trivia.isEmpty ? next.trivia : first.trivia
        }
        position += count
        hasChanged = true
    }

    private mutating func replace(_ count: Int, with text: String) {
        let trivia = peek(0)?.trivia ?? ""
        position += count
        push(group: text, trivia: trivia)
    }

    private mutating func push(group text: String, trivia: String) {
        output.append(Piece(trivia: trivia, text: text, word: "", kind: nil, isGroup: true))
        hasChanged = true
    }

    private mutating func step() {
        let piece = input[position]
        if piece.text == "::" {
            if cast() { return }
            // SQLite would take `$1::name` for the name of a parameter.
            input[position].trivia = " " + piece.trivia
            hasChanged = true
        }
        if piece.isString, string(piece) { return }
        if piece.isMark(")"), closing(piece) { return }
        if !piece.word.isEmpty || piece.text == "\"public\"", word(piece) { return }
        append(input[position])
        position += 1
    }

    private mutating func append(_ piece: Piece) {
        var piece = piece
        if piece.isMark("(") {
            open.append(output.count)
        } else if piece.isMark(")") {
            piece.opening = open.popLast()
        }
        output.append(piece)
    }

    /// Takes off the stack what a rule has used, from `start` on.
    private mutating func pop(from start: Int) {
        output.removeSubrange(start...)
        while let last = open.last, last >= start { open.removeLast() }
    }

    /// `E'…'` and `$tag$…$tag$` become plain strings.
    private mutating func string(_ piece: Piece) -> Bool {
        guard !piece.text.hasPrefix("'"), let value = StringLiteral.value(of: piece.text) else {
            return false
        }
        output.append(
            Piece(
                trivia: piece.trivia.isEmpty && !output.isEmpty ? " " : piece.trivia,
                text: SQLQuoting.literal(value), word: "", kind: .string))
        hasChanged = true
        position += 1
        return true
    }

    private mutating func word(_ piece: Piece) -> Bool {
        let afterDot = output.last?.isMark(".") == true
        switch piece.word.isEmpty ? "public" : piece.word {
        case "public", "pg_catalog":
            // The only schema there is, and the one that functions and types come from.
            guard !afterDot, peek(1)?.isMark(".") == true,
                let next = peek(2), next.isName || next.text.hasPrefix("\"")
            else { return false }
            drop(2)
            return true
        case "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp":
            guard peek(1)?.isMark("(") == true, peek(2)?.isMark(")") == true, !afterDot else {
                return false
            }
            replace(3, with: "CURRENT_TIMESTAMP")
            return true
        case "current_timestamp", "localtimestamp", "current_time", "localtime":
            let isTime = piece.word.hasSuffix("time")
            let name = isTime ? "CURRENT_TIME" : "CURRENT_TIMESTAMP"
            // SQLite has no precision to give.
            if peek(1)?.isMark("(") == true, peek(2)?.kind == .number, peek(3)?.isMark(")") == true
            {
                replace(4, with: name)
                return true
            }
            guard piece.word.hasPrefix("local") else { return false }
            replace(1, with: name)
            return true
        case "date", "timestamp", "timestamptz":
            guard let literal = peek(1), literal.isString, !afterDot,
                let value = StringLiteral.value(of: literal.text),
                let sql = DialectCast.literal(value, type: piece.word)
            else { return false }
            replace(2, with: sql)
            return true
        case "only":
            guard let last = output.last?.word, ["from", "update", "join", "into"].contains(last),
                let next = peek(1), next.isName || next.text.hasPrefix("\"")
            else { return false }
            drop(1)
            return true
        case "for": return lockingClause()
        case "serial", "bigserial", "smallserial":
            // A column definition: its name, then this type. An INTEGER PRIMARY KEY counts up.
            guard isDefinition, output.last?.isName == true else { return false }
            replace(1, with: "INTEGER")
            return true
        default: return false
        }
    }

    private var isDefinition: Bool {
        guard let first = input.first?.word else { return false }
        return (first == "create" || first == "alter") && input.contains { $0.word == "table" }
    }

    /// One writer at a time holds the whole database: row locks add nothing.
    private mutating func lockingClause() -> Bool {
        var length: Int
        if follows("for", "update") || follows("for", "share") {
            length = 2
        } else if follows("for", "no", "key", "update") {
            length = 4
        } else if follows("for", "key", "share") {
            length = 3
        } else {
            return false
        }
        if peek(length)?.word == "of" {
            length += 1
            while let piece = peek(length), piece.isName || piece.isMark(",") || piece.isMark(".") {
                if piece.word == "nowait" || piece.word == "skip" { break }
                length += 1
            }
        }
        if peek(length)?.word == "nowait" {
            length += 1
        } else if peek(length)?.word == "skip", peek(length + 1)?.word == "locked" {
            length += 2
        }
        // Only at the end of a query; anywhere else it is not a locking clause.
        if let next = peek(length), !next.isMark(")"), !next.isMark(";"), next.word != "for" {
            return false
        }
        drop(length)
        return true
    }

    // MARK: Casts

    private mutating func cast() -> Bool {
        guard bytesBuilt < Self.maximumBytesBuilt,
            let (type, length) = DialectCast.typeName(Array(input[(position + 1)...].prefix(12))),
            let start = operandStart(endingAt: output.count)
        else { return false }
        let operand = Array(output[start...])
        guard let sql = DialectCast.sql(operand, type: type) else { return false }
        bytesBuilt += sql.utf8.count + operand.count
        note(operand, type)
        let trivia = operand.first?.trivia ?? ""
        pop(from: start)
        position += 1 + length
        push(group: sql, trivia: trivia)
        return true
    }

    private mutating func note(_ operand: [Piece], _ type: DialectCast.TypeName) {
        guard operand.count == 1, operand[0].kind == .parameter,
            let number = Int(operand[0].text.dropFirst()), let oid = type.oid
        else { return }
        if parameterTypes[number] == nil { parameterTypes[number] = oid }
    }

    /// Rules for what a closing parenthesis completes: CAST(…), extract(…), position(…) and
    /// substring(…) in their SQL forms, `= ANY (ARRAY[…])`.
    private mutating func closing(_ piece: Piece) -> Bool {
        guard let open = open.last, open > 0, bytesBuilt < Self.maximumBytesBuilt else {
            return false
        }
        let function = output[open - 1]
        guard ["cast", "extract", "position", "substring", "any"].contains(function.word) else {
            return false
        }
        let inner = Array(output[(open + 1)...])
        let sql: String?
        var start = open - 1
        switch function.word {
        case "cast":
            guard let at = inner.lastIndex(where: { $0.word == "as" }), at > 0,
                let (type, length) = DialectCast.typeName(Array(inner[(at + 1)...])),
                length == inner.count - at - 1
            else { return false }
            let operand = Array(inner[..<at])
            // CAST to a type that SQLite does not know would turn texts into numbers.
            sql =
                DialectCast.sql(operand, type: type)
                ?? (type.isInSQLite ? nil : "(\(Self.text(operand)))::\(type.name)")
            note(operand, type)
        case "extract": sql = DialectCast.extract(inner)
        case "position":
            guard let at = inner.firstIndex(where: { $0.word == "in" }) else { return false }
            sql = "instr(\(Self.text(inner[(at + 1)...])), \(Self.text(inner[..<at])))"
        case "substring":
            guard let from = inner.firstIndex(where: { $0.word == "from" }),
                !inner.contains(where: { $0.isMark("(") })
            else { return false }
            let upTo = inner.firstIndex { $0.word == "for" } ?? inner.endIndex
            guard from < upTo else { return false }
            let length =
                upTo < inner.endIndex ? ", \(Self.text(inner[(upTo + 1)...]))" : ""
            sql =
                "substr(\(Self.text(inner[..<from])), "
                + "\(Self.text(inner[(from + 1)..<upTo]))\(length))"
        case "any" where open > 1 && output[open - 2].text == "=":
            guard inner.count > 3, inner[0].word == "array", inner[1].isMark("["),
                inner[inner.count - 1].isMark("]")
            else { return false }
            start = open - 2
            sql = "IN (\(Self.text(inner[2..<(inner.count - 1)])))"
        default: return false
        }
        guard let sql else { return false }
        bytesBuilt += sql.utf8.count
        let trivia = output[start].trivia
        pop(from: start)
        position += 1
        push(group: sql, trivia: trivia)
        // An operator and its right side are no operand.
        if sql.hasPrefix("IN (") { output[output.count - 1].isGroup = false }
        return true
    }

    static func text(_ pieces: some Sequence<Piece>) -> String {
        var text = pieces.map(\.whole).joined()
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        return text
    }

    // MARK: Operands on the stack

    /// The first piece of the operand that ends just before `end`: a constant, a parameter, a
    /// possibly qualified name, a parenthesised expression, a function call. Nil where unsure.
    func operandStart(endingAt end: Int) -> Int? {
        guard end > 0 else { return nil }
        var start = end - 1
        let last = output[start]
        if last.isGroup || last.kind == .number || last.isString || last.kind == .parameter {
            return start
        }
        if last.isMark(")") {
            guard let open = last.opening, open < start else { return nil }
            start = open
            guard open > 0, output[open - 1].isName || output[open - 1].word == "coalesce" else {
                // `x IN (…)`, `EXISTS (…)` and the like are no operands of a cast.
                if open > 0,
                    ["in", "exists", "any", "all", "over", "filter", "values"]
                        .contains(output[open - 1].word)
                {
                    return nil
                }
                return start
            }
            if ["over", "filter", "in"].contains(output[open - 1].word) { return nil }
            start = open - 1
        } else if ["true", "false", "null", "current_timestamp", "current_date", "current_time"]
            .contains(last.word)
        {
            return start
        } else if last.word == "end" || !(last.isName || last.text.hasPrefix("\"")) {
            return nil
        }
        while start >= 2, output[start - 1].isMark("."),
            output[start - 2].isName || output[start - 2].text.hasPrefix("\"")
        {
            start -= 2
        }
        // Something other than a name is in front of the dot.
        return start > 0 && output[start - 1].isMark(".") ? nil : start
    }

    mutating func markChanged() { hasChanged = true }
}
