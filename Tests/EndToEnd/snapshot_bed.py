"""What the tests of snapshots share: databases that are also written directly, and proxies in front."""

import os
import pathlib
import signal
import sqlite3
import subprocess

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
