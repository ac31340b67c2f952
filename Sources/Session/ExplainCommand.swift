/// `EXPLAIN CACHE <statement>`, recognised by its first two words, which no statement of
/// PostgreSQL's begins with.
enum ExplainCommand {
    /// The statement behind the two words and the white space after them, byte for byte; nil where
    /// `query` does not begin with them. Looks at the first byte only, for most texts.
    static func statement<Text: Collection<UInt8>>(in query: Text) -> Text.SubSequence? {
        guard let first = query.first else { return nil }
        switch first {
        case UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "-"), UInt8(ascii: "/"):
            break
        default:
            guard isSpace(first) else { return nil }
        }
        var rest = query[...]
        skipBlanks(&rest)
        guard skip("explain", in: &rest), skipBlanks(&rest), skip("cache", in: &rest) else {
            return nil
        }
        var statement = rest
        // The word ends here; a comment stays, because the application sends it too.
        guard statement.isEmpty || skipBlanks(&statement) || rest.first == UInt8(ascii: ";") else {
            return nil
        }
        return rest.drop(while: isSpace)
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (byte >= 0x09 && byte <= 0x0d)
    }

    private static func skip<Text: Collection<UInt8>>(
        _ word: StaticString, in rest: inout Text
    ) -> Bool where Text.SubSequence == Text {
        var cursor = rest
        for index in 0..<word.utf8CodeUnitCount {
            guard let byte = cursor.popFirst(), byte | 0x20 == word.utf8Start[index] else {
                return false
            }
        }
        rest = cursor
        return true
    }

    /// Skips white space and comments; false where there is neither.
    @discardableResult
    private static func skipBlanks<Text: Collection<UInt8>>(_ rest: inout Text) -> Bool
    where Text.SubSequence == Text {
        var skipped = false
        while let first = rest.first {
            if isSpace(first) {
                rest = rest.dropFirst()
            } else if starts(rest, UInt8(ascii: "-"), UInt8(ascii: "-")) {
                rest = rest.drop { $0 != 0x0a && $0 != 0x0d }
            } else if !skipBlockComment(&rest) {
                break
            }
            skipped = true
        }
        return skipped
    }

    /// `/* … */`, nested as PostgreSQL nests them; false where none begins, or it does not end.
    private static func skipBlockComment<Text: Collection<UInt8>>(_ rest: inout Text) -> Bool
    where Text.SubSequence == Text {
        var cursor = rest
        var depth = 0
        repeat {
            if starts(cursor, UInt8(ascii: "/"), UInt8(ascii: "*")) {
                depth += 1
                cursor = cursor.dropFirst(2)
            } else if depth == 0 {
                return false
            } else if starts(cursor, UInt8(ascii: "*"), UInt8(ascii: "/")) {
                depth -= 1
                cursor = cursor.dropFirst(2)
            } else {
                cursor = cursor.dropFirst()
            }
        } while depth > 0 && !cursor.isEmpty
        guard depth == 0 else { return false }
        rest = cursor
        return true
    }

    private static func starts<Text: Collection<UInt8>>(
        _ text: Text, _ first: UInt8, _ second: UInt8
    ) -> Bool {
        text.first == first && text.dropFirst().first == second
    }
}
