"""Commits of other processes to a SQLite file, between a cached read and its repetition.

The tests' own process is the other one. What it has committed shows in the next read through the
proxy, whatever was in memory.
"""

import random
import sqlite3
import subprocess
import sys
import threading

import pytest

import wire
from caching import assert_hit, warm
from servers import wait_until
from wire import RawSession


@pytest.fixture
def foreign(sqlite_file):
    """A connection of this process to the file that the proxy serves."""
    connection = sqlite3.connect(
        sqlite_file, isolation_level=None, timeout=20, check_same_thread=False
    )
    yield connection
    connection.close()


@pytest.fixture
def counter(cached_sqlite, session, table):
    """A table with one counter, and a session."""
    opened = session(cached_sqlite)
    opened.run(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, v integer)")
    opened.run(f"INSERT INTO {table} VALUES (1, 0), (2, 0)")
    return opened


def test_each_commit_shows_in_the_next_read(cached_sqlite, counter, foreign, table):
    read = f"SELECT v FROM {table} WHERE id = 1"
    with cached_sqlite.counting() as delta:
        for value in range(1, 2001):
            foreign.execute(f"UPDATE {table} SET v = {value} WHERE id = 1")
            # Again, so that there is something in memory to be wrong.
            for _ in range(3):
                assert counter.value(read) == str(value).encode()
    assert delta.hits > 100, f"{delta}"


def test_each_commit_shows_in_the_next_prepared_read(cached_sqlite, counter, foreign, table):
    read = f"SELECT v FROM {table} WHERE id = $1"
    counter.exchange(wire.parse(read, "p") + wire.sync())
    execute = wire.bind("p", "", (b"1",)) + wire.describe_portal() + wire.execute() + wire.sync()
    with cached_sqlite.counting() as delta:
        for value in range(1, 2001):
            foreign.execute(f"UPDATE {table} SET v = {value} WHERE id = 1")
            for _ in range(3):
                assert wire.data_rows(counter.exchange(execute)) == [[str(value).encode()]]
    assert delta.hits > 100, f"{delta}"


def test_commits_show_during_the_proxys_own_writes(
    cached_sqlite, counter, session, foreign, table
):
    """Row 1 is written by this process, row 2 through the proxy, both without pause."""
    stop = threading.Event()
    failures = []

    def write():
        with RawSession.connect(cached_sqlite.port) as own:
            value = 0
            while not stop.is_set():
                value += 1
                own.run(f"UPDATE {table} SET v = {value} WHERE id = 2")
                seen = own.value(f"SELECT v FROM {table} WHERE id = 2")
                if seen != str(value).encode():
                    failures.append((value, seen))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for value in range(1, 1001):
            foreign.execute(f"UPDATE {table} SET v = {value} WHERE id = 1")
            assert counter.value(f"SELECT v FROM {table} WHERE id = 1") == str(value).encode()
    finally:
        stop.set()
        thread.join()
    assert not failures


def test_what_is_rolled_back_elsewhere_evicts_nothing(cached_sqlite, counter, foreign, table):
    read = f"SELECT v FROM {table} WHERE id = 1"
    warm(cached_sqlite, lambda: counter.value(read))
    for _ in range(50):
        foreign.execute("BEGIN IMMEDIATE")
        foreign.execute(f"UPDATE {table} SET v = v + 1")
        assert assert_hit(cached_sqlite, lambda: counter.value(read)) == b"0"
        foreign.execute("ROLLBACK")
        assert assert_hit(cached_sqlite, lambda: counter.value(read)) == b"0"


@pytest.mark.parametrize(
    "maintenance",
    ["VACUUM", "PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)", "ANALYZE"],
)
def test_commits_show_after_maintenance_elsewhere(
    cached_sqlite, counter, foreign, table, maintenance
):
    read = f"SELECT v FROM {table} WHERE id = 1"
    for value in range(1, 11):
        foreign.execute(f"UPDATE {table} SET v = {value}")
        foreign.execute(maintenance)
        assert counter.value(read) == str(value).encode()
        warm(cached_sqlite, lambda: counter.value(read))


def test_schema_changes_elsewhere_show_in_the_next_read(cached_sqlite, counter, foreign, table):
    read = f"SELECT * FROM {table} WHERE id = 1"
    row = [b"1", b"0"]
    for number in range(1, 11):
        warm(cached_sqlite, lambda: counter.rows(read))
        foreign.execute(f"ALTER TABLE {table} ADD COLUMN c{number} integer DEFAULT {number}")
        row.append(str(number).encode())
        assert counter.rows(read) == [row]
    foreign.execute(f"DROP TABLE {table}")
    assert wire.sqlstate(counter.query(read)) == "42P01"


def test_a_view_replaced_elsewhere_shows_in_the_next_read(cached_sqlite, counter, foreign, table):
    foreign.execute(f"CREATE VIEW {table}_v AS SELECT 1 AS n, v FROM {table} WHERE id = 1")
    read = f"SELECT n FROM {table}_v"
    for number in range(2, 12):
        warm(cached_sqlite, lambda: counter.value(read))
        foreign.execute(f"DROP VIEW {table}_v")
        foreign.execute(
            f"CREATE VIEW {table}_v AS SELECT {number} AS n, v FROM {table} WHERE id = 1"
        )
        assert counter.value(read) == str(number).encode()


def test_pipelined_reads_never_go_back(cached_sqlite, counter, foreign, table):
    """Rows 1 and 2 change together; statements of one message see them in order."""
    stop = threading.Event()

    def write():
        value = 0
        while not stop.is_set():
            value += 1
            foreign.execute(f"UPDATE {table} SET v = {value}")

    thread = threading.Thread(target=write)
    thread.start()
    seen = 0
    try:
        for _ in range(1500):
            ids = random.choices([1, 2], k=4)
            sends = b"".join(
                wire.extended(f"SELECT v FROM {table} WHERE id = {i}") for i in ids
            )
            replies = counter.exchange(sends, ready=4)
            values = [int(row[0]) for row in wire.data_rows(replies)]
            assert len(values) == 4
            for value in values:
                assert value >= seen, f"{values} after {seen}"
                seen = value
    finally:
        stop.set()
        thread.join()


def test_with_an_interval_commits_show_within_it(own_mynah, sqlite_file, session, foreign, table):
    server = own_mynah(f"sqlite:{sqlite_file}", sqlite={"external_write_check": "20ms"}).start()
    reader = session(server)
    reader.run(f"CREATE TABLE {table} (v integer)")
    reader.run(f"INSERT INTO {table} VALUES (0)")
    read = f"SELECT v FROM {table}"
    for value in range(1, 11):
        warm(server, lambda: reader.value(read))
        foreign.execute(f"UPDATE {table} SET v = {value}")
        wait_until(lambda: reader.value(read) == str(value).encode(), "the write shows", 5)


def test_a_commit_through_attach_shows_in_the_next_read(
    cached_sqlite, counter, sqlite_file, tmp_path, table
):
    """One transaction over two files, of which the proxy serves the attached one."""
    read = f"SELECT v FROM {table} WHERE id = 1"
    other = sqlite3.connect(tmp_path / "other.db", isolation_level=None, timeout=20)
    other.execute("CREATE TABLE mine (v)")
    other.execute("ATTACH ? AS served", (str(sqlite_file),))
    for value in range(1, 51):
        warm(cached_sqlite, lambda: counter.value(read))
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO mine VALUES (1)")
        other.execute(f"UPDATE served.{table} SET v = {value}")
        assert_hit(cached_sqlite, lambda: counter.value(read))
        other.execute("COMMIT")
        assert counter.value(read) == str(value).encode()
    other.close()


WRITES_UNTIL_KILLED = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
value = int(sys.argv[3])
while True:
    value += 1
    connection.execute(f"UPDATE {sys.argv[2]} SET v = {value}")
    print(value, flush=True)
"""


def test_what_a_killed_writer_has_committed_shows(
    cached_sqlite, counter, sqlite_file, foreign, table
):
    """Killed at any point of a commit, also in the middle of publishing it."""
    read = f"SELECT v FROM {table} WHERE id = 1"
    value = 0
    for _ in range(15):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITES_UNTIL_KILLED, str(sqlite_file), table, str(value)],
            stdout=subprocess.PIPE, text=True,
        )
        for line in writer.stdout:
            value = int(line)
            seen = int(counter.value(read))
            assert seen >= value
            if value % 40 == 0:
                writer.kill()
        writer.wait()
        writer.stdout.close()
        truth = foreign.execute(f"SELECT v FROM {table} WHERE id = 1").fetchone()[0]
        assert int(counter.value(read)) == truth >= value
        value = truth
