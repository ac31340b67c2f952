import Mutants
import Testing

@testable import SQLAnalysis

/// A body, and what a statement that calls it may change: names of tables of the sample catalog,
/// or nil for everything.
struct BodySample: CustomTestStringConvertible, Sendable {
    let name: String
    let body: String
    var language = "plpgsql"
    var result = "trigger"
    let changes: Set<String>?

    var testDescription: String { name }

    static let plain = [
        BodySample(
            name: "an insert", body: "BEGIN INSERT INTO audit VALUES (1); RETURN NEW; END",
            changes: ["audit"]),
        BodySample(
            name: "nested blocks",
            body: """
                <<top>> DECLARE x int := 1; BEGIN
                  DECLARE y int := x; BEGIN UPDATE line SET id = y; END;
                  BEGIN BEGIN DELETE FROM public.audit WHERE id = top.x; END; END;
                END top
                """, changes: ["line", "audit"]),
        BodySample(
            name: "an exception handler",
            body: """
                DECLARE x text; BEGIN INSERT INTO line VALUES (1);
                EXCEPTION WHEN unique_violation OR others THEN
                  GET STACKED DIAGNOSTICS x = MESSAGE_TEXT; DELETE FROM stamped; END
                """,
            changes: ["line", "stamped"]),
        BodySample(
            name: "every branch",
            body: """
                DECLARE i int; BEGIN
                IF TG_OP = 'INSERT' THEN INSERT INTO line VALUES (1);
                ELSIF TG_OP = 'UPDATE' THEN UPDATE audit SET id = 2;
                ELSE DELETE FROM stamped; END IF;
                CASE i WHEN 1, 2 THEN NULL; ELSE TRUNCATE guarded; END CASE;
                CASE WHEN i = 1 THEN NULL; ELSE NULL; END CASE;
                RETURN NULL; END
                """, changes: ["line", "audit", "stamped", "guarded"]),
        BodySample(
            name: "loops",
            body: """
                DECLARE r record; i int; BEGIN
                FOR r IN SELECT id FROM customer LOOP INSERT INTO line VALUES (r.id); END LOOP;
                FOR i IN REVERSE 10..1 BY 2 LOOP UPDATE audit SET id = i; END LOOP;
                FOREACH i IN ARRAY ARRAY[1, 2] LOOP DELETE FROM stamped WHERE id = i; END LOOP;
                WHILE i < 5 LOOP i := i + 1; CONTINUE WHEN i = 3; EXIT WHEN i = 4; END LOOP;
                FOR r IN DELETE FROM guarded RETURNING * LOOP RAISE NOTICE '%', r.id; END LOOP;
                END
                """, changes: ["line", "audit", "stamped", "guarded"]),
        BodySample(
            name: "RETURN QUERY of a write",
            body: "BEGIN RETURN QUERY UPDATE line SET id = 3 RETURNING id; END",
            result: "SETOF int", changes: ["line"]),
        BodySample(
            name: "PERFORM of a function that writes",
            body: "BEGIN PERFORM writer() FROM customer; END", changes: ["line"]),
        BodySample(
            name: "INSERT … RETURNING INTO",
            body:
                "DECLARE x int; BEGIN INSERT INTO audit VALUES (1) RETURNING id INTO STRICT x; END",
            changes: ["audit"]),
        BodySample(
            name: "SELECT INTO a variable beside a write",
            body: "DECLARE x int; BEGIN SELECT id INTO x FROM customer; DELETE FROM audit; END",
            changes: ["audit"]),
        BodySample(
            name: "a WITH in an assignment",
            body: """
                DECLARE x int; BEGIN
                x := (WITH w AS (DELETE FROM audit RETURNING *) SELECT count(*) FROM w); END
                """, changes: ["audit"]),
        BodySample(
            name: "a WITH in a query",
            body: """
                BEGIN RETURN QUERY WITH w AS (UPDATE line SET id = 1 RETURNING id),
                v AS (INSERT INTO audit SELECT id FROM w RETURNING id) SELECT id FROM v; END
                """, result: "SETOF int", changes: ["line", "audit"]),
        BodySample(
            name: "an assignment from a function that writes",
            body: "DECLARE x int; BEGIN x := 1 + writer(); RETURN x; END", changes: ["line"]),
        BodySample(
            name: "a variable's default that writes",
            body: "DECLARE x int := writer(); BEGIN RETURN x; END", changes: ["line"]),
        BodySample(
            name: "a condition that writes",
            body: "BEGIN IF writer() > 0 THEN RETURN 1; END IF; RETURN 2; END", changes: ["line"]),
        BodySample(
            name: "the word in a literal",
            body: "BEGIN RAISE NOTICE 'insert into audit'; RETURN 'delete from line'; END",
            changes: []),
        BodySample(
            name: "the word in a comment",
            body: """
                BEGIN -- insert into audit
                /* update line /* truncate */ set */ DELETE FROM stamped; END
                """, changes: ["stamped"]),
        BodySample(
            name: "dollar quotes",
            body: "BEGIN INSERT INTO \"Mixed\" VALUES ($q$insert into audit$q$); END",
            changes: ["Mixed"]),
        BodySample(
            name: "quoted identifiers",
            body: "BEGIN UPDATE \"Mixed\" AS \"update\" SET id = 1; END", changes: ["Mixed"]),
        BodySample(
            name: "MERGE",
            body: """
                BEGIN MERGE INTO line t USING customer c ON c.id = t.id
                WHEN MATCHED AND c.id > 3 THEN DELETE WHEN MATCHED THEN UPDATE SET id = 1
                WHEN NOT MATCHED THEN INSERT (id) VALUES (1); END
                """, changes: ["line"]),
        BodySample(
            name: "ON CONFLICT DO UPDATE",
            body: """
                BEGIN INSERT INTO line VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2; END
                """, changes: ["line"]),
        BodySample(
            name: "a row lock",
            body: "DECLARE x int; BEGIN SELECT id INTO x FROM customer FOR UPDATE; RETURN x; END",
            changes: []),
        BodySample(
            name: "recursion",
            body: "BEGIN DELETE FROM audit; PERFORM tested(); END", changes: ["audit"]),
        BodySample(
            name: "NEW and OLD",
            body: "BEGIN NEW.id := OLD.id + 1; NEW.note = 'insert'; RETURN NEW; END", changes: []),
        BodySample(
            name: "a foreign key's action", body: "BEGIN DELETE FROM orders; END",
            changes: ["orders", "line"]),
        BodySample(
            name: "a table of that name in every schema",
            body: "BEGIN INSERT INTO customer VALUES (1); END", changes: ["customer", "other"]),
        BodySample(
            name: "a qualified name",
            body: "BEGIN INSERT INTO other.customer VALUES (1); END", changes: ["other"]),
        BodySample(
            name: "a table whose own trigger writes",
            body: "BEGIN INSERT INTO logged VALUES (1); END", changes: ["logged", "audit"]),
        BodySample(
            name: "a table with a default that writes",
            body: "BEGIN INSERT INTO guarded VALUES (1); END", changes: ["guarded", "line"]),
        BodySample(
            name: "a view that is updatable", body: "BEGIN DELETE FROM customer_v; END",
            changes: ["customer", "orders", "line", "event_1_a"]),
        BodySample(
            name: "a materialized view",
            body: "BEGIN REFRESH MATERIALIZED VIEW total_m; END", changes: ["total_m"]),
        BodySample(
            name: "a SQL body",
            body: "INSERT INTO audit SELECT $1; UPDATE line SET id = 1 RETURNING id",
            language: "sql", changes: ["audit", "line"]),
        BodySample(
            name: "a SQL-standard body",
            body: """
                BEGIN ATOMIC
                 INSERT INTO public.audit (id) VALUES (1);
                 SELECT 1;
                END
                """, language: "sql", changes: ["audit"]),
        BodySample(
            name: "a SQL-standard RETURN", body: "RETURN public.writer()", language: "sql",
            changes: ["line"]),
        BodySample(
            name: "an aggregate", body: "pure writer", language: "aggregate", changes: ["line"]),
        BodySample(
            name: "an assertion and diagnostics",
            body: """
                DECLARE n int; BEGIN DELETE FROM audit; GET DIAGNOSTICS n = ROW_COUNT;
                ASSERT n > 0, 'none to delete'; RETURN n; END
                """, changes: ["audit"]),
        BodySample(
            name: "a lock", body: "BEGIN LOCK TABLE customer; DELETE FROM audit; END",
            changes: ["audit"]),
    ]

    static let opaque = [
        "BEGIN EXECUTE 'DELETE FROM ' || TG_TABLE_NAME; END",
        "BEGIN EXECUTE 'SELECT $1' USING 1; END",
        "DECLARE r record; BEGIN FOR r IN EXECUTE 'x' USING 1 LOOP NULL; END LOOP; END",
        "DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'x'; END",
        "BEGIN RETURN QUERY EXECUTE 'x'; END",
        "BEGIN DELETE FROM audit; COMMIT; END", "BEGIN DELETE FROM audit; ROLLBACK; END",
        "BEGIN CREATE TEMP TABLE x (a int); END", "BEGIN ALTER TABLE audit ADD x int; END",
        "BEGIN DROP TABLE audit; INSERT INTO line VALUES (1); END",
        "BEGIN CALL something(); END", "BEGIN COPY audit FROM '/x'; END",
        "BEGIN INSERT INTO audit VALUES (1)", "BEGIN insert from; END",
        "BEGIN INSERT INTO audit VALUES (1); x.y.z := ; END",
        // What the grammar cannot do without a catalog.
        "DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; DELETE FROM audit; END",
        "DECLARE c customer; BEGIN c.id := 1; DELETE FROM audit; END",
        "BEGIN PERFORM dynamic(); END", "BEGIN RETURN U&\"d\\0061t\" ; END",
        "BEGIN DELETE FROM ruled; END", "BEGIN INSERT INTO pg_class VALUES (1); END",
        "BEGIN DO $$ BEGIN NULL; END $$; END",
    ]

    static let opaqueSQL = [
        "SELECT 1 INTO made", "CREATE TABLE made AS SELECT 1",
        "INSERT INTO audit VALUES (1); BEGIN",
        "DELETE FROM audit; SELECT * INTO TEMP x FROM line", "EXECUTE p", "INSERT audit VALUES (1)",
        "BEGIN ATOMIC DROP TABLE audit; END",
    ]
}

@Suite("Bodies of functions")
struct FunctionBodyTests {
    private static let oids: [String: UInt32] = [
        "customer": 40_001, "other": 40_005, "orders": 40_002, "line": 40_003, "audit": 40_004,
        "Mixed": 40_006, "stamped": 40_014, "guarded": 40_015, "event_1_a": 40_021,
        "total_m": 41_006, "logged": 40_050,
    ]

    /// The sample catalog with a function `tested`, and a trigger that writes from one table into
    /// another.
    private static func catalog(
        _ body: String, language: String = "plpgsql", definition: String = "",
        with more: (inout CatalogRows) -> Void = { _ in }
    ) -> PostgreSQLCatalog {
        var rows = SampleCatalog.rows
        rows.functions.append(
            .init(
                oid: 60_000, name: "tested", namespace: SampleCatalog.publicSchema,
                volatility: "v", language: language, resultType: SampleCatalog.int4, source: body,
                definition: definition))
        rows.triggers.removeAll { $0.relation == 40_004 }
        rows.classes.append(
            .init(
                oid: 40_050, name: "logged", namespace: SampleCatalog.publicSchema, kind: "r"))
        rows.triggers.append(.init(relation: 40_050, function: 50_001, events: .insert))
        more(&rows)
        return PostgreSQLCatalog(rows)
    }

    private static func profile(_ sql: String, _ catalog: PostgreSQLCatalog) throws
        -> StatementProfile
    {
        try #require(
            ProfileResolver.profile(
                of: try SyntaxAnalysis.facts(of: sql), catalog: catalog,
                context: ResolutionContext(
                    database: "shop", sessionUser: "app", currentRole: "app",
                    searchPath: "public"),
                parameterTypes: [], catalogVersion: 1
            ).statements.first)
    }

    private static func families(_ names: Set<String>) -> WriteSet {
        if names.isEmpty { return .nothing }
        return .relations(
            Set(names.compactMap { oids[$0].map { RelationIdentifier(String($0)) } }))
    }

    @Test(
        "A body that is understood changes its tables and what they set off",
        arguments: BodySample.plain)
    func targets(sample: BodySample) throws {
        let expected = Self.families(sample.changes ?? [])
        let profile = try Self.profile(
            "SELECT tested()",
            Self.catalog(
                sample.body, language: sample.language,
                definition: sample.language == "plpgsql"
                    ? FunctionBodyReader.definition(ofBody: sample.body, returning: sample.result)
                    : ""))
        #expect(profile.writeSet == expected)
        #expect(!profile.isCacheable && !profile.taintsSession && !profile.mayEndTransaction)
        if sample.changes != [] { #expect(profile.kind == .write) }
    }

    @Test("A body that is not understood changes everything", arguments: BodySample.opaque)
    func opaque(body: String) throws {
        let profile = try Self.profile("SELECT tested()", Self.catalog(body))
        #expect(profile.writeSet == .everythingAndCatalog)
        #expect(profile.kind == .opaque || body.contains("pg_class"))
    }

    @Test("So does a SQL body", arguments: BodySample.opaqueSQL)
    func opaqueSQL(body: String) throws {
        let profile = try Self.profile("SELECT tested()", Self.catalog(body, language: "sql"))
        #expect(profile.writeSet == .everythingAndCatalog)
    }

    @Test("A word without its statement, or one statement too few, leaves a body without targets")
    func unexplainedWords() {
        let text = "INSERT INTO audit VALUES (1)"
        var words = FunctionBodyScanner.words(ofText: text, isSQL: true)
        #expect(
            FunctionBodyReader.targets(ofSQL: text, words)
                == [WriteTarget(relation: RelationName(name: "audit"), action: .insert)])
        words.changes["insert"] = 2
        #expect(FunctionBodyReader.targets(ofSQL: text, words) == nil)
        words.changes = ["insert": 1, "into": 1, "delete": 1]
        #expect(FunctionBodyReader.targets(ofSQL: text, words) == nil)
    }

    @Test("Names are found as the server folds and cuts them")
    func names() {
        func names(_ text: String) -> Set<String> {
            FunctionBodyScanner.words(ofText: text, isSQL: true).names
        }
        #expect(names("SELECT Foo(), \"Bar\"\"x\"()").isSuperset(of: ["foo", "Bar\"x"]))
        #expect(names("SELECT ÉTÉ()").contains("ÉtÉ"))
        let long = String(repeating: "a", count: 62) + "é"
        #expect(names("SELECT \(long)x()").contains(String(repeating: "a", count: 62)))
        #expect(names("SELECT a\(long)()").contains("a" + String(repeating: "a", count: 62)))
    }

    @Test("A string that may end elsewhere hides what follows")
    func strings() {
        func behaviour(_ text: String) -> FunctionBehaviour {
            FunctionBodyScanner.words(ofText: text, isSQL: true).behaviour
        }
        #expect(behaviour(#"SELECT '\' || f() || '\'"#) == .opaque)
        #expect(behaviour(#"SELECT E'\'' || '\d+' || $$\'$$"#) == [])
    }

    @Test("Arguments come from the definition: their defaults run, and they can be assigned")
    func definitions() throws {
        let body = "BEGIN a := 1; SELECT 1, 2 INTO a, b; INSERT INTO audit VALUES (a); END"
        let catalog = Self.catalog(
            body,
            definition: "CREATE OR REPLACE FUNCTION public.tested(a integer DEFAULT writer(), "
                + "OUT b integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER "
                + "SET search_path TO 'x' AS $function$\(body)$function$")
        #expect(
            try Self.profile("SELECT tested()", catalog).writeSet
                == Self.families(["audit", "line"]))
    }

    @Test("All overloads count")
    func overloads() throws {
        let catalog = Self.catalog("BEGIN DELETE FROM audit; END") { rows in
            rows.functions.append(
                .init(
                    oid: 60_001, name: "tested", namespace: SampleCatalog.other, volatility: "v",
                    language: "plpgsql", argumentTypes: [SampleCatalog.int4],
                    source: "BEGIN DELETE FROM stamped; END"))
            rows.functions.append(
                .init(
                    oid: 60_002, name: "outer", namespace: SampleCatalog.publicSchema,
                    volatility: "s", language: "sql", source: "SELECT tested()"))
        }
        #expect(
            try Self.profile("SELECT public.outer()", catalog).writeSet
                == Self.families(["audit", "stamped"]))
    }

    @Test("A trigger counts on its events, also one that writes to its own table")
    func triggers() throws {
        let catalog = Self.catalog("BEGIN UPDATE guarded SET id = 1; RETURN NULL; END") { rows in
            rows.dependencies = []
            rows.triggers.append(.init(relation: 40_015, function: 60_000, events: .update))
            rows.triggers.append(.init(relation: 40_014, function: 60_000, events: .truncate))
            rows.triggers.append(.init(relation: 40_023, function: 60_000, events: [.insert]))
        }
        func writes(_ sql: String) throws -> WriteSet { try Self.profile(sql, catalog).writeSet }
        #expect(try writes("INSERT INTO guarded VALUES (1)") == Self.families(["guarded"]))
        #expect(try writes("UPDATE guarded SET id = 2") == Self.families(["guarded"]))
        #expect(try writes("UPDATE stamped SET id = 2") == Self.families(["stamped"]))
        #expect(try writes("TRUNCATE stamped") == Self.families(["stamped", "guarded"]))
        // On a partition; an UPDATE may move a row into it.
        #expect(
            try writes("INSERT INTO event VALUES (1)") == Self.families(["event_1_a", "guarded"]))
        #expect(try writes("UPDATE event SET id = 1") == Self.families(["event_1_a", "guarded"]))
        #expect(try writes("INSERT INTO logged VALUES (1)") == Self.families(["logged", "audit"]))
        #expect(try writes("TRUNCATE logged") == Self.families(["logged"]))
        #expect(TriggerEvents(tgtype: 0b0001_0101) == [.insert, .update])
        #expect(TriggerEvents(tgtype: 0b0110_1010) == [.delete, .truncate])
    }

    @Test("A write whose triggers are ignored misses what they change")
    func mutant() throws {
        let catalog = Self.catalog("")
        func writes() throws -> WriteSet {
            try Self.profile("INSERT INTO logged VALUES (1)", catalog).writeSet
        }
        #expect(try writes() == Self.families(["logged", "audit"]))
        let mutated = try Mutant.$scoped.withValue(.triggersIgnored) { try writes() }
        #expect(mutated == Self.families(["logged"]))
    }

    @Test("A temporary table that hides a permanent one has triggers of its own")
    func temporaryTables() throws {
        let catalog = Self.catalog("BEGIN DELETE FROM audit; RETURN NEW; END") { rows in
            rows.classes.append(
                .init(
                    oid: 40_060, name: "stamped", namespace: SampleCatalog.temporary, kind: "r",
                    isTemporary: true))
            rows.triggers.append(.init(relation: 40_060, function: 60_000, events: .insert))
        }
        func writes(_ sql: String) throws -> WriteSet { try Self.profile(sql, catalog).writeSet }
        #expect(
            try writes("INSERT INTO stamped VALUES (1)") == Self.families(["stamped", "audit"]))
        #expect(try writes("INSERT INTO public.stamped VALUES (1)") == Self.families(["stamped"]))
        #expect(try writes("INSERT INTO pg_temp.stamped VALUES (1)") == .everything)
    }

    @Test("DO and CALL are seen through where their code is")
    func blocks() throws {
        let catalog = Self.catalog("BEGIN DELETE FROM audit; END")
        func profile(_ sql: String) throws -> StatementProfile { try Self.profile(sql, catalog) }
        let block = try profile("DO $$ BEGIN UPDATE line SET id = 1; PERFORM tested(); END $$")
        #expect(block.writeSet == Self.families(["line", "audit"]))
        #expect(block.kind == .write && !block.mayEndTransaction && !block.taintsSession)
        #expect(try profile("CALL tested()").writeSet == Self.families(["audit"]))
        #expect(try !profile("CALL tested()").mayEndTransaction)
        #expect(try profile("DO $$ BEGIN PERFORM 1; END $$").writeSet == .nothing)
        for sql in [
            "DO $$ BEGIN DELETE FROM audit; COMMIT; END $$", "DO $$ BEGIN EXECUTE 'x'; END $$",
            "DO LANGUAGE plpython3u $$ x $$", "DO $$ BEGIN PERFORM dynamic(); END $$",
            "CALL dynamic()", "CALL unknown()",
        ] {
            #expect(try profile(sql).writeSet == .everythingAndCatalog)
            #expect(try profile(sql).mayEndTransaction)
            #expect(try profile(sql).kind == .opaque)
        }
        let unknown = ProfileResolver.profileWithoutCatalog(
            of: try SyntaxAnalysis.facts(of: "DO $$ BEGIN DELETE FROM audit; END $$"),
            catalogVersion: 0)
        #expect(unknown.statements[0].writeSet == .everything)
        #expect(unknown.statements[0].mayEndTransaction)
        #expect(unknown.statements[0].taintsSession)
    }

    @Test("A domain's constraint runs wherever a value becomes one of it")
    func domains() throws {
        let catalog = Self.catalog("DECLARE d day := now(); BEGIN RETURN 1; END") { rows in
            rows.typeDependencies = [.init(type: 30_002, function: 50_003)]
        }
        for sql in ["SELECT tested()", "SELECT placed::day FROM orders", "SELECT '2024-1-1'::day"] {
            #expect(try Self.profile(sql, catalog).writeSet == Self.families(["line"]))
        }
    }

    @Test("Effects that grow too large become everything")
    func bounded() {
        var effects = FunctionEffects()
        for index in 0...FunctionEffects.maximumTargets {
            #expect(!effects.contains(.mayWrite))
            effects.formUnion(
                FunctionEffects(
                    writes: [
                        WriteTarget(relation: RelationName(name: "t\(index)"), action: .insert)
                    ]))
        }
        #expect(effects.contains(.mayWrite) && effects.writes.isEmpty)
        let grew = effects.formUnion(FunctionEffects(.mayWrite))
        #expect(!grew)
    }

    @Test("Bodies are read on several threads at once")
    func concurrently() async {
        let body = "DECLARE x int; BEGIN INSERT INTO audit VALUES (1) RETURNING id INTO x; END"
        await withTaskGroup(of: Bool.self) { group in
            for index in 0..<64 {
                group.addTask {
                    let text = index % 3 == 0 ? body + " nonsense" : body
                    let words = FunctionBodyScanner.words(ofText: text, isSQL: false)
                    let found = FunctionBodyReader.targets(
                        ofPLpgSQL: FunctionBodyReader.definition(ofBody: text), words)
                    return (found == nil) == (index % 3 == 0)
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
