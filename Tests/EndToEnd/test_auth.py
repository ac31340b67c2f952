"""Who may come in: every method, with and without a secret, with the right one and wrong ones."""

import asyncio
import signal
import subprocess

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import pytest

import wire
from servers import POSTGRESQL_BIN, MynahServer, wait_until
from wire import RawSession

PASSWORD = "correct horse"
LOOPBACK = ["unix", "127.0.0.0/8", "::1"]
# Of "correct horse", as PostgreSQL writes it.
VERIFIER_SQL = "SELECT rolpassword FROM pg_authid WHERE rolname = '{}'"


@pytest.fixture(scope="module")
def verifiers(postgres):
    return {
        user: postgres.run(VERIFIER_SQL.format(user))[0][0] for user in ("scram_user", "md5_user")
    }


def rule(method: str, **options) -> dict:
    return {"method": method, "addresses": ["all"], **options}


@pytest.fixture(scope="module")
def guarded(postgres, verifiers, tmp_path_factory):
    """One Mynah with a rule and a user for every case of the table below."""
    secret = tmp_path_factory.mktemp("secrets") / "password"
    secret.write_text(PASSWORD + "\n")
    server = MynahServer(
        postgres.url("postgres"),
        environment={"FROM_ENVIRONMENT": PASSWORD},
        auth={
            "max_failures": 0,
            "allow_md5": True,
            "user": [
                {"name": "verifier_user", "verifier": verifiers["scram_user"]},
                {"name": "file_user", "password_file": str(secret)},
                {"name": "variable_user", "password_env": "FROM_ENVIRONMENT"},
                {"name": "md5_user", "verifier": verifiers["md5_user"]},
                {"name": "md5_scram_user", "verifier": verifiers["scram_user"]},
                {"name": "no_secret"},
            ],
            "rule": [
                rule("reject", users=["rejected"]),
                rule("trust", users=["trusted"], addresses=LOOPBACK),
                rule("cert", users=["certified"]),
                rule("md5", users=["md5_user", "md5_scram_user", "md5_nobody"]),
                rule("reject", databases=["postgres"]),
                rule("scram-sha-256", users=["mallory"], addresses=["192.0.2.0/24"]),
                rule("scram-sha-256", users=[
                    "verifier_user", "file_user", "variable_user", "no_secret", "nobody", "md5_nobody",
                ]),
            ],
        },
    )
    try:
        yield server.start()
    finally:
        server.remove()


# user, its password is known to Mynah, SQLSTATE whatever the password
TABLE = [
    ("verifier_user", True, None),
    ("file_user", True, None),
    ("variable_user", True, None),
    ("md5_user", True, None),
    ("md5_scram_user", True, None),
    ("no_secret", False, "28P01"),
    ("nobody", False, "28P01"),
    ("md5_nobody", False, "28P01"),
    ("rejected", False, "28000"),
    ("certified", False, "28000"),
    ("mallory", False, "28000"),
    ("no rule is about me", False, "28000"),
]
PASSWORDS = {
    "right": PASSWORD, "wrong": "wrong horse", "empty": "", "longer": PASSWORD + "x", "none": None,
}


def psycopg3_login(server, user, password, database="flights"):
    connection = psycopg.connect(
        host="127.0.0.1", port=server.port, user=user, password=password, dbname=database,
        passfile="/dev/null",
    )
    connection.execute("SELECT 1")
    connection.close()


def psycopg2_login(server, user, password, database="flights"):
    psycopg2.connect(
        host="127.0.0.1", port=server.port, user=user, password=password, dbname=database,
        passfile="/dev/null",
    ).close()


def asyncpg_login(server, user, password, database="flights"):
    async def run():
        connection = await asyncpg.connect(
            host="127.0.0.1", port=server.port, user=user, password=password, database=database,
            ssl=False, passfile="/dev/null",
        )
        await connection.fetchval("SELECT 1")
        await connection.close()

    asyncio.run(run())


def pg8000_login(server, user, password, database="flights"):
    pg8000.dbapi.connect(
        host="127.0.0.1", port=server.port, user=user, password=password, database=database,
    ).close()


def psql_login(server, user, password, database="flights"):
    done = subprocess.run(
        [str(POSTGRESQL_BIN / "psql"), "-XAtw", "-h", "127.0.0.1", "-p", str(server.port), "-U", user,
         "-c", "SELECT 1", database],
        env={"PGPASSWORD": password or "", "PGPASSFILE": "/dev/null", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=30,
    )
    if done.returncode:
        raise PermissionError(done.stderr)
    assert done.stdout == "1\n"


LOGINS = [psycopg3_login, psycopg2_login, asyncpg_login, pg8000_login, psql_login]


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.__name__.removesuffix("_login"))
@pytest.mark.parametrize("user, has_secret, state", TABLE, ids=[row[0] for row in TABLE])
@pytest.mark.parametrize("password", PASSWORDS)
def test_the_table_of_methods_and_passwords(guarded, login, user, has_secret, state, password):
    if has_secret and password == "right":
        login(guarded, user, PASSWORD)
        return
    with pytest.raises(Exception) as caught:
        login(guarded, user, PASSWORDS[password])
    text = str(caught.value) + repr(caught.value)
    assert PASSWORD not in text
    if password == "none" or (password == "empty" and "28000" != state):
        return  # Most drivers leave by themselves.
    if state == "28000":
        assert "auth.rule" in text or "certificate" in text, text
    else:
        assert "password authentication failed" in text, text


def test_trust_lets_in_from_this_machine(guarded):
    psycopg3_login(guarded, "trusted", None)


def test_the_first_rule_that_matches_decides(guarded):
    # A rule behind it would let this user in.
    with pytest.raises(psycopg.OperationalError, match="rejects connection.*verifier_user"):
        psycopg3_login(guarded, "verifier_user", PASSWORD, database="postgres")


def test_refusals_have_the_server_s_codes(guarded):
    for user, state in (("nobody", "R"), ("rejected", "28000"), ("stranger", "28000")):
        client = RawSession(guarded.port)
        client.send(wire.startup({"user": user, "database": "flights"}))
        tag, body = client.receive()
        if state == "R":
            assert tag == b"R"
        else:
            assert tag == b"E" and wire.error_fields(body)["C"] == state
            assert wire.error_fields(body)["S"] == "FATAL"
            assert client.until_end() == []
        client.close()


def first_challenge(server, user: str) -> bytes:
    """The server's first message of a SCRAM exchange, without the nonce."""
    with RawSession(server.port) as client:
        client.send(wire.startup({"user": user, "database": "flights"}))
        tag, body = client.receive()
        assert tag == b"R" and body == b"\0\0\0\x0aSCRAM-SHA-256\0\0", body
        first = b"n,,n=,r=abcdefgh"
        client.send(wire.message(b"p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
        tag, body = client.receive()
        assert tag == b"R" and body[:4] == b"\0\0\0\x0b"
        return body[4:].split(b",", 1)[1]


def test_a_user_that_does_not_exist_looks_like_one_that_does(guarded):
    real = first_challenge(guarded, "verifier_user")
    assert real == first_challenge(guarded, "verifier_user")
    for name in ("nobody", "no_secret"):
        mock = first_challenge(guarded, name)
        # The same each time, of its own, and of the same form.
        assert mock == first_challenge(guarded, name)
        assert mock != real and len(mock) == len(real)
        assert mock.split(b",")[1] == real.split(b",")[1] == b"i=4096"
    assert first_challenge(guarded, "nobody") != first_challenge(guarded, "no_secret")


def test_a_message_out_of_order_ends_the_connection(guarded):
    first = b"n,,n=,r=abcdefgh"
    initial = wire.message(b"p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first)
    for data in (
        wire.query("SELECT 1"), wire.sync(), wire.message(b"p", b""), wire.message(b"p", b"x"),
        wire.message(b"p", b"SCRAM-SHA-256-PLUS\0\0\0\0\0"), initial + initial,
        initial + wire.query("SELECT 1"), initial + wire.message(b"p", b"c=biws,r=abcdefgh,p=AAAA"),
        b"p" + (1 << 30).to_bytes(4, "big"), b"p" + (0).to_bytes(4, "big"),
        wire.message(b"p", b"x" * 100_000), b"\0" * 60_000,
    ):
        client = RawSession(guarded.port)
        client.send(wire.startup({"user": "verifier_user", "database": "flights"}))
        assert client.receive()[0] == b"R"
        try:
            client.send(data)
        except OSError:
            pass
        replies = client.until_end()
        client.close()
        assert b"Z" not in [tag for tag, _ in replies], data[:20]
        assert b"R\0\0\0\x08\0\0\0\0" not in b"".join(tag + body for tag, body in replies)
        if replies:
            assert wire.sqlstate(replies) in ("08P01", "28P01"), (data[:20], replies)


def test_what_is_sent_before_the_login_is_complete_is_not_run(guarded, postgres):
    postgres.run("DROP TABLE IF EXISTS written_before_login")
    client = RawSession(guarded.port)
    client.send(
        wire.startup({"user": "nobody", "database": "flights"})
        + wire.query("CREATE TABLE written_before_login (id int)")
    )
    replies = client.until_end()
    client.close()
    assert wire.sqlstate(replies) == "08P01"
    assert postgres.run("SELECT to_regclass('written_before_login')") == [(None,)]


def test_a_login_has_a_deadline_whatever_trickles_in(own_mynah, postgres):
    server = own_mynah(
        postgres.url("postgres"), auth={"timeout": "500ms", "rule": [rule("scram-sha-256")]}
    ).start()
    client = RawSession(server.port)
    client.send(wire.startup({"user": "nobody", "database": "flights"}))
    assert client.receive()[0] == b"R"
    # A byte now and then, as far as the connection takes it.
    sent = 0
    for byte in wire.message(b"p", b"x" * 4000):
        client.socket.settimeout(0.05)
        try:
            client.socket.send(bytes([byte]))
            sent += 1
            answer = client.socket.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            break
        client.received += answer
        break
    assert sent < 200
    replies = client.until_end()
    assert wire.sqlstate(replies) == "57014"
    assert server.metrics().total("mynah_login_failures_total", reason="timeout") == 1


def test_failed_logins_are_limited_by_address(own_mynah, postgres, verifiers):
    server = own_mynah(
        postgres.url("postgres"),
        auth={
            "max_failures": 3, "failure_window": "1d",
            "user": [{"name": "verifier_user", "verifier": verifiers["scram_user"]}],
            "rule": [rule("scram-sha-256")],
        },
    ).start()
    psycopg3_login(server, "verifier_user", PASSWORD)
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg3_login(server, "verifier_user", "wrong")
    for password in ("wrong", PASSWORD):
        with pytest.raises(psycopg.OperationalError, match="too many failed logins"):
            psycopg3_login(server, "verifier_user", password)
    metrics = server.metrics()
    assert metrics.total("mynah_login_failures_total", method="scram-sha-256", reason="wrong_password") == 3
    assert metrics.total("mynah_login_failures_total", reason="rate_limited") == 2


def test_a_login_prepared_before_the_limit_was_reached_does_not_pass_it(own_mynah, postgres):
    server = own_mynah(
        postgres.url("postgres"),
        auth={"max_failures": 3, "failure_window": "1d", "rule": [rule("scram-sha-256")]},
    ).start()
    clients = [RawSession(server.port) for _ in range(20)]
    for client in clients:
        client.send(wire.startup({"user": "nobody", "database": "flights"}))
    for client in clients:
        assert client.receive()[0] == b"R"
    states = []
    for client in clients:
        first = b"n,,n=,r=abcdefgh"
        client.send(wire.message(b"p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
        replies = []
        try:
            tag, body = client.receive()
            nonce = body[4:].split(b",")[0]
            if tag == b"R":
                client.send(wire.message(b"p", b"c=biws," + nonce + b",p=" + b"A" * 43 + b"="))
                replies = client.until_end()
            else:
                replies = [(tag, body)]
        finally:
            client.close()
        states.append(wire.sqlstate(replies))
    assert states.count("28P01") == 3 and states.count("28000") == 17, states


def test_half_open_connections_are_limited_apart_from_sessions(own_mynah, postgres, verifiers):
    server = own_mynah(
        postgres.url("postgres"),
        auth={
            "user": [{"name": "verifier_user", "verifier": verifiers["scram_user"]}],
            "rule": [rule("scram-sha-256")],
        },
        limits={"max_pending_per_address": 20, "max_pending_connections": 30},
    ).start()
    session = psycopg.connect(
        host="127.0.0.1", port=server.port, user="verifier_user", password=PASSWORD, dbname="flights"
    )
    before = server.resident_bytes()
    flood = [RawSession(server.port) for _ in range(300)]
    # A startup packet that never ends.
    for client in flood:
        try:
            client.send((10_000).to_bytes(4, "big") + b"\0\3\0\0user\0" + b"u" * 9_000)
        except OSError:
            pass
    wait_until(
        lambda: server.metrics().total("mynah_client_connections_pending_refused_total") >= 280,
        "the flood is refused",
    )
    assert server.metrics().total("mynah_client_connections_pending") <= 20
    client = RawSession(server.port)
    assert wire.sqlstate(client.until_end()) == "53300"
    client.close()
    assert session.execute("SELECT 1").fetchone() == (1,)
    assert server.resident_bytes() - before < 32 << 20
    for client in flood:
        client.close()
    wait_until(
        lambda: server.metrics().total("mynah_client_connections_pending") == 0, "they are forgotten"
    )
    psycopg3_login(server, "verifier_user", PASSWORD)
    session.close()


def test_connections_from_one_address_are_limited(own_mynah, postgres):
    server = own_mynah(postgres.url("postgres"), limits={"max_connections_per_address": 3}).start()
    sessions = [RawSession.connect(server.port) for _ in range(3)]
    client = RawSession(server.port)
    replies = client.until_end()
    client.close()
    assert wire.sqlstate(replies) == "53300"
    sessions[0].close()

    def admitted():
        try:
            RawSession.connect(server.port).close()
            return True
        except (AssertionError, OSError, wire.ConnectionEnded):
            return False

    wait_until(admitted, "the place of a closed session is free")
    for session in sessions:
        session.close()


def test_rules_and_users_are_read_again_on_sighup(own_mynah, postgres, verifiers):
    users = [{"name": "verifier_user", "verifier": verifiers["scram_user"]}]
    server = own_mynah(
        postgres.url("postgres"), auth={"user": users, "rule": [rule("scram-sha-256")], "max_failures": 0}
    ).start()
    psycopg3_login(server, "verifier_user", PASSWORD)
    kept = psycopg.connect(
        host="127.0.0.1", port=server.port, user="verifier_user", password=PASSWORD, dbname="flights"
    )
    server.auth["rule"] = [rule("reject", users=["verifier_user"]), rule("scram-sha-256")]
    server.write_configuration()
    server.signal(signal.SIGHUP)

    def is_rejected():
        try:
            psycopg3_login(server, "verifier_user", PASSWORD)
        except psycopg.OperationalError as error:
            return "rejects" in str(error)
        return False

    wait_until(is_rejected, "the new rules hold")
    assert kept.execute("SELECT 1").fetchone() == (1,)
    kept.close()
