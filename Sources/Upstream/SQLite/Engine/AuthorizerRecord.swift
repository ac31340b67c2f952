import CSQLite

/// What SQLite's authorizer reported while one statement was compiled (or compiled again while it
/// ran): the source of read sets and write sets.
///
/// It names base tables behind views, what triggers and foreign key actions touch, and what
/// REPLACE deletes. https://www.sqlite.org/c3ref/set_authorizer.html
final class AuthorizerRecord {
    struct TableColumn: Hashable {
        let table: String
        let column: String
    }

    /// Names as the schema spells them.
    private(set) var reads: Set<TableColumn> = []
    private(set) var readTables: Set<String> = []
    private(set) var writtenTables: Set<String> = []
    /// Lower-case.
    private(set) var functions: Set<String> = []
    private(set) var pragmas: Set<String> = []
    /// CREATE, DROP, ALTER, REINDEX, ANALYZE.
    private(set) var changesSchema = false
    /// The first INSERT, UPDATE or DELETE that belongs to the statement itself.
    private(set) var firstWrite: Int32?
    private(set) var refusal: Refusal?

    enum Refusal {
        case temporaryObject, attach, pragma
    }

    /// PRAGMAs that only tell something.
    static let readablePragmas: Set<String> = [
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo",
        "foreign_key_list", "foreign_key_check", "database_list", "collation_list",
        "function_list", "integrity_check", "quick_check", "compile_options",
    ]

    /// PRAGMAs that tell something when asked without a value and change something with one.
    static let argumentlessPragmas: Set<String> = [
        "user_version", "schema_version", "application_id", "data_version", "page_count",
        "page_size", "freelist_count", "journal_mode", "foreign_keys", "encoding", "synchronous",
        "cache_size",
    ]

    /// The answer to one call of the authorizer.
    func note(
        _ action: Int32, _ first: String?, _ second: String?, _ database: String?,
        _ trigger: String?
    ) -> Int32 {
        switch action {
        case SQLITE_READ:
            guard let first else { return SQLITE_OK }
            readTables.insert(first)
            if let second, !second.isEmpty {
                reads.insert(TableColumn(table: first, column: second))
            }
        case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE:
            guard let first else { return SQLITE_OK }
            writtenTables.insert(first)
            if trigger == nil, firstWrite == nil { firstWrite = action }
        case SQLITE_FUNCTION:
            if let second { functions.insert(second.lowercased()) }
        case SQLITE_CREATE_TEMP_INDEX, SQLITE_CREATE_TEMP_TABLE, SQLITE_CREATE_TEMP_TRIGGER,
            SQLITE_CREATE_TEMP_VIEW:
            refusal = .temporaryObject
            return SQLITE_DENY
        case SQLITE_ATTACH, SQLITE_DETACH:
            refusal = .attach
            return SQLITE_DENY
        case SQLITE_PRAGMA:
            let name = (first ?? "").lowercased()
            pragmas.insert(name)
            guard
                Self.readablePragmas.contains(name)
                    || (second == nil && Self.argumentlessPragmas.contains(name))
            else {
                refusal = .pragma
                return SQLITE_DENY
            }
        case SQLITE_CREATE_INDEX, SQLITE_CREATE_TABLE, SQLITE_CREATE_TRIGGER, SQLITE_CREATE_VIEW,
            SQLITE_DROP_INDEX, SQLITE_DROP_TABLE, SQLITE_DROP_TRIGGER, SQLITE_DROP_VIEW,
            SQLITE_ALTER_TABLE, SQLITE_REINDEX, SQLITE_ANALYZE, SQLITE_CREATE_VTABLE,
            SQLITE_DROP_VTABLE:
            changesSchema = true
        default: break
        }
        return SQLITE_OK
    }
}
