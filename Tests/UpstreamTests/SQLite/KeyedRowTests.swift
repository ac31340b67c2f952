import PostgresWire
import SQLAnalysis
import Testing

@testable import Upstream

@Suite("SQLite analyzer: the rows that a statement names by their key") struct KeyedRowTests {
    static let schema = """
        CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, name TEXT);
        CREATE TABLE other (id INTEGER PRIMARY KEY, t INTEGER);
        CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent ON DELETE CASCADE);
        CREATE TABLE parent (id INTEGER PRIMARY KEY, v INTEGER);
        CREATE TABLE tree (
            id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id) ON DELETE CASCADE);
        CREATE TABLE triggered (id INTEGER PRIMARY KEY, v INTEGER);
        CREATE TRIGGER tr AFTER UPDATE ON triggered WHEN new.id = 1
            BEGIN UPDATE triggered SET v = v + 1 WHERE id <> 1; END;
        CREATE TABLE replacing (id INTEGER PRIMARY KEY, u INTEGER UNIQUE ON CONFLICT REPLACE);
        CREATE TABLE bare (id INTEGER PRIMARY KEY, v) WITHOUT ROWID;
        CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, v);
        CREATE TABLE short (id INT PRIMARY KEY, v);
        CREATE TABLE pair (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
        CREATE TABLE shadowed (id INTEGER PRIMARY KEY, rowid TEXT);
        CREATE VIEW seen AS SELECT id, v FROM t;
        """

    private func profile(_ sql: String) async throws -> StatementProfile {
        try #require(await SQLiteFixture(Self.schema).profile(sql).first)
    }

    private static func keys(_ values: Int64...) -> [KeyOperand] {
        values.map { .value(.integer($0)) }
    }

    private static func parameter(_ index: Int, width: Int = 8) -> KeyOperand {
        .parameter(index, .integer(width: width))
    }

    @Test(
        "A read that compares the key with integers depends on those rows alone",
        arguments: [
            ("SELECT * FROM t WHERE id = 5", keys(5)),
            ("SELECT v FROM t WHERE 5 = t.id AND v > 3 ORDER BY v LIMIT 1", keys(5)),
            ("SELECT x.v FROM T AS x WHERE X.ID = -7", keys(-7)),
            ("SELECT count(*) FROM \"t\" WHERE \"id\" IN (1, 2, 1)", keys(1, 2)),
            ("SELECT * FROM public.t WHERE id = 0", keys(0)),
            ("SELECT v AS id FROM t WHERE id = 9223372036854775807", keys(.max)),
            ("SELECT * FROM t WHERE id = $1", [parameter(0)]),
            ("SELECT * FROM t WHERE name = $1 AND id IN ($2, 3)", [parameter(1)] + keys(3)),
            ("SELECT * FROM t WHERE id = $1::bigint", [parameter(0)]),
            ("SELECT * FROM t WHERE id = CAST($1 AS integer)", [parameter(0, width: 4)]),
            ("SELECT * FROM t WHERE id IN (1, 2, 3) AND id = 2", keys(2)),
            ("SELECT (SELECT v FROM t WHERE id = 4) AS v", keys(4)),
            ("SELECT * FROM shadowed WHERE id = 1", keys(1)),
        ] as [(String, [KeyOperand])])
    func reads(_ sql: String, _ keys: [KeyOperand]) async throws {
        let profile = try await profile(sql)
        #expect(profile.bypassReason == nil)
        let dependency = try #require(profile.dependencies.first)
        #expect(profile.dependencies.count == 1)
        guard case .keyed(let rows) = dependency.scope else {
            Issue.record("depends on all rows")
            return
        }
        #expect(rows.columns == ["id"])
        #expect(Set(rows.tuples) == Set(keys.map { [$0] }))
    }

    @Test(
        "Any other read depends on all rows",
        arguments: [
            "SELECT * FROM t", "SELECT * FROM t WHERE id > 5", "SELECT * FROM t WHERE v = 5",
            "SELECT * FROM t WHERE id = 5 OR v = 1", "SELECT * FROM t WHERE NOT id = 5",
            // Equal to an integer by affinity; not read.
            "SELECT * FROM t WHERE id = '5'", "SELECT * FROM t WHERE id = 5.0",
            "SELECT * FROM t WHERE id = $1::text", "SELECT * FROM t WHERE id IN (5, NULL)",
            "SELECT * FROM t WHERE id = 9223372036854775808",
            "SELECT * FROM t WHERE rowid = 5", "SELECT * FROM shadowed WHERE rowid = 5",
            // Not what PostgreSQL's grammar makes of it, or perhaps not.
            "SELECT * FROM t WHERE id = 5 /* /* */",
            "SELECT * FROM t WHERE v = 1 -- \r AND id = 5",
            "SELECT * FROM t WHERE id IS 5", "SELECT * FROM t WHERE [id] = 5",
            "SELECT * FROM t WHERE `id` = 5", "SELECT * FROM t WHERE name = '\\' AND id = 5",
            // More than the one table.
            "SELECT * FROM t, other WHERE t.id = 5",
            "SELECT * FROM t WHERE id = 5 AND EXISTS (SELECT 1 FROM t)",
            "SELECT * FROM t WHERE id = 5 UNION ALL SELECT * FROM t",
            "SELECT * FROM seen WHERE id = 5",
            "WITH c AS (SELECT * FROM t) SELECT * FROM c WHERE id = 5",
            // No key that certainly holds integers.
            "SELECT * FROM bare WHERE id = 5", "SELECT * FROM descending WHERE id = 5",
            "SELECT * FROM short WHERE id = 5", "SELECT * FROM pair WHERE a = 5",
        ])
    func wholeReads(_ sql: String) async throws {
        let profile = try await profile(sql)
        #expect(profile.dependencies.allSatisfy { $0.scope == .all })
    }

    @Test(
        "A write that compares the key with integers touches those rows alone",
        arguments: [
            ("UPDATE t SET v = v + 1 WHERE id = 5", keys(5)),
            ("UPDATE t AS x SET v = 1 WHERE x.id IN (1, 2) AND v = 3", keys(1, 2)),
            ("UPDATE t SET v = $1 WHERE id = $2 RETURNING v", [parameter(1)]),
            ("DELETE FROM t WHERE id = $1", [parameter(0)]),
            ("UPDATE t SET id = 9 WHERE id = 5", keys(5, 9)),
            ("UPDATE t SET rowid = 9 WHERE id = 5", keys(5, 9)),
            ("UPDATE t SET ID = $1 WHERE id = 5", keys(5) + [parameter(0)]),
            ("INSERT INTO t VALUES (1, 2, 'x'), (3, 4, 'y')", keys(1, 3)),
            ("INSERT INTO t (name, id) VALUES ('x', 7)", keys(7)),
            ("INSERT INTO t (id) VALUES (7) ON CONFLICT DO NOTHING", keys(7)),
        ] as [(String, [KeyOperand])])
    func writes(_ sql: String, _ keys: [KeyOperand]) async throws {
        let expected = RowPins(["id": Set(keys)])
        #expect(try await profile(sql).writeSet == .relations([RelationIdentifier("t"): expected]))
    }

    @Test(
        "Any other write may touch any row",
        arguments: [
            "UPDATE t SET v = 1", "DELETE FROM t WHERE v = 5",
            "UPDATE t SET id = id + 1 WHERE id = 5",
            "UPDATE t SET rowid = v WHERE id = 5", "UPDATE t SET _rowid_ = v WHERE id = 5",
            "UPDATE t SET oid = v WHERE id = 5", "UPDATE t SET id = '9' WHERE id = 5",
            "DELETE FROM t WHERE id = '5'", "DELETE FROM t WHERE id = 5 OR id = 6",
            "UPDATE t SET v = 1 FROM other WHERE t.id = 5 AND other.t = t.id",
            "UPDATE OR REPLACE t SET id = 9 WHERE id = 5", "REPLACE INTO t VALUES (1, 2, 'x')",
            "INSERT OR REPLACE INTO t VALUES (1, 2, 'x')",
            "INSERT INTO t (id, v) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET id = 3",
            "INSERT INTO t (v) VALUES (1)", "INSERT INTO t VALUES (NULL, 1, 'x')",
            "INSERT INTO t (id) VALUES ($1)", "INSERT INTO t (rowid, v) VALUES (4, 1)",
            "INSERT INTO t SELECT id, t, 'x' FROM other WHERE id = 5", "TRUNCATE t",
            "DELETE FROM tree WHERE id = 5", "DELETE FROM parent WHERE id = 5",
            "UPDATE triggered SET v = 1 WHERE id = 1", "INSERT INTO replacing VALUES (1, 2)",
            "DELETE FROM bare WHERE id = 5", "DELETE FROM descending WHERE id = 5",
        ])
    func wholeWrites(_ sql: String) async throws {
        let profile = try await profile(sql)
        guard case .relations(let relations) = profile.writeSet else {
            #expect(profile.writeSet != .nothing)
            return
        }
        #expect(!relations.isEmpty && relations.values.allSatisfy { $0 == .anyRow })
    }

    @Test("A parameter is read by the type that the client declared for it")
    func declaredTypes() async throws {
        let fixture = try SQLiteFixture(Self.schema)
        let sql = "SELECT v FROM t WHERE id = $1"
        for (type, expected) in [
            (
                PostgresType.int4,
                RowScope.keyed(.init(columns: ["id"], tuples: [[Self.parameter(0, width: 4)]]))
            ),
            (.int8, .keyed(.init(columns: ["id"], tuples: [[Self.parameter(0)]]))),
            (.text, .all), (.float8, .all), (.numeric, .all),
            (.int2, .keyed(.init(columns: ["id"], tuples: [[Self.parameter(0, width: 2)]]))),
        ] {
            let profile = try #require(await fixture.profile(sql, [type.oid]).first)
            #expect(profile.dependencies.first?.scope == expected, "\(type.name)")
        }
    }

    @Test("A trigger made since the profile makes a keyed write move everything around its commit")
    func triggerMadeSince() async throws {
        let fixture = try SQLiteFixture(Self.schema)
        let client = try await fixture.client()
        let sql = "UPDATE t SET v = 1 WHERE id = 5"
        _ = await fixture.profile(sql)
        var schema = fixture.schemaCell.version
        #expect(try await client.query(sql) == ["C UPDATE 0", "Z I"])
        #expect(fixture.schemaCell.version == schema)
        // It writes to the table that the profile has named, but to other rows.
        try fixture.runElsewhere(
            "CREATE TRIGGER late AFTER UPDATE ON t BEGIN UPDATE t SET v = 2 WHERE id = 6; END")
        // Noticed now, and not by what writes next.
        try await fixture.upstream.checkReachable()
        schema = fixture.schemaCell.version
        #expect(try await client.query(sql) == ["C UPDATE 0", "Z I"])
        #expect(fixture.schemaCell.version > schema)
    }
}
