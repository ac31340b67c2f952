import PostgresWire

extension CatalogFunction {
    /// Definitions of objects and comments on them.
    static let definitionFunctions: [CatalogFunction] =
        [
            CatalogFunction(
                "format_type", CatalogType.text, [CatalogType.oid, CatalogType.int4],
                isStrict: false
            ) { call in
                guard call.arguments.first?.isNull == false else { return .null }
                let modifier = call.number(1)
                return .text(
                    call.objects.typeName(call.oid(0), modifier: modifier) ?? "???")
            },
            CatalogFunction("pg_get_expr", CatalogType.text, [0, CatalogType.oid]) { call in
                call.arguments[0]
            },
            CatalogFunction(
                "pg_get_indexdef", CatalogType.text,
                [CatalogType.oid, CatalogType.int4, CatalogType.bool]
            ) { call in
                guard let column = call.number(1), column > 0 else {
                    let definition = call.objects.indexDefinitions[call.oid(0)]
                    // Pretty-printed, names in the search path are not qualified.
                    return CatalogValue(
                        call.number(2) == 1
                            ? definition?.replacing(" ON public.", with: " ON ", maxReplacements: 1)
                            : definition)
                }
                guard let keys = call.objects.indexKeys[call.oid(0)], column <= keys.count else {
                    return .null
                }
                return .text(keys[column - 1])
            },
            CatalogFunction(
                "pg_get_constraintdef", CatalogType.text, [CatalogType.oid, CatalogType.bool]
            ) { CatalogValue($0.objects.constraintDefinitions[$0.oid(0)]) },
            CatalogFunction(
                "pg_get_viewdef", CatalogType.text, [CatalogType.oid, CatalogType.bool]
            ) {
                CatalogValue(
                    $0.objects.viewDefinitions[$0.objects.relation(named: $0.text(0)) ?? 0])
            },
            CatalogFunction(
                "pg_get_triggerdef", CatalogType.text, [CatalogType.oid, CatalogType.bool]
            ) { CatalogValue($0.objects.triggerDefinitions[$0.oid(0)]) },
        ]
        + [
            "pg_get_ruledef", "pg_get_functiondef", "pg_get_function_arguments",
            "pg_get_function_identity_arguments", "pg_get_function_result",
            "pg_get_function_sqlbody", "pg_get_partkeydef", "pg_get_partition_constraintdef",
            "pg_get_serial_sequence", "pg_get_statisticsobjdef",
            "pg_get_statisticsobjdef_columns", "obj_description", "shobj_description",
            "col_description",
        ].map { name in CatalogFunction(name, CatalogType.text) { _ in .null } }
        + [
            CatalogFunction("pg_tablespace_location", CatalogType.text, [CatalogType.oid]) { _ in
                .text("")
            },
            // Nothing is partitioned, so that nothing has ancestors.
            CatalogFunction("pg_partition_ancestors", CatalogType.oidArray) { _ in .text("[]") },
            CatalogFunction("pg_partition_root", CatalogType.regclass) { $0.arguments[0] },
        ]

    /// Names to OIDs and back, visibility.
    static let nameFunctions: [CatalogFunction] =
        [
            CatalogFunction(Internal.relationInput, CatalogType.regclass) {
                call throws(PostgresError) in
                if let oid = call.objects.relation(named: call.text(0)) { return CatalogValue(oid) }
                throw PostgresError(
                    .undefinedTable, "relation \"\(call.text(0))\" does not exist")
            },
            CatalogFunction(Internal.typeInput, CatalogType.regtype) {
                call throws(PostgresError) in
                if let oid = call.objects.type(named: call.text(0)) { return CatalogValue(oid) }
                throw PostgresError(.undefinedObject, "type \"\(call.text(0))\" does not exist")
            },
            CatalogFunction(Internal.namespaceInput, CatalogType.regnamespace) {
                call throws(PostgresError) in
                if let oid = CatalogObjects.namespace(named: call.text(0)) {
                    return CatalogValue(oid)
                }
                throw PostgresError("3F000", "schema \"\(call.text(0))\" does not exist")
            },
            CatalogFunction(Internal.roleInput, CatalogType.regrole) {
                call throws(PostgresError) in
                if call.text(0) == call.session.session.user { return .integer(10) }
                if let oid = call.arguments[0].oid { return CatalogValue(oid) }
                throw PostgresError(.undefinedObject, "role \"\(call.text(0))\" does not exist")
            },
            CatalogFunction("to_regclass", CatalogType.regclass, [CatalogType.text]) { call in
                call.objects.relation(named: call.text(0)).map(CatalogValue.init) ?? .null
            },
            CatalogFunction("to_regtype", CatalogType.regtype, [CatalogType.text]) { call in
                call.objects.type(named: call.text(0)).map(CatalogValue.init) ?? .null
            },
            CatalogFunction("to_regnamespace", CatalogType.regnamespace, [CatalogType.text]) {
                CatalogObjects.namespace(named: $0.text(0)).map(CatalogValue.init) ?? .null
            },
            CatalogFunction("to_regproc", CatalogType.regproc, [CatalogType.text]) { _ in .null },
            CatalogFunction("to_regrole", CatalogType.regrole, [CatalogType.text]) {
                $0.text(0) == $0.session.session.user ? .integer(10) : .null
            },
            // (value, type): the text that the type's output function would give.
            CatalogFunction(Internal.output, CatalogType.text) { call in
                CatalogValue(
                    CatalogOutput(objects: call.objects, user: call.session.session.user)
                        .text(call.arguments[0], type: call.oid(1)))
            },
            CatalogFunction("pg_table_is_visible", CatalogType.bool, [CatalogType.oid]) { call in
                guard let relation = call.objects.relations[call.oid(0)] else { return .null }
                return CatalogValue(
                    relation.namespace != CatalogRelation.informationSchemaNamespace)
            },
            CatalogFunction("pg_type_is_visible", CatalogType.bool, [CatalogType.oid]) { call in
                let isKnown =
                    CatalogType.byOID[call.oid(0)] != nil
                    || call.objects.rowTypes[call.oid(0)] != nil
                return isKnown ? CatalogValue(true) : .null
            },
        ]
        + [
            "pg_collation_is_visible", "pg_function_is_visible", "pg_opclass_is_visible",
            "pg_operator_is_visible", "pg_opfamily_is_visible", "pg_statistics_obj_is_visible",
            "pg_ts_config_is_visible", "pg_ts_dict_is_visible", "pg_ts_parser_is_visible",
            "pg_ts_template_is_visible", "pg_conversion_is_visible",
        ].map { name in
            CatalogFunction(name, CatalogType.bool, [CatalogType.oid]) { _ in CatalogValue(true) }
        }

    /// An embedded database has one owner, who may do everything.
    static let privilegeFunctions: [CatalogFunction] =
        [
            "has_any_column_privilege", "has_column_privilege", "has_database_privilege",
            "has_function_privilege", "has_language_privilege", "has_schema_privilege",
            "has_sequence_privilege", "has_server_privilege", "has_table_privilege",
            "has_tablespace_privilege", "has_type_privilege", "pg_has_role",
            "pg_relation_is_publishable", "has_foreign_data_wrapper_privilege",
        ].map { name in
            CatalogFunction(name, CatalogType.bool) { call in
                CatalogValue(name != "pg_relation_is_publishable")
            }
        } + [
            CatalogFunction("row_security_active", CatalogType.bool) { _ in CatalogValue(false) }
        ]

    /// SQLite does not tell sizes per object: NULL is "unknown".
    static let sizeFunctions: [CatalogFunction] =
        [
            "pg_total_relation_size", "pg_relation_size", "pg_table_size", "pg_indexes_size",
            "pg_database_size", "pg_tablespace_size", "pg_relation_filenode",
        ].map { name in CatalogFunction(name, CatalogType.int8) { _ in .null } } + [
            CatalogFunction("pg_size_pretty", CatalogType.text, [CatalogType.int8]) { call in
                guard var size = call.number(0) else { return .null }
                // The unit grows from 10240 of the smaller one on; halves round away from zero.
                for unit in ["bytes", "kB", "MB", "GB", "TB"] {
                    if size.magnitude < 10240 || unit == "TB" { return .text("\(size) \(unit)") }
                    let halves = size / 512
                    size = (halves + (halves < 0 ? -1 : 1)) / 2
                }
                return .null
            }
        ]
}
