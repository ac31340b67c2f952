/// A token as PostgreSQL's scanner cuts it.
package struct Token: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// A name, bare or in double quotes (the quotes are part of the token's bytes).
        case identifier
        /// `U&"…"`.
        case unicodeIdentifier
        /// An integer or decimal constant.
        case number
        /// A string constant: '…', E'…' or $tag$…$tag$.
        case string
        /// `U&'…'`.
        case unicodeString
        /// B'…' or X'…'.
        case bitString
        /// `$1`.
        case parameter
        /// A multi-character or user-definable operator, `::`, `:=`, `=>`, `..` included.
        case op
        case comment
        /// A single character of `% ( ) * + , - . / : ; < = > ? [ \ ] ^`.
        case punctuation(UInt8)
        case keyword(KeywordClass)
    }

    package enum KeywordClass: Hashable, Sendable {
        case unreserved, columnName, typeOrFunctionName, reserved
    }

    package let kind: Kind
    /// UTF-8 byte offsets into the text; `end` is one past the last byte.
    package let start: Int
    package let end: Int

    package init(kind: Kind, start: Int, end: Int) {
        self.kind = kind
        self.start = start
        self.end = end
    }

    /// Whether the token can be read as a name: an identifier or a non-reserved keyword.
    package var isName: Bool {
        switch kind {
        case .identifier, .unicodeIdentifier: true
        case .keyword(let keyword): keyword != .reserved
        default: false
        }
    }
}
