import PostgresWire

/// A session's settings, with PostgreSQL's names, defaults and transactional behaviour.
/// https://www.postgresql.org/docs/15/sql-set.html
struct SessionSettings: Sendable {
    struct Change: Hashable, Sendable {
        let name: String
        let value: String
    }

    private struct Values: Hashable, Sendable {
        var session: [String: String] = [:]
        /// SET LOCAL: until the transaction ends.
        var local: [String: String] = [:]
    }

    /// What RESET goes back to.
    private var initial: [String: String]
    private var values = Values()
    private var atTransactionStart: Values?
    private var savepoints: [Values] = []

    static let serverVersion = "15.0"

    /// Settings that a change of is told to the client, with their own spelling.
    static let reported: [String] = [
        "server_version", "server_encoding", "client_encoding", "application_name",
        "is_superuser", "session_authorization", "DateStyle", "IntervalStyle", "TimeZone",
        "integer_datetimes", "standard_conforming_strings", "default_transaction_read_only",
        "in_hot_standby",
    ]

    private static let defaults: [String: String] = [
        "server_version": serverVersion, "server_version_num": "150000",
        "server_encoding": "UTF8", "client_encoding": "UTF8", "application_name": "",
        "is_superuser": "off", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres",
        "TimeZone": "UTC", "integer_datetimes": "on", "standard_conforming_strings": "on",
        "default_transaction_read_only": "off", "in_hot_standby": "off",
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off", "search_path": "\"$user\", public",
        "bytea_output": "hex", "extra_float_digits": "1", "statement_timeout": "0",
        "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0", "client_min_messages": "notice", "datestyle": "",
        "lc_messages": "C.UTF-8", "lc_monetary": "C.UTF-8", "lc_numeric": "C.UTF-8",
        "lc_time": "C.UTF-8", "lc_collate": "C.UTF-8", "lc_ctype": "C.UTF-8",
        "row_security": "on", "escape_string_warning": "on", "backslash_quote": "safe_encoding",
        "array_nulls": "on", "xmloption": "content", "xmlbinary": "base64",
        "max_identifier_length": "63", "max_index_keys": "32", "block_size": "8192",
        "transaction_deferrable": "off", "synchronous_commit": "on", "work_mem": "4MB",
        "jit": "off", "plan_cache_mode": "auto", "check_function_bodies": "on",
        "default_tablespace": "", "default_table_access_method": "heap",
        "default_toast_compression": "pglz", "temp_tablespaces": "", "role": "none",
        "constraint_exclusion": "partition", "geqo": "on", "from_collapse_limit": "8",
        "join_collapse_limit": "8", "cursor_tuple_fraction": "0.1", "random_page_cost": "4",
        "enable_seqscan": "on", "enable_indexscan": "on", "enable_bitmapscan": "on",
        "enable_hashjoin": "on", "enable_mergejoin": "on", "enable_nestloop": "on",
        "enable_sort": "on", "max_parallel_workers_per_gather": "2", "log_statement": "none",
        "log_min_duration_statement": "-1", "log_min_messages": "warning",
        "session_replication_role": "origin", "quote_all_identifiers": "off",
        "default_text_search_config": "pg_catalog.simple", "password_encryption": "scram-sha-256",
        "transform_null_equals": "off", "vacuum_cost_delay": "0", "maintenance_work_mem": "64MB",
        "wal_level": "replica", "max_connections": "100", "ssl": "off", "port": "5432",
    ].filter { $0.key != "datestyle" }

    /// Lower-case name to its own spelling.
    private static let spellings: [String: String] = Dictionary(
        uniqueKeysWithValues: (defaults.keys + ["session_authorization"]).map {
            ($0.lowercased(), $0)
        })

    private static let fixed: Set<String> = [
        "server_version", "server_version_num", "server_encoding", "is_superuser",
        "integer_datetimes", "in_hot_standby", "max_identifier_length", "max_index_keys",
        "block_size", "lc_collate", "lc_ctype", "wal_level", "max_connections", "ssl", "port",
    ]

    init(user: String) {
        initial = Self.defaults
        initial["session_authorization"] = user
    }

    /// The name as PostgreSQL spells it; nil where it is not known. Names with a dot are the
    /// application's own.
    static func canonicalName(_ name: String) -> String? {
        let lowered = name.lowercased()
        return spellings[lowered] ?? (lowered.contains(".") ? lowered : nil)
    }

    /// The value in force; nil for an unknown name.
    subscript(_ name: String) -> String? {
        guard let name = Self.canonicalName(name) else { return nil }
        return values.local[name] ?? values.session[name] ?? initial[name]
    }

    /// All settings in force, by their own names.
    var all: [String: String] {
        initial.merging(values.session) { $1 }.merging(values.local) { $1 }
    }

    var reportedValues: [Change] {
        Self.reported.map { Change(name: $0, value: self[$0] ?? "") }
    }

    // MARK: Changes

    /// A value of the startup message: what RESET goes back to.
    mutating func setInitial(_ name: String, _ value: String) throws {
        let (name, value) = try Self.checked(name, value)
        initial[name] = value
    }

    mutating func set(_ name: String, _ value: String, local: Bool) throws {
        let (name, value) = try Self.checked(name, value)
        if local {
            values.local[name] = value
        } else {
            values.session[name] = value
            values.local[name] = nil
        }
    }

    mutating func reset(_ name: String) throws {
        guard let name = Self.canonicalName(name) else { throw Self.unknown(name) }
        values.session[name] = nil
        values.local[name] = nil
    }

    mutating func resetAll() {
        values = Values()
    }

    static func unknown(_ name: String) -> PostgresError {
        PostgresError(.undefinedObject, "unrecognized configuration parameter \"\(name)\"")
    }

    private static func checked(_ name: String, _ value: String) throws -> (String, String) {
        guard let canonical = canonicalName(name) else { throw unknown(name) }
        guard !fixed.contains(canonical) else {
            throw PostgresError("55P02", "parameter \"\(canonical)\" cannot be changed")
        }
        let lowered = value.lowercased()
        switch canonical {
        case "client_encoding":
            // PostgreSQL compares the letters and digits of an encoding's name alone.
            let encoding = lowered.filter { $0.isASCII && ($0.isLetter || $0.isNumber) }
            guard ["utf8", "unicode", "sqlascii"].contains(encoding) else {
                throw unsupported(canonical, "UTF8")
            }
            return (canonical, "UTF8")
        case "DateStyle":
            let parts = lowered.split { $0 == "," || $0 == " " }
            guard parts.contains("iso") || parts.allSatisfy({ ["mdy", "dmy", "ymd"].contains($0) })
            else { throw unsupported(canonical, "ISO") }
            let order = parts.first { ["mdy", "dmy", "ymd"].contains($0) } ?? "mdy"
            return (canonical, "ISO, \(order.uppercased())")
        case "IntervalStyle":
            guard lowered == "postgres" else { throw unsupported(canonical, "postgres") }
            return (canonical, lowered)
        case "bytea_output":
            guard lowered == "hex" else { throw unsupported(canonical, "hex") }
            return (canonical, lowered)
        case "standard_conforming_strings":
            guard try boolean(canonical, lowered) == "on" else {
                throw unsupported(canonical, "on")
            }
            return (canonical, "on")
        case "default_transaction_read_only", "row_security", "escape_string_warning",
            "array_nulls", "jit", "check_function_bodies", "default_transaction_deferrable":
            return (canonical, try boolean(canonical, lowered))
        case "default_transaction_isolation":
            guard IsolationName(rawValue: lowered) != nil else {
                throw invalid(canonical, value)
            }
            return (canonical, lowered)
        case "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout":
            guard let milliseconds = milliseconds(lowered), milliseconds >= 0 else {
                throw invalid(canonical, value)
            }
            return (canonical, Self.timeText(milliseconds))
        case "session_authorization", "role":
            return (canonical, value)
        default: return (canonical, value)
        }
    }

    private enum IsolationName: String {
        case readUncommitted = "read uncommitted"
        case readCommitted = "read committed"
        case repeatableRead = "repeatable read"
        case serializable = "serializable"
    }

    private static func boolean(_ name: String, _ value: String) throws -> String {
        switch value {
        case "on", "true", "yes", "1", "t", "y": return "on"
        case "off", "false", "no", "0", "f", "n": return "off"
        default: throw PostgresError("22023", "parameter \"\(name)\" requires a Boolean value")
        }
    }

    private static func invalid(_ name: String, _ value: String) -> PostgresError {
        PostgresError("22023", "invalid value for parameter \"\(name)\"")
    }

    private static func unsupported(_ name: String, _ only: String) -> PostgresError {
        PostgresError(
            .featureNotSupported, "parameter \"\(name)\" can only be \(only) with SQLite behind")
    }

    // MARK: Durations

    /// A duration setting in milliseconds; nil where it is not one.
    static func milliseconds(_ text: String) -> Int? {
        let digits = text.prefix { $0.isNumber || $0 == "-" }
        guard let number = Int(digits) else { return nil }
        let unit = text.dropFirst(digits.count).trimmingPrefix { $0 == " " }
        let factor: Int
        switch unit {
        case "", "ms": factor = 1
        case "s": factor = 1_000
        case "min": factor = 60_000
        case "h": factor = 3_600_000
        case "d": factor = 86_400_000
        default: return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow || product > Int(Int32.max) ? nil : product
    }

    private static func timeText(_ milliseconds: Int) -> String {
        if milliseconds == 0 { return "0" }
        for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)]
        where milliseconds % factor == 0 {
            return "\(milliseconds / factor)\(unit)"
        }
        return "\(milliseconds)ms"
    }

    // MARK: Transactions

    /// Whether the end of the transaction would change anything.
    var hasPendingChanges: Bool { atTransactionStart != nil || !values.local.isEmpty }

    mutating func transactionBegan() {
        if atTransactionStart == nil { atTransactionStart = values }
    }

    mutating func transactionCommitted() {
        atTransactionStart = nil
        savepoints = []
        values.local = [:]
    }

    mutating func transactionRolledBack() {
        if let start = atTransactionStart { values = start }
        transactionCommitted()
    }

    mutating func savepointSet() {
        savepoints.append(values)
    }

    /// Forgets the savepoint at `index` and those after it.
    mutating func savepointReleased(at index: Int) {
        savepoints.removeSubrange(min(index, savepoints.count)...)
    }

    /// Goes back to the savepoint at `index`, which stays.
    mutating func rolledBackToSavepoint(at index: Int) {
        guard index < savepoints.count else { return }
        values = savepoints[index]
        savepoints.removeSubrange((index + 1)...)
    }
}
