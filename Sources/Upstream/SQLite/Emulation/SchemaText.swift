/// Finds parts of the CREATE statements that SQLite keeps as text and no pragma tells.
enum SchemaText {
    /// The SELECT behind `CREATE VIEW … AS`.
    static func viewSelect(_ sql: String) -> String? {
        let words = words(of: sql)
        guard let position = words.firstIndex(where: { $0.depth == 0 && $0.matches("as") })
        else { return nil }
        var text = sql[words[position].range.upperBound...]
        text = text.drop { $0.isWhitespace }
        while let last = text.last, last.isWhitespace || last == ";" { text = text.dropLast() }
        return String(text)
    }

    /// The key expressions and the condition of a CREATE INDEX statement.
    static func indexParts(_ sql: String) -> (keys: [String], predicate: String?)? {
        let words = words(of: sql)
        guard let on = words.firstIndex(where: { $0.depth == 0 && $0.matches("on") }),
            let open = words[on...].firstIndex(where: { $0.text == "(" }),
            let close = words[open...].firstIndex(where: { $0.text == ")" && $0.depth == 0 })
        else { return nil }
        var keys: [String] = []
        var start = words[open].range.upperBound
        for word in words[(open + 1)...close]
        where word.depth == 1 && word.text == "," || word.range == words[close].range {
            keys.append(trimmed(sql[start..<word.range.lowerBound]))
            start = word.range.upperBound
        }
        let condition = words[close...].first { $0.depth == 0 && $0.matches("where") }
        return (keys, condition.map { trimmed(sql[$0.range.upperBound...]) })
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0.isWhitespace }
        while let last = text.last, last.isWhitespace || last == ";" { text = text.dropLast() }
        return String(text)
    }

    private struct Word {
        let text: Substring
        let range: Range<String.Index>
        /// Parentheses open around it; both parentheses of a pair carry the outer depth.
        let depth: Int

        func matches(_ keyword: String) -> Bool { text.lowercased() == keyword }
    }

    /// Words, and single punctuation characters, outside comments; quoted text is one word.
    private static func words(of sql: String) -> [Word] {
        var words: [Word] = []
        var depth = 0
        var position = sql.startIndex
        func skip(past close: Character) {
            position = sql.index(after: position)
            while position < sql.endIndex, sql[position] != close {
                position = sql.index(after: position)
            }
            if position < sql.endIndex { position = sql.index(after: position) }
        }
        while position < sql.endIndex {
            let start = position
            let character = sql[position]
            let rest = sql[position...]
            if character.isWhitespace {
                position = sql.index(after: position)
                continue
            }
            if rest.hasPrefix("--") {
                position = rest.firstIndex { $0.isNewline } ?? sql.endIndex
                continue
            }
            if rest.hasPrefix("/*") {
                skip(past: "/")
                while position < sql.endIndex, !sql[..<position].hasSuffix("*/") { skip(past: "/") }
                continue
            }
            switch character {
            case "'", "\"", "`": skip(past: character)
            case "[": skip(past: "]")
            case _ where character.isLetter || character == "_" || character.isNumber:
                while position < sql.endIndex,
                    sql[position].isLetter || sql[position].isNumber || sql[position] == "_"
                {
                    position = sql.index(after: position)
                }
            default: position = sql.index(after: position)
            }
            if character == ")" { depth -= 1 }
            words.append(Word(text: sql[start..<position], range: start..<position, depth: depth))
            if character == "(" { depth += 1 }
        }
        return words
    }
}
