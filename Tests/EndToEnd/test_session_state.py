"""What a session has set decides what its answers are; other sessions' answers are not its own."""

import pytest

import wire
from caching import assert_hit, assert_no_hit, warm
from servers import wait_until

SETTINGS = {
    "TimeZone": (["UTC", "America/New_York", "Asia/Kolkata"], "SELECT c_timestamptz, c_timetz FROM types ORDER BY id"),
    "DateStyle": (["ISO, MDY", "German, DMY", "SQL, DMY", "Postgres, MDY"], "SELECT c_date, c_timestamp FROM types ORDER BY id"),
    "IntervalStyle": (["postgres", "iso_8601", "sql_standard", "postgres_verbose"], "SELECT c_interval FROM types ORDER BY id"),
    "bytea_output": (["hex", "escape"], "SELECT c_bytea, c_bytea::text FROM types ORDER BY id"),
    "extra_float_digits": (["1", "0", "-5"], "SELECT c_float4, c_float8 FROM types ORDER BY id"),
    "client_encoding": (["UTF8", "LATIN1"], "SELECT v FROM (VALUES ('h' || chr(233))) AS x (v), airlines LIMIT 1"),
    "xmlbinary": (["base64", "hex"], "SELECT xmlelement(name a, c_bytea) FROM types ORDER BY id"),
    "lc_monetary": (["C", "C.UTF-8"], "SELECT c_money FROM types ORDER BY id"),
    "standard_conforming_strings": (["on", "off"], "SELECT 'a\\\\b', carrier FROM airlines ORDER BY carrier LIMIT 1"),
    "array_nulls": (["on", "off"], "SELECT '{NULL}'::text[], carrier FROM airlines ORDER BY carrier LIMIT 1"),
    "transform_null_equals": (["off", "on"], "SELECT count(*) FROM planes WHERE year = NULL"),
    "default_text_search_config": (["simple", "english"], "SELECT to_tsvector(name) FROM airlines ORDER BY carrier"),
    "quote_all_identifiers": (["off", "on"], "SELECT 'airlines'::regclass::text, carrier FROM airlines ORDER BY 2 LIMIT 1"),
}


@pytest.mark.parametrize("how", ["SET", "SET LOCAL", "set_config", "several statements"])
@pytest.mark.parametrize("name", SETTINGS)
def test_an_answer_follows_the_setting(postgres, cached_postgres, session, name, how):
    values, sql = SETTINGS[name]
    direct, proxied, other = session(postgres), session(cached_postgres), session(cached_postgres)
    untouched = other.query(sql)

    def both(text):
        expected = direct.query(text)
        assert proxied.query(text) == expected

    for _ in range(2):
        for value in values:
            if how == "SET":
                both(f"SET {name} = '{value}'" if name != "DateStyle" else f"SET DateStyle = {value}")
            elif how == "set_config":
                both(f"SELECT set_config('{name}', '{value}', false)")
            elif how == "several statements":
                both(f"SELECT 1; SELECT set_config('{name}', '{value}', false); SELECT 2")
            else:
                both("BEGIN")
                both(f"SET LOCAL {name} TO {value if name == 'DateStyle' else repr(value)}")
            for _ in range(3):
                both(sql)
            if how == "SET LOCAL":
                both("COMMIT")
                both(sql)
    assert other.query(sql) == untouched
    both(f"RESET {name}")
    both(sql)


def test_a_setting_reverts_with_its_transaction(postgres, cached_postgres, session):
    direct, proxied = session(postgres), session(cached_postgres)
    sql = "SELECT c_bytea FROM types ORDER BY id"
    for statement in (
        sql, sql, "BEGIN", "SET bytea_output = escape", sql, "ROLLBACK", sql, sql,
        "BEGIN", "SET bytea_output = escape", "COMMIT", sql, sql,
        "BEGIN", "SAVEPOINT a", "SET bytea_output = hex", sql, "ROLLBACK TO a", sql, "COMMIT", sql,
        "BEGIN", "SET LOCAL bytea_output = hex", sql, "SELECT nothing", "ROLLBACK", sql,
        "SET bytea_output = nonsense", sql, "RESET ALL", sql,
        "SET bytea_output = escape", sql, "DISCARD ALL", sql, sql,
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ", sql,
        "RESET ALL", sql, "SET bytea_output FROM CURRENT",
    ):
        assert proxied.query(statement) == direct.query(statement), statement


def test_discard_all_makes_a_session_hit_again(cached_postgres, session):
    client = session(cached_postgres)
    sql = "SELECT name FROM airlines ORDER BY name"
    warm(cached_postgres, lambda: client.query(sql))
    client.run("CREATE TEMP TABLE mine (a int)")
    assert_no_hit(cached_postgres, lambda: client.query(sql))
    client.run("DISCARD ALL")
    warm(cached_postgres, lambda: client.query(sql))


def test_sessions_with_equal_settings_share_answers(cached_postgres, session):
    sql = "SELECT at FROM moments"
    first, second = session(cached_postgres), session(cached_postgres)
    first.run("CREATE TABLE moments AS SELECT timestamptz '2013-01-01 10:00+00' AS at")
    for client in (first, second):
        client.run("SET TimeZone = 'Asia/Tokyo'")
    answer = warm(cached_postgres, lambda: first.query(sql))
    assert assert_hit(cached_postgres, lambda: second.query(sql)) == answer


def test_search_path_decides_which_table_is_meant(postgres, cached_postgres, session):
    setup = session(cached_postgres)
    setup.run("CREATE SCHEMA path_a; CREATE SCHEMA path_b")
    setup.run("CREATE TABLE path_a.t AS SELECT 'a' AS v; CREATE TABLE path_b.t AS SELECT 'b' AS v")
    direct, one, two = session(postgres), session(cached_postgres), session(cached_postgres)
    for path in ("path_a", "path_b", "path_b, path_a", '"$user", path_a', "path_a, public"):
        for client in (direct, one, two):
            client.run(f"SET search_path = {path}")
        for _ in range(3):
            expected = direct.query("SELECT v FROM t")
            assert one.query("SELECT v FROM t") == expected
            assert two.query("SELECT v FROM t") == expected
    setup.run("CREATE TABLE path_b.u AS SELECT 'b' AS v")
    one.run("SET search_path = path_a, path_b")
    assert one.value("SELECT v FROM u") == b"b"
    assert one.value("SELECT v FROM u") == b"b"
    setup.run("CREATE TABLE path_a.u AS SELECT 'a' AS v")
    assert one.value("SELECT v FROM u") == b"a"


def test_a_temporary_table_shadows_a_cached_one(cached_postgres, session, table):
    client, other = session(cached_postgres), session(cached_postgres)
    client.run(f"CREATE TABLE {table} (v integer)")
    client.run(f"INSERT INTO {table} VALUES (1)")
    sql = f"SELECT v FROM {table}"
    warm(cached_postgres, lambda: client.value(sql))
    client.run(f"CREATE TEMP TABLE {table} AS SELECT 2 AS v")
    for _ in range(2):
        assert client.value(sql) == b"2"
        assert other.value(sql) == b"1"
    client.run(f"UPDATE {table} SET v = 3")
    assert client.value(sql) == b"3" and other.value(sql) == b"1"


def test_sqlite_refuses_temporary_tables(cached_sqlite, session):
    assert wire.sqlstate(session(cached_sqlite).query("CREATE TEMP TABLE t (v integer)")) == "0A000"


@pytest.mark.parametrize("maker", [
    "DO $$ BEGIN CREATE TEMP TABLE {t} AS SELECT 2 AS v; END $$",
    "SELECT 2 AS v INTO TEMP {t}",
    "CREATE TABLE pg_temp.{t} AS SELECT 2 AS v",
    "CREATE TEMP VIEW {t} AS SELECT 2 AS v",
    "SET search_path = pg_temp, public; CREATE TABLE {t} AS SELECT 2 AS v",
])
def test_a_temporary_relation_made_in_a_hidden_way_shadows_too(cached_postgres, session, table, maker):
    client, other = session(cached_postgres), session(cached_postgres)
    client.run(f"CREATE TABLE {table} (v integer)")
    client.run(f"INSERT INTO {table} VALUES (1)")
    sql = f"SELECT v FROM {table}"
    warm(cached_postgres, lambda: client.value(sql))
    client.run(maker.replace("{t}", table))
    assert client.value(sql) == b"2"
    assert client.value(sql) == b"2"
    assert other.value(sql) == b"1"


def test_roles_see_what_they_may(postgres, cached_postgres, session):
    owner = session(cached_postgres)
    owner.run("CREATE TABLE secret (v int); INSERT INTO secret VALUES (42)")
    sql = "SELECT v FROM secret"
    warm(cached_postgres, lambda: owner.value(sql))
    bob = session(cached_postgres, user="bob")
    assert wire.sqlstate(bob.query(sql)) == "42501"
    owner.run("SET ROLE bob")
    assert wire.sqlstate(owner.query(sql)) == "42501"
    owner.run("RESET ROLE")
    assert owner.value(sql) == b"42"
    owner.run("SET SESSION AUTHORIZATION bob")
    assert wire.sqlstate(owner.query(sql)) == "42501"
    owner.run("RESET SESSION AUTHORIZATION")
    owner.run("GRANT SELECT ON secret TO bob")
    assert bob.value(sql) == b"42"
    assert bob.value(sql) == b"42"
    owner.run("REVOKE SELECT ON secret FROM bob")
    assert wire.sqlstate(bob.query(sql)) == "42501"


def test_a_rejected_set_role_changes_nothing(cached_postgres, session):
    owner, bob = session(cached_postgres), session(cached_postgres, user="bob")
    owner.run("CREATE TABLE mine (v int); INSERT INTO mine VALUES (1)")
    warm(cached_postgres, lambda: owner.value("SELECT v FROM mine"))
    assert wire.sqlstate(bob.query("SET ROLE postgres")) == "42501"
    assert wire.sqlstate(bob.query("SELECT v FROM mine")) == "42501"


def test_row_level_security_is_obeyed_for_each_user_and_setting(postgres, cached_postgres, session):
    owner = session(cached_postgres)
    owner.run("CREATE TABLE tenants (owner text, v int)")
    owner.run("INSERT INTO tenants VALUES ('alice', 1), ('bob', 2), ('t1', 3), ('t2', 4)")
    owner.run("ALTER TABLE tenants ENABLE ROW LEVEL SECURITY")
    owner.run("CREATE POLICY p ON tenants USING (owner = current_user OR owner = current_setting('app.tenant', true))")
    owner.run("GRANT SELECT ON tenants TO alice, bob")
    sql = "SELECT owner, v FROM tenants ORDER BY v"
    alice, bob = session(cached_postgres, user="alice"), session(cached_postgres, user="bob")
    assert len(owner.rows(sql)) == 4
    for _ in range(3):
        assert alice.rows(sql) == [[b"alice", b"1"]]
        assert bob.rows(sql) == [[b"bob", b"2"]]
    for tenant, v in (("t1", b"3"), ("t2", b"4"), ("t1", b"3")):
        alice.run(f"SET app.tenant = '{tenant}'")
        assert [row[1] for row in alice.rows(sql)] == [b"1", v]
        bob.run(f"BEGIN; SELECT set_config('app.tenant', '{tenant}', true)")
        assert [row[1] for row in bob.rows(sql)] == [b"2", v]
        bob.run("COMMIT")
        assert bob.rows(sql) == [[b"bob", b"2"]]
    owner.run("SET ROLE alice")
    assert owner.rows(sql) == [[b"alice", b"1"]]
    owner.run("RESET ROLE")
    owner.run("ALTER ROLE bob BYPASSRLS")
    assert len(bob.rows(sql)) == 4
    owner.run("ALTER ROLE bob NOBYPASSRLS")
    assert bob.rows(sql) == [[b"bob", b"2"]]


def test_a_prepared_statement_keeps_what_its_constants_meant_when_it_was_parsed(
    postgres, cached_postgres, session
):
    """The zone at Parse decides the instant, the zone at Execute how it prints."""
    sql = "SELECT '2013-01-01 12:00'::timestamptz, carrier FROM airlines ORDER BY carrier LIMIT 1"
    direct, proxied = session(postgres), session(cached_postgres)
    steps = [
        wire.query("SET TimeZone = 'UTC'"), wire.parse(sql, "s") + wire.sync(),
        wire.bind("s") + wire.execute() + wire.sync(), wire.query(sql),
        wire.query("SET TimeZone = 'Asia/Tokyo'"),
        wire.bind("s") + wire.execute() + wire.sync(), wire.query(sql), wire.extended(sql),
        wire.bind("s") + wire.execute() + wire.sync(), wire.query(sql),
    ]
    for step in steps + steps[2:]:
        assert proxied.exchange(step) == direct.exchange(step)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("how", [
    "BEGIN ISOLATION LEVEL {level}",
    "BEGIN; SET TRANSACTION ISOLATION LEVEL {level}",
    "SET default_transaction_isolation = '{lower}'; BEGIN",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}; BEGIN",
])
def test_a_snapshot_transaction_sees_its_snapshot(postgres, cached_postgres, session, table, level, how):
    client, writer = session(cached_postgres), session(cached_postgres)
    client.run(f"CREATE TABLE {table} (v integer)")
    client.run(f"INSERT INTO {table} VALUES (1)")
    sql = f"SELECT v FROM {table}"
    for statement in how.format(level=level, lower=level.lower()).split("; "):
        client.run(statement)
    client.run("SELECT count(*) FROM airlines")
    assert client.value(sql) == b"1"
    writer.run(f"UPDATE {table} SET v = 2")
    assert writer.value(sql) == b"2" and writer.value(sql) == b"2"
    assert client.value(sql) == b"1"
    client.run("COMMIT")
    client.run("RESET ALL")
    assert client.value(sql) == b"2"
    assert writer.value(sql) == b"2"


def test_for_update_locks_each_time(cached_postgres, session, table):
    client, other = session(cached_postgres), session(cached_postgres)
    client.run(f"CREATE TABLE {table} (v integer)")
    client.run(f"INSERT INTO {table} VALUES (1)")
    for lock in ("FOR UPDATE", "FOR SHARE", "FOR NO KEY UPDATE", "FOR KEY SHARE"):
        for _ in range(2):
            client.run("BEGIN")
            assert client.value(f"SELECT v FROM {table} {lock}") == b"1"
            blocked = f"SELECT v FROM {table} FOR UPDATE NOWAIT"
            assert wire.sqlstate(other.query(blocked)) == "55P03"
            client.run("COMMIT")
            assert other.value(blocked) == b"1"


def test_statements_with_effects_have_them_each_time(cached_postgres, session, table):
    client = session(cached_postgres)
    client.run(f"CREATE SEQUENCE {table}_s")
    for expected in range(1, 5):
        assert client.value(f"SELECT nextval('{table}_s') FROM airlines WHERE carrier = 'UA'") == str(expected).encode()
    values = {client.value("SELECT random() FROM airlines LIMIT 1") for _ in range(5)}
    assert len(values) == 5
    values = {client.value("SELECT clock_timestamp() FROM airlines LIMIT 1") for _ in range(5)}
    assert len(values) == 5
    values = {client.value("SELECT now() FROM airlines LIMIT 1") for _ in range(5)}
    assert len(values) == 5
    client.run("PREPARE p AS SELECT $1::timestamptz FROM airlines LIMIT 1")
    values = {client.value("EXECUTE p ('now')") for _ in range(5)}
    assert len(values) == 5
    bound = (
        wire.parse("SELECT $1::timestamp, count(*) FROM airlines")
        + wire.bind(parameters=(b"now",)) + wire.execute() + wire.sync()
    )
    values = {wire.data_rows(client.exchange(bound))[0][0] for _ in range(5)}
    assert len(values) == 5
    values = {client.value("SELECT 'now'::timestamp, count(*) FROM airlines") for _ in range(5)}
    assert len(values) == 5


def test_sqlite_functions_of_time_and_chance_are_asked_each_time(cached_sqlite, session, table):
    client = session(cached_sqlite)
    values = {client.value("SELECT random() FROM airlines LIMIT 1") for _ in range(5)}
    assert len(values) == 5
    client.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    for _ in range(3):
        client.run(f"INSERT INTO {table} (v) VALUES (1)")
    with cached_sqlite.counting() as delta:
        for _ in range(3):
            client.value("SELECT strftime('%f', 'now') FROM airlines LIMIT 1")
            client.value("SELECT datetime('now') FROM airlines LIMIT 1")
            client.value("SELECT CURRENT_TIMESTAMP FROM airlines LIMIT 1")
    assert delta.hits == 0


@pytest.mark.parametrize("user", ["scram_user", "md5_user", "cleartext_user"])
def test_mynah_authenticates_to_the_server_with_the_urls_password(postgres, own_mynah, session, user):
    server = own_mynah(postgres.url(user, "correct%20horse")).start()
    client = session(server)
    assert client.value("SELECT current_user") == user.encode()
    warm(server, lambda: client.value("SELECT count(*) FROM airlines"))


def test_a_wrong_password_is_an_error_and_no_hang(postgres, own_mynah):
    server = own_mynah(postgres.url("scram_user", "wr0ng")).spawn()
    wait_until(
        lambda: server.process.poll() is not None or server.http_status("/healthz") == 200, "a start", 30
    )
    if server.process.poll() is not None:
        assert "password authentication failed" in server.log()
    else:
        assert first_error(server) == "28P01"
    assert "wr0ng" not in server.log()


def first_error(server, **options) -> str | None:
    """The SQLSTATE that a new session meets, at startup or at its first statement."""
    client = wire.RawSession(server.port)
    try:
        client.send(wire.startup({"user": "postgres", "database": "flights", **options}))
        client.send(wire.query("SELECT count(*) FROM airlines") + wire.terminate())
        return wire.sqlstate(client.until_end())
    finally:
        client.close()


def test_the_users_own_name_reaches_the_server(cached_postgres, session):
    assert session(cached_postgres, user="alice").value("SELECT session_user") == b"alice"
    assert session(cached_postgres, database="postgres").value("SELECT current_database()") == b"postgres"


def test_an_unknown_database_or_user_is_refused_as_by_the_server(cached_postgres):
    assert first_error(cached_postgres, database="no_such_database") == "3D000"
    assert first_error(cached_postgres, user="no_such_user") == "28000"
