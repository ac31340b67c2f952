import PostgresWire
import SQLAnalysis

/// A session's transaction as PostgreSQL would report it, and what of it SQLite holds.
struct TransactionState {
    enum Status {
        case idle, inBlock, failed
    }

    var status = Status.idle
    var isolation = IsolationLevel.readCommitted
    var isReadOnly = false
    /// The names set in this block, oldest first; SQLite knows them by their index.
    var savepoints: [String] = []
    /// A statement has run in this block: its isolation level can no longer change.
    var hasRun = false

    /// BEGIN IMMEDIATE is open on the writer.
    var holdsWriter = false
    /// A read transaction is open on the reader that the session keeps.
    var holdsSnapshot = false
    /// A write happened that the analyzer had not foretold in full.
    var isUncovered = false
    var changedSchema = false

    var needsStableSnapshot: Bool {
        status != .idle && !isolation.readsNewestCommitted
    }

    var wireStatus: TransactionStatus {
        switch status {
        case .idle: .idle
        case .inBlock: .inBlock
        case .failed: .failed
        }
    }
}
