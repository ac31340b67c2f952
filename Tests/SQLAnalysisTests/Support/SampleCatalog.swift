@testable import SQLAnalysis

/// A hand-made catalog: enough of pg_catalog, and a small shop with one of everything that a
/// profile can depend on. Relation OIDs are what the tests name families by.
enum SampleCatalog {
    static let catalog = PostgreSQLCatalog(rows)

    static let pgCatalog: UInt32 = 11
    static let publicSchema: UInt32 = 2_200
    static let other: UInt32 = 20_000
    static let information: UInt32 = 13_000
    static let temporary: UInt32 = 21_000

    static let bool: UInt32 = 16
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let date: UInt32 = 1_082
    static let time: UInt32 = 1_083
    static let timestamptz: UInt32 = 1_184
    static let timetz: UInt32 = 1_266
    static let any: UInt32 = 2_283
    static let mood: UInt32 = 30_000
    static let odd: UInt32 = 30_001

    private static let rows: CatalogRows = {
        var rows = CatalogRows()
        rows.namespaces = [
            .init(oid: pgCatalog, name: "pg_catalog"), .init(oid: publicSchema, name: "public"),
            .init(oid: other, name: "other"), .init(oid: information, name: "information_schema"),
            .init(oid: temporary, name: "pg_temp_3"),
        ]
        addTypes(&rows)
        addFunctions(&rows)
        addTables(&rows)
        addViews(&rows)
        addUserCode(&rows)
        return rows
    }()

    private static func addTypes(_ rows: inout CatalogRows) {
        let builtin: [(UInt32, String)] = [
            (bool, "bool"), (int4, "int4"), (text, "text"), (date, "date"), (time, "time"),
            (timestamptz, "timestamptz"), (timetz, "timetz"), (1_186, "interval"),
            (1_700, "numeric"), (2_205, "regclass"), (20, "int8"),
        ]
        rows.types = builtin.map { .init(oid: $0.0, name: $0.1, namespace: pgCatalog) }
        rows.types += [
            .init(oid: any, name: "anyelement", namespace: pgCatalog, kind: "p"),
            .init(oid: 1_182, name: "_date", namespace: pgCatalog, inner: date),
            .init(oid: 1_007, name: "_int4", namespace: pgCatalog, inner: int4),
            .init(oid: mood, name: "mood", namespace: publicSchema, kind: "e"),
            .init(
                oid: odd, name: "odd", namespace: publicSchema, kind: "b",
                hasImmutableOutput: false),
            .init(oid: 30_002, name: "day", namespace: publicSchema, kind: "d", inner: date),
            .init(
                oid: 30_003, name: "customer", namespace: publicSchema, kind: "c",
                relation: 40_001),
        ]
    }

    private static func addFunctions(_ rows: inout CatalogRows) {
        var oid: UInt32 = 100
        func add(
            _ name: String, _ volatility: Character, _ arguments: [UInt32], _ result: UInt32,
            variadic: Bool = false
        ) {
            oid += 1
            rows.functions.append(
                .init(
                    oid: oid, name: name, namespace: pgCatalog, volatility: volatility,
                    argumentTypes: arguments, isVariadic: variadic, resultType: result))
        }
        add("lower", "i", [text], text)
        add("count", "i", [], 20)
        add("count", "i", [any], 20)
        add("max", "i", [int4], int4)
        add("max", "i", [date], date)
        add("now", "s", [], timestamptz)
        add("age", "i", [timestamptz, timestamptz], 1_186)
        add("age", "s", [timestamptz], 1_186)
        add("random", "v", [], 20)
        add("nextval", "v", [2_205], 20)
        add("set_config", "v", [text, text, bool], text)
        add("current_setting", "s", [text], text)
        add("pg_advisory_lock", "v", [20], 0)
        add("pg_notify", "v", [text, text], 0)
        add("query_to_xml", "v", [text], text)
        add("date_trunc", "s", [text, timestamptz], timestamptz)
        add("to_char", "s", [timestamptz, text], text)
        add("timezone", "i", [text, timestamptz], timestamptz)
        add("timezone", "v", [text, timetz], timetz)
        add("make_time", "i", [int4, int4, int4], time)
        add("format", "s", [text, any], text, variadic: true)
        add("has_table_privilege", "s", [text, text], bool)
        add("date", "s", [timestamptz], date)
        add("jsonb_each", "i", [text], 0)
        add("generate_series", "i", [int4, int4], int4)
    }

    private static func table(
        _ rows: inout CatalogRows, _ oid: UInt32, _ name: String, _ columns: [(String, UInt32)],
        kind: Character = "r", schema: UInt32 = publicSchema, rowSecurity: Bool = false,
        isTemporary: Bool = false
    ) {
        rows.classes.append(
            .init(
                oid: oid, name: name, namespace: schema, kind: kind, isTemporary: isTemporary,
                hasRowSecurity: rowSecurity))
        for (column, type) in columns {
            rows.attributes.append(.init(relation: oid, name: column, type: type))
        }
    }

    private static func addTables(_ rows: inout CatalogRows) {
        let id = ("id", int4)
        table(&rows, 40_001, "customer", [id, ("name", text), ("feeling", mood)])
        table(&rows, 40_002, "orders", [id, ("placed", timestamptz), ("note", text)])
        table(&rows, 40_003, "line", [id, ("order_id", int4)])
        table(&rows, 40_004, "audit", [id])
        table(&rows, 40_005, "customer", [id], schema: other)
        table(&rows, 40_006, "Mixed", [id])
        table(&rows, 40_007, "secret", [id], rowSecurity: true)
        table(&rows, 40_008, "remote", [id], kind: "f")
        table(&rows, 40_009, "seq", [], kind: "S")
        table(&rows, 40_010, "shift", [id, ("starts", time), ("at", timestamptz)])
        table(&rows, 40_011, "zoned", [id, ("starts", timetz)])
        table(&rows, 40_012, "strange", [id, ("value", odd)])
        table(&rows, 40_013, "ruled", [id])
        table(&rows, 40_014, "stamped", [id])
        table(&rows, 40_015, "guarded", [id])
        // A partitioned table whose parent has not the smallest OID.
        table(&rows, 40_030, "event", [id], kind: "p")
        table(&rows, 40_021, "event_1", [id])
        table(&rows, 40_022, "event_2", [id])
        table(&rows, 40_023, "event_1_a", [id])
        rows.inheritance = [
            .init(child: 40_021, parent: 40_030), .init(child: 40_022, parent: 40_030),
            .init(child: 40_023, parent: 40_021), .init(child: 40_041, parent: 40_040),
        ]
        // A family with a foreign member.
        table(&rows, 40_040, "mixed_family", [id])
        table(&rows, 40_041, "far", [id], kind: "f")
        table(&rows, 1_259, "pg_class", [], schema: pgCatalog)
        table(&rows, 13_100, "tables", [], kind: "v", schema: information)
        // customer <- orders (CASCADE) <- line (SET NULL); audit references line, no action;
        // event_1_a references customer with CASCADE.
        rows.foreignKeys = [
            .init(
                referencing: 40_002, ["id"], referenced: 40_001, ["id"], onDelete: .cascade,
                onUpdate: .cascade),
            .init(
                referencing: 40_003, ["order_id"], referenced: 40_002, ["id"], onDelete: .set,
                onUpdate: .cascade),
            .init(referencing: 40_004, ["id"], referenced: 40_003, ["id"]),
            .init(
                referencing: 40_023, ["id"], referenced: 40_001, ["id"], onDelete: .cascade,
                onUpdate: .set),
        ]
        rows.rules = [40_013]
        rows.triggers = [
            .init(relation: 40_004, function: 50_001), .init(relation: 40_014, function: 50_002),
        ]
        rows.dependencies = [.init(relation: 40_015, function: 50_003)]
    }

    private static func addViews(_ rows: inout CatalogRows) {
        func view(
            _ oid: UInt32, _ name: String, _ query: String, kind: Character = "v",
            isTemporary: Bool = false
        ) {
            table(
                &rows, oid, name, [("id", int4)], kind: kind,
                schema: isTemporary ? temporary : publicSchema, isTemporary: isTemporary)
            rows.definitions.append(.init(relation: oid, query: query))
        }
        view(41_001, "customer_v", "SELECT customer.id FROM public.customer")
        view(41_002, "nested_v", "SELECT v.id FROM public.customer_v v JOIN public.line USING (id)")
        view(41_003, "random_v", "SELECT customer.id, random() AS r FROM public.customer")
        view(41_004, "writing_v", "SELECT public.writer() AS id")
        view(41_005, "broken_v", "SELECT nonsense FROM")
        view(41_006, "total_m", "SELECT count(*) AS id FROM public.orders", kind: "m")
        view(41_007, "hidden_v", "SELECT secret.id FROM public.secret")
        view(41_008, "mine_v", "SELECT public.writer() AS id", isTemporary: true)
        view(41_009, "locking_v", "SELECT customer.id FROM public.customer FOR UPDATE")
    }

    private static func addUserCode(_ rows: inout CatalogRows) {
        func function(
            _ oid: UInt32, _ name: String, _ volatility: Character, _ body: String,
            language: String = "plpgsql", arguments: [UInt32] = [], schema: UInt32 = publicSchema
        ) {
            rows.functions.append(
                .init(
                    oid: oid, name: name, namespace: schema, volatility: volatility,
                    language: language, argumentTypes: arguments, resultType: int4, source: body))
        }
        function(50_001, "log_change", "v", "begin insert into audit values (1); return new; end")
        function(50_002, "stamp", "v", "begin new.id := 1; return new; end")
        function(50_003, "writer", "v", "begin update line set id = 1; return 1; end")
        function(50_004, "reader", "s", "select count(*) from public.line", language: "sql")
        function(50_005, "sneaky", "s", "select public.writer()", language: "sql")
        function(50_006, "pure", "v", "begin return 1; end")
        function(50_007, "dynamic", "v", "begin execute 'x'; return 1; end")
        function(50_008, "lower", "i", "select 'x'", language: "sql", schema: other)
        function(
            50_009, "doubled", "v", "begin delete from line; return 1; end", arguments: [30_003])
        function(50_010, "set_path", "v", "begin set search_path = x; return 1; end")
        function(50_011, "via_python", "s", "return 1", language: "plpython3u")
        function(50_012, "through_view", "s", "select id from writing_v", language: "sql")
        function(50_013, "compiled", "v", "", language: "c")
        function(50_014, "odd_equals", "s", "", language: "c")
        function(50_015, "fast_equals", "i", "", language: "c")
        rows.operators = [
            .init(name: "=", function: 50_015, left: odd, right: odd),
            .init(name: "~=~", function: 50_014),
            .init(name: "###", function: 50_003),
        ]
    }
}
