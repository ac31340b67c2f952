/// The query that tells a session's settings, whether or not the server reports them by itself.
package enum SettingsProbe {
    /// Settings that answers, or their bytes, depend on.
    package static let settingNames = [
        "search_path", "role", "bytea_output", "extra_float_digits", "lc_monetary", "lc_numeric",
        "lc_time", "xmlbinary", "xmloption", "backslash_quote", "array_nulls",
        "transform_null_equals", "quote_all_identifiers", "default_text_search_config",
        "row_security", "timezone_abbreviations", "default_transaction_isolation",
        "default_transaction_read_only", "timezone", "datestyle", "intervalstyle",
        "client_encoding", "standard_conforming_strings",
    ]
    package static let sessionUser = "session_user"
    package static let temporaryObjects = "mynah.temporary_objects"

    /// Rows of lower-case name and value, as text: `settingNames`, `session_user`, and
    /// `mynah.temporary_objects` (`t` or `f`: whether the session has any).
    ///
    /// Everything is schema-qualified, operators too: the session's search_path is the client's.
    package static let query: String = {
        let names = settingNames.map { "('\($0)')" }.joined(separator: ",")
        return """
            SELECT n, pg_catalog.current_setting(n, true) FROM (VALUES \(names)) v(n) \
            UNION ALL SELECT '\(sessionUser)', session_user::pg_catalog.text \
            UNION ALL SELECT '\(temporaryObjects)', CASE WHEN pg_catalog.pg_my_temp_schema() \
            OPERATOR(pg_catalog.=) '0'::pg_catalog.oid THEN 'f' WHEN EXISTS (SELECT FROM \
            pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) \
            pg_catalog.pg_my_temp_schema()) OR EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE \
            p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) OR EXISTS \
            (SELECT FROM pg_catalog.pg_type t WHERE t.typnamespace OPERATOR(pg_catalog.=) \
            pg_catalog.pg_my_temp_schema()) THEN 't' ELSE 'f' END
            """
    }()
}
