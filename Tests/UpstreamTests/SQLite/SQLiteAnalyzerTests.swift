import SQLAnalysis
import Telemetry
import Testing

@testable import Upstream

@Suite("SQLite analyzer") struct SQLiteAnalyzerTests {
    let schema = """
        CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT);
        CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id) ON DELETE CASCADE);
        CREATE TABLE log (m TEXT);
        CREATE VIEW va AS SELECT id, v FROM a;
        CREATE VIEW vv AS SELECT va.id, b.a FROM va JOIN b ON b.a = va.id;
        CREATE TRIGGER tr AFTER UPDATE ON a BEGIN INSERT INTO log VALUES (new.v); END;
        CREATE VIRTUAL TABLE ft USING fts5 (x);
        """

    private func reads(_ sql: String) async throws -> [String] {
        try #require(await SQLiteFixture(schema).profile(sql).first).readSet.map(\.name).sorted()
    }

    private func writes(_ sql: String) async throws -> WriteSet {
        try #require(await SQLiteFixture(schema).profile(sql).first).writeSet
    }

    private func relations(_ names: String...) -> WriteSet {
        .relations(Set(names.map { RelationIdentifier($0) }))
    }

    @Test("Views are expanded to the tables that they read")
    func views() async throws {
        #expect(try await reads("SELECT * FROM vv") == ["a", "b"])
        #expect(try await reads("SELECT count(*) FROM va") == ["a"])
        // The name of a common table expression counts as the table it hides: too much, never too
        // little.
        let hidden = try await reads(
            "WITH log AS (SELECT 1 AS x) SELECT x FROM log, A WHERE a.id = $1")
        #expect(hidden == ["a"])
    }

    @Test("Write sets hold what triggers, cascades and REPLACE touch")
    func writeSets() async throws {
        #expect(try await writes("UPDATE a SET v = $1 WHERE id = $2") == relations("a", "log"))
        #expect(try await writes("DELETE FROM a WHERE id = 1") == relations("a", "b"))
        #expect(try await writes("TRUNCATE a") == relations("a", "b"))
        #expect(try await writes("INSERT INTO b (a) VALUES (1)") == relations("b"))
        #expect(try await writes("REPLACE INTO a VALUES (1, 'x')") == relations("a", "b"))
        #expect(try await writes("CREATE TABLE z (q)") == .everythingAndCatalog)
        #expect(try await writes("INSERT INTO ft VALUES ('x')") == .everything)
        #expect(try await writes("not sql at all") == .everythingAndCatalog)
    }

    @Test(
        "Only what depends on its tables and arguments alone may be cached",
        arguments: [
            ("SELECT * FROM a WHERE id = $1", nil),
            ("SELECT upper(v), count(*) FROM a GROUP BY v", nil),
            ("SELECT random() FROM a", .volatileFunction),
            ("SELECT date(v) FROM a", .currentTimeOrUser),
            ("SELECT date('now') FROM a", .currentTimeOrUser),
            ("SELECT CURRENT_TIMESTAMP, id FROM a", .currentTimeOrUser),
            ("SELECT last_insert_rowid() FROM a", .volatileFunction),
            ("SELECT load_extension('x') FROM a", .userDefinedFunction),
            ("SELECT * FROM sqlite_schema", .systemCatalog),
            ("SELECT * FROM ft", .virtualTable),
            ("SELECT 1", .noRelation),
            ("SELECT * FROM a FOR UPDATE", .lockingClause),
            ("SELECT * FROM nope", .unknownRelation),
            ("UPDATE a SET v = 1", .notARead),
            ("SELECT * FROM pg_class", .systemCatalog),
        ] as [(String, BypassReason?)])
    func bypassReasons(sql: String, reason: BypassReason?) async throws {
        let profile = try #require(await SQLiteFixture(schema).profile(sql).first)
        #expect(profile.bypassReason == reason)
    }

    @Test("Transaction control and settings are recognised")
    func control() async throws {
        let fixture = try SQLiteFixture(schema)
        let profiles = await fixture.profile(
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SAVEPOINT s; SET TimeZone = 'UTC'; SHOW x; COMMIT AND CHAIN; EXECUTE p"
        )
        #expect(
            profiles.map(\.kind) == [
                .transaction(.begin(isolation: .serializable)), .transaction(.savepoint),
                .setting(.set(name: "timezone", value: "UTC")), .harmless,
                .transaction(.commit(chain: true)), .opaque,
            ])
    }

    @Test("A profile is remembered until the catalog's cell moves")
    func memo() async throws {
        let fixture = try SQLiteFixture(schema)
        let sql = "SELECT * FROM va"
        _ = await fixture.profile(sql)
        let analyzer = fixture.upstream.analyzer
        let context = ResolutionContext(
            database: "shop", sessionUser: "u", currentRole: "u", searchPath: "")
        guard
            case .known(let profile) = analyzer.profile(
                of: sql, parameterTypes: [], context: context, completion: { _ in })
        else {
            Issue.record("the profile was not remembered")
            return
        }
        #expect(profile.catalogVersion == analyzer.catalogVersion(database: "shop"))
        let table = fixture.cells
        DatabaseCells(table: table, database: "shop").invalidate(catalogToo: true)
        let again = await withCheckedContinuation { continuation in
            let lookup = analyzer.profile(of: sql, parameterTypes: [], context: context) {
                continuation.resume(returning: $0 as QueryProfile?)
            }
            if case .known = lookup { continuation.resume(returning: nil) }
        }
        #expect(try #require(again).catalogVersion != profile.catalogVersion)
    }
}
