"""Every way to change data, between a cached read and its repetition."""

import dataclasses

import pytest

import wire
from caching import assert_hit, warm
from wire import RawSession


@dataclasses.dataclass
class Change:
    """`setup` makes what `read` reads; `writes` change it. `{t}` is a fresh name.

    A write that is a list is sent as one message each; bytes go out as they are. `role` is who
    reads. The answer after the writes must be that of a direct connection and, where `changes`,
    differ from the one before.
    """

    name: str
    writes: list
    setup: str = ""
    read: str = "SELECT * FROM {t} ORDER BY 1, 2"
    changes: bool = True
    role: str = "postgres"


TABLE = "CREATE TABLE {t} (id integer PRIMARY KEY, v integer); INSERT INTO {t} VALUES (1, 10), (2, 20);"
OTHER = "CREATE TABLE {t}_o (id integer PRIMARY KEY, v integer); INSERT INTO {t}_o VALUES (1, 1);"
WRITER = (
    "CREATE FUNCTION {t}_f() RETURNS int LANGUAGE plpgsql AS"
    " $$ BEGIN UPDATE {t} SET v = v + 1; RETURN 1; END $$;"
)

ANYWHERE = [
    Change("INSERT", ["INSERT INTO {t} VALUES (3, 30)"]),
    Change("INSERT of a SELECT", ["INSERT INTO {t} SELECT id + 10, v FROM {t}"]),
    Change("INSERT RETURNING", ["INSERT INTO {t} VALUES (3, 30) RETURNING id"]),
    Change("UPDATE", ["UPDATE {t} SET v = 11 WHERE id = 1"]),
    Change("UPDATE with FROM", ["UPDATE {t} SET v = o.v FROM {t}_o o WHERE o.id = {t}.id"], OTHER),
    Change("UPDATE of a key", ["UPDATE {t} SET id = 7 WHERE id = 1"]),
    Change("UPDATE of no row", ["UPDATE {t} SET v = 11 WHERE id = 99"], changes=False),
    Change("DELETE", ["DELETE FROM {t} WHERE id = 2"]),
    Change("DELETE of all", ["DELETE FROM {t}"]),
    Change("ON CONFLICT DO UPDATE", ["INSERT INTO {t} VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET v = excluded.v"]),
    Change("ON CONFLICT DO NOTHING", ["INSERT INTO {t} VALUES (1, 5) ON CONFLICT DO NOTHING"], changes=False),
    Change("several statements in one message", ["UPDATE {t} SET v = 11; UPDATE {t} SET v = 12"]),
    Change("a write behind a read in one message", ["SELECT 1; UPDATE {t} SET v = 11; SELECT 2"]),
    Change("a whole transaction in one message", ["BEGIN; UPDATE {t} SET v = 11; COMMIT"]),
    Change("a transaction", ["BEGIN", "UPDATE {t} SET v = 11", "COMMIT"]),
    Change("START TRANSACTION and END", ["START TRANSACTION", "UPDATE {t} SET v = 11", "END"]),
    Change("END TRANSACTION in capitals and a comment",
           ["begin work", "UPDATE {t} SET v = 11", "/* x */ EnD tRaNsAcTiOn -- y"]),
    Change("a rolled-back transaction", ["BEGIN", "UPDATE {t} SET v = 11", "ROLLBACK"], changes=False),
    Change("a failed transaction", ["BEGIN", "UPDATE {t} SET v = 11", "SELECT * FROM nothing", "COMMIT"],
           changes=False),
    Change("what a savepoint leaves",
           ["BEGIN", "SAVEPOINT s", "UPDATE {t} SET v = 11 WHERE id = 1", "ROLLBACK TO SAVEPOINT s",
            "UPDATE {t} SET v = 22 WHERE id = 2", "COMMIT"]),
    Change("what was written before a savepoint",
           ["BEGIN", "UPDATE {t} SET v = 11", "SAVEPOINT s", "DELETE FROM {t}", "ROLLBACK TO s", "COMMIT"]),
    Change("ALTER TABLE ADD COLUMN", ["ALTER TABLE {t} ADD COLUMN w integer"]),
    Change("ALTER TABLE DROP COLUMN", ["ALTER TABLE {t} ADD COLUMN w integer", "ALTER TABLE {t} DROP COLUMN v"],
           read="SELECT * FROM {t} ORDER BY 1"),
    Change("ALTER TABLE RENAME COLUMN", ["ALTER TABLE {t} RENAME COLUMN v TO w"]),
    Change("ALTER TABLE RENAME", ["ALTER TABLE {t} RENAME TO {t}_gone"]),
    Change("renaming two tables past each other",
           ["ALTER TABLE {t} RENAME TO {t}_x", "ALTER TABLE {t}_o RENAME TO {t}"], OTHER),
    Change("DROP TABLE", ["DROP TABLE {t}"]),
    Change("dropping and making it anew",
           ["DROP TABLE {t}", "CREATE TABLE {t} (id integer, v integer)", "INSERT INTO {t} VALUES (9, 9)"]),
    Change("DDL in a transaction", ["BEGIN", "ALTER TABLE {t} ADD COLUMN w integer", "COMMIT"]),
    Change("DDL rolled back", ["BEGIN", "ALTER TABLE {t} ADD COLUMN w integer", "ROLLBACK"], changes=False),
    Change("a foreign key's cascade", ["DELETE FROM {t}_p WHERE id = 1"],
           "CREATE TABLE {t}_p (id integer PRIMARY KEY);"
           "CREATE TABLE {t}_c (id integer, p integer REFERENCES {t}_p (id) ON DELETE CASCADE);"
           "INSERT INTO {t}_p VALUES (1), (2); INSERT INTO {t}_c VALUES (10, 1), (20, 2);",
           read="SELECT id, p FROM {t}_c ORDER BY id"),
    Change("a foreign key's SET NULL", ["DELETE FROM {t}_p WHERE id = 1"],
           "CREATE TABLE {t}_p (id integer PRIMARY KEY);"
           "CREATE TABLE {t}_c (id integer, p integer REFERENCES {t}_p (id) ON DELETE SET NULL);"
           "INSERT INTO {t}_p VALUES (1), (2); INSERT INTO {t}_c VALUES (10, 1), (20, 2);",
           read="SELECT id, p FROM {t}_c ORDER BY id"),
    Change("a cascade over two tables", ["UPDATE {t}_a SET id = 5 WHERE id = 1"],
           "CREATE TABLE {t}_a (id integer PRIMARY KEY);"
           "CREATE TABLE {t}_b (id integer PRIMARY KEY REFERENCES {t}_a (id) ON UPDATE CASCADE);"
           "CREATE TABLE {t}_c (id integer REFERENCES {t}_b (id) ON UPDATE CASCADE, v integer);"
           "INSERT INTO {t}_a VALUES (1); INSERT INTO {t}_b VALUES (1); INSERT INTO {t}_c VALUES (1, 1);",
           read="SELECT id, v FROM {t}_c"),
    Change("a write seen through a view", ["UPDATE {t} SET v = 11"],
           "CREATE VIEW {t}_v AS SELECT id, v + 1 AS w FROM {t} WHERE v > 0;",
           read="SELECT * FROM {t}_v ORDER BY id"),
    Change("a write seen through a view on a view", ["UPDATE {t} SET v = 11"],
           "CREATE VIEW {t}_v AS SELECT id, v FROM {t}; CREATE VIEW {t}_w AS SELECT max(v) AS m FROM {t}_v;",
           read="SELECT m FROM {t}_w"),
    Change("dropping and making a view anew",
           ["DROP VIEW {t}_v", "CREATE VIEW {t}_v AS SELECT id, v * 2 AS v FROM {t}"],
           "CREATE VIEW {t}_v AS SELECT id, v FROM {t};", read="SELECT * FROM {t}_v ORDER BY id"),
    Change("one side of a join", ["UPDATE {t}_o SET v = 5"], OTHER,
           read="SELECT a.v, b.v FROM {t} a JOIN {t}_o b ON a.id = b.id"),
    Change("a table in a subquery", ["INSERT INTO {t}_o VALUES (2, 2)"], OTHER,
           read="SELECT id FROM {t} WHERE id IN (SELECT id FROM {t}_o) ORDER BY id"),
    Change("a table in a scalar subquery", ["INSERT INTO {t}_o VALUES (2, 2)"], OTHER,
           read="SELECT id, (SELECT count(*) FROM {t}_o) FROM {t} ORDER BY id"),
    Change("a table in a common table expression", ["UPDATE {t} SET v = 11"],
           read="WITH x AS (SELECT v FROM {t}) SELECT sum(v) FROM x"),
    Change("a table in a union", ["UPDATE {t}_o SET v = 5"], OTHER,
           read="SELECT v FROM {t} UNION ALL SELECT v FROM {t}_o ORDER BY 1"),
]

ON_SQLITE = [
    Change("a trigger on another table", ["INSERT INTO {t}_o VALUES (2, 2)"],
           OTHER + "CREATE TRIGGER {t}_g AFTER INSERT ON {t}_o BEGIN UPDATE {t} SET v = v + 1; END;"),
    Change("REPLACE", ["REPLACE INTO {t} VALUES (1, 99)"]),
    Change("INSERT OR REPLACE", ["INSERT OR REPLACE INTO {t} VALUES (1, 99)"]),
    Change("REPLACE with a cascade", ["REPLACE INTO {t}_p VALUES (1, 5)"],
           "CREATE TABLE {t}_p (id integer PRIMARY KEY, v integer);"
           "CREATE TABLE {t}_c (id integer, p integer REFERENCES {t}_p (id) ON DELETE CASCADE);"
           "INSERT INTO {t}_p VALUES (1, 1); INSERT INTO {t}_c VALUES (10, 1);",
           read="SELECT id, p FROM {t}_c ORDER BY id"),
    Change("an INSTEAD OF trigger on a view", ["INSERT INTO {t}_v VALUES (5, 50)"],
           "CREATE VIEW {t}_v AS SELECT id, v FROM {t};"
           "CREATE TRIGGER {t}_g INSTEAD OF INSERT ON {t}_v BEGIN INSERT INTO {t} VALUES (new.id, new.v); END;"),
    Change("a table without rowid", ["DELETE FROM {t}_w"],
           "CREATE TABLE {t}_w (id text PRIMARY KEY, v integer) WITHOUT ROWID; INSERT INTO {t}_w VALUES ('a', 1);",
           read="SELECT * FROM {t}_w"),
    Change("dropping a trigger's effect", ["DROP TRIGGER {t}_g", "INSERT INTO {t}_o VALUES (2, 2)"],
           OTHER + "CREATE TRIGGER {t}_g AFTER INSERT ON {t}_o BEGIN DELETE FROM {t}; END;", changes=False),
]

ON_POSTGRESQL = [
    Change("TRUNCATE", ["TRUNCATE {t}"]),
    Change("TRUNCATE CASCADE", ["TRUNCATE {t}_p CASCADE"],
           "CREATE TABLE {t}_p (id int PRIMARY KEY); CREATE TABLE {t}_c (id int, p int REFERENCES {t}_p);"
           "INSERT INTO {t}_p VALUES (1); INSERT INTO {t}_c VALUES (10, 1);",
           read="SELECT id, p FROM {t}_c"),
    Change("MERGE", ["MERGE INTO {t} USING {t}_o o ON o.id = {t}.id WHEN MATCHED THEN UPDATE SET v = 0"
                     " WHEN NOT MATCHED THEN INSERT VALUES (o.id, o.v)"], OTHER),
    Change("a data-modifying common table expression", ["WITH d AS (DELETE FROM {t} RETURNING *) SELECT count(*) FROM d"]),
    Change("a nested data-modifying common table expression",
           ["WITH a AS (SELECT 1), b AS (UPDATE {t} SET v = v + 1 RETURNING v) SELECT 1 FROM a"]),
    Change("CALL", ["CALL {t}_p()"],
           "CREATE PROCEDURE {t}_p() LANGUAGE sql AS 'UPDATE {t} SET v = v + 100';"),
    Change("CALL of a procedure that commits", ["CALL {t}_p()"],
           "CREATE PROCEDURE {t}_p() LANGUAGE plpgsql AS"
           " $$ BEGIN UPDATE {t} SET v = v + 1; COMMIT; UPDATE {t} SET v = v + 1; END $$;"),
    Change("CALL that commits and then fails", ["CALL {t}_p()"],
           "CREATE PROCEDURE {t}_p() LANGUAGE plpgsql AS"
           " $$ BEGIN UPDATE {t} SET v = v + 1; COMMIT; RAISE EXCEPTION 'after'; END $$;"),
    Change("DO", ["DO $$ BEGIN UPDATE {t} SET v = v + 1000; END $$"]),
    Change("DO with dynamic SQL", ["DO $$ BEGIN EXECUTE 'UPDATE ' || '{t}' || ' SET v = 5'; END $$"]),
    Change("SELECT of a function that writes", ["SELECT {t}_f()"], WRITER),
    Change("a function that writes, in FROM", ["SELECT * FROM {t}_f()"], WRITER),
    Change("a function that writes, in WHERE", ["SELECT 1 WHERE {t}_f() = 1"], WRITER),
    Change("a function that writes, in a default", ["INSERT INTO {t}_d DEFAULT VALUES"],
           WRITER + "CREATE TABLE {t}_d (x int DEFAULT {t}_f());"),
    Change("a function that writes, in a view", ["SELECT * FROM {t}_v"],
           WRITER + "CREATE VIEW {t}_v AS SELECT {t}_f();"),
    Change("a function that writes, as an operator", ["SELECT 1 OPERATOR(public.<+>) 2"],
           "CREATE FUNCTION {t}_op(int, int) RETURNS int LANGUAGE plpgsql AS"
           " $$ BEGIN UPDATE {t} SET v = v + $1; RETURN 1; END $$;"
           "DROP OPERATOR IF EXISTS <+> (int, int);"
           "CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = {t}_op);"),
    Change("a function that lies about being immutable", ["SELECT {t}_f()"],
           "CREATE FUNCTION {t}_f() RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
           " $$ BEGIN UPDATE {t} SET v = v + 1; RETURN 1; EXCEPTION WHEN OTHERS THEN RETURN 0; END $$;",
           changes=False),
    Change("PREPARE and EXECUTE", ["PREPARE {t}_s (int) AS UPDATE {t} SET v = $1", "EXECUTE {t}_s (5)"]),
    Change("EXPLAIN ANALYZE of a write", ["EXPLAIN ANALYZE UPDATE {t} SET v = 5"]),
    Change("EXPLAIN with ANALYZE as an option", ["EXPLAIN (COSTS OFF, ANALYZE TRUE) DELETE FROM {t}"]),
    Change("EXPLAIN ANALYZE EXECUTE", ["PREPARE {t}_s AS DELETE FROM {t}", "EXPLAIN ANALYZE EXECUTE {t}_s"]),
    Change("plain EXPLAIN of a write", ["EXPLAIN UPDATE {t} SET v = 5"], changes=False),
    Change("a trigger on another table", ["INSERT INTO {t}_o VALUES (2, 2)"],
           OTHER + "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS"
           " $$ BEGIN UPDATE {t} SET v = v + 1; RETURN NEW; END $$;"
           "CREATE TRIGGER g AFTER INSERT ON {t}_o FOR EACH ROW EXECUTE FUNCTION {t}_f();"),
    Change("a deferred constraint trigger that fires at COMMIT",
           ["BEGIN", "INSERT INTO {t}_o VALUES (2, 2)", "COMMIT"],
           OTHER + "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS"
           " $$ BEGIN UPDATE {t} SET v = v + 1; RETURN NEW; END $$;"
           "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON {t}_o DEFERRABLE INITIALLY DEFERRED"
           " FOR EACH ROW EXECUTE FUNCTION {t}_f();"),
    Change("a rule that writes elsewhere", ["INSERT INTO {t}_o VALUES (2, 2)"],
           OTHER + "CREATE RULE r AS ON INSERT TO {t}_o DO ALSO UPDATE {t} SET v = v + 1;"),
    Change("an INSTEAD OF trigger on a view", ["INSERT INTO {t}_v VALUES (5, 50)"],
           "CREATE VIEW {t}_v AS SELECT id, max(v) AS v FROM {t} GROUP BY id;"
           "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS"
           " $$ BEGIN INSERT INTO {t} VALUES (NEW.id, NEW.v); RETURN NEW; END $$;"
           "CREATE TRIGGER g INSTEAD OF INSERT ON {t}_v FOR EACH ROW EXECUTE FUNCTION {t}_f();"),
    Change("a write through an updatable view", ["UPDATE {t}_v SET v = 5"],
           "CREATE VIEW {t}_v AS SELECT id, v FROM {t};"),
    Change("a write to an inheritance child", ["INSERT INTO {t}_c VALUES (5, 50)"],
           "CREATE TABLE {t}_c () INHERITS ({t});"),
    Change("a write to an inheritance parent, read from the child", ["UPDATE {t} SET v = 0"],
           "CREATE TABLE {t}_c () INHERITS ({t}); INSERT INTO {t}_c VALUES (5, 50);",
           read="SELECT id, v FROM {t}_c"),
    Change("a write to a partition", ["INSERT INTO {t}_1 VALUES (3, 30)"],
           "DROP TABLE {t}; CREATE TABLE {t} (id int, v int) PARTITION BY RANGE (id);"
           "CREATE TABLE {t}_1 PARTITION OF {t} FOR VALUES FROM (0) TO (10);"),
    Change("a row that moves to another partition", ["UPDATE {t} SET id = 15 WHERE id = 5"],
           "DROP TABLE {t}; CREATE TABLE {t} (id int, v int) PARTITION BY RANGE (id);"
           "CREATE TABLE {t}_1 PARTITION OF {t} FOR VALUES FROM (0) TO (10);"
           "CREATE TABLE {t}_2 PARTITION OF {t} FOR VALUES FROM (10) TO (20); INSERT INTO {t} VALUES (5, 5);",
           read="SELECT id, v FROM {t}_2"),
    Change("ATTACH PARTITION", ["ALTER TABLE {t} ATTACH PARTITION {t}_2 FOR VALUES FROM (10) TO (20)"],
           "DROP TABLE {t}; CREATE TABLE {t} (id int, v int) PARTITION BY RANGE (id);"
           "CREATE TABLE {t}_2 (id int, v int); INSERT INTO {t}_2 VALUES (12, 1);"),
    Change("DETACH PARTITION", ["ALTER TABLE {t} DETACH PARTITION {t}_1"],
           "DROP TABLE {t}; CREATE TABLE {t} (id int, v int) PARTITION BY RANGE (id);"
           "CREATE TABLE {t}_1 PARTITION OF {t} FOR VALUES FROM (0) TO (10); INSERT INTO {t} VALUES (5, 5);"),
    Change("REFRESH MATERIALIZED VIEW", ["UPDATE {t} SET v = 5", "REFRESH MATERIALIZED VIEW {t}_m"],
           "CREATE MATERIALIZED VIEW {t}_m AS SELECT * FROM {t};", read="SELECT * FROM {t}_m ORDER BY id"),
    Change("a write under a materialized view", ["UPDATE {t} SET v = 5"],
           "CREATE MATERIALIZED VIEW {t}_m AS SELECT * FROM {t};", read="SELECT * FROM {t}_m ORDER BY id",
           changes=False),
    Change("CREATE OR REPLACE VIEW", ["CREATE OR REPLACE VIEW {t}_v AS SELECT id, v * 2 AS v FROM {t}"],
           "CREATE VIEW {t}_v AS SELECT id, v FROM {t};", read="SELECT * FROM {t}_v ORDER BY id"),
    Change("CREATE OR REPLACE FUNCTION", ["CREATE OR REPLACE FUNCTION {t}_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * $1'"],
           "CREATE FUNCTION {t}_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';",
           read="SELECT {t}_f(v) FROM {t} ORDER BY id"),
    Change("ALTER COLUMN TYPE", ["ALTER TABLE {t} ALTER COLUMN v TYPE text"]),
    Change("SET SCHEMA", ["CREATE SCHEMA {t}_s", "ALTER TABLE {t} SET SCHEMA {t}_s"]),
    Change("SELECT INTO", ["SELECT 5 AS id, 6 AS v INTO {t}"], "DROP TABLE {t};",
           read="SELECT count(*) FROM pg_class WHERE relname = '{t}'"),
    Change("CREATE TABLE AS over a name on the path", ["CREATE TABLE {t}_a.{t} AS SELECT 7 AS id, 8 AS v"],
           "CREATE SCHEMA {t}_a; ALTER ROLE postgres RESET ALL;",
           read="SET search_path = {t}_a, public; SELECT * FROM {t} ORDER BY 1, 2"),
    Change("REVOKE", ["REVOKE SELECT ON {t} FROM alice"], "GRANT SELECT ON {t} TO alice;", role="alice"),
    Change("REVOKE of a column", ["REVOKE SELECT ON {t} FROM alice", "GRANT SELECT (id) ON {t} TO alice"],
           "GRANT SELECT ON {t} TO alice;", role="alice"),
    Change("row-level security switched on", ["ALTER TABLE {t} ENABLE ROW LEVEL SECURITY"],
           "GRANT SELECT ON {t} TO alice;", role="alice"),
    Change("GRANT", ["GRANT SELECT ON {t} TO bob"], role="bob"),
    Change("COMMIT PREPARED", ["BEGIN", "UPDATE {t} SET v = 5", "PREPARE TRANSACTION '{t}'", "COMMIT PREPARED '{t}'"]),
    Change("PREPARE TRANSACTION alone", ["BEGIN", "INSERT INTO {t} VALUES (7, 7)", "PREPARE TRANSACTION '{t}'"],
           changes=False),
    Change("ROLLBACK PREPARED", ["BEGIN", "UPDATE {t} SET v = 5", "PREPARE TRANSACTION '{t}'", "ROLLBACK PREPARED '{t}'"],
           changes=False),
    Change("COMMIT AND CHAIN", ["BEGIN", "UPDATE {t} SET v = 5", "COMMIT AND CHAIN", "ROLLBACK"]),
    Change("a write after ROLLBACK AND CHAIN",
           ["BEGIN", "SELECT 1", "ROLLBACK AND CHAIN", "UPDATE {t} SET v = 5", "COMMIT"]),
    Change("a write in a serializable transaction",
           ["BEGIN ISOLATION LEVEL SERIALIZABLE", "UPDATE {t} SET v = 5", "COMMIT"]),
    Change("a write by a cursor's row",
           ["BEGIN", "DECLARE c CURSOR FOR SELECT * FROM {t} WHERE id = 1 FOR UPDATE", "FETCH c",
            "UPDATE {t} SET v = 5 WHERE CURRENT OF c", "COMMIT"]),
    Change("a write by another role", ["SET ROLE alice", "UPDATE {t} SET v = 5", "RESET ROLE"],
           "GRANT ALL ON {t} TO alice;"),
    Change("a write through another search path",
           ["SET search_path = nowhere, public", "UPDATE {t} SET v = 5"]),
    Change("a write with its schema spelt out", ['UPDATE "public"."{t}" SET v = 5']),
    Change("a write to ONLY the table", ["UPDATE ONLY {t} SET v = 5"]),
    Change("a temporary table of the same name", ["CREATE TEMP TABLE {t} AS SELECT 1 AS id", "DELETE FROM {t}"],
           changes=False),
    Change("LOCK TABLE and a write", ["BEGIN", "LOCK TABLE {t}", "DELETE FROM {t}", "COMMIT"]),
    Change("a composite type altered", ["ALTER TYPE {t}_k ADD ATTRIBUTE w int"],
           "CREATE TYPE {t}_k AS (a int); CREATE TABLE {t}_x (k {t}_k); INSERT INTO {t}_x VALUES (ROW(1));",
           read="SELECT k FROM {t}_x"),
    Change("an enum value renamed", ["ALTER TYPE {t}_e RENAME VALUE 'a' TO 'b'"],
           "CREATE TYPE {t}_e AS ENUM ('a'); CREATE TABLE {t}_x (k {t}_e); INSERT INTO {t}_x VALUES ('a');",
           read="SELECT k FROM {t}_x"),
    Change("COPY FROM STDIN",
           [wire.query("COPY {t} FROM STDIN") + wire.message(b"d", b"8\t80\n") + wire.message(b"c")]),
    Change("a failed COPY FROM STDIN",
           [wire.query("COPY {t} FROM STDIN") + wire.message(b"d", b"8\t80\n") + wire.message(b"f", b"no\0")],
           changes=False),
]


def requests(write, table: str, protocol: str) -> bytes:
    if isinstance(write, bytes):
        # The name's length changes the message's: build it again around the replaced text.
        length = int.from_bytes(write[1:5], "big")
        text = write[5:length].decode().replace("{t}", table)
        return wire.query(text) + write[length + 1 :]
    sql = write.replace("{t}", table)
    if protocol == "simple" or sql.count(";") and not sql.startswith("DO"):
        return wire.query(sql)
    if protocol == "extended":
        return wire.extended(sql)
    return (
        wire.parse(sql, "w") + wire.bind("w") + wire.execute() + wire.close_statement("w") + wire.sync()
    )


def check(mynah, truth, change: Change, table: str, protocol: str) -> None:
    writer = RawSession.connect(mynah.port)
    reader = RawSession.connect(mynah.port, user=change.role)
    try:
        for statement in split(TABLE + change.setup):
            writer.run(statement.replace("{t}", table))
        read = change.read.replace("{t}", table)
        before = reader.query(read)
        for _ in range(3):
            assert reader.query(read) == before
        for write in change.writes:
            writer.exchange(requests(write, table, protocol))
        after = reader.query(read)
        assert after == truth(read, change.role)
        assert (after != before) == change.changes
        assert reader.query(read) == after
        with RawSession.connect(mynah.port, user=change.role) as late:
            assert late.query(read) == after
    finally:
        writer.close()
        reader.close()


def split(script: str) -> list[str]:
    """Statements at `;`, except inside $$ … $$ and BEGIN … END of a trigger."""
    statements, current = [], ""
    for part in script.split(";"):
        current += part
        body = current.count("$$") % 2 or ("TRIGGER" in current and " BEGIN " in current
                                           and "$$" not in current and not current.rstrip().endswith("END"))
        if body:
            current += ";"
        else:
            if current.strip():
                statements.append(current)
            current = ""
    return statements


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("change", ANYWHERE + ON_POSTGRESQL, ids=lambda change: change.name)
def test_a_change_shows_in_postgresql(postgres, cached_postgres, table, change, protocol):
    def truth(read, role):
        with RawSession.connect(postgres.port, user=role) as direct:
            return direct.query(read)

    try:
        check(cached_postgres, truth, change, table, protocol)
    finally:
        for (gid,) in postgres.run("SELECT gid FROM pg_prepared_xacts"):
            postgres.run(f"ROLLBACK PREPARED '{gid}'")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("change", ANYWHERE + ON_SQLITE, ids=lambda change: change.name)
def test_a_change_shows_in_sqlite(cached_sqlite, uncached_sqlite, table, change, protocol):
    def truth(read, role):
        with RawSession.connect(uncached_sqlite.port, user=role) as uncached:
            return uncached.query(read)

    check(cached_sqlite, truth, change, table, protocol)


def test_a_statement_prepared_once_and_executed_often_invalidates_each_time(mynah, session, table):
    writer, reader = session(mynah), session(mynah)
    writer.run(f"CREATE TABLE {table} (v integer)")
    writer.run(f"INSERT INTO {table} VALUES (0)")
    writer.exchange(wire.parse(f"UPDATE {table} SET v = v + 1", "w") + wire.sync())
    for expected in range(1, 6):
        warm(mynah, lambda: reader.value(f"SELECT v FROM {table}"))
        writer.exchange(wire.bind("w") + wire.execute() + wire.sync())
        assert reader.value(f"SELECT v FROM {table}") == str(expected).encode()
    warm(mynah, lambda: reader.value(f"SELECT v FROM {table}"))
    writer.exchange(wire.bind("w") + wire.execute(rows=1) + wire.sync())
    assert reader.value(f"SELECT v FROM {table}") == b"6"


def test_a_statement_name_taken_again_means_the_new_statement(mynah, session, table):
    writer, reader = session(mynah), session(mynah)
    writer.run(f"CREATE TABLE {table} (v integer)")
    writer.run(f"INSERT INTO {table} VALUES (0)")
    warm(mynah, lambda: reader.value(f"SELECT v FROM {table}"))
    writer.exchange(wire.parse("SELECT count(*) FROM airlines", "s") + wire.sync())
    writer.exchange(wire.bind("s") + wire.execute() + wire.sync())
    writer.exchange(
        wire.close_statement("s") + wire.parse(f"UPDATE {table} SET v = 7", "s")
        + wire.bind("s") + wire.execute() + wire.sync()
    )
    assert reader.value(f"SELECT v FROM {table}") == b"7"


def test_pipelined_writes_and_reads_of_one_session_keep_their_order(mynah, session, table):
    client = session(mynah)
    client.run(f"CREATE TABLE {table} (v integer)")
    client.run(f"INSERT INTO {table} VALUES (0)")
    warm(mynah, lambda: client.value(f"SELECT v FROM {table}"))
    pipeline = b"".join(
        wire.extended(f"UPDATE {table} SET v = {number}") + wire.extended(f"SELECT v FROM {table}")
        for number in range(1, 30)
    )
    replies = client.exchange(pipeline, ready=58)
    assert [row[0] for row in wire.data_rows(replies)] == [str(n).encode() for n in range(1, 30)]
    simple = b"".join(
        wire.query(f"UPDATE {table} SET v = {number}") + wire.query(f"SELECT v FROM {table}")
        for number in range(1, 30)
    )
    replies = client.exchange(simple, ready=58)
    assert [row[0] for row in wire.data_rows(replies)] == [str(n).encode() for n in range(1, 30)]


def test_a_write_leaves_answers_about_other_tables_alone(mynah, session, table):
    client, other = session(mynah), session(mynah)
    client.run(f"CREATE TABLE {table} (v integer)")
    read = lambda: other.query("SELECT count(*) FROM planes WHERE seats > 100")  # noqa: E731
    warm(mynah, read)
    client.run(f"INSERT INTO {table} VALUES (1)")
    client.run(f"UPDATE {table} SET v = 2")
    assert_hit(mynah, read)


def test_a_write_that_failed_leaves_answers_alone(mynah, session, table):
    client, other = session(mynah), session(mynah)
    client.run(f"CREATE TABLE {table} (v integer PRIMARY KEY)")
    client.run(f"INSERT INTO {table} VALUES (1)")
    read = lambda: other.query(f"SELECT v FROM {table}")  # noqa: E731
    warm(mynah, read)
    assert wire.sqlstate(client.query(f"INSERT INTO {table} VALUES (1)")) == "23505"
    assert_hit(mynah, read)
    client.run("BEGIN")
    client.run(f"INSERT INTO {table} VALUES (2)")
    client.run("ROLLBACK")
    assert_hit(mynah, read)


def test_an_uncommitted_write_is_seen_by_its_session_alone(mynah, session, table):
    writer, reader = session(mynah), session(mynah)
    writer.run(f"CREATE TABLE {table} (v integer)")
    writer.run(f"INSERT INTO {table} VALUES (1)")
    read = f"SELECT v FROM {table}"
    warm(mynah, lambda: reader.value(read))
    writer.run("BEGIN")
    writer.run(f"UPDATE {table} SET v = 2")
    assert writer.value(read) == b"2"
    assert reader.value(read) == b"1"
    assert writer.value(read) == b"2"
    writer.run("ROLLBACK")
    assert writer.value(read) == b"1" and reader.value(read) == b"1"


def test_a_session_that_ends_inside_a_transaction_leaves_nothing_behind(mynah, session, table):
    reader, writer = session(mynah), session(mynah)
    reader.run(f"CREATE TABLE {table} (v integer)")
    reader.run(f"INSERT INTO {table} VALUES (1)")
    warm(mynah, lambda: reader.value(f"SELECT v FROM {table}"))
    writer.run("BEGIN")
    writer.run(f"UPDATE {table} SET v = 2")
    writer.close()
    reader.run(f"UPDATE {table} SET v = v + 10")
    assert reader.value(f"SELECT v FROM {table}") == b"11"
