/// The words that PostgreSQL's date and time input turns into the current time.
///
/// https://www.postgresql.org/docs/15/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES
package enum RelativeTime {
    private static let words: [[UInt8]] = ["now", "today", "tomorrow", "yesterday"].map {
        Array($0.utf8)
    }

    /// Whether one of the words occurs anywhere in `text`, in any case: also inside an array or
    /// range literal.
    package static func isMentioned(in text: String) -> Bool {
        isMentioned(inUTF8: text.utf8)
    }

    /// The same for the bytes of a parameter in text format.
    package static func isMentioned(inUTF8 bytes: some Collection<UInt8>) -> Bool {
        let lower = bytes.map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 }
        return words.contains { word in
            guard lower.count >= word.count else { return false }
            for start in 0...(lower.count - word.count)
            where lower[start] == word[0] && lower[start..<start + word.count].elementsEqual(word) {
                return true
            }
            return false
        }
    }
}
