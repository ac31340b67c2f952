import CSQLite
import PostgresWire

/// A statement compiled on one connection, finalised when it goes. Confined to that connection's
/// thread.
final class CompiledStatement {
    /// Tells SQLite to copy the bound bytes before the call returns.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    /// A result column as SQLite has it.
    struct Column: Hashable, Sendable {
        let name: String
        let declaredType: String?
    }

    let handle: OpaquePointer
    let sql: String
    /// What compiling it touched; grows when SQLite compiles it again after a schema change.
    let record: AuthorizerRecord
    /// For each of SQLite's parameters in order, which `$n` it is (one-based).
    let parameterNumbers: [Int]
    private var knownShape: (compilations: Int32, columns: [Column])?

    init(handle: OpaquePointer, sql: String, record: AuthorizerRecord) {
        self.handle = handle
        self.sql = sql
        self.record = record
        let count = sqlite3_bind_parameter_count(handle)
        var numbers: [Int] = []
        if count > 0 {
            for index in 1...count {
                let name = sqlite3_bind_parameter_name(handle, index).map { String(cString: $0) }
                numbers.append(name.flatMap { Int($0.dropFirst()) } ?? Int(index))
            }
        }
        self.parameterNumbers = numbers
    }

    deinit { sqlite3_finalize(handle) }

    /// How many `$n` there are, holes included.
    var parameterCount: Int { parameterNumbers.max() ?? 0 }
    var columnCount: Int { Int(sqlite3_column_count(handle)) }
    var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }

    /// The result columns, of the last time that SQLite compiled the statement: it does so again,
    /// in the first step, when it finds that the schema has changed.
    var shape: [Column] {
        let compilations = sqlite3_stmt_status(handle, SQLITE_STMTSTATUS_REPREPARE, 0)
        if let knownShape, knownShape.compilations == compilations { return knownShape.columns }
        let columns = (0..<columnCount).map {
            Column(name: columnName($0), declaredType: declaredType($0))
        }
        knownShape = (compilations, columns)
        return columns
    }

    func columnName(_ column: Int) -> String {
        sqlite3_column_name(handle, Int32(column)).map { String(cString: $0) } ?? ""
    }

    /// The declared type of the table column that a result column shows; nil for an expression.
    func declaredType(_ column: Int) -> String? {
        sqlite3_column_decltype(handle, Int32(column)).map { String(cString: $0) }
    }

    /// The table that a result column comes from; nil for an expression.
    func originTable(_ column: Int) -> String? {
        sqlite3_column_table_name(handle, Int32(column)).map { String(cString: $0) }
    }

    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    func bind(_ values: [SQLiteValue]) throws {
        for (position, number) in parameterNumbers.enumerated() {
            guard number >= 1, number <= values.count else {
                throw PostgresError(.protocolViolation, "there is no parameter $\(number)")
            }
            let index = Int32(position + 1)
            let code: Int32
            switch values[number - 1] {
            case .null: code = sqlite3_bind_null(handle, index)
            case .integer(let value): code = sqlite3_bind_int64(handle, index, value)
            case .real(let value): code = sqlite3_bind_double(handle, index, value)
            case .text(let text):
                var text = text
                code = text.withUTF8 { bytes in
                    bindBytes(bytes, index, as: sqlite3_bind_text64)
                }
            case .blob(let bytes):
                code = bytes.withUnsafeReadableBytes { raw in
                    raw.isEmpty
                        ? sqlite3_bind_zeroblob(handle, index, 0)
                        : sqlite3_bind_blob64(
                            handle, index, raw.baseAddress, UInt64(raw.count),
                            Self.transient)
                }
            }
            guard code == SQLITE_OK else {
                throw SQLiteFailure.error(of: sqlite3_db_handle(handle), code: code)
            }
        }
    }

    private func bindBytes(
        _ bytes: UnsafeBufferPointer<UInt8>, _ index: Int32,
        as bind: (
            OpaquePointer?, Int32, UnsafePointer<CChar>?, UInt64, sqlite3_destructor_type?, UInt8
        ) -> Int32
    ) -> Int32 {
        // An empty Swift string may have no address; a null pointer would bind NULL.
        guard let base = bytes.baseAddress, !bytes.isEmpty else {
            return "".withCString {
                bind(handle, index, $0, 0, Self.transient, UInt8(SQLITE_UTF8))
            }
        }
        return base.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
            bind(
                handle, index, $0, UInt64(bytes.count), Self.transient,
                UInt8(SQLITE_UTF8))
        }
    }
}
