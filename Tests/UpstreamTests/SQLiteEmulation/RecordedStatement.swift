/// A statement that a client sent to PostgreSQL 15, with PostgreSQL's answer for the schema of
/// `BookDatabase`. `{name}` stands for a relation's OID.
struct RecordedStatement: Sendable, CustomStringConvertible {
    struct Column: Sendable, Hashable {
        let name: String
        let type: UInt32
        init(_ name: String, _ type: UInt32) {
            self.name = name
            self.type = type
        }
    }

    let source: String
    let sql: String
    let parameters: [String?]
    let parameterTypes: [UInt32]
    let columns: [Column]
    /// PostgreSQL's rows where they must be the same; nil where they tell of PostgreSQL itself
    /// (its version, its own casts, sizes of its files).
    let rows: [[String?]]?

    init(
        source: String, sql: String, parameters: [String?] = [], parameterTypes: [UInt32] = [],
        columns: [Column], rows: [[String?]]?
    ) {
        self.source = source
        self.sql = sql
        self.parameters = parameters
        self.parameterTypes = parameterTypes
        self.columns = columns
        self.rows = rows
    }

    var description: String { "\(source): \(sql.prefix(80))" }
}
