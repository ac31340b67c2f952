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

    /// The types that parameters are read with; 0 is a type that is not known.
    static func parameterTypes(declared: [UInt32], inferred: [UInt32]) -> [UInt32] {
        var types = inferred.map { $0 == 0 ? PostgresType.text.oid : $0 }
        for (index, oid) in declared.enumerated() where oid != 0 && oid != PostgresType.unknown.oid
        {
            if index < types.count { types[index] = oid } else { types.append(oid) }
        }
        while types.count < declared.count { types.append(PostgresType.text.oid) }
        return types
    }
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
