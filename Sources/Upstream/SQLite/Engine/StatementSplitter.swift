import CSQLite

/// Cuts a text into its statements at the semicolons that are neither in a string, a quoted name,
/// a comment nor the body of a trigger.
///
/// The lexical rules are those that PostgreSQL and SQLite share, with both dialects' ways of
/// quoting; whether a trigger's body is complete is asked of SQLite itself. The pieces are given
/// to a real parser: this only finds where they end.
enum StatementSplitter {
    /// The statements in order, without their semicolons; pieces of only space and comments are
    /// left out.
    static func split(_ text: String) -> [String] {
        // Most texts are one statement.
        guard text.utf8.contains(UInt8(ascii: ";")) else {
            return isBlank(Array(text.utf8)[...]) ? [] : [text]
        }
        let bytes = Array(text.utf8)
        var pieces: [String] = []
        var start = 0
        var position = 0
        while position < bytes.count {
            guard bytes[position] == UInt8(ascii: ";") else {
                position = skipElement(bytes, position)
                continue
            }
            let piece = bytes[start..<position]
            if beginsTrigger(piece), !isComplete(bytes[start...position]) {
                position += 1
                continue
            }
            if !isBlank(piece) { pieces.append(String(decoding: piece, as: UTF8.self)) }
            position += 1
            start = position
        }
        let rest = bytes[min(start, bytes.count)...]
        if !isBlank(rest) { pieces.append(String(decoding: rest, as: UTF8.self)) }
        return pieces
    }

    /// The words a statement begins with, upper-case; at most `limit`.
    static func leadingWords(_ text: String, limit: Int = 6) -> [String] {
        leadingWords(Array(text.utf8)[...], limit: limit)
    }

    /// Whether a row-locking clause (FOR UPDATE, FOR SHARE …) stands outside quotes and comments.
    static func hasLockingClause(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var position = 0
        var previous = ""
        while position < bytes.count {
            let (word, end) = self.word(bytes, position)
            if word.isEmpty {
                let next = skipElement(bytes, position)
                if !isSpace(bytes[position]) { previous = "" }
                position = next
                continue
            }
            if previous == "FOR", ["UPDATE", "SHARE", "NO", "KEY"].contains(word) { return true }
            previous = word
            position = end
        }
        return false
    }

    private static func leadingWords(_ bytes: ArraySlice<UInt8>, limit: Int) -> [String] {
        let bytes = Array(bytes.prefix(4_096))
        var words: [String] = []
        var position = 0
        while position < bytes.count, words.count < limit {
            if isSpace(bytes[position]) || bytes[position] == UInt8(ascii: "(") {
                position += 1
            } else if startsComment(bytes, position) {
                position = skipElement(bytes, position)
            } else {
                let (word, end) = self.word(bytes, position)
                guard !word.isEmpty else { break }
                words.append(word)
                position = end
            }
        }
        return words
    }

    private static func word(_ bytes: [UInt8], _ start: Int) -> (String, Int) {
        var end = start
        while end < bytes.count, isWord(bytes[end]) { end += 1 }
        // A digit or dollar sign starts no word.
        if end > start, bytes[start] < UInt8(ascii: "A") { return ("", end) }
        return (String(decoding: bytes[start..<end], as: UTF8.self).uppercased(), end)
    }

    private static func beginsTrigger(_ piece: ArraySlice<UInt8>) -> Bool {
        let words = leadingWords(piece, limit: 3)
        guard words.first == "CREATE" else { return false }
        return words.dropFirst().contains("TRIGGER")
    }

    private static func isComplete(_ bytes: ArraySlice<UInt8>) -> Bool {
        String(decoding: bytes, as: UTF8.self).withCString { sqlite3_complete($0) } == 1
    }

    private static func isBlank(_ bytes: ArraySlice<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var position = 0
        while position < bytes.count {
            if isSpace(bytes[position]) {
                position += 1
            } else if startsComment(bytes, position) {
                position = skipElement(bytes, position)
            } else {
                return false
            }
        }
        return true
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0d).contains(byte)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
            true
        default: false
        }
    }

    private static func startsComment(_ bytes: [UInt8], _ at: Int) -> Bool {
        guard at + 1 < bytes.count else { return false }
        return (bytes[at] == UInt8(ascii: "-") && bytes[at + 1] == UInt8(ascii: "-"))
            || (bytes[at] == UInt8(ascii: "/") && bytes[at + 1] == UInt8(ascii: "*"))
    }

    /// The position after the string, quoted name, comment, word or single byte at `start`.
    private static func skipElement(_ bytes: [UInt8], _ start: Int) -> Int {
        let byte = bytes[start]
        switch byte {
        case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"):
            return skipQuoted(bytes, start, escapes: false)
        case UInt8(ascii: "-") where startsComment(bytes, start):
            var end = start
            while end < bytes.count, bytes[end] != 0x0a { end += 1 }
            return end
        case UInt8(ascii: "/") where startsComment(bytes, start):
            return skipBlockComment(bytes, start)
        case UInt8(ascii: "$"):
            return skipDollarQuoted(bytes, start)
        case _ where isWord(byte):
            let (_, end) = word(bytes, start)
            // E'…' takes backslash escapes.
            if end == start + 1, byte | 0x20 == UInt8(ascii: "e"), end < bytes.count,
                bytes[end] == UInt8(ascii: "'")
            {
                return skipQuoted(bytes, end, escapes: true)
            }
            return max(end, start + 1)
        default: return start + 1
        }
    }

    private static func skipQuoted(_ bytes: [UInt8], _ start: Int, escapes: Bool) -> Int {
        let quote = bytes[start]
        var position = start + 1
        while position < bytes.count {
            if escapes, bytes[position] == UInt8(ascii: "\\") {
                position += 2
            } else if bytes[position] == quote {
                // A doubled quote begins the next string at once: the same to us.
                return position + 1
            } else {
                position += 1
            }
        }
        return bytes.count
    }

    private static func skipBlockComment(_ bytes: [UInt8], _ start: Int) -> Int {
        var position = start + 2
        while position + 1 < bytes.count {
            if bytes[position] == UInt8(ascii: "*"), bytes[position + 1] == UInt8(ascii: "/") {
                return position + 2
            }
            position += 1
        }
        return bytes.count
    }

    private static func skipDollarQuoted(_ bytes: [UInt8], _ start: Int) -> Int {
        var end = start + 1
        while end < bytes.count, isWord(bytes[end]), bytes[end] != UInt8(ascii: "$") { end += 1 }
        guard end < bytes.count, bytes[end] == UInt8(ascii: "$"),
            end == start + 1 || !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[start + 1])
        else { return end }
        let tag = bytes[start...end]
        var position = end + 1
        while position + tag.count <= bytes.count {
            if bytes[position..<position + tag.count] == tag { return position + tag.count }
            position += 1
        }
        return bytes.count
    }
}
