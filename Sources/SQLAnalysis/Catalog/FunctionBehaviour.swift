/// What running a function may do besides computing its result.
package struct FunctionBehaviour: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// May change any table or the catalog.
    package static let mayWrite = FunctionBehaviour(rawValue: 1 << 0)
    /// May leave session state behind: settings, temporary tables.
    package static let leavesState = FunctionBehaviour(rawValue: 1 << 1)
    /// May take row or advisory locks.
    package static let takesLocks = FunctionBehaviour(rawValue: 1 << 2)
    /// May take advisory locks that outlive the transaction.
    package static let takesSessionLocks = FunctionBehaviour(rawValue: 1 << 3)
    package static let releasesSessionLocks = FunctionBehaviour(rawValue: 1 << 4)
    /// Answers with what the session has drawn from sequences.
    package static let readsSequenceState = FunctionBehaviour(rawValue: 1 << 5)
    package static let seedsRandom = FunctionBehaviour(rawValue: 1 << 6)
    /// Answers with the process id of the session.
    package static let readsProcessID = FunctionBehaviour(rawValue: 1 << 7)

    package static let opaque: FunctionBehaviour = [
        .mayWrite, .leavesState, .takesLocks, .takesSessionLocks,
    ]
}

/// The server's own functions, as far as their names say more than their volatility.
enum BuiltinFunctions {
    /// STABLE functions whose inputs besides their arguments (time zone, date style, locale,
    /// text search configuration …) are all part of the cache's key. Reviewed for PostgreSQL 15.
    ///
    /// Not among them, on purpose: now() and its family, age() of one argument, current_setting,
    /// current_user and the pg_…, has_…_privilege, to_reg… functions, and whatever reads a table.
    static let reviewedStable: Set<String> = [
        // Formatting and parsing.
        "to_char", "to_date", "to_timestamp", "to_number", "format", "concat", "concat_ws",
        "quote_literal", "quote_nullable", "array_to_string", "string_to_array", "money",
        // Dates and times; with a time of day only under `needsNoTimeOfDay`.
        "date_trunc", "date_part", "extract", "timezone", "date", "time", "timestamp",
        "timestamptz", "interval", "generate_series", "overlaps", "date_bin", "make_timestamptz",
        "timestamptz_pl_interval", "timestamptz_mi_interval", "in_range",
        // JSON of any value.
        "to_json", "to_jsonb", "row_to_json", "array_to_json", "json_build_array",
        "json_build_object", "jsonb_build_array", "jsonb_build_object", "json_agg", "jsonb_agg",
        "json_object_agg", "jsonb_object_agg", "jsonb_path_query_tz", "jsonb_path_exists_tz",
        "jsonb_path_match_tz", "jsonb_path_query_array_tz", "jsonb_path_query_first_tz",
        // Text search.
        "to_tsvector", "to_tsquery", "plainto_tsquery", "phraseto_tsquery",
        "websearch_to_tsquery", "ts_headline", "ts_lexize", "json_to_tsvector",
        "jsonb_to_tsvector",
        // Arrays and text of any element.
        "array_agg", "text", "varchar", "bpchar", "name",
    ]

    /// VOLATILE functions that change neither a table nor what a query answers.
    static let harmlessVolatile: Set<String> = [
        "nextval", "currval", "lastval", "setval", "random", "setseed", "gen_random_uuid",
        "clock_timestamp", "timeofday", "pg_sleep", "pg_sleep_for", "pg_sleep_until",
        "pg_notify", "pg_backend_pid", "txid_current", "txid_current_if_assigned",
        "txid_status", "txid_current_snapshot", "pg_current_xact_id",
        "pg_current_xact_id_if_assigned", "pg_current_snapshot", "pg_current_wal_lsn",
        "pg_current_wal_insert_lsn", "pg_current_wal_flush_lsn", "pg_last_wal_replay_lsn",
        "pg_last_wal_receive_lsn", "pg_is_in_recovery", "pg_relation_size",
        "pg_total_relation_size", "pg_table_size", "pg_indexes_size", "pg_database_size",
        "pg_tablespace_size", "pg_size_pretty", "pg_column_size", "pg_cancel_backend",
        "pg_terminate_backend", "pg_stat_get_activity", "pg_lock_status", "pg_cursor",
        "pg_prepared_statement", "pg_prepared_xact", "pg_listening_channels",
        "pg_blocking_pids", "pg_safe_snapshot_blocking_pids", "timezone", "statement_timestamp",
        "inet_client_addr", "pg_show_all_settings", "pg_stat_reset", "pg_rotate_logfile",
        "pg_switch_wal", "lo_creat", "lo_create", "lo_open", "lo_close", "loread", "lowrite",
        "lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64", "lo_truncate", "lo_truncate64",
        "lo_unlink", "lo_get", "lo_put", "lo_from_bytea", "lo_import", "lo_export",
    ]

    static func behaviour(name: String, isVolatile: Bool) -> FunctionBehaviour {
        if name.hasPrefix("pg_advisory_unlock") { return [.takesLocks, .releasesSessionLocks] }
        if name.hasPrefix("pg_advisory_") || name.hasPrefix("pg_try_advisory_") {
            return name.contains("_xact_") ? .takesLocks : [.takesLocks, .takesSessionLocks]
        }
        if name == "currval" || name == "lastval" { return .readsSequenceState }
        if name == "pg_backend_pid" { return .readsProcessID }
        if name == "setseed" { return .seedsRandom }
        if name == "set_config" { return .leavesState }
        return isVolatile && !harmlessVolatile.contains(name) ? .opaque : []
    }

    /// C functions of the extensions that come with PostgreSQL, VOLATILE but without effects.
    static let harmlessExtensions: Set<String> = [
        "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4", "gen_salt",
        "gen_random_bytes", "gen_random_uuid",
    ]
}
