import PostgresWire
import ResultCache
import SQLAnalysis

/// A portal as it was bound. The server has fixed by then what the names in it mean, so what it may
/// change is that of then, however its statement is resolved later.
struct BoundPortal {
    let statement: PreparedStatement
    let profile: QueryProfile?
    /// What its statement may change with the parameters that it was bound to, where that is less
    /// than the profile says.
    let boundWrites: WriteSet?
    /// Whether it was certain what the names meant.
    let isResolved: Bool

    /// The statements that it executes, at most one; nil where that is not known.
    var statements: [StatementProfile]? {
        guard let profile else { return nil }
        guard let boundWrites, var statement = profile.statements.first else {
            return profile.statements
        }
        statement.writeSet = boundWrites
        return [statement]
    }
}

/// The unnamed portal where its Bind was answered from memory, at a Flush, and it has not been
/// executed yet. The upstream knows nothing of it.
struct LocalPortal {
    /// The Bind, to be sent after all if something cannot be answered from memory.
    let bind: MessageFrame
    let reply: CachedReply
}
