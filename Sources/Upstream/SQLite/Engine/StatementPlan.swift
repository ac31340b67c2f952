import NIOCore
import PostgresWire
import SQLAnalysis

/// How one statement is to be carried out, as far as its text tells. Immutable and shared.
final class StatementPlan: Sendable {
    enum Action: Sendable {
        case control(ControlStatement)
        /// Answered by the emulated catalog and session functions.
        case emulated
        case sql(SQLPlan)
    }

    /// A statement that SQLite runs.
    struct SQLPlan: Sendable {
        /// In SQLite's dialect.
        let sql: String
        /// What SQLite's result looked like: a compiled statement with another one is not this.
        let shape: [CompiledStatement.Column]
        let isReadOnly: Bool
        let changesSchema: Bool
        /// FOR UPDATE and its like: taken by owning the writer.
        let takesLock: Bool
        let tag: CommandTag
    }

    /// The statement as the client wrote it.
    let source: String
    let action: Action
    let columns: [ResultColumn]
    /// For `$1…$n`; 0 where nothing is known.
    let parameterTypes: [UInt32]
    /// The version of the schema that it was made from, as `SQLiteConnection.refreshSchema` tells.
    let schemaVersion: Int64

    init(
        source: String, action: Action, columns: [ResultColumn] = [],
        parameterTypes: [UInt32] = [], schemaVersion: Int64
    ) {
        self.source = source
        self.action = action
        self.columns = columns
        self.parameterTypes = parameterTypes
        self.schemaVersion = schemaVersion
    }

    /// Whether it may run in a failed transaction block.
    var endsFailedTransaction: Bool {
        guard case .control(.transaction(let request)) = action else { return false }
        switch request {
        case .commit, .rollback, .rollbackTo: return true
        default: return false
        }
    }
}

/// A column of a result as announced to the client.
struct ResultColumn: Hashable, Sendable {
    let name: String
    let type: PostgresType
    /// atttypmod: length of varchar(n), precision and scale of numeric(p, s).
    let modifier: Int32

    init(name: String, type: PostgresType, modifier: Int32 = -1) {
        self.name = name
        self.type = type
        self.modifier = modifier
    }

    /// Digits after the point that PostgreSQL would show; nil where the type does not say.
    var scale: Int? {
        guard type == .numeric, modifier >= 4 else { return nil }
        return Int((modifier - 4) & 0x7ff)
    }

    func description(format: Int16) -> FieldDescription {
        FieldDescription(
            name: name, tableOID: 0, columnNumber: 0, typeOID: type.oid, typeSize: type.size,
            typeModifier: modifier, format: format)
    }
}

/// What CommandComplete says. https://www.postgresql.org/docs/15/protocol-message-formats.html
enum CommandTag: Hashable, Sendable {
    case select, insert, update, delete
    case fixed(String)

    func text(rows: Int64, changes: Int64) -> String {
        switch self {
        case .select: "SELECT \(rows)"
        case .insert: "INSERT 0 \(changes)"
        case .update: "UPDATE \(changes)"
        case .delete: "DELETE \(changes)"
        case .fixed(let text): text
        }
    }

    /// The command's name alone, as errors put it.
    var command: String {
        switch self {
        case .select: "SELECT"
        case .insert: "INSERT"
        case .update: "UPDATE"
        case .delete: "DELETE"
        case .fixed(let text): text
        }
    }
}
