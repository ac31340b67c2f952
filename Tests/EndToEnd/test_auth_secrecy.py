"""Nothing secret gets out: forty planted secrets, in everything that a client and an operator give."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import psycopg
import pytest

import wire
from servers import MYNAH_BINARY
from test_auth import psycopg3_login, rule
from wire import RawSession

SECRETS = [f"pl4nted{number:02d}s3cret" for number in range(40)]


@pytest.fixture(params=["trace", "info"])
def talkative(request, own_mynah, postgres, tmp_path):
    (tmp_path / "password").write_text(SECRETS[0])
    server = own_mynah(
        postgres.url("postgres", SECRETS[1]),
        environment={"SECRET": SECRETS[2], "PGPASSWORD": SECRETS[3]},
        log={"level": request.param},
        auth={
            "max_failures": 0, "auth_query": "default", "auth_password_env": "SECRET",
            "auth_user": "postgres",
            "user": [
                {"name": "app", "password_file": str(tmp_path / "password")},
                {"name": "env", "password_env": "SECRET"},
            ],
            "rule": [
                rule("trust", users=["postgres"], addresses=["127.0.0.0/8"]), rule("scram-sha-256"),
            ],
        },
    )
    return server.start()


def test_forty_planted_secrets_are_in_no_log(talkative, postgres):
    server = talkative
    # Passwords, right and wrong, of users that exist and do not.
    psycopg3_login(server, "app", SECRETS[0])
    for user, password in (("app", SECRETS[4]), ("nobody", SECRETS[5]), ("env", SECRETS[6])):
        with pytest.raises(psycopg.OperationalError):
            psycopg3_login(server, user, password)
    # What is no answer to the question.
    for data in (wire.message(b"p", SECRETS[7].encode() + b"\0"), SECRETS[8].encode() * 10):
        client = RawSession(server.port)
        client.send(wire.startup({"user": "app", "database": "flights"}))
        client.receive()
        client.send(data)
        client.until_end() if data[:1] == b"p" else client.close()
        client.close()
    client = RawSession.connect(server.port)
    # Statements: literals, of every fate.
    client.query(f"SELECT '{SECRETS[9]}'")
    client.query(f"SELECT '{SECRETS[9]}'")
    client.query(f"SELECT '{SECRETS[10]}' FROM nowhere")
    client.query(f"SELEKT '{SECRETS[11]}'")
    client.query(f"SELECT '{SECRETS[12]}'::int")
    client.query(f"CREATE TEMP TABLE t (a text); INSERT INTO t VALUES ('{SECRETS[13]}')")
    client.query(f"CREATE ROLE planted LOGIN PASSWORD '{SECRETS[14]}'")
    client.query(f"ALTER ROLE planted PASSWORD '{SECRETS[15]}'")
    client.query("DROP ROLE planted")
    client.query(f"SET application_name = '{SECRETS[16]}'")
    client.query(f"SET app.tenant = '{SECRETS[17]}'")
    client.query(f"PREPARE p AS SELECT '{SECRETS[18]}'")
    client.query("EXECUTE p")
    client.query(f"EXPLAIN CACHE SELECT '{SECRETS[19]}' FROM airlines")
    client.query(f"DO $$ BEGIN RAISE NOTICE '{SECRETS[20]}'; END $$")
    client.query(f"DO $$ BEGIN RAISE EXCEPTION '{SECRETS[21]}'; END $$")
    client.query(f"COPY (SELECT '{SECRETS[22]}') TO STDOUT")
    client.query(f"LISTEN x; NOTIFY x, '{SECRETS[23]}'")
    client.query(f"SELECT 1 /* {SECRETS[24]} */")
    client.query(f"CREATE TABLE planted_{SECRETS[25]} (a int); DROP TABLE planted_{SECRETS[25]}")
    # Parameters, portals, names.
    for number in range(26, 34):
        value = SECRETS[number].encode()
        client.exchange(wire.extended(
            "SELECT name FROM airlines WHERE carrier = $1", number % 2, (value,)))
        client.exchange(wire.extended("SELECT $1::int", 0, (value,)))
    client.exchange(wire.parse("SELECT 1", SECRETS[34]) + wire.sync())
    client.exchange(wire.bind(SECRETS[35]) + wire.sync())
    client.send(wire.query(f"SELECT '{SECRETS[36]}'")[:20])
    client.close()
    # A connection that is lost during a write.
    writer = RawSession.connect(server.port)
    writer.run("BEGIN")
    writer.send(wire.query(f"CREATE TABLE lost (a text DEFAULT '{SECRETS[37]}'); SELECT pg_sleep(0)"))
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ''"
                 " AND backend_type = 'client backend' AND pid <> pg_backend_pid()")
    writer.close()
    # Startup parameters.
    other = RawSession(server.port)
    other.send(wire.startup({
        "user": "postgres", "database": "flights", "options": f"-c app.key={SECRETS[38]}",
        "application_name": SECRETS[39],
    }))
    other.until_ready()
    other.close()
    assert server.stop() == 0
    log = (server.directory / "log").read_text(errors="replace")
    found = [secret for secret in SECRETS if secret in log]
    assert not found, found
    assert "login failed" in log


def test_metrics_and_the_effective_settings_hold_none(talkative):
    psycopg3_login(talkative, "app", SECRETS[0])
    with pytest.raises(psycopg.OperationalError):
        psycopg3_login(talkative, SECRETS[5], SECRETS[4])
    text = talkative.metrics().text
    done = subprocess.run(
        [str(MYNAH_BINARY), "check", "--file-only", "--config", str(talkative.configuration)],
        capture_output=True, text=True, check=True, timeout=60,
        env={"SECRET": SECRETS[2], "PATH": "/usr/bin:/bin"},
    )
    assert "password_env = \"SECRET\"" in done.stdout
    for secret in SECRETS:
        assert secret not in text and secret not in done.stdout + done.stderr
    assert 'mynah_logins_total{method="scram-sha-256"} 1' in text


def test_users_names_do_not_become_labels(talkative):
    before = len(talkative.metrics().samples)
    for number in range(20):
        with pytest.raises(psycopg.OperationalError):
            psycopg3_login(talkative, f"user{number}", "x")
    assert len(talkative.metrics().samples) <= before + 2


def owner_of_memory(upstream: str, core_dumps: bool) -> int:
    """Who may look into a Mynah that runs as `postgres`: nobody but root where it is not dumpable."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mynah-e2e-core-"))
    try:
        directory.chmod(0o755)
        configuration = directory / "proxy.conf"
        configuration.write_text(
            f'upstream.url = "{upstream}"\nlisten.address = "127.0.0.1:0"\nlisten.metrics = ""\n'
            f"log.core_dumps = {str(core_dumps).lower()}\n"
        )
        process = subprocess.Popen(
            [str(MYNAH_BINARY), "serve", "--config", str(configuration)], stdout=subprocess.PIPE,
            text=True, cwd="/", user="postgres" if os.geteuid() == 0 else None,
        )
        try:
            assert "listens on" in process.stdout.readline()
            return os.stat(f"/proc/{process.pid}/environ").st_uid
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(directory)


def test_there_is_no_core_file_unless_it_is_asked_for(postgres):
    user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert owner_of_memory(postgres.url(), core_dumps=True) == user
    assert owner_of_memory(postgres.url(), core_dumps=False) == 0


def test_a_forged_log_line_stays_one_line(talkative):
    with pytest.raises(psycopg.OperationalError):
        psycopg3_login(talkative, "eve\n2026-01-01T00:00:00.000Z info  forged", "x")
    assert "\n2026-01-01T00:00:00.000Z info  forged" not in talkative.log()
    assert "eve\\n2026" in talkative.log()
