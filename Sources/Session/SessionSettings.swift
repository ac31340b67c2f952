import SQLAnalysis

/// The settings that answers depend on, as the server has confirmed them.
///
/// A pure value: changes are noted when the server confirms them, kept or undone when their
/// transaction ends. What it cannot follow taints the session until the settings are probed anew or
/// reset (correctness: state changes only on CommandComplete, reverts with ROLLBACK).
struct SessionSettings {
    /// What the session had at login, by lower-case name.
    private(set) var login: [String: String]
    /// In force when no transaction is running.
    private(set) var committed: [String: String]
    /// In force now.
    private(set) var current: [String: String]
    /// Some state is not known: no answer from memory.
    private(set) var isTainted = false
    /// SET LOCAL, or a rolled-back savepoint after a SET: unknown until the transaction ends.
    private(set) var isTaintedUntilTransactionEnd = false
    /// A SET has been confirmed in the running transaction, whatever the values are by now.
    private var hasChanges = false
    /// What SET LOCAL hides until the transaction ends: the value, or that there is none.
    private var hidden: [String: String?] = [:]
    /// The settings with a dot in their names.
    private(set) var custom = CustomSettings()

    init(login: [String: String]) {
        self.login = login
        committed = login
        current = login
    }

    var isKnown: Bool { !isTainted && !isTaintedUntilTransactionEnd }

    /// Whether a ROLLBACK, also one to a savepoint, may give settings other values.
    var mayBeReverted: Bool { hasChanges || current != committed }

    /// Settings that change neither an answer nor its bytes.
    /// Everything else that is not known to is treated as if it did.
    static let withoutEffectOnAnswers: Set<String> = [
        "application_name", "client_min_messages", "statement_timeout", "lock_timeout",
        "idle_in_transaction_session_timeout", "idle_session_timeout", "work_mem",
        "maintenance_work_mem", "temp_buffers", "log_statement", "log_min_messages",
        "log_min_duration_statement", "log_duration", "jit", "plan_cache_mode",
        "synchronous_commit", "lc_messages", "tcp_keepalives_idle", "tcp_keepalives_interval",
        "tcp_keepalives_count", "tcp_user_timeout", "max_parallel_workers",
        "max_parallel_workers_per_gather", "random_page_cost", "seq_page_cost", "cpu_tuple_cost",
        "effective_cache_size", "enable_seqscan", "enable_indexscan", "enable_indexonlyscan",
        "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_nestloop",
        "enable_sort", "enable_hashagg", "enable_material", "geqo", "join_collapse_limit",
        "from_collapse_limit", "cursor_tuple_fraction", "deadlock_timeout",
        "check_function_bodies", "default_transaction_deferrable", "track_activities",
    ]

    /// Settings that are part of the cache key, or decide whether the cache may answer at all.
    static let tracked: Set<String> = [
        "search_path", "role", "session_user", "session_authorization", "timezone", "datestyle",
        "intervalstyle",
        "extra_float_digits", "bytea_output", "client_encoding", "server_encoding", "lc_monetary",
        "lc_numeric",
        "lc_time", "xmlbinary", "xmloption", "standard_conforming_strings", "backslash_quote",
        "array_nulls", "transform_null_equals", "quote_all_identifiers",
        "default_text_search_config", "row_security", "timezone_abbreviations",
        "default_transaction_isolation", "default_transaction_read_only", "in_hot_standby",
    ]

    /// Whether the server follows another: it changes without a write that could be seen here.
    /// (Reported from PostgreSQL 14 on.)
    var serverIsStandby: Bool { current["reported in_hot_standby"] == "on" }

    /// Notes a change that the server has confirmed.
    mutating func confirmed(_ change: SettingChange) {
        switch change {
        case .set(let name, let value) where CustomSettings.includes(name):
            custom.set(name, to: value, isLocal: false)
        case .setLocal(let name, let value) where CustomSettings.includes(name):
            if let value {
                custom.set(name, to: value, isLocal: true)
            } else {
                custom.setLocally(name)
            }
        case .reset(let name) where CustomSettings.includes(name):
            custom.reset(name)
        case .set(let name, let value):
            hidden[name] = nil
            set(name, to: value)
        case .setLocal(let name, let value):
            setLocal(name, to: value)
        case .reset(let name):
            guard !Self.withoutEffectOnAnswers.contains(name) else { return }
            hidden[name] = nil
            if Self.tracked.contains(name), name != Self.authorization {
                current[name] = login[name]
                hasChanges = true
            } else {
                isTainted = true
            }
        case .resetAll:
            custom.resetAll()
            // RESET ALL leaves role and session authorization alone.
            let kept = ["role", "session_authorization"].map { ($0, current[$0]) }
            current = login
            hasChanges = true
            for (name, value) in kept { current[name] = value }
            hidden = hidden.filter { $0.key == "role" }
        case .discardAll:
            custom.discardAll()
            current = login
            committed = login
            hidden = [:]
            isTainted = false
            isTaintedUntilTransactionEnd = false
            hasChanges = false
        case .unknown:
            taint()
        }
    }

    /// Changing it undoes SET ROLE behind the scenes, so that what holds afterwards depends on the
    /// order of the two: it is asked for.
    private static let authorization = "session_authorization"

    private mutating func set(_ name: String, to value: String) {
        if Self.withoutEffectOnAnswers.contains(name) { return }
        guard Self.tracked.contains(name), name != Self.authorization else {
            isTainted = true
            return
        }
        hasChanges = true
        // The mark keeps a value as the statement spelled it apart from one that the server
        // printed: the same characters may mean different things.
        current[name] = "=" + value
    }

    private mutating func setLocal(_ name: String, to value: String?) {
        if Self.withoutEffectOnAnswers.contains(name) { return }
        guard let value, Self.tracked.contains(name), name != Self.authorization else {
            isTaintedUntilTransactionEnd = true
            return
        }
        if hidden[name] == nil { hidden[name] = .some(current[name]) }
        hasChanges = true
        current[name] = "=" + value
    }

    /// These have become needed by an answer; true where one of them was not before.
    mutating func need(_ names: Set<String>) -> Bool { custom.need(names) }

    /// What sessions of one identity have in common.
    var identifying: [String: String] {
        current.merging(custom.identifying) { _, custom in custom }
    }

    /// A statement with a SET in it has failed.
    mutating func changeFailed() {
        custom.changeFailed()
    }

    /// Notes a value that the server reported by ParameterStatus.
    mutating func reported(_ name: String, _ value: String) {
        let name = name.lowercased()
        guard Self.tracked.contains(name) else { return }
        current["reported " + name] = value
        committed["reported " + name] = value
    }

    /// Notes state that cannot be followed (opaque statements, temporary tables).
    mutating func taint() {
        isTainted = true
        custom.distrust()
    }

    mutating func rolledBackToSavepoint() {
        custom.rolledBackToSavepoint()
        if mayBeReverted { isTaintedUntilTransactionEnd = true }
    }

    /// The transaction that the confirmed changes belong to has ended; nil: unknown how.
    mutating func transactionEnded(committed didCommit: Bool?) {
        custom.transactionEnded(committed: didCommit)
        if mayBeReverted {
            switch didCommit {
            case true?:
                if isTaintedUntilTransactionEnd { isTainted = true }
                for (name, value) in hidden { current[name] = value }
                committed = current
            case false?:
                current = committed
            case nil:
                isTainted = true
                committed = current
            }
        }
        isTaintedUntilTransactionEnd = false
        hasChanges = false
        hidden = [:]
    }

    /// The server-side session is a new one: what its dotted settings are is not known. True where
    /// that was known of the one before.
    mutating func forgetCustom() -> Bool {
        let wasKnown = custom.hasKnown
        custom.reconnected()
        return wasKnown
    }

    /// The fault that is to be noticed: what is asked for is taken for granted.
    mutating func takeUnconfirmed(_ steps: [StatementProfile]) {
        for step in steps {
            guard case .setting(let change) = step.kind else { continue }
            confirmed(change)
            transactionEnded(committed: true)
        }
    }

    /// The server-side session is a new one: nothing was set in it yet.
    mutating func reconnected(login newLogin: [String: String]) {
        login = newLogin
        committed = newLogin
        current = newLogin
    }

    /// The server has told these dotted settings, while no transaction was running.
    mutating func answered(_ names: [String], _ values: [String: CustomSettings.Value]) {
        custom.answered(names, values)
    }

    /// All settings have been read from the server itself.
    mutating func probed(_ values: [String: String]) {
        for (name, value) in values where Self.tracked.contains(name.lowercased()) {
            current[name.lowercased()] = value
        }
        committed = current
        isTainted = false
        isTaintedUntilTransactionEnd = false
    }
}
