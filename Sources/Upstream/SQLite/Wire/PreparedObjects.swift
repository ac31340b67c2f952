import DequeModule
import NIOCore
import PostgresWire

/// A prepared statement of a session. https://www.postgresql.org/docs/15/protocol-flow.html
struct PreparedStatement {
    /// The whole text that the analyzer saw, and which of its statements this is.
    let text: String
    let index: Int
    /// nil for an empty query.
    var plan: StatementPlan?
    /// Declared in Parse, or else inferred; never 0.
    let parameterTypes: [UInt32]
}

/// A portal: a statement with its parameters, possibly half run.
final class Portal {
    /// Where the next rows come from.
    enum Source {
        case notStarted
        case cursor(CompiledStatement)
        /// Rows that were fetched ahead so that the connection could be used for something else.
        case buffered(Deque<ByteBuffer>)
        case finished
    }

    let statement: PreparedStatement
    let values: [SQLiteValue]
    let encoder: RowEncoder
    var source = Source.notStarted
    /// Rows given out so far.
    var rows: Int64 = 0

    init(statement: PreparedStatement, values: [SQLiteValue], encoder: RowEncoder) {
        self.statement = statement
        self.values = values
        self.encoder = encoder
    }

    var isSuspendedCursor: Bool {
        if case .cursor = source { true } else { false }
    }

    /// Lets go of SQLite's statement. On its connection's thread.
    func finish() {
        if case .cursor(let cursor) = source { cursor.reset() }
        source = .finished
    }
}
