import CSQLite
import PostgresWire

/// Writes rows into a catalog database that is being built. Confined to the building call.
final class CatalogWriter {
    private let connection: OpaquePointer
    /// Prepared INSERTs by table and columns.
    private var statements: [String: CatalogStatement] = [:]

    init(connection: OpaquePointer) { self.connection = connection }

    func execute(_ sql: String) throws(PostgresError) {
        guard sqlite3_exec(connection, sql, nil, nil, nil) == SQLITE_OK else {
            throw CatalogStatement.error(of: connection)
        }
    }

    func insert(_ table: String, _ row: [String: CatalogValue]) throws(PostgresError) {
        let columns = row.keys.sorted()
        let key = table + ":" + columns.joined(separator: ",")
        let statement: CatalogStatement
        if let prepared = statements[key] {
            statement = prepared
        } else {
            let names = columns.map(SQLQuoting.identifier).joined(separator: ",")
            let places = columns.map { _ in "?" }.joined(separator: ",")
            statement = try CatalogStatement(
                "INSERT INTO \(SQLQuoting.identifier(table)) (\(names)) VALUES (\(places))",
                on: connection)
            statements[key] = statement
        }
        for (position, column) in columns.enumerated() {
            statement.bind(row[column] ?? .null, at: position + 1)
        }
        try statement.execute()
    }
}
