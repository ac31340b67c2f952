"""Several hosts in upstream.url: the right one is found, and found again after a failover."""

import signal
import threading
import time

import psycopg
import psycopg.errors
import pytest

from caching import warm
from servers import Delta, MynahServer, PostgresServer, wait_until


class Pair:
    """A primary and its hot standby, which has every commit before it is acknowledged."""

    def __init__(self):
        self.primary = PostgresServer()
        self.standby = None
        try:
            self.primary.start()
            self.primary.run("CREATE DATABASE flights", "postgres")
            self.primary.run(
                "CREATE TABLE counter (id int PRIMARY KEY, v int); INSERT INTO counter VALUES (1, 0)")
            self.standby = PostgresServer(primary=self.primary)
            self.standby.start()
            # After the copy was made: once promoted, it has nobody to wait for.
            for setting in ("synchronous_standby_names = '*'", "synchronous_commit = remote_apply"):
                self.primary.run(f"ALTER SYSTEM SET {setting}", "postgres")
            self.primary.run("SELECT pg_reload_conf()", "postgres")
            wait_until(
                lambda: self.primary.run("SELECT sync_state FROM pg_stat_replication")
                == [("sync",)], "replication is synchronous")
        except BaseException:
            self.remove()
            raise

    def url(self, target: str, first: str = "primary") -> str:
        servers = [self.primary, self.standby]
        if first == "standby":
            servers.reverse()
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        return f"postgresql://postgres@{hosts}/?target_session_attrs={target}"

    def remove(self):
        for server in (self.standby, self.primary):
            if server:
                server.remove()


@pytest.fixture(scope="module")
def lasting_pair():
    pair = Pair()
    try:
        yield pair
    finally:
        pair.remove()


@pytest.fixture
def pair():
    pair = Pair()
    try:
        yield pair
    finally:
        pair.remove()


def connect(mynah: MynahServer) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1", port=mynah.port, user="postgres", dbname="flights", autocommit=True,
        connect_timeout=20)


@pytest.mark.parametrize("target,in_recovery", [
    ("any", None), ("read-write", False), ("read-only", True), ("primary", False),
    ("standby", True), ("prefer-standby", True),
])
@pytest.mark.parametrize("first", ["primary", "standby"])
def test_the_kind_of_server_that_is_asked_for(lasting_pair, own_mynah, target, in_recovery, first):
    mynah = own_mynah(lasting_pair.url(target, first)).start()
    with connect(mynah) as connection:
        found = connection.execute("SELECT pg_is_in_recovery()").fetchone()[0]
    assert found == (first == "standby" if in_recovery is None else in_recovery)


def test_no_server_of_the_kind_is_an_error_that_names_each(lasting_pair, own_mynah):
    port = lasting_pair.primary.port
    mynah = own_mynah(
        f"postgresql://postgres@127.0.0.1:{port}/?target_session_attrs=standby").spawn()
    wait_until(lambda: mynah.http_status("/healthz") == 200, "it listens")
    with pytest.raises(psycopg.OperationalError, match="server is not in hot standby mode"):
        connect(mynah)


def test_prefer_standby_takes_a_primary_where_there_is_no_other(lasting_pair, own_mynah):
    port = lasting_pair.primary.port
    mynah = own_mynah(
        f"postgresql://postgres@127.0.0.1:{port}/?target_session_attrs=prefer-standby").start()
    with connect(mynah) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


def test_what_only_the_lost_primary_knew_is_forgotten(pair, own_mynah):
    """Without synchronous replication a failover may lose commits; the cache must not keep them."""
    primary, standby = pair.primary, pair.standby
    primary.run("ALTER SYSTEM SET synchronous_standby_names = ''", "postgres")
    primary.run("SELECT pg_reload_conf()", "postgres")
    standby.run("ALTER SYSTEM SET primary_conninfo = ''", "postgres")
    standby.run("SELECT pg_reload_conf()", "postgres")
    wait_until(
        lambda: primary.run("SELECT count(*) FROM pg_stat_replication") == [(0,)],
        "nothing is replicated any more")
    mynah = own_mynah(pair.url("read-write")).start()
    read = "SELECT v FROM counter WHERE id = 1"
    with connect(mynah) as connection:
        connection.execute("UPDATE counter SET v = 99 WHERE id = 1")
        assert warm(mynah, lambda: connection.execute(read).fetchone()) == (99,)
    primary.stop(signal.SIGQUIT)
    standby.promote()
    with connect(mynah) as connection:
        # As soon as one statement has been answered by the new primary, none is by the old one's.
        wait_until(lambda: standby.run("SELECT pg_is_in_recovery()") == [(False,)], "promotion")
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        assert connection.execute(read).fetchone() == (0,)
        assert warm(mynah, lambda: connection.execute(read).fetchone()) == (0,)


def test_sessions_leave_a_former_primary_when_another_has_taken_over(pair, own_mynah):
    """It may still run and answer those who were there before; what it says is history."""
    mynah = own_mynah(pair.url("read-write") + "&connect_timeout=2").start()
    where = "SELECT inet_server_port()"
    former, present = (pair.primary.port,), (pair.standby.port,)
    idle, busy = connect(mynah), connect(mynah)
    assert idle.execute(where).fetchone() == former
    busy.execute("BEGIN")
    busy.execute("UPDATE counter SET v = 4 WHERE id = 1")
    # Whatever connections the pool has are taken: the next client makes it open another.
    holders = [connect(mynah) for _ in range(2)]
    for holder in holders:
        holder.execute("BEGIN")
        assert holder.execute(where).fetchone() == former
    # It takes no new sessions, its old ones live on.
    pair.primary.process.send_signal(signal.SIGSTOP)
    try:
        pair.standby.promote()
        with connect(mynah) as new:
            assert new.execute(where).fetchone() == present
            # Who holds nothing there goes on at the new one; who does is told.
            wait_until(lambda: idle.execute(where).fetchone() == present, "it has moved", 10)
            with pytest.raises(psycopg.OperationalError, match="another server has become"):
                busy.execute("COMMIT")
            new.execute("UPDATE counter SET v = 5 WHERE id = 1")
            read = "SELECT v FROM counter WHERE id = 1"
            assert warm(mynah, lambda: new.execute(read).fetchone()) == (5,)
            assert idle.execute(read).fetchone() == (5,)
    finally:
        pair.primary.process.send_signal(signal.SIGCONT)


class Readers:
    """Read a counter, mostly from memory, and note every value that had been replaced before."""

    def __init__(self, mynah: MynahServer, writer: "Writer"):
        self.mynah = mynah
        self.writer = writer
        self.stale: list[tuple[int, int]] = []
        self.last_success = 0.0
        self.reads = 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._read) for _ in range(3)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        while not self.stop.is_set():
            try:
                with connect(self.mynah) as connection:
                    while not self.stop.is_set():
                        least = self.writer.acknowledged
                        value = connection.execute("SELECT v FROM counter WHERE id = 1").fetchone()[0]
                        if not least <= value <= self.writer.sent:
                            self.stale.append((least, value))
                        self.reads += 1
                        self.last_success = time.monotonic()
            except psycopg.Error:
                self.stop.wait(0.01)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(40)


class Writer:
    """Counts up, one statement at a time. After an error it reads where the counter stands."""

    def __init__(self, mynah: MynahServer):
        self.mynah = mynah
        self.acknowledged = 0
        self.sent = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self):
        while not self.stop.is_set():
            try:
                with connect(self.mynah) as connection:
                    while not self.stop.is_set():
                        value = self.sent + 1
                        self.sent = value
                        connection.execute("UPDATE counter SET v = %s WHERE id = 1", (value,))
                        self.acknowledged = value
            except psycopg.Error:
                self.stop.wait(0.01)

    def end(self):
        self.stop.set()
        self.thread.join(40)


def test_a_promoted_standby_takes_over(pair, own_mynah):
    mynah = own_mynah(pair.url("read-write") + "&connect_timeout=2").start()
    writer = Writer(mynah)
    readers = Readers(mynah, writer)
    try:
        wait_until(lambda: writer.acknowledged > 20 and readers.reads > 200, "traffic flows")
        pair.primary.stop(signal.SIGQUIT)
        pair.standby.promote()
        promoted = time.monotonic()
        wait_until(
            lambda: pair.standby.run("SELECT pg_is_in_recovery()") == [(False,)], "promotion")

        def is_served():
            try:
                with connect(mynah) as connection:
                    return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
            except psycopg.Error:
                return False

        wait_until(is_served, "a new session is served by the new primary", 20)
        assert time.monotonic() - promoted < 20
        at = writer.acknowledged
        wait_until(lambda: writer.acknowledged > at + 20, "writes are acknowledged again", 30)
        before = readers.reads
        wait_until(lambda: readers.reads > before + 500, "reads are served again", 30)
        # The cache takes part again when the control connection has found the new primary.
        before = mynah.metrics()
        wait_until(
            lambda: Delta(before, mynah.metrics()).hits > 0, "the cache serves again", 30)
        # What the control connection knows is the new server's.
        with connect(mynah) as connection:
            connection.execute("CREATE TABLE after_failover (v int)")
            connection.execute("INSERT INTO after_failover VALUES (7)")
            for _ in range(3):
                assert connection.execute("SELECT v FROM after_failover").fetchone() == (7,)
    finally:
        writer.end()
        readers.end()
    assert readers.stale == []


def test_a_frozen_server_is_passed_over(lasting_pair, own_mynah):
    """It takes connections and says nothing: the next host is tried after connect_timeout."""
    lasting_pair.primary.process.send_signal(signal.SIGSTOP)
    try:
        mynah = own_mynah(lasting_pair.url("any") + "&connect_timeout=2").spawn()
        wait_until(lambda: mynah.http_status("/healthz") == 200, "it listens")
        began = time.monotonic()
        with connect(mynah) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        assert time.monotonic() - began < 15
    finally:
        lasting_pair.primary.process.send_signal(signal.SIGCONT)
        wait_until(lasting_pair.primary.answers, "it answers again")
