import CSQLite
import PostgresWire

/// Fills an empty database with PostgreSQL's catalog relations for a schema.
/// https://www.postgresql.org/docs/15/catalogs.html
struct CatalogContents {
    let relations: [SQLiteSchema.Relation]

    /// The owner of everything; every session's user is shown as this role.
    private static let owner: UInt32 = 10
    private static let btree: UInt32 = 403
    private static let heap: UInt32 = 2
    private static let defaultCollation: UInt32 = 100

    func write(to connection: OpaquePointer) throws(PostgresError) {
        let writer = CatalogWriter(connection: connection)
        try writer.execute(
            "PRAGMA case_sensitive_like = ON; PRAGMA synchronous = OFF; BEGIN; "
                + Self.tableDefinitions + CatalogViews.definitions)
        try writeFixedRows(writer)
        try writeTypes(writer)
        try writeCatalogRelations(writer)
        for relation in relations { try write(relation, writer) }
        try writer.execute("COMMIT; PRAGMA query_only = ON")
    }

    /// A table per relation that is not computed. Columns default to what PostgreSQL stores for
    /// "none": 0, false, an empty name; NULL for texts and arrays.
    private static let tableDefinitions: String =
        (CatalogRelation.pgCatalog + CatalogRelation.informationSchema)
        .filter { CatalogViews.bodies[$0.storedName] == nil }
        .map { relation in
            let columns = relation.columns.map { column in
                let name = SQLQuoting.identifier(column.name)
                switch column.typeOID {
                case CatalogType.bool: return "\(name) INTEGER DEFAULT 0"
                case _ where CatalogType.isInteger(column.typeOID):
                    return "\(name) INTEGER DEFAULT 0"
                case CatalogType.char, CatalogType.name: return "\(name) TEXT DEFAULT ''"
                case CatalogType.int2vector, CatalogType.oidvector:
                    return "\(name) TEXT DEFAULT '[]'"
                case CatalogType.float4, CatalogType.float8: return "\(name) REAL DEFAULT 0"
                default: return "\(name) TEXT"
                }
            }
            let hidden = "tableoid INTEGER DEFAULT \(relation.oid)"
            return "CREATE TABLE \(SQLQuoting.identifier(relation.storedName)) "
                + "(\((columns + [hidden]).joined(separator: ", ")));"
        }.joined()

    private func writeFixedRows(_ writer: CatalogWriter) throws(PostgresError) {
        for oid in [
            CatalogRelation.pgCatalogNamespace, CatalogRelation.publicNamespace,
            CatalogRelation.informationSchemaNamespace, 99,
        ] {
            try writer.insert(
                "pg_namespace",
                [
                    "oid": CatalogValue(oid),
                    "nspname": .text(CatalogObjects.namespaceName(oid)),
                    "nspowner": CatalogValue(Self.owner),
                ])
        }
        for (oid, name, kind) in [(Self.heap, "heap", "t"), (Self.btree, "btree", "i")] {
            try writer.insert(
                "pg_am",
                ["oid": CatalogValue(oid), "amname": .text(name), "amtype": .text(kind)])
        }
        for (oid, name) in [(1663, "pg_default"), (1664, "pg_global")] as [(UInt32, String)] {
            try writer.insert(
                "pg_tablespace",
                [
                    "oid": CatalogValue(oid), "spcname": .text(name),
                    "spcowner": CatalogValue(Self.owner),
                ])
        }
        for (oid, name, provider) in [(100, "default", "d"), (950, "C", "c"), (951, "POSIX", "c")]
            as [(UInt32, String, String)]
        {
            try writer.insert(
                "pg_collation",
                [
                    "oid": CatalogValue(oid), "collname": .text(name),
                    "collnamespace": CatalogValue(CatalogRelation.pgCatalogNamespace),
                    "collowner": CatalogValue(Self.owner), "collprovider": .text(provider),
                    "collisdeterministic": CatalogValue(true), "collencoding": .integer(-1),
                ])
        }
        for (type, operatorClass) in Self.operatorClasses {
            try writer.insert(
                "pg_opclass",
                [
                    "oid": CatalogValue(operatorClass.oid), "opcname": .text(operatorClass.name),
                    "opcmethod": CatalogValue(Self.btree),
                    "opcnamespace": CatalogValue(CatalogRelation.pgCatalogNamespace),
                    "opcowner": CatalogValue(Self.owner), "opcintype": CatalogValue(type),
                    "opcdefault": CatalogValue(true),
                ])
        }
        for (range, element, multirange) in [
            (3904, 23, 4451), (3906, 1700, 4532), (3908, 1114, 4533), (3910, 1184, 4534),
            (3912, 1082, 4535), (3926, 20, 4536),
        ] as [(UInt32, UInt32, UInt32)] {
            try writer.insert(
                "pg_range",
                [
                    "rngtypid": CatalogValue(range), "rngsubtype": CatalogValue(element),
                    "rngmultitypid": CatalogValue(multirange),
                ])
        }
    }

    /// The default B-tree operator classes, by type.
    private static let operatorClasses: [UInt32: (oid: UInt32, name: String)] = [
        CatalogType.bool: (10003, "bool_ops"), CatalogType.bpchar: (10004, "bpchar_ops"),
        CatalogType.bytea: (10006, "bytea_ops"), CatalogType.date: (3122, "date_ops"),
        CatalogType.float8: (3123, "float8_ops"), CatalogType.int2: (1979, "int2_ops"),
        CatalogType.int4: (1978, "int4_ops"), CatalogType.int8: (3124, "int8_ops"),
        CatalogType.numeric: (3125, "numeric_ops"), CatalogType.text: (3126, "text_ops"),
        CatalogType.time: (10038, "time_ops"), CatalogType.timestamp: (3128, "timestamp_ops"),
        CatalogType.timestamptz: (3127, "timestamptz_ops"), CatalogType.uuid: (10065, "uuid_ops"),
        CatalogType.jsonb: (10088, "jsonb_ops"),
    ]

    private func writeTypes(_ writer: CatalogWriter) throws(PostgresError) {
        for type in CatalogType.builtIn {
            try writer.insert(
                "pg_type",
                [
                    "oid": CatalogValue(type.oid), "typname": .text(type.name),
                    "typnamespace": CatalogValue(CatalogRelation.pgCatalogNamespace),
                    "typowner": CatalogValue(Self.owner), "typlen": .integer(Int64(type.length)),
                    "typbyval": CatalogValue(type.isPassedByValue), "typtype": .text(type.kind),
                    "typcategory": .text(type.category),
                    "typispreferred": CatalogValue(type.isPreferred),
                    "typisdefined": CatalogValue(true), "typdelim": .text(type.delimiter),
                    "typelem": CatalogValue(type.element), "typarray": CatalogValue(type.array),
                    "typbasetype": CatalogValue(type.base), "typtypmod": .integer(-1),
                    "typalign": .text(type.alignment), "typstorage": .text(type.storage),
                    "typcollation": CatalogValue(type.collation),
                ])
        }
    }

    private func writeCatalogRelations(_ writer: CatalogWriter) throws(PostgresError) {
        for relation in CatalogRelation.pgCatalog + CatalogRelation.informationSchema {
            try writer.insert(
                "pg_class",
                classRow(
                    oid: relation.oid, name: relation.name, namespace: relation.namespace,
                    kind: relation.kind, columns: relation.columns.count))
            for (position, column) in relation.columns.enumerated() {
                try writer.insert(
                    "pg_attribute",
                    attributeRow(
                        relation: relation.oid, name: column.name, type: column.typeOID,
                        modifier: -1, position: position + 1))
            }
        }
    }

    private func classRow(
        oid: UInt32, name: String, namespace: UInt32, kind: String, columns: Int
    ) -> [String: CatalogValue] {
        let accessMethod = kind == "r" ? Self.heap : kind == "i" ? Self.btree : 0
        return [
            "oid": CatalogValue(oid), "relname": .text(name),
            "relnamespace": CatalogValue(namespace), "relowner": CatalogValue(Self.owner),
            "relam": CatalogValue(accessMethod), "relfilenode": CatalogValue(oid),
            "reltuples": .integer(-1), "relpersistence": .text("p"), "relkind": .text(kind),
            "relnatts": .integer(Int64(columns)),
            "relreplident": .text(kind == "r" && oid >= ObjectIdentifiers.firstNormal ? "d" : "n"),
            "relispopulated": CatalogValue(true),
        ]
    }

    private func attributeRow(
        relation: UInt32, name: String, type: UInt32, modifier: Int32, position: Int
    ) -> [String: CatalogValue] {
        let definition = CatalogType.byOID[type]
        return [
            "attrelid": CatalogValue(relation), "attname": .text(name),
            "atttypid": CatalogValue(type), "attstattarget": .integer(-1),
            "attlen": .integer(Int64(definition?.length ?? -1)),
            "attnum": .integer(Int64(position)), "attcacheoff": .integer(-1),
            "atttypmod": .integer(Int64(modifier)),
            "attbyval": CatalogValue(definition?.isPassedByValue ?? false),
            "attalign": .text(definition?.alignment ?? "i"),
            "attstorage": .text(definition?.storage ?? "x"), "attislocal": CatalogValue(true),
            "attcollation": CatalogValue(definition?.collation ?? 0),
        ]
    }

    private func write(
        _ relation: SQLiteSchema.Relation, _ writer: CatalogWriter
    ) throws(PostgresError) {
        var row = classRow(
            oid: relation.oid, name: relation.name, namespace: CatalogRelation.publicNamespace,
            kind: relation.isView ? "v" : "r", columns: relation.columns.count)
        row["reltype"] = CatalogValue(relation.rowTypeOID)
        row["relhasindex"] = CatalogValue(!relation.indexes.isEmpty)
        // PostgreSQL enforces foreign keys by triggers on both tables: psql looks for keys only
        // where there are some.
        let isReferred = relations.contains { other in
            other.foreignKeys.contains {
                $0.referredTable.lowercased() == relation.name.lowercased()
            }
        }
        row["relhastriggers"] = CatalogValue(
            !relation.triggers.isEmpty || !relation.foreignKeys.isEmpty || isReferred)
        row["relhasrules"] = CatalogValue(relation.isView)
        try writer.insert("pg_class", row)
        try writer.insert(
            "pg_type",
            [
                "oid": CatalogValue(relation.rowTypeOID), "typname": .text(relation.name),
                "typnamespace": CatalogValue(CatalogRelation.publicNamespace),
                "typowner": CatalogValue(Self.owner), "typlen": .integer(-1),
                "typtype": .text("c"), "typcategory": .text("C"),
                "typisdefined": CatalogValue(true), "typdelim": .text(","),
                "typrelid": CatalogValue(relation.oid), "typtypmod": .integer(-1),
                "typalign": .text("d"), "typstorage": .text("x"),
            ])
        for (position, column) in relation.columns.enumerated() {
            try write(column, position: position, of: relation, writer)
        }
        for index in relation.indexes { try write(index, of: relation, writer) }
        for key in relation.foreignKeys { try write(key, of: relation, writer) }
        for trigger in relation.triggers {
            try writer.insert(
                "pg_trigger",
                [
                    "oid": CatalogValue(trigger.oid), "tgrelid": CatalogValue(relation.oid),
                    "tgname": .text(trigger.name), "tgenabled": .text("O"),
                ])
        }
    }

    private func write(
        _ column: SQLiteSchema.Column, position: Int, of relation: SQLiteSchema.Relation,
        _ writer: CatalogWriter
    ) throws(PostgresError) {
        let type = column.type
        var row = attributeRow(
            relation: relation.oid, name: column.name, type: type.typeOID,
            modifier: type.modifier, position: position + 1)
        // SQLite lets primary key columns of rowid tables be NULL only by historical accident;
        // PostgreSQL's clients expect keys that are not.
        row["attnotnull"] = CatalogValue(column.isNotNull || column.primaryKeyPosition > 0)
        row["attgenerated"] = .text(column.isGenerated ? "s" : "")
        if let expression = column.defaultExpression {
            row["atthasdef"] = CatalogValue(true)
            try writer.insert(
                "pg_attrdef",
                [
                    "oid": CatalogValue(relation.oid &+ UInt32(truncatingIfNeeded: position)),
                    "adrelid": CatalogValue(relation.oid),
                    "adnum": .integer(Int64(position + 1)), "adbin": .text(expression),
                ])
        }
        try writer.insert("pg_attribute", row)
    }

    private func write(
        _ index: SQLiteSchema.Index, of relation: SQLiteSchema.Relation, _ writer: CatalogWriter
    ) throws(PostgresError) {
        var row = classRow(
            oid: index.oid, name: index.name, namespace: CatalogRelation.publicNamespace,
            kind: "i", columns: index.keys.count)
        row["relhasindex"] = CatalogValue(false)
        try writer.insert("pg_class", row)
        var classes: [CatalogValue] = []
        var collations: [CatalogValue] = []
        for (position, key) in index.keys.enumerated() {
            let type = key.column.map { relation.columns[$0].type }
            let oid = type?.typeOID ?? CatalogType.text
            try writer.insert(
                "pg_attribute",
                attributeRow(
                    relation: index.oid, name: key.column == nil ? "expr" : key.text, type: oid,
                    modifier: type?.modifier ?? -1, position: position + 1))
            // varchar has no operator class of its own.
            let forClass = oid == CatalogType.varchar ? CatalogType.text : oid
            classes.append(CatalogValue(Self.operatorClasses[forClass]?.oid ?? 0))
            collations.append(CatalogValue(CatalogType.byOID[oid]?.collation ?? 0))
        }
        let expressions = index.keys.filter { $0.column == nil }.map(\.text)
        let columns = index.keys.map { CatalogValue.integer(Int64(($0.column ?? -1) + 1)) }
        try writer.insert(
            "pg_index",
            [
                "indexrelid": CatalogValue(index.oid), "indrelid": CatalogValue(relation.oid),
                "indnatts": .integer(Int64(index.keys.count)),
                "indnkeyatts": .integer(Int64(index.keys.count)),
                "indisunique": CatalogValue(index.isUnique),
                "indisprimary": CatalogValue(index.origin == .primaryKey),
                "indimmediate": CatalogValue(true), "indisvalid": CatalogValue(true),
                "indisready": CatalogValue(true), "indislive": CatalogValue(true),
                "indkey": .text(CatalogArray(columns).json),
                "indclass": .text(CatalogArray(classes).json),
                "indcollation": .text(CatalogArray(collations).json),
                // DESC implies NULLS FIRST: both bits.
                "indoption": .text(
                    CatalogArray(index.keys.map { .integer($0.isDescending ? 3 : 0) }).json),
                "indexprs": CatalogValue(
                    expressions.isEmpty ? nil : expressions.joined(separator: ", ")),
                "indpred": CatalogValue(index.predicate),
            ])
        guard index.constraintOID != 0 else { return }
        try writer.insert(
            "pg_constraint",
            constraintRow(
                oid: index.constraintOID, name: index.name,
                kind: index.origin == .primaryKey ? "p" : "u", relation: relation.oid,
                columns: index.keys.compactMap(\.column)
            ).merging(["conindid": CatalogValue(index.oid)]) { $1 })
    }

    private func constraintRow(
        oid: UInt32, name: String, kind: String, relation: UInt32, columns: [Int]
    ) -> [String: CatalogValue] {
        [
            "oid": CatalogValue(oid), "conname": .text(name),
            "connamespace": CatalogValue(CatalogRelation.publicNamespace),
            "contype": .text(kind), "convalidated": CatalogValue(true),
            "conrelid": CatalogValue(relation), "conislocal": CatalogValue(true),
            "connoinherit": CatalogValue(true), "conkey": .text(Self.numbers(columns)),
        ]
    }

    private func write(
        _ key: SQLiteSchema.ForeignKey, of relation: SQLiteSchema.Relation,
        _ writer: CatalogWriter
    ) throws(PostgresError) {
        let name = key.referredTable.lowercased()
        guard let referred = relations.first(where: { $0.name.lowercased() == name }) else {
            return
        }
        let index = referred.indexes.first {
            $0.isUnique && $0.predicate == nil
                && $0.keys.compactMap(\.column).sorted() == key.referredColumns.sorted()
        }
        try writer.insert(
            "pg_constraint",
            constraintRow(
                oid: key.oid, name: key.name, kind: "f", relation: relation.oid,
                columns: key.columns
            ).merging([
                "conindid": CatalogValue(index?.oid ?? 0), "confrelid": CatalogValue(referred.oid),
                "confupdtype": .text(Self.actionCode(key.onUpdate)),
                "confdeltype": .text(Self.actionCode(key.onDelete)), "confmatchtype": .text("s"),
                "confkey": .text(Self.numbers(key.referredColumns)),
            ]) { $1 })
    }

    /// Attribute numbers, which count from 1.
    private static func numbers(_ columns: [Int]) -> String {
        CatalogArray(columns.map { .integer(Int64($0 + 1)) }).json
    }

    private static func actionCode(_ action: String) -> String {
        switch action {
        case "RESTRICT": "r"
        case "CASCADE": "c"
        case "SET NULL": "n"
        case "SET DEFAULT": "d"
        default: "a"
        }
    }
}
