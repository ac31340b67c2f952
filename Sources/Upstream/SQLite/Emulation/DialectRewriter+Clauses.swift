import SQLAnalysis

/// Rules that need both sides, run when the whole statement is on the stack.
extension DialectRewriter {
    /// LIKE has backslash for escape in PostgreSQL and none in SQLite; ILIKE is LIKE over
    /// lower-case texts.
    mutating func rewritePatternMatches() {
        reopen()
        // Each match looks at its operands, however long; so many of them nobody writes.
        guard output.count(where: { $0.word == "like" || $0.word == "ilike" }) <= 1000 else {
            return
        }
        var index = 0
        while index < output.count {
            defer { index += 1 }
            let word = output[index].word
            guard word == "like" || word == "ilike", !output[index].isGroup, index > 0,
                let end = operandEnd(startingAt: index + 1)
            else { continue }
            let pattern = Array(output[(index + 1)..<end])
            let hasEscape = output.indices.contains(end) && output[end].word == "escape"
            let isPlainText =
                pattern.count == 1 && pattern[0].isString && !pattern[0].text.contains("\\")
            let escape = hasEscape || isPlainText ? "" : " ESCAPE '\\'"
            if word == "like" {
                guard !escape.isEmpty else { continue }
                output[end - 1].text += escape
                markChanged()
                continue
            }
            let isNegated = output[index - 1].word == "not"
            let leftEnd = isNegated ? index - 1 : index
            guard let start = chainStart(endingAt: leftEnd) else { continue }
            let left = Self.text(output[start..<leftEnd])
            let trivia = output[start].trivia
            let sql =
                "lower(\(left))\(isNegated ? " NOT" : "") LIKE lower(\(Self.text(pattern)))\(escape)"
            output.replaceSubrange(
                start..<end,
                with: [Piece(trivia: trivia, text: sql, word: "", kind: nil, isGroup: false)])
            markChanged()
            reopen()
            index = start
        }
    }

    /// Finds again which parentheses belong together, after pieces have moved.
    private mutating func reopen() {
        var open: [Int] = []
        for index in output.indices {
            if output[index].isMark("(") { open.append(index) }
            if output[index].isMark(")") { output[index].opening = open.popLast() }
        }
    }

    /// An operand with what `||` and arithmetic, which bind more tightly than LIKE, join to it.
    private func chainStart(endingAt end: Int) -> Int? {
        guard var start = operandStart(endingAt: end) else { return nil }
        while start > 0, output[start - 1].isOperator {
            guard ["||", "+", "-", "*", "/", "%"].contains(output[start - 1].text),
                let further = operandStart(endingAt: start - 1)
            else { return nil }
            start = further
        }
        return start
    }

    /// One past the last piece of the operand chain that starts at `start`.
    private func operandEnd(startingAt start: Int) -> Int? {
        var index = start
        while true {
            guard output.indices.contains(index) else { return nil }
            let piece = output[index]
            if piece.isMark("(") {
                guard let close = matchingClose(from: index) else { return nil }
                index = close + 1
            } else if piece.isGroup || piece.isString || piece.kind == .parameter
                || piece.kind == .number
            {
                index += 1
            } else if piece.isName || piece.text.hasPrefix("\"") {
                index += 1
                while output.indices.contains(index + 1), output[index].isMark(".") { index += 2 }
                if output.indices.contains(index), output[index].isMark("(") {
                    guard let close = matchingClose(from: index) else { return nil }
                    index = close + 1
                }
            } else {
                return nil
            }
            guard output.indices.contains(index), output[index].text == "||" else { return index }
            index += 1
        }
    }

    private func matchingClose(from open: Int) -> Int? {
        var depth = 0
        for index in open..<output.count {
            if output[index].isMark("(") { depth += 1 }
            if output[index].isMark(")") {
                depth -= 1
                if depth == 0 { return index }
            }
        }
        return nil
    }

    /// `OFFSET m ROWS FETCH FIRST n ROWS ONLY` and its variants become `LIMIT n OFFSET m`.
    mutating func rewriteLimits() {
        var index = 0
        while index < output.count {
            defer { index += 1 }
            let word = output[index].word
            guard ["limit", "offset", "fetch"].contains(word),
                output.prefix(index).contains(where: { $0.word == "select" || $0.word == "values" })
            else { continue }
            var end = index
            var limit: String?
            var offset: String?
            while let clause = limitClause(at: end) {
                if let value = clause.limit {
                    guard limit == nil else { return }
                    limit = value
                } else {
                    guard offset == nil else { return }
                    offset = clause.offset
                }
                end = clause.end
            }
            guard end > index else { continue }
            var text = "LIMIT \(limit ?? "-1")"
            if let offset { text += " OFFSET \(offset)" }
            // What SQLite takes as it is stays as it was written.
            if word == "limit", limit != "-1",
                !output[index..<end].contains(where: { $0.word == "row" || $0.word == "rows" })
            {
                index = end - 1
                continue
            }
            let trivia = output[index].trivia
            output.replaceSubrange(
                index..<end,
                with: [Piece(trivia: trivia, text: text, word: "", kind: nil, isGroup: false)])
            markChanged()
        }
    }

    private func limitClause(at start: Int) -> (limit: String?, offset: String?, end: Int)? {
        guard output.indices.contains(start) else { return nil }
        func word(_ index: Int) -> String {
            output.indices.contains(index) ? output[index].word : ""
        }
        switch word(start) {
        case "limit":
            if word(start + 1) == "all" { return ("-1", nil, start + 2) }
            guard let end = operandEnd(startingAt: start + 1), end > start + 1 else { return nil }
            return (Self.text(output[(start + 1)..<end]), nil, end)
        case "offset":
            guard var end = operandEnd(startingAt: start + 1) else { return nil }
            let value = Self.text(output[(start + 1)..<end])
            if word(end) == "row" || word(end) == "rows" { end += 1 }
            return (nil, value, end)
        case "fetch":
            guard word(start + 1) == "first" || word(start + 1) == "next" else { return nil }
            var end = start + 2
            var value = "1"
            if word(end) != "row", word(end) != "rows" {
                guard let stop = operandEnd(startingAt: end) else { return nil }
                value = Self.text(output[end..<stop])
                end = stop
            }
            // WITH TIES has no equal in SQLite.
            guard word(end) == "row" || word(end) == "rows", word(end + 1) == "only" else {
                return nil
            }
            return (value, nil, end + 2)
        default: return nil
        }
    }
}
