import PostgresWire

extension CatalogFunction {
    /// Who and where: https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-INFO-SESSION-TABLE
    static let sessionFunctions: [CatalogFunction] = [
        CatalogFunction("version", CatalogType.text) {
            .text("PostgreSQL \($0.session.session.serverVersion) (Mynah, SQLite)")
        },
        CatalogFunction("current_database", CatalogType.name) {
            .text($0.session.session.database)
        },
        CatalogFunction("current_schema", CatalogType.name) { _ in .text("public") },
        CatalogFunction("current_schemas", CatalogType.nameArray, [CatalogType.bool]) {
            let names = $0.number(0) == 0 ? ["public"] : ["pg_catalog", "public"]
            return .text(CatalogArray(names.map(CatalogValue.text)).json)
        },
        CatalogFunction("current_user", CatalogType.name) { .text($0.session.session.user) },
        CatalogFunction("pg_get_userbyid", CatalogType.name, [CatalogType.oid]) {
            .text(
                $0.oid(0) == 10
                    ? $0.session.session.user : "unknown (OID=\($0.oid(0)))")
        },
        CatalogFunction("pg_backend_pid", CatalogType.int4) {
            .integer(Int64($0.session.session.backendProcessID))
        },
        CatalogFunction("pg_is_in_recovery", CatalogType.bool) { _ in CatalogValue(false) },
        CatalogFunction("pg_is_wal_replay_paused", CatalogType.bool) { _ in CatalogValue(false) },
        CatalogFunction("pg_my_temp_schema", CatalogType.oid) { _ in .integer(0) },
        CatalogFunction("pg_is_other_temp_schema", CatalogType.bool, [CatalogType.oid]) { _ in
            CatalogValue(false)
        },
        CatalogFunction("pg_client_encoding", CatalogType.name) { _ in .text("UTF8") },
        CatalogFunction("getdatabaseencoding", CatalogType.name) { _ in .text("UTF8") },
        CatalogFunction("pg_encoding_to_char", CatalogType.name, [CatalogType.int4]) {
            switch $0.number(0) {
            case 6: .text("UTF8")
            case 0: .text("SQL_ASCII")
            default: .text("")
            }
        },
        CatalogFunction("pg_char_to_encoding", CatalogType.int4, [CatalogType.name]) {
            switch $0.text(0).lowercased() {
            case "utf8", "utf-8", "unicode": .integer(6)
            case "sql_ascii": .integer(0)
            default: .integer(-1)
            }
        },
        CatalogFunction(
            "current_setting", CatalogType.text, [CatalogType.text, CatalogType.bool]
        ) { call throws(PostgresError) in
            if let value = call.session.setting(call.text(0)) { return .text(value) }
            if call.number(1) == 1 { return .null }
            throw PostgresError(
                .undefinedObject, "unrecognized configuration parameter \"\(call.text(0))\"")
        },
        CatalogFunction(
            "set_config", CatalogType.text,
            [CatalogType.text, CatalogType.text, CatalogType.bool], isStrict: false
        ) { call throws(PostgresError) in
            guard call.arguments.count == 3, !call.arguments[0].isNull else {
                throw PostgresError("22004", "SET requires parameter name")
            }
            call.session.settingChanges.append(
                EmulatedAnswer.SettingChange(
                    name: call.text(0).lowercased(), value: call.text(1),
                    isLocal: call.number(2) == 1))
            return .text(call.text(1))
        },
        CatalogFunction(Internal.setting, CatalogType.json) { call in
            // One list of names and values in turn, for json_each.
            let pairs = call.session.settingNames.flatMap {
                [CatalogValue.text($0), CatalogValue(call.session.setting($0))]
            }
            return .text(CatalogArray(pairs).json)
        },
        CatalogFunction("txid_current_if_assigned", CatalogType.int8) { _ in .null },
        CatalogFunction("pg_current_xact_id_if_assigned", CatalogType.text) { _ in .null },
        CatalogFunction("pg_advisory_unlock_all", CatalogType.void) { _ in .text("") },
        CatalogFunction("inet_client_addr", CatalogType.text) { _ in .null },
        CatalogFunction("inet_client_port", CatalogType.int4) { _ in .null },
        CatalogFunction("inet_server_addr", CatalogType.text) { _ in .null },
        CatalogFunction("inet_server_port", CatalogType.int4) { _ in .null },
        CatalogFunction("pg_conf_load_time", CatalogType.timestamptz) { _ in .null },
        CatalogFunction("pg_postmaster_start_time", CatalogType.timestamptz) { _ in .null },
    ]
}
