/// A regular expression over the text of statements.
package final class QueryPattern: @unchecked Sendable, Equatable {
    package let pattern: String
    // @unchecked: `Regex` is not declared `Sendable` because it can hold closures of its builder's;
    // one made from a string holds none and is not changed after `init`.
    private let regex: Regex<AnyRegexOutput>

    /// - Throws: the regular expression parser's error where `pattern` is not valid.
    package init(_ pattern: String) throws {
        self.pattern = pattern
        regex = try Regex(pattern).matchingSemantics(.unicodeScalar)
    }

    /// Whether some part of `text` matches; `^` and `$` stand for the text's ends.
    package func matches(_ text: String) -> Bool {
        text.firstMatch(of: regex) != nil
    }

    package static func == (left: QueryPattern, right: QueryPattern) -> Bool {
        left.pattern == right.pattern
    }
}
