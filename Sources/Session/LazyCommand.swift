import NIOCore

/// Transaction control that can be answered without the upstream: a BEGIN that opens a block in
/// which nothing has been sent yet, and the COMMIT or ROLLBACK of such a block.
///
/// Recognised by its whole text only, in the few spellings that drivers send; anything else, options
/// included, goes through analysis and to the server.
enum LazyCommand {
    /// `isReadCommitted`: the statement names that level; else the session's default applies.
    case begin(tag: String, isReadCommitted: Bool)
    case commit
    case rollback

    private static let spellings: [String: LazyCommand] = {
        var all: [String: LazyCommand] = [
            "START TRANSACTION": .begin(tag: "START TRANSACTION", isReadCommitted: false),
            "START TRANSACTION ISOLATION LEVEL READ COMMITTED":
                .begin(tag: "START TRANSACTION", isReadCommitted: true),
        ]
        for suffix in ["", " TRANSACTION", " WORK"] {
            all["BEGIN" + suffix] = .begin(tag: "BEGIN", isReadCommitted: false)
            all["BEGIN" + suffix + " ISOLATION LEVEL READ COMMITTED"] =
                .begin(tag: "BEGIN", isReadCommitted: true)
            all["COMMIT" + suffix] = .commit
            all["END" + suffix] = .commit
            all["ROLLBACK" + suffix] = .rollback
            all["ABORT" + suffix] = .rollback
        }
        return all
    }()

    /// In bytes; longer texts are not looked at.
    static let longest = 64

    /// nil where `text` (a query string without its terminating zero) is none of the spellings.
    /// Allocates only for texts that begin like one.
    init?(_ text: ByteBufferView) {
        guard text.count >= 3, text.count <= Self.longest else { return nil }
        // The first two letters in either case: a SELECT is turned away here, without allocating.
        let start = text.startIndex
        switch (text[start] | 0x20, text[start + 1] | 0x20) {
        case (UInt8(ascii: "b"), UInt8(ascii: "e")), (UInt8(ascii: "s"), UInt8(ascii: "t")),
            (UInt8(ascii: "c"), UInt8(ascii: "o")), (UInt8(ascii: "e"), UInt8(ascii: "n")),
            (UInt8(ascii: "r"), UInt8(ascii: "o")), (UInt8(ascii: "a"), UInt8(ascii: "b")):
            break
        default:
            return nil
        }
        guard let command = Self.spellings[Self.canonical(text)] else { return nil }
        self = command
    }

    /// Upper case, single spaces, no trailing semicolon.
    private static func canonical(_ text: ByteBufferView) -> String {
        var words = String(decoding: text, as: UTF8.self).uppercased()
            .split(whereSeparator: { $0 == " " || $0 == "\n" || $0 == "\t" || $0 == "\r" })
            .joined(separator: " ")
        while words.last == ";" || words.last == " " { words.removeLast() }
        return words
    }
}
