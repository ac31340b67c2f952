/// Catalog relations that are computed from others or from the session.
///
/// A body gives the columns that it knows by name; the relation's other columns are NULL.
enum CatalogViews {
    static let definitions: String = (CatalogRelation.pgCatalog + CatalogRelation.informationSchema)
        .compactMap { relation in
            guard let body = bodies[relation.storedName] else { return nil }
            let columns = relation.columns.map { column in
                let name = SQLQuoting.identifier(column.name)
                return body.columns.contains(column.name) ? "b.\(name)" : "NULL AS \(name)"
            }
            return "CREATE VIEW \(SQLQuoting.identifier(relation.storedName)) AS SELECT "
                + "\(columns.joined(separator: ", ")), \(relation.oid) AS tableoid "
                + "FROM (\(body.sql)) AS b;"
        }.joined()

    struct Body {
        let columns: Set<String>
        let sql: String

        /// Each target is an expression and, last, its column name.
        init(_ targets: [(String, String)], from: String = "") {
            columns = Set(targets.map(\.1))
            sql =
                "SELECT "
                + targets.map { "\($0.0) AS \(SQLQuoting.identifier($0.1))" }
                .joined(separator: ", ") + (from.isEmpty ? "" : " FROM \(from)")
        }
    }

    private static let roleTargets = [
        ("10", "oid"), ("current_user()", "rolname"), ("1", "rolsuper"), ("1", "rolinherit"),
        ("1", "rolcreaterole"), ("1", "rolcreatedb"), ("1", "rolcanlogin"),
        ("0", "rolreplication"), ("1", "rolbypassrls"), ("-1", "rolconnlimit"),
    ]
    private static let userTargets = [
        ("current_user()", "usename"), ("10", "usesysid"), ("1", "usecreatedb"),
        ("1", "usesuper"), ("0", "userepl"), ("1", "usebypassrls"),
    ]
    /// A relation with its schema.
    private static let classes =
        "pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"

    static let bodies: [String: Body] = [
        "pg_authid": Body(roleTargets),
        "pg_roles": Body(roleTargets),
        "pg_user": Body(userTargets),
        "pg_shadow": Body(userTargets),
        "pg_database": Body([
            ("5", "oid"), ("current_database()", "datname"), ("10", "datdba"), ("6", "encoding"),
            ("'c'", "datlocprovider"), ("0", "datistemplate"), ("1", "datallowconn"),
            ("-1", "datconnlimit"), ("0", "datfrozenxid"), ("0", "datminmxid"),
            ("1663", "dattablespace"), ("'C'", "datcollate"), ("'C'", "datctype"),
        ]),
        "pg_settings": Body(
            [
                ("k.value", "name"), ("v.value", "setting"), ("'user'", "context"),
                ("'string'", "vartype"), ("'default'", "source"), ("v.value", "boot_val"),
                ("v.value", "reset_val"), ("''", "category"), ("0", "pending_restart"),
            ],
            from: "json_each(mynah_settings()) AS k JOIN json_each(mynah_settings()) AS v "
                + "ON v.key = k.key + 1 WHERE k.key % 2 = 0"),
        "pg_stat_activity": Body([
            ("5", "datid"), ("current_database()", "datname"), ("pg_backend_pid()", "pid"),
            ("10", "usesysid"), ("current_user()", "usename"), ("'active'", "state"),
            ("coalesce(current_setting('application_name', 1), '')", "application_name"),
            ("'client backend'", "backend_type"),
        ]),
        "pg_tables": Body(
            [
                ("n.nspname", "schemaname"), ("c.relname", "tablename"),
                ("pg_get_userbyid(c.relowner)", "tableowner"), ("c.relhasindex", "hasindexes"),
                ("c.relhasrules", "hasrules"), ("c.relhastriggers", "hastriggers"),
                ("0", "rowsecurity"),
            ], from: "\(classes) WHERE c.relkind = 'r'"),
        "pg_views": Body(
            [
                ("n.nspname", "schemaname"), ("c.relname", "viewname"),
                ("pg_get_userbyid(c.relowner)", "viewowner"),
                ("pg_get_viewdef(c.oid)", "definition"),
            ], from: "\(classes) WHERE c.relkind = 'v'"),
        "pg_indexes": Body(
            [
                ("n.nspname", "schemaname"), ("t.relname", "tablename"),
                ("c.relname", "indexname"), ("pg_get_indexdef(c.oid)", "indexdef"),
            ],
            from: "\(classes) JOIN pg_index AS i ON i.indexrelid = c.oid "
                + "JOIN pg_class AS t ON t.oid = i.indrelid"),
        "information_schema.information_schema_catalog_name": Body([
            ("current_database()", "catalog_name")
        ]),
        "information_schema.schemata": Body(
            [
                ("current_database()", "catalog_name"), ("nspname", "schema_name"),
                ("pg_get_userbyid(nspowner)", "schema_owner"),
            ], from: "pg_namespace"),
        "information_schema.tables": Body(
            [
                ("current_database()", "table_catalog"), ("n.nspname", "table_schema"),
                ("c.relname", "table_name"),
                ("CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END", "table_type"),
                ("CASE c.relkind WHEN 'v' THEN 'NO' ELSE 'YES' END", "is_insertable_into"),
                ("'NO'", "is_typed"),
            ], from: "\(classes) WHERE c.relkind IN ('r', 'v')"),
        "information_schema.views": Body(
            [
                ("current_database()", "table_catalog"), ("n.nspname", "table_schema"),
                ("c.relname", "table_name"), ("pg_get_viewdef(c.oid)", "view_definition"),
                ("'NONE'", "check_option"), ("'NO'", "is_updatable"),
                ("'NO'", "is_insertable_into"), ("'NO'", "is_trigger_updatable"),
                ("'NO'", "is_trigger_deletable"), ("'NO'", "is_trigger_insertable_into"),
            ], from: "\(classes) WHERE c.relkind = 'v'"),
        "information_schema.columns": columns,
        "information_schema.table_constraints": Body(
            [
                ("current_database()", "constraint_catalog"),
                ("'public'", "constraint_schema"), ("k.conname", "constraint_name"),
                ("current_database()", "table_catalog"), ("'public'", "table_schema"),
                ("c.relname", "table_name"),
                (
                    "CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' "
                        + "WHEN 'f' THEN 'FOREIGN KEY' ELSE 'CHECK' END", "constraint_type"
                ),
                ("'NO'", "is_deferrable"), ("'NO'", "initially_deferred"), ("'YES'", "enforced"),
                ("CASE k.contype WHEN 'u' THEN 'YES' END", "nulls_distinct"),
            ], from: "pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid"),
        "information_schema.key_column_usage": Body(
            [
                ("current_database()", "constraint_catalog"),
                ("'public'", "constraint_schema"), ("k.conname", "constraint_name"),
                ("current_database()", "table_catalog"), ("'public'", "table_schema"),
                ("c.relname", "table_name"), ("a.attname", "column_name"),
                ("e.key + 1", "ordinal_position"),
                (
                    "CASE k.contype WHEN 'f' THEN e.key + 1 END",
                    "position_in_unique_constraint"
                ),
            ],
            from: "pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid "
                + "JOIN json_each(k.conkey) AS e "
                + "JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = e.value "
                + "WHERE k.contype IN ('p', 'u', 'f')"),
        "information_schema.constraint_column_usage": Body(
            [
                ("current_database()", "table_catalog"), ("'public'", "table_schema"),
                ("c.relname", "table_name"), ("a.attname", "column_name"),
                ("current_database()", "constraint_catalog"),
                ("'public'", "constraint_schema"), ("k.conname", "constraint_name"),
            ],
            from: "pg_constraint AS k JOIN pg_class AS c "
                + "ON c.oid = CASE k.contype WHEN 'f' THEN k.confrelid ELSE k.conrelid END "
                + "JOIN json_each(CASE k.contype WHEN 'f' THEN k.confkey ELSE k.conkey END) AS e "
                + "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = e.value"),
        "information_schema.referential_constraints": Body(
            [
                ("current_database()", "constraint_catalog"),
                ("'public'", "constraint_schema"), ("k.conname", "constraint_name"),
                ("current_database()", "unique_constraint_catalog"),
                ("'public'", "unique_constraint_schema"), ("u.relname", "unique_constraint_name"),
                ("'NONE'", "match_option"), (rule("k.confupdtype"), "update_rule"),
                (rule("k.confdeltype"), "delete_rule"),
            ],
            from: "pg_constraint AS k LEFT JOIN pg_class AS u ON u.oid = k.conindid "
                + "WHERE k.contype = 'f'"),
    ]

    private static let columns = Body(
        [
            ("current_database()", "table_catalog"), ("n.nspname", "table_schema"),
            ("c.relname", "table_name"), ("a.attname", "column_name"),
            ("a.attnum", "ordinal_position"), ("d.adbin", "column_default"),
            ("CASE a.attnotnull WHEN 1 THEN 'NO' ELSE 'YES' END", "is_nullable"),
            (
                "CASE WHEN t.typcategory = 'A' THEN 'ARRAY' ELSE format_type(t.oid, NULL) END",
                "data_type"
            ),
            (
                "CASE WHEN t.oid IN (1042, 1043) AND a.atttypmod > 4 THEN a.atttypmod - 4 END",
                "character_maximum_length"
            ),
            (
                "CASE t.oid WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 700 THEN 24 "
                    + "WHEN 701 THEN 53 WHEN 1700 THEN "
                    + "CASE WHEN a.atttypmod > 4 THEN (a.atttypmod - 4) >> 16 END END",
                "numeric_precision"
            ),
            (
                "CASE WHEN t.oid IN (20, 21, 23, 700, 701) THEN 2 WHEN t.oid = 1700 THEN 10 END",
                "numeric_precision_radix"
            ),
            (
                "CASE WHEN t.oid IN (20, 21, 23) THEN 0 WHEN t.oid = 1700 AND a.atttypmod > 4 "
                    + "THEN (a.atttypmod - 4) & 65535 END", "numeric_scale"
            ),
            (
                "CASE WHEN t.oid = 1082 THEN 0 WHEN t.oid IN (1083, 1114, 1184, 1266) THEN 6 END",
                "datetime_precision"
            ),
            ("current_database()", "udt_catalog"), ("'pg_catalog'", "udt_schema"),
            ("t.typname", "udt_name"), ("a.attnum", "dtd_identifier"),
            ("'NO'", "is_self_referencing"), ("'NO'", "is_identity"), ("'NO'", "identity_cycle"),
            ("CASE a.attgenerated WHEN '' THEN 'NEVER' ELSE 'ALWAYS' END", "is_generated"),
            ("CASE c.relkind WHEN 'r' THEN 'YES' ELSE 'NO' END", "is_updatable"),
        ],
        from: "\(classes) JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 "
            + "JOIN pg_type AS t ON t.oid = a.atttypid "
            + "LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum "
            + "WHERE c.relkind IN ('r', 'v')")

    private static func rule(_ column: String) -> String {
        "CASE \(column) WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' "
            + "WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END"
    }
}
