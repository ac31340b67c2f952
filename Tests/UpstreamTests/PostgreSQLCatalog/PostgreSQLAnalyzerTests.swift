import Foundation
import ResultCache
import SQLAnalysis
import Synchronization
import Testing

@testable import Upstream

@Suite("Profiles from a real catalog")
struct PostgreSQLAnalyzerTests {
    private static let writeModes =
        "'RowExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock'"

    @Test("What the server locks for a read is in its read set, and it may be cached")
    func reads() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        for sql in ShopSchema.cacheable {
            let profile = try await shop.profile(sql)
            #expect(profile.bypassReason == nil, "\(sql)")
            #expect(profile.kind == .read && profile.writeSet == .nothing, "\(sql)")
            let truth = try shop.locked(
                "SET LOCAL search_path = app, public; " + sql, modes: "'AccessShareLock'")
            let readSet = Set(profile.readSet.map(\.identifier.rawValue))
            #expect(truth.isSubset(of: readSet), "\(sql): \(truth) \(readSet)")
        }
    }

    @Test("What the server locks for a write is in its write set")
    func writes() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        for sql in ShopSchema.writes {
            let truth = try shop.locked(sql, modes: Self.writeModes)
            let profile = try await shop.profile(sql)
            #expect(profile.kind == .write || sql.contains("PROGRAM"), "\(sql)")
            #expect(profile.bypassReason != nil)
            switch profile.writeSet {
            case .relations(let identifiers):
                let predicted = Set(identifiers.keys.map(\.rawValue))
                #expect(
                    !truth.isEmpty && truth.isSubset(of: predicted),
                    "\(sql): \(truth) \(predicted)")
            case .everythingAndCatalog: #expect(sql.contains("PROGRAM"), "\(sql)")
            case .nothing, .everything: Issue.record("\(sql): \(profile.writeSet)")
            }
        }
    }

    @Test("Write sets are no larger than they have to be")
    func exactWrites() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        #expect(try await shop.writes("UPDATE plain SET t = 'z'") == shop.families("plain"))
        #expect(
            try await shop.writes("DELETE FROM customer")
                == shop.families("customer", "orders", "line"))
        #expect(
            try await shop.writes("TRUNCATE customer CASCADE")
                == shop.families("customer", "orders", "line", "note"))
        #expect(try await shop.writes("UPDATE stamped SET id = 6") == shop.families("stamped"))
        #expect(
            try await shop.writes("INSERT INTO disabled VALUES (1)") == shop.families("disabled"))
        #expect(try await shop.writes("INSERT INTO event_1 VALUES (1)") == shop.families("event"))
        #expect(
            try await shop.writes("INSERT INTO grandchild VALUES (1)") == shop.families("parent"))
    }

    @Test("Code that cannot be seen through writes everything")
    func opaque() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        for sql in ShopSchema.opaque {
            let profile = try await shop.profile(sql)
            #expect(profile.writeSet == .everythingAndCatalog, "\(sql)")
            #expect(profile.bypassReason != nil, "\(sql)")
        }
        #expect(try await shop.profile("CALL proc()").mayEndTransaction)
        #expect(try await shop.profile("SELECT reader()").bypassReason == .userDefinedFunction)
        #expect(try await shop.profile("SELECT reader()").writeSet == .nothing)
    }

    @Test("Every stable and volatile function of the server is refused unless reviewed")
    func functions() async throws {
        let shop = try AnalyzerFixture("CREATE TABLE t (id int);")
        let names = try shop.server.execute(
            """
            SELECT DISTINCT proname || '|' || pronargs FROM pg_proc p
            WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'
                AND provolatile <> 'i' AND prorettype <> 'trigger'::regtype
                AND NOT EXISTS (SELECT FROM pg_type t WHERE t.typname = p.proname)
            """, database: shop.database)
        var allowed: Set<String> = []
        for line in names.split(separator: "\n") {
            let parts = line.split(separator: "|")
            let arguments = Array(repeating: "null", count: Int(parts[1]) ?? 0)
                .joined(separator: ", ")
            let profile = try await shop.profile(
                "SELECT pg_catalog.\"\(parts[0])\"(\(arguments)) FROM t")
            if profile.isCacheable { allowed.insert(String(parts[0])) }
        }
        let refused = [
            "now", "random", "age", "current_setting", "set_config", "nextval", "pg_sleep",
            "clock_timestamp", "statement_timestamp", "timeofday", "current_schema",
            "current_schemas", "current_user", "has_table_privilege", "pg_get_viewdef",
            "query_to_xml", "table_to_xml", "txid_current", "gen_random_uuid", "to_regclass",
            "pg_backend_pid", "inet_server_addr", "obj_description", "lastval", "ts_stat",
            "pg_table_is_visible", "row_security_active", "version", "pg_relation_size",
            "pg_read_file", "lo_get", "currval", "pg_typeof", "format_type", "nameconcatoid",
        ]
        #expect(allowed.isDisjoint(with: refused))
        #expect(allowed.allSatisfy { !$0.hasPrefix("pg_") && !$0.hasPrefix("has_") })
        #expect(allowed.isSuperset(of: ["to_char", "date_trunc", "concat", "row_to_json"]))
        #expect(allowed.count < 60, "\(allowed.sorted())")
    }

    @Test(
        "Reads that must not be cached say why",
        arguments: [
            ("SELECT * FROM dice", "row_level_security"),
            ("SELECT * FROM random_v", "volatile_function"),
            ("SELECT * FROM pg_class", "system_catalog"),
            ("SELECT * FROM information_schema.tables", "system_catalog"),
            ("SELECT * FROM nowhere", "unknown_relation"),
            ("SELECT last_value FROM line_id_seq", "sequence"),
            ("SELECT t <~~ 'x' FROM plain", "user_defined_operator"),
            ("SELECT t::short FROM plain", "user_defined_type"),
            ("SELECT * FROM customer WHERE born = 'today'", "relative_time_literal"),
            ("SELECT name::date FROM customer", "stable_function"),
            ("SELECT t::timestamptz FROM plain", "stable_function"),
            ("SELECT now(), * FROM plain", "current_time_or_user"),
            ("SELECT 1", "no_relation"),
        ])
    func bypassed(sql: String, reason: String) async throws {
        let shop = try Self.sharedShop.get()
        #expect(try await shop.profile(sql).bypassReason?.rawValue == reason)
    }

    private static let sharedShop = Result { try AnalyzerFixture(ShopSchema.sql) }

    @Test("Names are looked for in every schema of the path")
    func searchPath() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        func tables(_ path: String) async throws -> Set<String> {
            let profile = try await shop.profile("SELECT * FROM plain", path: path)
            return Set(profile.readSet.map { "\($0.schema).\($0.name)" })
        }
        #expect(try await tables("public") == ["public.plain"])
        #expect(try await tables("other") == ["other.plain"])
        #expect(try await tables("other, public") == ["other.plain", "public.plain"])
        #expect(try await tables("app") == [])
    }

    @Test("A moved catalog cell makes the next statement see the new definition")
    func invalidation() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        #expect(try await shop.profile("SELECT * FROM brand_new").bypassReason == .unknownRelation)
        #expect(try await shop.profile("SELECT * FROM plain").isCacheable)
        try shop.define(
            "CREATE TABLE brand_new (id int); ALTER TABLE plain ENABLE ROW LEVEL SECURITY; "
                + "CREATE POLICY p ON plain USING (random() > 0.5)")
        #expect(try await shop.profile("SELECT * FROM brand_new").isCacheable)
        #expect(try await shop.profile("SELECT * FROM plain").bypassReason == .rowLevelSecurity)
        try shop.define(
            "CREATE OR REPLACE FUNCTION reader() RETURNS bigint LANGUAGE sql AS "
                + "'INSERT INTO plain VALUES (3) RETURNING 1::bigint'")
        #expect(
            try await shop.writes("SELECT reader()") == shop.families("plain", "other.plain"))
        let profile = await shop.query("SELECT * FROM brand_new")
        #expect(profile.catalogVersion == shop.analyzer.catalogVersion(database: shop.database))
    }

    @Test("While a change of the catalog is being committed nothing is cached")
    func writerInFlight() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        #expect(try await shop.profile("SELECT count(*) FROM plain").isCacheable)
        let cell = shop.cells.cell(.catalog(database: shop.database))
        let window = try #require(WriteWindow.open(CellSet([cell])))
        let profile = try await shop.profile("SELECT count(*) FROM plain")
        #expect(profile.bypassReason == .catalogNotReady)
        #expect(profile.writeSet == .everything)
        // The last catalog shows that count() leaves nothing behind in the session.
        #expect(!profile.taintsSession)
        #expect(try await shop.profile("BEGIN").kind == .transaction(.begin(isolation: nil)))
        window.close(.aborted)
        // A failed load is not repeated at once, so the answer may still be the careful one.
        let deadline = ContinuousClock.now + .seconds(20)
        var isCacheable = false
        while !isCacheable, ContinuousClock.now < deadline {
            isCacheable = try await shop.profile("SELECT count(*) FROM plain").isCacheable
        }
        #expect(isCacheable)
    }

    @Test("A server that cannot be reached leaves careful profiles, not waiting statements")
    func unreachable() async throws {
        let cells = CellTable()
        let analyzer = PostgreSQLAnalyzer(
            conninfo: "postgresql://postgres@127.0.0.1:1/x", cells: cells)
        let context = ResolutionContext(
            database: "x", sessionUser: "u", currentRole: "u", searchPath: "public")
        let profile = await withCheckedContinuation { continuation in
            let lookup = analyzer.profile(
                of: "SELECT * FROM t", parameterTypes: [], context: context
            ) { continuation.resume(returning: $0) }
            if case .known(let profile) = lookup { continuation.resume(returning: profile) }
        }
        #expect(profile.statements.map(\.bypassReason) == [.catalogNotReady])
        #expect(profile.statements.map(\.writeSet) == [.everything])
        #expect(profile.catalogVersion != analyzer.catalogVersion(database: "x"))
        await #expect(throws: ControlError.self) { try await analyzer.reachable() }
        analyzer.close()
    }

    @Test("A definition does not wait for a catalog that the one before has made stale")
    func definitionsInSeries() async throws {
        let shop = try AnalyzerFixture(ShopSchema.sql)
        let context = ResolutionContext(
            database: shop.database, sessionUser: "app", currentRole: "app", searchPath: "public")
        func known(_ sql: String) -> StatementProfile? {
            let lookup = shop.analyzer.profile(of: sql, parameterTypes: [], context: context) { _ in
            }
            guard case .known(let profile) = lookup else { return nil }
            return profile.statements.first
        }
        #expect(try await shop.profile("SELECT * FROM plain").isCacheable)
        for round in 0..<2 {
            try shop.define("CREATE TABLE series_\(round) (id int)")
            let profile = try #require(known("CREATE TABLE further_\(round) (id int)"))
            #expect(profile.kind == .write && profile.writeSet == .everythingAndCatalog)
            // What event triggers may leave behind the last catalog tells.
            #expect(!profile.taintsSession && profile.sessionEffects.isEmpty)
        }
        #expect(known("SELECT * FROM plain") == nil)
    }

    @Test("Unparsed text is known to be opaque at once")
    func unparsed() async throws {
        let shop = try AnalyzerFixture("CREATE TABLE t (id int);")
        let profile = try await shop.profile("selekt 1")
        #expect(profile.kind == .opaque && profile.bypassReason == .unparsed)
        #expect(profile.writeSet == .everythingAndCatalog)
        try await shop.analyzer.reachable()
    }
}
