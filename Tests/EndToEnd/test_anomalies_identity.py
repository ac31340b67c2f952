"""Anomalies 21 to 38: who asks, and what the same text means. See `anomaly_lab.py`."""

import pytest

import wire
from anomaly_lab import lab, values  # noqa: F401 (a fixture)
from caching import assert_hit, warm
from servers import wait_until
from wire import RawSession

TABLE = (
    "CREATE TABLE {t} (id int PRIMARY KEY, v int)",
    "INSERT INTO {t} VALUES (1, 10), (2, 20)",
)
ALL = "SELECT id, v FROM {t} ORDER BY id"
TENANTS = (
    "CREATE TABLE {t} (tenant text, v int)",
    "INSERT INTO {t} VALUES ('alice', 1), ('bob', 2), ('x', 3), ('y', 4)",
    "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
    "GRANT SELECT ON {t} TO alice, bob",
)
MINE = "SELECT tenant, v FROM {t} ORDER BY v"


def test_anomaly_21_set_role_and_session_authorization_change_who_asks(lab):
    lab.make(*TENANTS, "CREATE POLICY p ON {t} USING (tenant = current_user)")
    truth = lab.truth()
    for command in (
        "SET ROLE alice", "SET ROLE bob", "RESET ROLE", "SET SESSION AUTHORIZATION alice",
        "SET SESSION AUTHORIZATION bob", "RESET SESSION AUTHORIZATION", "SET ROLE bob", "SET ROLE NONE",
    ):
        for session in (lab.reader, truth):
            session.run(command)
        for _ in range(2):
            lab.agrees(MINE, lab.reader, truth)


@pytest.mark.parametrize("change, back", [
    ("REVOKE SELECT ON {t} FROM alice", "GRANT SELECT ON {t} TO alice"),
    ("ALTER ROLE alice BYPASSRLS", "ALTER ROLE alice NOBYPASSRLS"),
    ("ALTER TABLE {t} DISABLE ROW LEVEL SECURITY", "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY"),
    ("ALTER POLICY p ON {t} USING (v > 2)", "ALTER POLICY p ON {t} USING (tenant = current_user)"),
    ("ALTER TABLE {t} SET SCHEMA {t}_s", "ALTER TABLE {t}_s.{t} SET SCHEMA public"),
    ("ALTER TABLE {t} OWNER TO alice", "ALTER TABLE {t} OWNER TO postgres"),
    ("DROP POLICY p ON {t}", "CREATE POLICY p ON {t} USING (tenant = current_user)"),
    ("GRANT bob TO alice", "REVOKE bob FROM alice"),
])
def test_anomaly_21_a_change_of_rights_holds_for_the_next_statement(lab, change, back):
    lab.make(*TENANTS, "CREATE POLICY p ON {t} USING (tenant = current_user)", "CREATE SCHEMA {t}_s")
    alice, truth = lab.client(user="alice"), lab.truth(user="alice")
    for statement in (change, back, change):
        lab.agrees(MINE, alice, truth)
        lab.writer.run(lab.sql(statement))
        lab.agrees(MINE, alice, truth)
    lab.writer.run(lab.sql(back))


def test_anomaly_22_one_user_is_not_given_what_another_was(lab):
    lab.make("CREATE TABLE {t} (v int)", "INSERT INTO {t} VALUES (1)", "GRANT SELECT ON {t} TO alice")
    alice, bob = lab.client(user="alice"), lab.client(user="bob")
    lab.remember("SELECT v FROM {t}", alice)
    assert wire.sqlstate(bob.query(lab.sql("SELECT v FROM {t}"))) == "42501"
    lab.agrees("SELECT v FROM {t}", bob, lab.truth(user="bob"))


def test_anomaly_23_what_the_server_connection_may_read_is_not_what_the_client_may(lab):
    """Column rights too: the answer to a superuser is not an answer for others."""
    lab.make("CREATE TABLE {t} (a int, b int)", "INSERT INTO {t} VALUES (1, 2)",
             "GRANT SELECT (a) ON {t} TO bob")
    bob, truth = lab.client(user="bob"), lab.truth(user="bob")
    for sql in ("SELECT a FROM {t}", "SELECT b FROM {t}", "SELECT * FROM {t}"):
        lab.remember(sql)
        lab.agrees(sql, bob, truth)


@pytest.mark.parametrize("how", [
    "SET LOCAL app.tenant = '{who}'",
    "SELECT set_config('app.tenant', '{who}', true)",
    "SET app.tenant = '{who}'",
])
def test_anomaly_24_a_tenant_named_by_a_setting_sees_its_own_rows(lab, how):
    lab.make(*TENANTS, "CREATE POLICY p ON {t} USING (tenant = current_setting('app.tenant', true))")
    alice, truth = lab.client(user="alice"), lab.truth(user="alice")
    sql = lab.sql(MINE)
    for who in ("x", "y", "x", "y", "nobody", "x"):
        for session in (alice, truth):
            session.run("BEGIN")
            session.run(how.replace("{who}", who))
        assert alice.query(sql) == truth.query(sql) == alice.query(sql)
        for session in (alice, truth):
            session.run("ROLLBACK" if who == "nobody" else "COMMIT")
        assert alice.query(sql) == truth.query(sql)


def refusal(server, **startup) -> str | None:
    """The SQLSTATE with which a new session is refused; None if it is let in."""
    client = RawSession(server.port)
    try:
        client.start(startup)
        return None
    except wire.ConnectionEnded as ended:
        return wire.sqlstate(ended.replies)
    finally:
        client.close()


def test_anomaly_25_the_right_to_come_in_is_asked_for_each_time(postgres, own_mynah):
    """What one client was greeted with is remembered, but not that it was let in."""
    server = own_mynah(postgres.url()).start()
    with RawSession.connect(server.port, user="alice") as client:
        warm(server, lambda: client.query("SELECT name FROM airlines ORDER BY name"))
    for _ in range(2):
        assert refusal(server, user="nobody_at_all", database="flights") == "28000"
        assert refusal(server, user="alice", database="no_such_database") == "3D000"
        assert refusal(server, user="alice", database="flights") is None
    with RawSession.connect(server.port) as owner:
        owner.run("ALTER ROLE alice NOLOGIN")
        try:
            assert refusal(server, user="alice", database="flights") == "28000"
        finally:
            owner.run("ALTER ROLE alice LOGIN")


def test_anomaly_26_search_path_decides_what_a_name_means(lab):
    lab.make("CREATE SCHEMA {t}_a", "CREATE SCHEMA {t}_b", "CREATE TABLE {t}_a.x (v int)",
             "CREATE TABLE {t}_b.x (v int)", "INSERT INTO {t}_a.x VALUES (1)", "INSERT INTO {t}_b.x VALUES (2)")
    one, two = lab.client(), lab.client()
    one.run(lab.sql("SET search_path = {t}_a"))
    two.run(lab.sql("SET search_path = {t}_b"))
    for _ in range(3):
        assert values(one.query("SELECT v FROM x")) == [b"1"]
        assert values(two.query("SELECT v FROM x")) == [b"2"]
    with lab.client(options=f"-c search_path={lab.t}_b") as three:
        assert values(three.query("SELECT v FROM x")) == [b"2"]


def test_anomaly_27_a_temporary_table_shadows_and_unshadows(lab):
    lab.make(*TABLE)
    lab.remember(ALL)
    for _ in range(2):
        lab.reader.run(lab.sql("CREATE TEMP TABLE {t} (id int, v int)"))
        assert values(lab.reader.query(lab.sql(ALL))) == []
        lab.reader.run(lab.sql("DROP TABLE pg_temp.{t}"))
        lab.agrees(ALL)
    lab.make("DROP TABLE {t}")
    lab.reader.run(lab.sql("CREATE TEMP TABLE {t} (id int, v int)"))
    assert values(lab.reader.query(lab.sql(ALL))) == []
    assert wire.sqlstate(lab.writer.query(lab.sql(ALL))) == "42P01"


@pytest.mark.parametrize("expression", [
    "current_user", "session_user", "user", "current_role", "current_schema()", "current_schemas(true)::text",
    "v::timestamptz::text", "to_timestamp(id)::text", "(now() - now())::text", "current_date > '2000-01-01'",
    "'today'::date > '2000-01-01'", "current_setting('TimeZone')", "(v::timestamptz)::date",
    "extract(hour from v::timestamptz)",
])
def test_anomaly_28_expressions_that_depend_on_session_or_clock(lab, expression):
    lab.make("CREATE TABLE {t} (id int, v timestamp)", "INSERT INTO {t} VALUES (1, '2020-02-02 23:30')",
             "GRANT SELECT ON {t} TO alice")
    sql = f"SELECT {expression} FROM {{t}}"
    truth = lab.truth()
    for command in ("SET TimeZone = 'Asia/Tokyo'", "SET ROLE alice", "SET search_path = public, pg_temp",
                    "SET TimeZone = 'UTC'", "RESET ROLE"):
        for session in (lab.reader, truth):
            session.run(command)
        lab.agrees(sql, lab.reader, truth)


@pytest.mark.parametrize("setting, values_", [
    ("DateStyle", ["'ISO, DMY'", "'SQL, MDY'", "'German'"]), ("IntervalStyle", ["iso_8601", "sql_standard"]),
    ("bytea_output", ["escape", "hex"]), ("extra_float_digits", ["0", "-15", "3"]),
    ("lc_monetary", ["'C'"]), ("lc_numeric", ["'C'"]), ("lc_time", ["'C'"]),
    ("client_encoding", ["LATIN1", "UTF8"]), ("standard_conforming_strings", ["off", "on"]),
    ("TimeZone", ["'Asia/Tokyo'", "'America/New_York'"]), ("quote_all_identifiers", ["on"]),
    ("xmlbinary", ["hex", "base64"]), ("array_nulls", ["off", "on"]), ("transform_null_equals", ["on", "off"]),
    ("row_security", ["off", "on"]), ("default_text_search_config", ["simple", "english"]),
])
def test_anomaly_29_settings_that_change_an_answers_bytes(lab, setting, values_):
    lab.make(
        "CREATE TABLE {t} (id int, d date, i interval, b bytea, f float8, m money, s text, z timestamptz)",
        "INSERT INTO {t} VALUES (1, '2020-03-04', '1 day 02:00', '\\xde00', 1::float8 / 3, 12.5, 'naïve', '2020-03-04')",
    )
    sql = "SELECT *, s || E'\\x41', 'a\\\\b', NULL = s, to_tsvector('the foxes') FROM {t}"
    truth = lab.truth()
    lab.agrees(sql, lab.reader, truth)
    for value in values_:
        for session in (lab.reader, truth):
            session.run(f"SET {setting} = {value}")
        for _ in range(2):
            lab.agrees(sql, lab.reader, truth)
        replies = lab.reader.exchange(wire.extended(lab.sql(sql)))
        assert replies == truth.exchange(wire.extended(lab.sql(sql)))


def test_anomaly_30_formats_and_descriptions_are_part_of_the_key(lab):
    lab.make(*TABLE)
    sql = lab.sql(ALL)
    shapes = [
        wire.query(sql), wire.extended(sql, wire.TEXT), wire.extended(sql, wire.BINARY),
        wire.parse(sql) + wire.bind(result_formats=(0, 1)) + wire.describe_portal() + wire.execute() + wire.sync(),
        wire.parse(sql) + wire.bind(result_formats=(1, 0)) + wire.execute() + wire.sync(),
        wire.parse(sql) + wire.describe_statement() + wire.bind() + wire.execute() + wire.sync(),
        wire.parse(sql) + wire.bind() + wire.execute() + wire.sync(),
    ]
    with lab.server.counting() as delta:
        for _ in range(3):
            for shape in shapes:
                assert lab.reader.exchange(shape) == lab.direct.exchange(shape)
    assert delta.hits > 0


def test_anomaly_31_a_statement_name_taken_again_in_one_batch_keeps_its_write(lab):
    lab.make(*TABLE)
    update = lab.sql("UPDATE {t} SET v = v + 1")
    batch = (
        wire.close_statement("s") + wire.parse(lab.sql(ALL), "s") + wire.bind("s") + wire.execute()
        + wire.close_statement("s") + wire.parse(update, "s") + wire.bind("s") + wire.execute()
        + wire.close_statement("s") + wire.sync())
    for _ in range(3):
        before = lab.remember(ALL)
        assert wire.sqlstate(lab.writer.exchange(batch)) is None
        assert lab.agrees(ALL) != before


def test_anomaly_32_a_function_made_anew_is_the_new_one(lab):
    lab.make(*TABLE, "CREATE FUNCTION {t}_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'",
             "CREATE VIEW {t}_v AS SELECT id, {t}_f(v) AS v FROM {t}")
    for sql in ("SELECT {t}_f(v) FROM {t} ORDER BY 1", "SELECT id, v FROM {t}_v ORDER BY id"):
        lab.agrees(sql)
    lab.make("CREATE OR REPLACE FUNCTION {t}_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 100'")
    for sql in ("SELECT {t}_f(v) FROM {t} ORDER BY 1", "SELECT id, v FROM {t}_v ORDER BY id"):
        lab.agrees(sql)
    # Its volatility and its body may change what a read may do.
    lab.make("CREATE OR REPLACE FUNCTION {t}_f(int) RETURNS int VOLATILE LANGUAGE plpgsql AS"
             " $$ BEGIN UPDATE {t} SET v = v + 1; RETURN $1; END $$")
    before = lab.remember(ALL)
    lab.writer.run(lab.sql("SELECT {t}_f(1)"))
    assert lab.agrees(ALL) != before


def test_anomaly_33_the_description_follows_alter_table(lab):
    lab.make(*TABLE)
    lab.changes("SELECT * FROM {t}", "ALTER TABLE {t} ADD COLUMN w text DEFAULT 'new'")
    lab.changes("SELECT * FROM {t}", "ALTER TABLE {t} ALTER COLUMN v TYPE bigint")
    lab.changes("SELECT * FROM {t}", "ALTER TABLE {t} RENAME COLUMN v TO u")
    lab.changes("SELECT * FROM {t}", "ALTER TABLE {t} DROP COLUMN w")


def test_anomaly_34_a_replay_keeps_the_order_of_its_rows(lab):
    lab.make("CREATE TABLE {t} (v int)", "INSERT INTO {t} SELECT (i * 7919) % 1000 FROM generate_series(1, 500) i")
    first = lab.remember("SELECT v FROM {t}")
    for _ in range(5):
        assert assert_hit(lab.server, lambda: lab.reader.query(lab.sql("SELECT v FROM {t}"))) == first


def test_anomaly_35_messages_that_belong_to_the_moment_are_not_kept(lab):
    """A notice in the middle of an answer forbids the fill; a notification is delivered once."""
    lab.make(*TABLE, "CREATE FUNCTION {t}_n(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
             " $$ BEGIN RAISE NOTICE 'hello'; RETURN $1; END $$",
             "CREATE VIEW {t}_v AS SELECT {t}_n(v) AS v FROM {t}")
    for _ in range(3):
        assert wire.tags(lab.reader.query(lab.sql("SELECT v FROM {t}_v"))).count("N") == 2
    lab.remember(ALL)
    lab.reader.run(lab.sql("LISTEN {t}"))
    lab.remember(ALL)
    lab.writer.run(lab.sql("NOTIFY {t}"))
    seen = []
    wait_until(lambda: seen.extend(wire.tags(lab.reader.query(lab.sql(ALL)))) or "A" in seen,
               "the notification comes")
    lab.agrees(ALL)
    assert seen.count("A") == 1


def test_anomaly_36_errors_and_cancelled_answers_are_not_kept(lab):
    lab.make(*TABLE, "UPDATE {t} SET v = 0 WHERE id = 1")
    division = "SELECT 100 / v FROM {t} ORDER BY id"
    assert wire.sqlstate(lab.agrees(division)) == "22012"
    lab.make("UPDATE {t} SET v = 5 WHERE id = 1")
    assert values(lab.agrees(division)) == [b"20", b"5"]
    lab.make("CREATE TABLE {t}_big AS SELECT generate_series(1, 3000) AS i")
    slow = lab.sql("SELECT count(*) FROM {t}_big a, {t}_big b WHERE a.i < b.i")
    lab.reader.run("SET statement_timeout = 20")
    assert wire.sqlstate(lab.reader.query(slow)) == "57014"
    lab.reader.run("RESET statement_timeout")
    assert values(lab.agrees(slow)) == [str(3000 * 2999 // 2).encode()]


def test_anomaly_37_a_limit_is_part_of_the_question(lab):
    lab.make("CREATE TABLE {t} (v int)", "INSERT INTO {t} SELECT generate_series(1, 50)")
    for limit in ("", " LIMIT 10", " LIMIT 5", " LIMIT 20", " OFFSET 45", " LIMIT 0", " LIMIT ALL"):
        lab.agrees("SELECT v FROM {t} ORDER BY v" + limit)
    sql = lab.sql("SELECT v FROM {t} ORDER BY v LIMIT $1")
    for limit in (b"3", b"30", b"3", None):
        messages = wire.parse(sql) + wire.bind(parameters=(limit,)) + wire.execute() + wire.sync()
        assert lab.reader.exchange(messages) == lab.direct.exchange(messages)


@pytest.mark.parametrize("statement", [
    "SELECT nextval('{t}_s') FROM {t}", "SELECT setval('{t}_s', 50) FROM {t}",
    "SELECT count(*), nextval('{t}_s') FROM {t}", "SELECT v FROM {t} WHERE nextval('{t}_s') > 0",
])
def test_anomaly_38_sequences_move_each_time(lab, statement):
    lab.make(*TABLE, "CREATE SEQUENCE {t}_s")
    before = lab.direct.query(lab.sql("SELECT last_value, is_called FROM {t}_s"))
    for _ in range(3):
        lab.reader.run(lab.sql("SELECT setval('{t}_s', 1)"))
        middle = lab.direct.query(lab.sql("SELECT last_value, is_called FROM {t}_s"))
        lab.reader.run(lab.sql(statement))
        after = lab.direct.query(lab.sql("SELECT last_value, is_called FROM {t}_s"))
        assert after != middle
    assert after != before


def test_anomaly_38_advisory_locks_and_notifications_happen_each_time(lab):
    lab.make(*TABLE)
    for _ in range(3):
        lab.reader.run("BEGIN")
        lab.reader.run(lab.sql("SELECT pg_advisory_xact_lock(77), v FROM {t} WHERE id = 1"))
        assert lab.direct.value("SELECT pg_try_advisory_xact_lock(77)") == b"f"
        lab.reader.run("COMMIT")
    listener = lab.truth()
    listener.run(lab.sql("LISTEN {t}"))
    for _ in range(3):
        lab.reader.run(lab.sql("SELECT pg_notify('{t}', 'x'), v FROM {t} WHERE id = 1"))
    seen = []
    wait_until(lambda: seen.extend(wire.tags(listener.query("SELECT 1"))) or seen.count("A") >= 3,
               "each notification arrives")
    assert seen.count("A") == 3
