/// Asks what identifies all that a database's answers follow from.
package struct ContentsQuestion: Hashable, Sendable {
    /// Of which database, and who may connect to it, where the configuration does not say.
    package var database: String
    package var user: String
    /// Whether only the answer of a database counts in which nothing can be under way: whatever has
    /// been sent to it before has taken effect, or never will. What identifies the contents is then
    /// watched from that moment on: should the server be restarted or replaced, all answers go.
    package var mustBeQuiet: Bool

    package init(database: String, user: String, mustBeQuiet: Bool) {
        self.database = database
        self.user = user
        self.mustBeQuiet = mustBeQuiet
    }
}
