"""The cache as a file: saved, restored where that is provably right, a list to warm up from else."""

import os
import pathlib
import random
import resource
import secrets
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time

import psycopg
import pytest

from servers import MYNAH_BINARY, MynahServer, PostgresServer, running, wait_until

ROWS = "CREATE TABLE scores (id int PRIMARY KEY, name text, score int)"
FILL = "INSERT INTO scores SELECT n, 'name' || n, n * 10 FROM generate_series(1, 50) n"
ALL = "SELECT sum(score) FROM scores"
NAMES = "SELECT name FROM scores ORDER BY id"


@pytest.fixture(scope="module")
def quiet_postgres():
    """PostgreSQL in which nothing happens by itself."""
    yield from running(PostgresServer({"autovacuum": "off"}))


class Database:
    """One database behind Mynah, to which tests can also write directly."""

    def __init__(self, upstream: str, name: str, write, read=None):
        self.upstream = upstream
        self.name = name
        self.write = write
        self.read = read

    def now(self) -> object:
        return None if self.upstream.startswith("sqlite") else self.read("SELECT now()")[0][0]

    def has_settled(self, moment: object) -> bool:
        """Whether no session of the time before is left in the server."""
        return moment is None or not self.read(
            "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend'"
            f" AND datname = current_database() AND backend_start < '{moment}'"
        )


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request, tmp_path, table):
    if request.param == "sqlite":
        path = tmp_path / "scores.db"

        def write(sql: str) -> None:
            with sqlite3.connect(path) as connection:
                connection.execute(sql)
            connection.close()

        write(ROWS)
        with sqlite3.connect(path) as connection:
            connection.executemany(
                "INSERT INTO scores VALUES (?, ?, ?)",
                [(n, f"name{n}", n * 10) for n in range(1, 51)],
            )
        connection.close()

        def read(sql: str) -> list:
            connection = sqlite3.connect(path)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()

        return Database(f"sqlite:{path}", "scores", write, read)
    postgres = request.getfixturevalue("quiet_postgres")
    postgres.run(f"CREATE DATABASE {table}", "postgres")

    def write(sql: str) -> None:
        postgres.run(sql, table)

    write(ROWS)
    write(FILL)
    return Database(
        postgres.url("postgres"), table, write, lambda sql: postgres.run(sql, table)
    )


@pytest.fixture
def proxy(own_mynah, database, tmp_path):
    def make(**settings) -> MynahServer:
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "snapshots"), **settings},
            environment={"MYNAH_TEST_KEY": KEY},
        )
        return server.start()

    return make


KEY = "00112233445566778899aabbccddeeff" * 2


def client(server: MynahServer, database: Database, **options):
    connection = psycopg.connect(
        host="127.0.0.1", port=server.port, user="postgres", dbname=database.name,
        autocommit=True, **options,
    )
    connection.prepare_threshold = None
    return connection


def ask(server: MynahServer, database: Database) -> list:
    """The same questions each time: without parameters, by key, in binary."""
    with client(server, database) as connection:
        answers = [connection.execute(ALL).fetchall(), connection.execute(NAMES).fetchall()]
        for key in (1, 2, 3):
            answers.append(
                connection.execute("SELECT name, score FROM scores WHERE id = %s", (key,)).fetchall()
            )
        cursor = connection.cursor(binary=True)
        answers.append(cursor.execute("SELECT score FROM scores WHERE id = 7").fetchall())
    return answers


QUESTIONS = 6


def restart(server: MynahServer, how: signal.Signals = signal.SIGTERM) -> MynahServer:
    server.signal(how)
    server.process.wait(60)
    return server.start()


def snapshots(server: MynahServer) -> list[pathlib.Path]:
    return sorted(pathlib.Path(server.snapshot["directory"]).glob("*.snapshot"))


def mynah(*arguments: object, ok: bool = True) -> str:
    done = subprocess.run(
        [str(MYNAH_BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "MYNAH_TEST_KEY": KEY},
    )
    assert (done.returncode == 0) is ok, (done.returncode, done.stdout, done.stderr)
    return done.stdout if ok else done.stderr


def save(server: MynahServer, ok: bool = True) -> str:
    return mynah("snapshot", "save", "--config", server.configuration, ok=ok)


def warmed_up(server: MynahServer) -> str:
    return wait_until(
        lambda: [line for line in server.log().splitlines() if "warm-up finished" in line],
        "the warm-up ends",
    )[-1]


# What is provably true is used at once.


def test_after_a_restart_without_writes_everything_hits(proxy, database):
    server = proxy()
    before = ask(server, database)
    restart(server)
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS and counted.upstream == 0, f"{counted}\n{server.log()}"
    assert server.metrics().total("mynah_snapshot_restores_total", result="restored") == 1
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS


def test_restored_answers_go_with_writes_through_the_proxy(proxy, database):
    server = proxy()
    ask(server, database)
    restart(server)
    with client(server, database) as connection:
        connection.execute("UPDATE scores SET score = 0 WHERE id = 1")
    after = ask(server, database)
    assert after[0] == [(12740,)] and after[2] == [("name1", 0)]


def test_a_saved_snapshot_is_used_by_a_process_that_follows_one_killed(proxy, database):
    server = proxy(on_shutdown=False)
    before = ask(server, database)
    assert "answers" in save(server)
    restart(server, signal.SIGKILL)
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS and counted.upstream == 0, f"{counted}\n{server.log()}"


def test_a_key_is_restored_for_all_rows(proxy, database):
    """Places of keys mean nothing in another process: any write to the table takes the answer out."""
    server = proxy()
    ask(server, database)
    restart(server)
    with client(server, database) as connection:
        connection.execute("UPDATE scores SET score = 1 WHERE id = 40")
    with server.counting() as counted:
        assert ask(server, database)[2] == [("name1", 10)]
    assert counted.hits == 0


def test_a_time_to_live_goes_on_while_the_proxy_is_down(proxy, database):
    server = proxy()
    server.stop()
    server.cache["ttl"] = "1s"
    server.write_configuration()
    server.start()
    ask(server, database)
    server.stop()
    wait_until(lambda: age(snapshots(server)[-1]) > 1.5, "the time to live is over")
    server.start()
    with server.counting() as counted:
        ask(server, database)
    assert counted.hits == 0
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def age(path: pathlib.Path) -> float:
    return time.time() - path.stat().st_mtime


def test_no_right_is_needed_to_recognise_a_server(quiet_postgres, own_mynah, tmp_path, table):
    """Nor to see that somebody else is connected."""
    quiet_postgres.run(f"CREATE DATABASE {table}; ", "postgres")
    quiet_postgres.run(f"CREATE ROLE {table} LOGIN", "postgres")
    quiet_postgres.run(f"{ROWS}; {FILL}; GRANT SELECT ON scores TO {table}", table)
    database = Database(quiet_postgres.url(table), table, None)
    server = own_mynah(
        database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
    ).start()
    ask(server, database)
    restart(server)
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS
    with quiet_postgres.connect("postgres"):
        restart(server)
    assert "it cannot be told whether" in server.log()
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


# What is not is run again.


def test_a_write_around_the_proxy_makes_it_a_list_to_warm_up_from(proxy, database):
    server = proxy(warm_up_rate=1000)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert f"run={QUESTIONS}" in warmed_up(server), server.log()
    with server.counting() as counted:
        answers = ask(server, database)
    assert answers[0] == [(12800,)] and answers[2] == [("name1", 11)], "a stale answer"
    assert counted.hits == QUESTIONS and counted.upstream == 0, f"{counted}\n{server.log()}"
    metrics = server.metrics()
    assert metrics.total("mynah_snapshot_restores_total", result="warm_up") == 1
    assert metrics.total("mynah_warm_up_statements_total", result="run") == QUESTIONS
    assert metrics.total("mynah_warm_up_pending") == 0


def test_a_write_between_saving_and_the_end_is_noticed(proxy, database):
    server = proxy(on_shutdown=False)
    ask(server, database)
    save(server)
    with client(server, database) as connection:
        connection.execute("UPDATE scores SET score = 0 WHERE id = 1")
    restart(server, signal.SIGKILL)
    assert ask(server, database)[2] == [("name1", 0)]
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def test_other_rules_make_it_a_list(proxy, database):
    server = proxy()
    ask(server, database)
    server.stop()
    server.rules = [{"tables": ["scores"], "ttl": "7s"}]
    server.write_configuration()
    server.start()
    warmed_up(server)
    assert "the rules have changed" in server.log()
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def test_sessions_with_settings_of_their_own_are_made_again(proxy, database):
    server = proxy(warm_up_rate=1000)
    if server.is_sqlite:
        settings = {"options": "-c application_name=x"}
    else:
        settings = {"options": "-c timezone=Asia/Tokyo -c extra_float_digits=0"}
    with client(server, database, **settings) as connection:
        connection.execute(ALL)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert "run=1" in warmed_up(server)
    with server.counting() as counted, client(server, database, **settings) as connection:
        assert connection.execute(ALL).fetchall() == [(12800,)]
    assert counted.hits == 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_session_changed_by_set_is_not_warmed_up(proxy, database):
    server = proxy(warm_up_rate=1000)
    with client(server, database) as connection:
        connection.execute("SET extra_float_digits = 0")
        connection.execute(ALL)
        connection.execute(ALL)
    assert server.metrics().total("mynah_cache_entries") == 1
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert "run=0" in warmed_up(server)
    assert server.metrics().total("mynah_warm_up_statements_total", result="skipped") == 1


def test_a_warm_up_is_bounded(proxy, database):
    server = proxy(warm_up_rate=1000, warm_up_limit=2)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert "run=2" in warmed_up(server)


def test_a_warm_up_at_its_rate_does_not_hold_up_the_end(proxy, database):
    server = proxy(warm_up_rate=1)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    wait_until(
        lambda: server.metrics().total("mynah_warm_up_statements_total", result="run") >= 1,
        "the first statement was run",
    )
    assert server.metrics().total("mynah_warm_up_pending") >= 3
    assert server.stop() == 0
    assert "warm-up finished" not in server.log()


def test_no_warm_up_where_none_is_wanted(proxy, database):
    server = proxy(warm_up_rate=0)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert 'statements=0' in server.log()
    assert server.metrics().total("mynah_warm_up_statements_total", result="run") == 0


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_only_what_can_be_cached_is_run_again(proxy, database):
    """What read a table yesterday may call a function that writes today."""
    server = proxy(warm_up_rate=1000)
    database.write("CREATE VIEW shown AS SELECT score FROM scores")
    with client(server, database) as connection:
        connection.execute("SELECT * FROM shown")
    assert server.metrics().total("mynah_cache_entries") == 1
    server.stop()
    database.write(
        "CREATE FUNCTION spoil() RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN UPDATE scores SET score = -1; RETURN 0; END $$"
    )
    database.write("CREATE OR REPLACE VIEW shown AS SELECT spoil() AS score")
    server.start()
    assert "run=0" in warmed_up(server)
    assert server.metrics().total("mynah_warm_up_statements_total", result="skipped") == 1
    with client(server, database) as connection:
        assert connection.execute(ALL).fetchall() == [(12750,)]


def test_no_answer_is_stale_however_the_process_ends(proxy, database):
    """Clients read and write while snapshots are written; the process is killed, or ends in good
    order; what it answers next is compared with the database."""
    chance = random.Random(7)
    server = proxy(on_shutdown=True, interval="1s", warm_up_rate=200)
    restored = 0
    for round_number in range(8):
        is_quiet_before = round_number % 2 == 0
        stop = threading.Event()
        workers = [
            threading.Thread(target=_churn, args=(server, database, stop, chance.random()))
            for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        time.sleep(chance.uniform(0.3, 1.5))
        if is_quiet_before:
            stop.set()
            for worker in workers:
                worker.join()
            ask(server, database)
            save(server)
        server.signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
        stop.set()
        server.process.wait(60)
        ended = database.now()
        server.start()
        for worker in workers:
            worker.join()
        restored += server.metrics().total("mynah_snapshot_entries_total", result="restored")
        wait_until(lambda: database.has_settled(ended), "sessions of the process before have ended")
        truth = database.read("SELECT id, score FROM scores ORDER BY id")
        with client(server, database) as connection:
            for key, score in truth:
                found = connection.execute(
                    "SELECT score FROM scores WHERE id = %s", (key,)
                ).fetchall()
                assert found == [(score,)], f"round {round_number}, row {key}\n{server.log()}"
            assert connection.execute(ALL).fetchall() == [(sum(score for _, score in truth),)]
    assert restored >= QUESTIONS, "the control: some answers were taken over"


def _churn(server: MynahServer, database: Database, stop: threading.Event, seed: float) -> None:
    chance = random.Random(seed)
    try:
        with client(server, database) as connection:
            while not stop.is_set():
                key = chance.randint(1, 50)
                if chance.random() < 0.3:
                    connection.execute("UPDATE scores SET score = score + 1 WHERE id = %s", (key,))
                else:
                    connection.execute("SELECT score FROM scores WHERE id = %s", (key,)).fetchall()
                    connection.execute(ALL).fetchall()
    except psycopg.Error:
        pass  # The process has ended.


# PostgreSQL: what could still be under way.


def test_a_write_under_way_at_the_start_is_not_overlooked(quiet_postgres, own_mynah, tmp_path, table):
    """The server-side session of a killed process commits after the next one has begun."""
    quiet_postgres.run(f"CREATE DATABASE {table}", "postgres")
    quiet_postgres.run(ROWS, table)
    quiet_postgres.run(FILL, table)
    database = Database(quiet_postgres.url("postgres"), table, None)
    server = own_mynah(
        database.upstream,
        snapshot={"directory": str(tmp_path / "s"), "on_shutdown": False, "warm_up_rate": 0},
    ).start()
    ask(server, database)
    save(server)
    connection = client(server, database)
    # One message: once it was sent, nothing can stop it.
    connection.pgconn.send_query(b"SELECT pg_sleep(4); UPDATE scores SET score = 0 WHERE id = 1")
    wait_until(
        lambda: quiet_postgres.run(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(4)%'"
            " AND pid <> pg_backend_pid()", "postgres",
        ),
        "the statement runs",
    )
    restart(server, signal.SIGKILL)
    connection.pgconn.finish()
    assert "it cannot be told whether" in server.log()
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
    wait_until(
        lambda: quiet_postgres.run("SELECT score FROM scores WHERE id = 1", table) == [(0,)],
        "the write takes effect",
    )
    assert ask(server, database)[2] == [("name1", 0)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_was_restarted_is_not_the_same(own_mynah, tmp_path, how):
    postgres = PostgresServer({"autovacuum": "off"})
    try:
        postgres.start()
        postgres.run("CREATE DATABASE flights", "postgres")
        postgres.run(ROWS)
        postgres.run(FILL)
        database = Database(postgres.url("postgres"), "flights", postgres.run)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
        ).start()
        ask(server, database)
        server.stop()
        postgres.stop(how)
        postgres.start()
        server.start()
        assert "started" in server.log()
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
    finally:
        postgres.remove()


def test_a_crash_of_a_server_process_is_noticed(own_mynah, tmp_path):
    """It empties unlogged tables, without a transaction, in the same life of the server."""
    postgres = PostgresServer({"autovacuum": "off"})
    try:
        postgres.start()
        postgres.run("CREATE DATABASE flights", "postgres")
        postgres.run(ROWS.replace("TABLE", "UNLOGGED TABLE"))
        postgres.run(FILL)
        database = Database(postgres.url("postgres"), "flights", postgres.run)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
        ).start()
        ask(server, database)
        server.stop()
        victim = postgres.connect()
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        wait_until(lambda: postgres.answers(), "the server has recovered")
        wait_until(lambda: _empty(postgres), "the table is empty")
        server.start()
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
        with client(server, database) as connection:
            assert connection.execute(ALL).fetchall() == [(None,)]
    finally:
        postgres.remove()


def _empty(postgres) -> bool:
    try:
        return postgres.run("SELECT count(*) FROM scores") == [(0,)]
    except Exception:
        return False


def test_restored_answers_go_when_the_server_is_restarted(own_mynah, tmp_path):
    postgres = PostgresServer({"autovacuum": "off"})
    try:
        postgres.start()
        postgres.run("CREATE DATABASE flights", "postgres")
        postgres.run(ROWS)
        postgres.run(FILL)
        database = Database(postgres.url("postgres"), "flights", postgres.run)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s")}
        ).start()
        ask(server, database)
        restart(server)
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS
        # Nobody has connected yet: the only one to notice is who has looked at the start.
        postgres.stop()
        postgres.start()
        wait_until(lambda: "all answers are forgotten" in server.log(), "the restart is noticed")
        with server.counting() as counted:
            ask(server, database)
        assert counted.hits == 0
    finally:
        postgres.remove()


def test_a_restored_database_can_be_dropped(quiet_postgres, own_mynah, tmp_path, table):
    """Who watches the server for restored answers is connected to it."""
    quiet_postgres.run(f"CREATE DATABASE {table}", "postgres")
    quiet_postgres.run(ROWS, table)
    database = Database(quiet_postgres.url("postgres"), table, None)
    server = own_mynah(database.upstream, snapshot={"directory": str(tmp_path / "s")}).start()
    ask(server, database)
    restart(server)
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS
    with client(server, Database("", "postgres", None)) as connection:
        connection.execute(f"DROP DATABASE {table}")


def test_a_standby_is_never_the_same(own_mynah, tmp_path):
    primary = PostgresServer({"autovacuum": "off", "wal_level": "replica"})
    standby = None
    try:
        primary.start()
        primary.run("CREATE DATABASE flights", "postgres")
        primary.run(ROWS)
        primary.run(FILL)
        database = Database(primary.url("postgres"), "flights", None)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
        ).start()
        ask(server, database)
        server.stop()
        standby = PostgresServer({"autovacuum": "off"}, primary=primary)
        standby.start()
        # The same contents, system identifier and timeline.
        server.upstream = standby.url("postgres")
        server.write_configuration()
        server.start()
        assert "it cannot be told whether" in server.log()
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
    finally:
        if standby:
            standby.remove()
        primary.remove()


def test_who_needs_a_password_of_their_own_is_left_out_of_a_warm_up(
    quiet_postgres, own_mynah, tmp_path, table
):
    quiet_postgres.run(f"CREATE DATABASE {table}", "postgres")
    quiet_postgres.run(
        "DO $$ BEGIN CREATE ROLE scram_user LOGIN PASSWORD 'opensesame';"
        " EXCEPTION WHEN duplicate_object THEN END $$", "postgres",
    )
    quiet_postgres.run(ROWS + "; GRANT SELECT ON scores TO scram_user", table)
    server = own_mynah(
        f"postgresql://127.0.0.1:{quiet_postgres.port}",
        snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 1000},
        auth={
            "auth_query": "default", "auth_user": "postgres",
            "rule": [
                {"users": ["postgres"], "addresses": ["127.0.0.0/8"], "method": "trust"},
                {"method": "scram-sha-256"},
            ],
        },
    ).start()

    def read(user: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=server.port, user=user, password="opensesame",
            dbname=table, autocommit=True,
        ) as connection:
            connection.execute(ALL)

    # The first one is whom the server's catalog is read as.
    read("postgres")
    read("scram_user")
    assert server.metrics().total("mynah_cache_entries") == 2
    server.stop()
    quiet_postgres.run("CREATE TABLE other (id int)", table)
    server.start()
    assert "run=1" in warmed_up(server) and "skipped=1" in warmed_up(server), server.log()
    with server.counting() as counted:
        read("scram_user")
    assert counted.misses == 1
    with server.counting() as counted:
        read("postgres")
    assert counted.hits == 1


# Files that cannot be used.


@pytest.mark.parametrize("fault", ["truncated", "changed", "future", "empty", "other"])
def test_a_bad_file_is_refused_and_the_cache_begins_empty(proxy, database, fault):
    server = proxy()
    before = ask(server, database)
    server.stop()
    path = snapshots(server)[-1]
    data = bytearray(path.read_bytes())
    if fault == "truncated":
        data = data[: len(data) // 2]
    elif fault == "changed":
        data[len(data) // 2] ^= 1
    elif fault == "future":
        data[9] = 2
    elif fault == "empty":
        data = b""
    else:
        data = b"#!/bin/sh\n" * 100
    path.write_bytes(data)
    words = {
        "truncated": "truncated", "changed": "damaged", "future": "format 2",
        "empty": "not a snapshot", "other": "not a snapshot",
    }[fault]
    server.start()
    assert "snapshot refused" in server.log() and words in server.log()
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == 0
    assert server.metrics().total("mynah_snapshot_restores_total", result="refused") == 1
    error = mynah("snapshot", "verify", path, ok=False)
    assert error.startswith("mynah: ") and words in error and error.count("\n") == 1
    error = mynah("snapshot", "restore", "--config", server.configuration, path, ok=False)
    assert words in error


def test_with_a_key_nothing_can_be_read_or_put_there(proxy, database, tmp_path):
    server = proxy(key_env="MYNAH_TEST_KEY")
    before = ask(server, database)
    row = b"name17"
    restart(server)
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS
    path = snapshots(server)[-1]
    assert row not in path.read_bytes() and b"scores" not in path.read_bytes()
    assert "encrypted, and no key" in mynah("snapshot", "info", path, ok=False)
    assert "whole, 6 answers" in mynah(
        "snapshot", "verify", "--config", server.configuration, path
    )
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    assert "others can read it" in mynah("snapshot", "verify", "--key-file", key, path, ok=False)
    key.chmod(0o600)
    assert "the key is another one" in mynah(
        "snapshot", "verify", "--key-file", key, path, ok=False
    )
    key.write_text(KEY + "\n")
    assert "encrypted  yes" in mynah("snapshot", "info", "--key-file", key, path)
    # One that anybody could have written is not trusted.
    server.stop()
    server.snapshot["key_env"] = ""
    server.write_configuration()
    server.start()
    assert "encrypted, and no key" in server.log()
    ask(server, database)
    server.stop()
    assert row in snapshots(server)[-1].read_bytes(), "the control: without a key it is there"
    server.snapshot["key_env"] = "MYNAH_TEST_KEY"
    server.write_configuration()
    server.start()
    assert "not encrypted, although a key is configured" in server.log()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"key_env": "MYNAH_NO_SUCH_VARIABLE"}, "there is no environment variable"),
        ({"key_file": "missing"}, "no such file"),
        ({"key_file": "short"}, "the key is not 32 bytes"),
        ({"key_file": "open"}, "others can read it"),
        ({"directory": "open.d"}, "others own or can write to"),
        ({"directory": "short"}, "Not a directory"),
        ({"directory": "x" * 120}, "cannot listen on"),
    ],
)
def test_a_key_or_directory_that_cannot_be_used_keeps_it_from_starting(
    own_mynah, sqlite_file, settings, words
):
    server = own_mynah(f"sqlite:{sqlite_file}", snapshot={"directory": "s", **settings})
    for name, mode, text in [("short", 0o600, "abc"), ("open", 0o644, KEY)]:
        (server.directory / name).write_text(text)
        (server.directory / name).chmod(mode)
    (server.directory / "open.d").mkdir()
    (server.directory / "open.d").chmod(0o777)
    server.spawn()
    assert server.process.wait(20) == 1
    key = next(reversed(settings))
    assert f"snapshot.{key}: " in server.log() and words in server.log()
    assert "proxy.conf:" in server.log()


# Writing.


def test_files_and_socket_are_their_owners_alone(proxy, database):
    server = proxy()
    ask(server, database)
    save(server)
    directory = pathlib.Path(server.snapshot["directory"])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "control.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(snapshots(server)[-1].stat().st_mode) == 0o600
    server.stop()
    assert not (directory / "control.sock").exists()


def test_a_disk_that_is_full_costs_nothing_else(proxy, database):
    server = proxy()
    before = ask(server, database)
    save(server)
    kept = {path: path.read_bytes() for path in snapshots(server)}
    with client(server, database) as connection:
        connection.execute("SELECT 'x' FROM scores").fetchall()
        for n in range(50):
            connection.execute(f"SELECT id, name, score, {n} FROM scores").fetchall()
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (16_384, 16_384))
    error = save(server, ok=False)
    assert error.startswith("mynah: cannot write the file: File too large"), error
    directory = pathlib.Path(server.snapshot["directory"])
    assert {path: path.read_bytes() for path in snapshots(server)} == kept
    assert sorted(p.name for p in directory.iterdir() if p.name != "control.sock") == [
        path.name for path in kept
    ]
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS
    assert server.metrics().total("mynah_snapshots_total", result="failed") == 1


def test_a_schedule_and_how_many_are_kept(proxy, database):
    server = proxy(interval="1s", keep=2)
    ask(server, database)
    wait_until(
        lambda: server.metrics().total("mynah_snapshots_total", result="written") >= 4,
        "four snapshots were written",
    )
    assert 1 <= len(snapshots(server)) <= 3
    server.stop()
    assert len(snapshots(server)) == 2
    metrics = mynah("snapshot", "info", snapshots(server)[-1])
    assert "answers    6" in metrics and "provable   yes" in metrics, metrics


def test_nothing_is_written_at_the_end_where_that_is_not_wanted_or_there_is_nothing(proxy, database):
    server = proxy(on_shutdown=False)
    ask(server, database)
    server.stop()
    assert snapshots(server) == []
    server.snapshot["on_shutdown"] = True
    server.write_configuration()
    server.start()
    server.stop()
    assert snapshots(server) == [], "an empty one would hide those before it"


def test_what_a_killed_process_left_half_written_is_removed(proxy, database):
    server = proxy()
    ask(server, database)
    server.stop()
    torn = pathlib.Path(server.snapshot["directory"]) / ".mynah-snapshot-torn"
    torn.write_bytes(b"MYNAHSNP")
    server.start()
    assert not torn.exists()
    with server.counting() as counted:
        ask(server, database)
    assert counted.hits == QUESTIONS


def test_saved_elsewhere_and_restored_by_hand(proxy, database, tmp_path):
    server = proxy(on_shutdown=False, warm_up_rate=1000)
    ask(server, database)
    path = tmp_path / "elsewhere.snapshot"
    mynah("snapshot", "save", "--config", server.configuration, "--output", path)
    assert snapshots(server) == []
    restart(server)
    with server.counting() as before:
        said = mynah("snapshot", "restore", "--config", server.configuration, path)
    if server.is_sqlite:
        assert "6 answers restored" in said
    else:
        assert "6 answers restored" in said or "6 statements are being run again" in said
        if "run again" in said:
            warmed_up(server)
    with server.counting() as counted:
        ask(server, database)
    assert counted.hits == QUESTIONS and counted.upstream == 0


def test_a_directory_is_for_one_process(proxy, database, own_mynah):
    server = proxy()
    ask(server, database)
    torn = pathlib.Path(server.snapshot["directory"]) / ".mynah-snapshot-being-written"
    torn.write_bytes(b"MYNAHSNP")
    other = own_mynah(database.upstream, snapshot=server.snapshot).spawn()
    assert other.process.wait(20) == 1
    assert "cannot listen on" in other.log() and "snapshot.directory" in other.log()
    assert torn.exists()
    assert "6 answers" in save(server)


def test_the_socket_takes_nothing_but_orders(proxy, database, tmp_path):
    server = proxy()
    path = str(pathlib.Path(server.snapshot["directory"]) / "control.sock")
    for sent, answered in [
        (b"save me\n", b"error\n"), (b"restore\n", b"error\n"), (b"\n", b"error\n"),
        (b"\xff\xfe\n", b"error\n"), (b"drop everything\nsave\n", b"error\n"),
        (b"x" * 10_000, b""),
        (f"restore {tmp_path}\n".encode(), b"error\nnot a snapshot"),
    ]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.settimeout(10)
            answer = b""
            try:
                connection.sendall(sent)
                while part := connection.recv(4096):
                    answer += part
            except ConnectionError:
                pass
            if answered:
                assert answer.startswith(answered), (sent, answer)
            else:
                assert answer == b""
    assert snapshots(server) == []
    assert ask(server, database)


def test_without_a_running_proxy_or_a_directory_the_commands_say_so(own_mynah, sqlite_file):
    server = own_mynah(f"sqlite:{sqlite_file}", snapshot={"directory": "s"})
    server.write_configuration()
    assert "no proxy is running" in save(server, ok=False)
    server.snapshot = {}
    server.write_configuration()
    assert "snapshot.directory: is not set" in save(server, ok=False)
    assert "cannot open the file: No such file" in mynah("snapshot", "info", "nowhere", ok=False)


def test_no_row_or_literal_is_in_the_log_or_in_what_info_says(own_mynah, tmp_path):
    path = tmp_path / "scores.db"
    with sqlite3.connect(path) as connection:
        connection.execute(ROWS)
        connection.execute("INSERT INTO scores VALUES (1, 'rowsecret', 1)")
    connection.close()
    database = Database(f"sqlite:{path}", "scores", None)
    server = own_mynah(
        database.upstream, log={"level": "trace"},
        snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 1000},
    ).start()
    with client(server, database) as connection:
        for _ in range(2):
            connection.execute("SELECT name FROM scores WHERE name <> 'literalsecret'")
            connection.execute("SELECT name FROM scores WHERE name <> %s", ("valuesecret",))
    server.stop()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE scores SET score = 2")
    connection.close()
    server.start()
    warmed_up(server)
    said = mynah("snapshot", "info", snapshots(server)[-1]) + server.log()
    assert "run=2" in said and "secret" not in said
    assert b"rowsecret" in snapshots(server)[-1].read_bytes(), "the control"
