/// Functions, procedures and triggers of many shapes, and statements that run them.
enum BodySchema {
    static let sql =
        tables + functions.map { name, rest in "CREATE FUNCTION \(name) \(rest);\n" }.joined()
        + triggers

    private static let tables = """
        CREATE TABLE a (id int, t text); CREATE TABLE b (id int PRIMARY KEY, t text);
        CREATE TABLE c (id int, t text); CREATE TABLE audit (id serial, what text);
        CREATE TABLE "Od""d" (id int); CREATE SCHEMA s; CREATE TABLE s.a (id int, t text);
        CREATE TABLE p (id int PRIMARY KEY);
        CREATE TABLE k (id int REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL);
        CREATE VIEW av AS SELECT id FROM c; CREATE VIEW iv AS SELECT 1 AS id;
        CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM a;
        CREATE TABLE own (id int, n int); CREATE TABLE late (id int); CREATE TABLE each (id int);
        CREATE TABLE part (id int) PARTITION BY LIST (id);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
        CREATE TABLE chain_1 (id int); CREATE TABLE chain_2 (id int);
        INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1), (2); INSERT INTO c VALUES (1);
        INSERT INTO p VALUES (1); INSERT INTO k VALUES (1); INSERT INTO own VALUES (1, 0);

        """

    private static func plpgsql(_ body: String, _ result: String = "int") -> String {
        "RETURNS \(result) LANGUAGE plpgsql AS $f$ \(body) $f$"
    }

    /// By signature. The ones that are called in `statements` return int.
    private static let functions: [(String, String)] = [
        ("f_insert()", plpgsql("BEGIN INSERT INTO a VALUES (3); RETURN 1; END")),
        (
            "f_nested()",
            plpgsql(
                """
                <<top>> DECLARE x int := 7; BEGIN DECLARE y int := top.x; BEGIN
                BEGIN UPDATE b SET t = y::text; END; END; RETURN x; END
                """)
        ),
        (
            "f_exception()",
            plpgsql(
                """
                DECLARE x text; BEGIN INSERT INTO b VALUES (1); RETURN 1;
                EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS x = MESSAGE_TEXT;
                INSERT INTO audit (what) VALUES (x); RETURN 2; END
                """)
        ),
        (
            "f_loop()",
            plpgsql(
                """
                DECLARE r record; BEGIN FOR r IN SELECT * FROM a LOOP
                IF r.id > 1 THEN DELETE FROM b WHERE id = r.id; END IF; END LOOP; RETURN 1; END
                """)
        ),
        (
            "f_returning_loop()",
            plpgsql(
                """
                DECLARE r record; n int := 0; BEGIN FOR r IN UPDATE a SET t = 'x' RETURNING * LOOP
                n := n + r.id; CONTINUE WHEN n > 100; END LOOP; RETURN n; END
                """)
        ),
        (
            "f_foreach()",
            plpgsql(
                """
                DECLARE i int; BEGIN FOREACH i IN ARRAY ARRAY[5, 6] LOOP INSERT INTO c VALUES (i);
                END LOOP; FOR i IN REVERSE 3..1 BY 2 LOOP NULL; END LOOP; RETURN 1; END
                """)
        ),
        ("f_rows()", plpgsql("BEGIN RETURN QUERY DELETE FROM a RETURNING id; END", "SETOF int")),
        (
            "f_rows_with()",
            plpgsql(
                """
                BEGIN RETURN QUERY WITH d AS (DELETE FROM a RETURNING id), i AS
                (INSERT INTO c SELECT id FROM d RETURNING id) SELECT id FROM i; END
                """, "SETOF int")
        ),
        ("f_perform()", plpgsql("BEGIN PERFORM f_insert() FROM b; RETURN 1; END")),
        (
            "f_into()",
            plpgsql(
                """
                DECLARE x int; y text; BEGIN INSERT INTO a VALUES (8, 'q') RETURNING id, t
                INTO STRICT x, y; RETURN x; END
                """)
        ),
        ("f_assigned()", plpgsql("DECLARE x int; BEGIN x := 1 + f_nested(); RETURN x; END")),
        ("f_default()", plpgsql("DECLARE x int := f_insert(); BEGIN RETURN x; END")),
        (
            "f_condition()",
            plpgsql(
                """
                BEGIN WHILE f_insert() > 1 LOOP NULL; END LOOP; IF f_nested() = 0 THEN RETURN 0;
                ELSIF f_into() > 0 THEN RETURN 2; END IF; RETURN 1; END
                """)
        ),
        (
            "f_raise()",
            plpgsql(
                """
                BEGIN RAISE NOTICE 'insert into % %', f_insert(), 'x' USING HINT = 'delete from a';
                RETURN 1; END
                """)
        ),
        (
            "f_literals()",
            plpgsql(
                """
                DECLARE x text := $q$delete from a$q$; BEGIN /* update a */ x := 'truncate b'; -- merge
                UPDATE c SET t = x || E'\\'insert into b'; RETURN length(x); END
                """)
        ),
        ("f_quoted()", plpgsql("BEGIN INSERT INTO \"Od\"\"d\" VALUES (1); RETURN 1; END")),
        (
            "f_merge()",
            plpgsql(
                """
                BEGIN MERGE INTO b USING a ON a.id = b.id WHEN MATCHED AND a.id > 1 THEN DELETE
                WHEN MATCHED THEN UPDATE SET t = 'm' WHEN NOT MATCHED THEN INSERT VALUES (a.id);
                RETURN 1; END
                """)
        ),
        (
            "f_upsert()",
            plpgsql(
                """
                BEGIN INSERT INTO b VALUES (1) ON CONFLICT (id) DO UPDATE SET t = 'u'; RETURN 1; END
                """)
        ),
        ("f_truncate()", plpgsql("BEGIN TRUNCATE a, c; RETURN 1; END")),
        ("f_cascade()", plpgsql("BEGIN DELETE FROM p; RETURN 1; END")),
        ("f_view()", plpgsql("BEGIN UPDATE av SET id = 9; RETURN 1; END")),
        ("f_refresh()", plpgsql("BEGIN REFRESH MATERIALIZED VIEW m; RETURN 1; END")),
        (
            "f_recursive(n int)",
            plpgsql(
                """
                BEGIN INSERT INTO a VALUES (n); IF n > 0 THEN RETURN f_recursive(n - 1); END IF;
                RETURN 0; END
                """)
        ),
        ("f_over(int)", plpgsql("BEGIN INSERT INTO a VALUES ($1); RETURN 1; END")),
        ("f_over(text)", plpgsql("BEGIN INSERT INTO c VALUES (1, $1); RETURN 1; END")),
        (
            "f_arguments(x int DEFAULT f_insert(), OUT y int, INOUT z int DEFAULT 4)",
            """
            RETURNS record LANGUAGE plpgsql AS
            $f$ BEGIN z := x; SELECT 1 INTO y; UPDATE b SET t = 'z'; END $f$
            """
        ),
        (
            "f_path()",
            """
            RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path TO s, pg_temp AS
            $f$ BEGIN INSERT INTO a VALUES (1); RETURN 1; END $f$
            """
        ),
        (
            "f_diagnostics()",
            plpgsql(
                """
                DECLARE n int; BEGIN DELETE FROM c; GET DIAGNOSTICS n = ROW_COUNT; ASSERT n > 0;
                CASE n WHEN 1, 2 THEN INSERT INTO audit (what) VALUES ('one'); ELSE NULL; END CASE;
                RETURN n; END
                """)
        ),
        (
            "f_lock()",
            plpgsql(
                """
                DECLARE x int; BEGIN SELECT id INTO x FROM b LIMIT 1 FOR UPDATE;
                DELETE FROM c; RETURN x; END
                """)
        ),
        (
            "f_sql()",
            """
            RETURNS int LANGUAGE sql AS $f$ INSERT INTO a SELECT id FROM b;
            UPDATE c SET t = 'insert'; SELECT f_nested() $f$
            """
        ),
        (
            "f_atomic()",
            """
            RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO a VALUES (7); DELETE FROM c;
            SELECT 1; END
            """
        ),
        ("f_return()", "RETURNS int LANGUAGE sql RETURN f_insert() + 1"),
        ("f_step(int, int)", plpgsql("BEGIN INSERT INTO c VALUES ($2); RETURN $1 + $2; END")),
        ("f_operator(int, int)", plpgsql("BEGIN DELETE FROM c; RETURN $1; END")),
        ("f_checked(int)", plpgsql("BEGIN INSERT INTO audit (what) VALUES ('c'); RETURN 1; END")),
        ("f_before()", plpgsql("BEGIN NEW.n := NEW.id; RETURN NEW; END", "trigger")),
        (
            "f_own()",
            plpgsql(
                """
                BEGIN IF pg_trigger_depth() < 2 THEN UPDATE own SET n = n + 1; END IF; RETURN NULL; END
                """, "trigger")
        ),
        (
            "f_audit()",
            plpgsql(
                """
                BEGIN INSERT INTO audit (what) VALUES (TG_OP || ' ' || TG_TABLE_NAME);
                IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END
                """, "trigger")
        ),
        ("f_chain()", plpgsql("BEGIN INSERT INTO chain_2 VALUES (1); RETURN NULL; END", "trigger")),
        ("f_instead()", plpgsql("BEGIN INSERT INTO c VALUES (NEW.id); RETURN NEW; END", "trigger")),
        ("f_dynamic()", plpgsql("BEGIN EXECUTE 'DELETE FROM ' || 'a'; RETURN 1; END")),
        (
            "f_dynamic_using()",
            plpgsql(
                """
                DECLARE r record; BEGIN FOR r IN EXECUTE 'DELETE FROM a WHERE id > $1 RETURNING *'
                USING 0 LOOP NULL; END LOOP; RETURN 1; END
                """)
        ),
        (
            "f_cursor()",
            plpgsql(
                """
                DECLARE k CURSOR FOR SELECT * FROM a FOR UPDATE; r record; BEGIN OPEN k;
                FETCH k INTO r; UPDATE a SET t = 'k' WHERE CURRENT OF k; CLOSE k; RETURN 1; END
                """)
        ),
        (
            "f_table()",
            plpgsql(
                """
                BEGIN CREATE TABLE made (id int); INSERT INTO made VALUES (1); DROP TABLE made;
                RETURN 1; END
                """)
        ),
        (
            "f_composite()",
            plpgsql(
                """
                DECLARE r a%ROWTYPE; BEGIN r.id := 5; INSERT INTO a SELECT (r).*; RETURN 1; END
                """)
        ),
    ]

    private static let triggers = """
        CREATE AGGREGATE sum_and_write(int) (SFUNC = f_step, STYPE = int, INITCOND = '0');
        CREATE OPERATOR <-< (LEFTARG = int, RIGHTARG = int, FUNCTION = f_operator);
        CREATE DOMAIN checked AS int CHECK (f_checked(value) > 0);
        CREATE PROCEDURE q(n int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO b VALUES (n); END $$;
        CREATE TRIGGER t BEFORE UPDATE ON own FOR EACH ROW EXECUTE FUNCTION f_before();
        CREATE TRIGGER u AFTER UPDATE ON own EXECUTE FUNCTION f_own();
        CREATE CONSTRAINT TRIGGER t AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION f_audit();
        CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON each FOR EACH ROW
            WHEN (pg_trigger_depth() < 5) EXECUTE FUNCTION f_audit();
        CREATE TRIGGER t AFTER INSERT ON part_1 FOR EACH ROW EXECUTE FUNCTION f_audit();
        CREATE TRIGGER t AFTER INSERT ON chain_1 EXECUTE FUNCTION f_chain();
        CREATE TRIGGER t BEFORE INSERT ON chain_2 FOR EACH ROW EXECUTE FUNCTION f_audit();
        CREATE TRIGGER t INSTEAD OF INSERT ON iv FOR EACH ROW EXECUTE FUNCTION f_instead();
        CREATE TRIGGER t AFTER DELETE ON k FOR EACH ROW EXECUTE FUNCTION f_audit();
        CREATE TRIGGER t BEFORE TRUNCATE ON a EXECUTE FUNCTION f_audit();
        CREATE TABLE d (id int DEFAULT f_insert(), c checked);
        """

    /// Statements whose code can be seen through.
    static let transparent =
        functions.map(\.0).filter { $0.hasSuffix("()") && !opaqueNames.contains($0) }
        .filter { !triggerNames.contains($0) }.map { "SELECT \($0)" } + [
            "SELECT * FROM f_rows()", "SELECT f_recursive(3)", "SELECT f_over(1)",
            "SELECT f_over('x'::text)", "SELECT f_arguments()", "SELECT f_arguments(1, 2)",
            "SELECT sum_and_write(id) FROM b", "SELECT id <-< 1 FROM b", "SELECT 3::checked",
            "SELECT id::checked FROM b", "CALL q(9)", "UPDATE own SET id = 4",
            "INSERT INTO late VALUES (1); SET CONSTRAINTS ALL IMMEDIATE",
            "INSERT INTO each VALUES (1)", "INSERT INTO part VALUES (1)",
            "INSERT INTO chain_1 VALUES (1)", "INSERT INTO iv VALUES (1)", "DELETE FROM p",
            "TRUNCATE a", "INSERT INTO d (c) VALUES (2)", "INSERT INTO d VALUES (1)",
            "DO $$ DECLARE x int; BEGIN x := f_nested(); DELETE FROM c; END $$",
            "INSERT INTO c SELECT f_insert()", "DELETE FROM c WHERE id = f_nested()",
            "WITH x AS (SELECT f_insert() AS id) UPDATE b SET t = 'x' FROM x",
        ]

    static let opaque =
        opaqueNames.map { "SELECT \($0)" }.sorted() + [
            "DO $$ BEGIN EXECUTE 'DELETE FROM a'; END $$",
            "DO $$ BEGIN PERFORM f_dynamic(); END $$",
        ]

    private static let opaqueNames: Set<String> = [
        "f_dynamic()", "f_dynamic_using()", "f_cursor()", "f_table()", "f_composite()",
    ]
    private static let triggerNames: Set<String> = [
        "f_before()", "f_own()", "f_audit()", "f_chain()", "f_instead()",
    ]
}
