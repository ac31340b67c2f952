"""Errors through Mynah are PostgreSQL's own, field for field."""

import pytest

import wire

SETUP = """
DROP TABLE IF EXISTS bad_child, bad CASCADE;
CREATE TABLE bad (id int PRIMARY KEY, v int NOT NULL CHECK (v > 0), s varchar(3), d date,
    EXCLUDE USING btree (s WITH =));
CREATE TABLE bad_child (id int REFERENCES bad);
INSERT INTO bad VALUES (1, 1, 'abc', '2013-01-01');
INSERT INTO bad_child VALUES (1);
"""

STATEMENTS = [
    "SELEC 1",
    "SELECT",
    "SELECT * FROM no_such_table",
    "SELECT * FROM no_such_schema.t",
    "SELECT no_such_column FROM airlines",
    "SELECT airlines.carrier FROM airlines a",
    "SELECT carrier FROM airlines, flights",
    "SELECT no_such_function(1)",
    "SELECT carrier + 1 FROM airlines",
    "SELECT 1 / 0",
    "SELECT 1 / (count(*) - 16) FROM airlines",
    "SELECT 'x'::int",
    "SELECT carrier::int FROM airlines",
    "SELECT 99999999999::int",
    "SELECT '2013-02-30'::date",
    "SELECT 'no'::mood",
    "SELECT (-1)::positive",
    "SELECT carrier, count(*) FROM airlines",
    "SELECT sum(count(*)) FROM airlines",
    "SELECT (SELECT carrier FROM airlines)",
    "SELECT carrier FROM airlines UNION SELECT 1",
    "SELECT carrier FROM airlines WHERE carrier",
    "SELECT * FROM airlines ORDER BY 99",
    "SELECT * FROM airlines LIMIT -1",
    "SELECT sqrt(-1), carrier FROM airlines",
    "SELECT substring(name FROM 1 FOR -1) FROM airlines",
    "SELECT name ~ '(' FROM airlines",
    "SELECT $1",
    "SELECT E'\\xff'",
    "SELECT '{1,2'::int[]",
    "SELECT '{'::json",
    "INSERT INTO bad VALUES (1, 1)",
    "INSERT INTO bad VALUES (2, NULL)",
    "INSERT INTO bad VALUES (2, 0)",
    "INSERT INTO bad VALUES (2, 1, 'toolong')",
    "INSERT INTO bad VALUES (2, 1, 'abc')",
    "INSERT INTO bad_child VALUES (9)",
    "INSERT INTO bad VALUES (1, 2, 3, 4, 5, 6)",
    "DELETE FROM bad WHERE id = 1",
    "UPDATE bad SET nothing = 1",
    "CREATE TABLE bad (a int)",
    "CREATE TABLE twice (a int, a int)",
    "DROP TABLE never_was",
    "SET no_such_setting = 1",
    "SET TimeZone = 'Nowhere/Here'",
    "SET ROLE nobody_at_all",
    "SHOW no_such_setting",
    "EXECUTE never_prepared",
    "DEALLOCATE never_prepared",
    "FETCH 1 FROM never_declared",
    "SAVEPOINT outside",
    "ROLLBACK TO SAVEPOINT outside",
    "VACUUM no_such_table",
    "COPY no_such_table TO STDOUT",
    "CALL no_such_procedure()",
    "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'MY001', DETAIL = 'd', HINT = 'h'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '23505', CONSTRAINT = 'c', TABLE = 't'; END $$",
    "LOCK TABLE no_such_table",
    "COMMIT PREPARED 'never'",
    "SELECT nextval('no_such_sequence')",
    "ALTER TABLE airlines ADD COLUMN carrier text",
    "GRANT SELECT ON airlines TO nobody_at_all",
]


@pytest.fixture(scope="module", autouse=True)
def tables(cached_postgres):
    with wire.RawSession.connect(cached_postgres.port) as session:
        session.run(SETUP)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_an_error_is_the_same_as_directly(postgres, cached_postgres, session, sql):
    direct, proxied = session(postgres), session(cached_postgres)
    for request in (
        wire.query(sql),
        wire.query(f"SELECT 1; {sql}; SELECT 2"),
        wire.extended(sql),
        wire.parse(sql, "s") + wire.describe_statement("s") + wire.sync(),
        wire.query("SELECT count(*) FROM airlines"),
        wire.query("BEGIN"),
        wire.query(sql),
        wire.query("SELECT count(*) FROM airlines"),
        wire.query("ROLLBACK"),
    ):
        assert proxied.exchange(request) == direct.exchange(request)


PROTOCOL = {
    "an unknown prepared statement": wire.bind("nothing") + wire.execute() + wire.sync(),
    "an unknown portal": wire.execute("nothing") + wire.sync(),
    "describing an unknown statement": wire.describe_statement("nothing") + wire.sync(),
    "describing an unknown portal": wire.describe_portal("nothing") + wire.sync(),
    "closing what is not there": wire.close_statement("nothing") + wire.close_portal("x") + wire.sync(),
    "a statement name used twice": (
        wire.parse("SELECT 1", "twice") + wire.parse("SELECT 2", "twice") + wire.sync()
    ),
    "too few parameters": wire.parse("SELECT $1::int") + wire.bind() + wire.execute() + wire.sync(),
    "too many parameters": (
        wire.parse("SELECT 1") + wire.bind(parameters=(b"1",)) + wire.execute() + wire.sync()
    ),
    "a wrong number of formats": (
        wire.parse("SELECT $1::int, $2::int")
        + wire.bind(parameters=(b"1", b"2"), parameter_formats=(0, 0, 0)) + wire.sync()
    ),
    "a wrong number of result formats": (
        wire.parse("SELECT carrier FROM airlines") + wire.bind(result_formats=(0, 1, 0))
        + wire.execute() + wire.sync()
    ),
    "a bad text parameter": (
        wire.parse("SELECT $1::int") + wire.bind(parameters=(b"x",)) + wire.execute() + wire.sync()
    ),
    "a bad binary parameter": (
        wire.parse("SELECT $1::int") + wire.bind(parameters=(b"xyz",), parameter_formats=(1,))
        + wire.execute() + wire.sync()
    ),
    "two statements in one Parse": wire.parse("SELECT 1; SELECT 2") + wire.sync(),
    "an empty Parse": wire.parse("") + wire.bind() + wire.describe_portal() + wire.execute() + wire.sync(),
    "an empty query": wire.query(""),
    "only a comment": wire.query("-- nothing"),
    "Sync alone": wire.sync(),
    "Flush and Sync": wire.flush() + wire.sync(),
    "an unknown type of a parameter": (
        wire.parse("SELECT $1", types=(4_000_000_000,)) + wire.bind(parameters=(b"1",)) + wire.sync()
    ),
    "a portal used twice": (
        wire.parse("SELECT 1", "p1") + wire.bind("p1", "a") + wire.bind("p1", "a") + wire.sync()
    ),
    "an error in the middle": (
        wire.parse("SELECT 1") + wire.bind() + wire.execute()
        + wire.parse("SELECT * FROM no_such_table") + wire.bind() + wire.execute()
        + wire.parse("SELECT 2") + wire.bind() + wire.execute() + wire.sync()
    ),
}


@pytest.mark.parametrize("what", PROTOCOL)
def test_a_protocol_mistake_is_answered_as_directly(postgres, cached_postgres, session, what):
    direct, proxied = session(postgres), session(cached_postgres)
    for request in (PROTOCOL[what], PROTOCOL[what], wire.query("SELECT count(*) FROM airlines")):
        assert proxied.exchange(request) == direct.exchange(request)


SQLITE = {
    "SELEC 1": "42601",
    "SELECT * FROM no_such_table": "42P01",
    "SELECT absent FROM airlines": "42703",
    "SELECT no_such_function(1)": "42883",
    "INSERT INTO lite_bad VALUES (1, 1)": "23505",
    "INSERT INTO lite_bad VALUES (2, NULL)": "23502",
    "INSERT INTO lite_bad VALUES (2, 0)": "23514",
    "INSERT INTO lite_bad_child VALUES (9)": "23503",
    "DELETE FROM lite_bad": "23503",
    "CREATE TABLE lite_bad (a integer)": "42P07",
    "DROP TABLE never_was": "42P01",
    "SELECT * FROM airlines UNION SELECT 1": "42601",
}


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_sqlite_errors_carry_the_sqlstate_that_postgresql_gives(cached_sqlite, session, protocol):
    send = wire.query if protocol == "simple" else wire.extended
    proxied = session(cached_sqlite)
    proxied.run("DROP TABLE IF EXISTS lite_bad_child")
    proxied.run("DROP TABLE IF EXISTS lite_bad")
    proxied.run("CREATE TABLE lite_bad (id integer PRIMARY KEY, v integer NOT NULL CHECK (v > 0))")
    proxied.run("CREATE TABLE lite_bad_child (id integer REFERENCES lite_bad)")
    proxied.run("INSERT INTO lite_bad VALUES (1, 1); INSERT INTO lite_bad_child VALUES (1)")
    found = {}
    for sql in SQLITE:
        replies = proxied.exchange(send(sql))
        assert wire.tags(replies) in ("EZ", "1EZ", "12nEZ"), sql
        assert replies[-1][1] == b"I"
        found[sql] = wire.sqlstate(replies)
    assert found == SQLITE


SQLITE_PROTOCOL = [
    what for what in PROTOCOL if what not in (
        "a bad text parameter", "a bad binary parameter", "an unknown type of a parameter",
        "too few parameters", "a wrong number of formats",
    )
]


@pytest.mark.parametrize("what", SQLITE_PROTOCOL)
def test_a_protocol_mistake_before_sqlite_has_the_shape_and_sqlstate_of_postgresql(
    postgres, cached_sqlite, session, what
):
    direct, proxied = session(postgres), session(cached_sqlite)
    expected = direct.exchange(PROTOCOL[what])
    found = proxied.exchange(PROTOCOL[what])
    assert wire.tags(found) == wire.tags(expected)
    assert wire.sqlstate(found) == wire.sqlstate(expected)
