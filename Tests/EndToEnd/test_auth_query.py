"""Secrets from the server: auth_query, and logins passed through without a stored password."""

import psycopg
import pytest

import wire
from servers import PostgresServer, wait_until, with_flights
from test_auth import LOGINS, PASSWORD, psycopg3_login, rule
from wire import RawSession

ROLES = f"""
    CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
    CREATE ROLE expired LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2001-01-01';
    CREATE ROLE expiring LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2999-01-01';
    CREATE ROLE nologin NOLOGIN PASSWORD '{PASSWORD}';
    CREATE ROLE passwordless LOGIN;
    CREATE ROLE other LOGIN PASSWORD 'another horse';
    CREATE ROLE asker LOGIN PASSWORD 'asker horse';
    CREATE SCHEMA lookup;
    CREATE FUNCTION lookup.secret_of(name text) RETURNS TABLE (usename name, passwd text)
        LANGUAGE sql SECURITY DEFINER SET search_path = ''
        AS 'SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = name';
    REVOKE ALL ON FUNCTION lookup.secret_of FROM PUBLIC;
    GRANT USAGE ON SCHEMA lookup TO asker;
    GRANT EXECUTE ON FUNCTION lookup.secret_of TO asker;
    CREATE TABLE notes (owner text, note text);
    INSERT INTO notes VALUES ('reader', 'mine'), ('other', 'theirs');
    ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON notes USING (owner = current_user);
    GRANT SELECT ON notes TO reader, other;
"""


@pytest.fixture(scope="module")
def strict():
    """A server that asks everyone but its superuser for a SCRAM exchange."""
    server = PostgresServer()
    hba = server.data / "pg_hba.conf"
    hba.write_text(
        "host all postgres 127.0.0.1/32 trust\n"
        "host all all 127.0.0.1/32 scram-sha-256\n"
    )
    yield from with_flights(server, ROLES)


QUERIES = {
    "pg_authid": {"auth_query": "default", "auth_user": "postgres", "auth_database": "flights"},
    "function": {
        "auth_query": "SELECT * FROM lookup.secret_of($1)", "auth_user": "asker",
        "auth_database": "flights", "auth_password_env": "ASKER",
    },
}


@pytest.fixture(params=QUERIES)
def asking(request, own_mynah, strict):
    """A Mynah that knows no secret by itself; its URL names no user."""
    return own_mynah(
        strict.url(), environment={"ASKER": "asker horse"},
        auth={
            **QUERIES[request.param], "auth_query_ttl": "1h", "max_failures": 0,
            "rule": [rule("scram-sha-256")],
        },
    ).start()


def fails(server, user, password, login=psycopg3_login) -> str:
    with pytest.raises(Exception) as caught:
        login(server, user, password)
    return str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.__name__.removesuffix("_login"))
def test_a_login_is_passed_through_to_a_server_that_wants_one(asking, login):
    login(asking, "reader", PASSWORD)
    login(asking, "expiring", PASSWORD)
    assert "password authentication failed" in fails(asking, "reader", "wrong", login)
    login(asking, "reader", PASSWORD)


@pytest.mark.parametrize("user", ["expired", "nologin", "passwordless", "nobody", "\u00e9", "x' OR true --"])
def test_who_may_not_log_in_has_no_secret(asking, user):
    assert "password authentication failed" in fails(asking, user, PASSWORD)
    assert asking.metrics().total("mynah_login_failures_total", reason="unknown_user") == 1


def test_each_user_sees_what_is_theirs(asking):
    for user, password, note in (("reader", PASSWORD, "mine"), ("other", "another horse", "theirs")) * 2:
        with psycopg.connect(
            host="127.0.0.1", port=asking.port, user=user, password=password, dbname="flights"
        ) as connection:
            assert connection.execute("SELECT note FROM notes").fetchall() == [(note,)]
            assert connection.execute("SELECT session_user").fetchone() == (user,)


def test_many_logins_ask_once(asking):
    for _ in range(5):
        psycopg3_login(asking, "reader", PASSWORD)
    assert asking.metrics().total("mynah_auth_queries_total") == 1


def test_a_changed_password_is_noticed(asking, strict):
    strict.run("ALTER ROLE other PASSWORD 'another horse'")
    psycopg3_login(asking, "other", "another horse")
    strict.run("ALTER ROLE other PASSWORD 'a third horse'")
    try:
        # The old secret is still remembered; one that fails has it asked for again.
        fails(asking, "other", "a third horse")
        psycopg3_login(asking, "other", "a third horse")
        assert "password authentication failed" in fails(asking, "other", "another horse")
    finally:
        strict.run("ALTER ROLE other PASSWORD 'another horse'")


def test_a_client_s_settings_do_not_reach_the_question(asking, strict):
    """CVE-2025-12819: an operator of the client's, in a schema of its choice."""
    strict.run(
        "CREATE SCHEMA IF NOT EXISTS evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;"
        "CREATE TABLE IF NOT EXISTS evil.calls (id int); GRANT INSERT ON evil.calls TO PUBLIC;"
        "CREATE OR REPLACE FUNCTION evil.equal(name, text) RETURNS boolean LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO evil.calls VALUES (1); RETURN true; END';"
        "DROP OPERATOR IF EXISTS evil.= (name, text);"
        "CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.equal)"
    )
    client = RawSession(asking.port)
    client.send(
        wire.startup({
            "user": "nobody", "database": "flights", "search_path": "evil, pg_catalog",
            "options": "-c search_path=evil,pg_catalog",
        })
    )
    assert client.receive()[0] == b"R"
    client.close()
    assert strict.run("SELECT count(*) FROM evil.calls") == [(0,)]


def test_a_database_that_does_not_answer_is_no_wrong_password(own_mynah):
    server = PostgresServer()
    try:
        server.start()
        server.run("CREATE DATABASE flights", "postgres")
        mynah = own_mynah(
            server.url(),
            auth={"auth_query": "default", "auth_user": "postgres", "rule": [rule("scram-sha-256")]},
        ).start()
        server.stop()
        for user in ("postgres", "nobody"):
            assert "cannot be authenticated now" in fails(mynah, user, PASSWORD)
        assert mynah.metrics().total("mynah_login_failures_total", reason="lookup") == 2
        assert mynah.metrics().total("mynah_auth_queries_waiting") == 0
        server.start()
        server.run(f"CREATE ROLE late LOGIN PASSWORD '{PASSWORD}'", "postgres")

        def works():
            try:
                psycopg3_login(mynah, "late", PASSWORD, database="postgres")
                return True
            except psycopg.OperationalError:
                return False

        wait_until(works, "users are authenticated again")
    finally:
        server.remove()


def test_a_listed_password_is_used_for_the_server_too(own_mynah, strict, tmp_path):
    (tmp_path / "password").write_text(PASSWORD)
    server = own_mynah(
        strict.url(),
        auth={
            "user": [{"name": "reader", "password_file": str(tmp_path / "password")}],
            "rule": [rule("scram-sha-256")],
        },
    ).start()
    psycopg3_login(server, "reader", PASSWORD)


def test_without_a_login_of_its_own_there_is_nothing_to_pass_on(own_mynah, strict):
    server = own_mynah(
        strict.url(), auth={"rule": [rule("trust", addresses=["127.0.0.0/8"])]}
    ).start()
    assert "asks for a password and none is configured" in fails(server, "reader", PASSWORD)
