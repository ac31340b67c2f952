import CSQLite

/// A table whose rows go by an INTEGER PRIMARY KEY: the column is the rowid, so that it holds an
/// integer in every row, and comparing it is comparing integers.
/// https://www.sqlite.org/lang_createtable.html#rowid
struct RowidTable: Hashable, Sendable {
    /// Other names of the key that a statement may use.
    static let aliases: Set<String> = ["rowid", "_rowid_", "oid"]

    /// Names have their ASCII letters in lower case, as SQLite compares them.
    let name: String
    let key: String
    /// What INSERT without a list of columns fills, in order.
    let columns: [String]
    /// Whether a statement that writes to it touches no row but those that it names: no trigger,
    /// no REPLACE on a conflict, no foreign key to the table itself.
    let isWrittenAsTold: Bool

    /// nil for any other table.
    init?(named table: String, on connection: SQLiteConnection) throws {
        let columns = try connection.texts(
            "SELECT name FROM pragma_table_info($1, 'main') ORDER BY cid", table)
        // A table WITHOUT ROWID, and a key of another kind, have an index for it.
        let keys = try connection.texts(
            """
            SELECT name FROM pragma_table_info($1, 'main') WHERE pk > 0 AND lower(type) = 'integer'
            AND (SELECT count(*) FROM pragma_table_info($1, 'main') WHERE pk > 0) = 1
            AND NOT EXISTS (SELECT 1 FROM pragma_index_list($1, 'main') WHERE origin = 'pk')
            """, table)
        guard keys.count == 1, let key = keys.first,
            columns.allSatisfy({ $0.utf8.allSatisfy { $0 < 128 } })
        else { return nil }
        name = table.asciiLowercased
        self.key = key.asciiLowercased
        self.columns = columns.map(\.asciiLowercased)
        isWrittenAsTold = try connection.texts(
            """
            SELECT name FROM sqlite_schema WHERE tbl_name = $1 COLLATE NOCASE
            AND (type = 'trigger' OR instr(lower(sql), 'replace') > 0)
            UNION ALL SELECT "table" FROM pragma_foreign_key_list($1, 'main')
            WHERE "table" = $1 COLLATE NOCASE
            """, table
        ).isEmpty
    }
}

extension SQLiteConnection {
    /// The first column of each row of a statement of ours with one text parameter.
    fileprivate func texts(_ sql: String, _ parameter: String) throws -> [String] {
        let statement = try statement(sql)
        defer { statement.reset() }
        try statement.bind([.text(parameter)])
        var texts: [String] = []
        while try step(statement) {
            texts.append(sqlite3_column_text(statement.handle, 0).map { String(cString: $0) } ?? "")
        }
        return texts
    }
}

extension String {
    /// As SQLite folds names: other letters stay as they are.
    var asciiLowercased: String {
        String(
            decoding: utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }
}
