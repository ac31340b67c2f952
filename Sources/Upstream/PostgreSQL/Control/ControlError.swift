/// Why the control connection could not answer. The message is the server's or libpq's own; it
/// holds no password and no row.
package struct ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    package let message: String
    /// SQLSTATE, where the server answered.
    package let sqlState: String?

    init(_ message: String, sqlState: String? = nil) {
        self.message = message.trimmingSuffix(while: \.isWhitespace)
        self.sqlState = sqlState
    }

    package var description: String { message }
}

extension String {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
        var end = endIndex
        while end > startIndex, predicate(self[index(before: end)]) { end = index(before: end) }
        return String(self[..<end])
    }
}
