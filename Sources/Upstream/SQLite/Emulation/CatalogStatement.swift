import CSQLite
import PostgresWire

/// A prepared statement on a connection that the caller owns; finalised when it goes.
///
/// Confined to wherever its connection is.
final class CatalogStatement {
    /// Tells SQLite to copy the bound bytes before the call returns.
    static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    private let connection: OpaquePointer
    private let statement: OpaquePointer

    /// Throws SQLite's message; a statement without text is an error as well.
    init(_ sql: String, on connection: OpaquePointer) throws(PostgresError) {
        var prepared: OpaquePointer?
        let code = sqlite3_prepare_v2(connection, sql, -1, &prepared, nil)
        guard code == SQLITE_OK, let prepared else {
            throw Self.error(of: connection)
        }
        self.connection = connection
        self.statement = prepared
    }

    deinit { sqlite3_finalize(statement) }

    static func error(of connection: OpaquePointer) -> PostgresError {
        PostgresError(.internalError, String(cString: sqlite3_errmsg(connection)))
    }

    /// Moves to the next row; false after the last one.
    func step() throws(PostgresError) -> Bool {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw Self.error(of: connection)
        }
    }

    /// Runs a statement that returns nothing, so that it can be bound and run again.
    func execute() throws(PostgresError) {
        while try step() {}
        sqlite3_reset(statement)
    }

    /// Parameters count from 1.
    func bind(_ text: String?, at index: Int) {
        guard let text else {
            sqlite3_bind_null(statement, Int32(index))
            return
        }
        var copy = text
        copy.withUTF8 { bytes in
            _ = bytes.withMemoryRebound(to: CChar.self) { characters in
                // A null pointer would bind NULL where the text is empty.
                sqlite3_bind_text(
                    statement, Int32(index), characters.baseAddress ?? Self.empty,
                    Int32(clamping: characters.count), Self.transient)
            }
        }
    }

    func bind(_ value: CatalogValue, at index: Int) {
        switch value {
        case .null: sqlite3_bind_null(statement, Int32(index))
        case .integer(let number): sqlite3_bind_int64(statement, Int32(index), number)
        case .real(let number): sqlite3_bind_double(statement, Int32(index), number)
        case .text(let text): bind(text, at: index)
        }
    }

    private static var empty: UnsafePointer<CChar> {
        UnsafeRawPointer(StaticString("").utf8Start).assumingMemoryBound(to: CChar.self)
    }

    /// Columns count from 0.
    func text(_ column: Int) -> String? {
        guard let bytes = sqlite3_column_text(statement, Int32(column)) else { return nil }
        let count = Int(sqlite3_column_bytes(statement, Int32(column)))
        return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    func integer(_ column: Int) -> Int {
        Int(sqlite3_column_int64(statement, Int32(column)))
    }

    func value(_ column: Int) -> CatalogValue {
        switch sqlite3_column_type(statement, Int32(column)) {
        case SQLITE_NULL: .null
        case SQLITE_INTEGER: .integer(sqlite3_column_int64(statement, Int32(column)))
        case SQLITE_FLOAT: .real(sqlite3_column_double(statement, Int32(column)))
        default: CatalogValue(text(column))
        }
    }

    var columnCount: Int { Int(sqlite3_column_count(statement)) }
    var parameterCount: Int { Int(sqlite3_bind_parameter_count(statement)) }
}
