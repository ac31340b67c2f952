/// Settings without a dot whose values every cache key holds: what `current_setting` says of them
/// is the same for all sessions that share an entry.
package enum KnownSettings {
    package static let inKey: Set<String> = [
        "search_path", "role", "timezone", "datestyle", "intervalstyle", "extra_float_digits",
        "bytea_output", "client_encoding", "lc_monetary", "lc_numeric", "lc_time", "xmlbinary",
        "xmloption", "standard_conforming_strings", "default_text_search_config", "row_security",
    ]
}
