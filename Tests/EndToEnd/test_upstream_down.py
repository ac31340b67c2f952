"""PostgreSQL stops, dies and comes back: an error in bounded time, never a hang, never a stale answer."""

import os
import signal
import socket
import threading
import time

import psycopg2
import pytest

import wire
from caching import warm
from servers import MynahServer, PostgresServer, running, wait_until, with_flights
from wire import RawSession

GONE = {"08006", "08001", "08003", "57P01", "57P02", "57P03"}


@pytest.fixture(scope="module")
def server():
    yield from with_flights(
        PostgresServer(), "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)"
    )


@pytest.fixture(scope="module")
def proxy(server):
    yield from running(MynahServer(server.url()))


@pytest.fixture(autouse=True)
def both_up(server, proxy):
    """Each test starts with both up, whatever the one before did."""
    if server.process is None or server.process.poll() is not None:
        server.start()
    wait_until(server.answers, "PostgreSQL has recovered", 30)
    wait_until(proxy.is_ready, "/readyz answers 200 again", 30)


def error_of(replies) -> str | None:
    return wire.sqlstate(replies)


def attempt(proxy, sql="SELECT v + pg_backend_pid() * 0 FROM t") -> str | None:
    """The SQLSTATE of a new session's first statement; None if it worked."""
    try:
        client = RawSession.connect(proxy.port, timeout=15)
    except AssertionError as refused:
        return next((state for state in GONE if state in str(refused)), str(refused))
    except wire.ConnectionEnded as ended:
        return wire.sqlstate(ended.replies) or "ended"
    try:
        return wire.sqlstate(client.query(sql))
    except wire.ConnectionEnded as ended:
        return wire.sqlstate(ended.replies) or "ended"
    finally:
        client.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=lambda s: s.name)
def test_a_server_that_stops_gives_an_error_and_recovers_by_itself(server, proxy, how):
    idle, busy = RawSession.connect(proxy.port), RawSession.connect(proxy.port)
    idle.value("SELECT v FROM t")
    idle.value("SELECT pg_backend_pid()")
    busy.run("BEGIN")
    busy.run("UPDATE t SET v = v + 1")
    wait_until(lambda: attempt(proxy) is None, "it works")
    server.stop(how)
    for client in (idle, busy):
        try:
            replies = client.query("SELECT pg_backend_pid()")
        except wire.ConnectionEnded as ended:
            replies = ended.replies
        except (BrokenPipeError, ConnectionResetError):
            continue
        assert error_of(replies) in GONE
    assert attempt(proxy) in GONE
    wait_until(lambda: proxy.http_status("/readyz") == 503, "/readyz answers 503")
    assert proxy.http_status("/healthz") == 200
    server.start()
    wait_until(lambda: attempt(proxy) is None, "it works again")
    wait_until(proxy.is_ready, "/readyz answers 200 again")
    with RawSession.connect(proxy.port) as client:
        before = int(client.value("SELECT v FROM t"))
        client.run("UPDATE t SET v = v + 1")
        assert int(client.value("SELECT v FROM t")) == before + 1
        warm(proxy, lambda: client.value("SELECT v FROM t"))
    idle.close(), busy.close()


def test_a_start_before_the_server_is_up_becomes_ready_when_it_is(server, own_mynah):
    server.stop()
    late = own_mynah(server.url()).spawn()
    wait_until(lambda: late.http_status("/healthz") == 200 or late.process.poll() is not None, "alive")
    if late.process.poll() is not None:
        assert "reach" in late.log() or "refused" in late.log(), late.log()
    else:
        assert late.http_status("/readyz") == 503
        assert attempt(late) in GONE
    server.start()
    if late.process.poll() is None:
        wait_until(late.is_ready, "ready", 30)
        wait_until(lambda: attempt(late) is None, "it works")


def test_a_port_on_which_nobody_answers_gives_an_error_in_bounded_time(own_mynah):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        proxy = own_mynah(f"postgresql://127.0.0.1:{silent.getsockname()[1]}").spawn()
        wait_until(
            lambda: proxy.http_status("/healthz") == 200 or proxy.process.poll() is not None, "alive", 30
        )
        if proxy.process.poll() is None:
            client = RawSession(proxy.port, timeout=60)
            client.send(wire.startup({"user": "postgres", "database": "flights"}))
            client.send(wire.query("SELECT count(*) FROM t"))
            assert wire.sqlstate(client.until_end()) in GONE


def test_a_backend_that_is_killed_mid_query_costs_that_session_alone(server, proxy):
    server.run("ALTER SYSTEM SET restart_after_crash = on")
    victim, other = RawSession.connect(proxy.port), RawSession.connect(proxy.port)
    pid = int(victim.value("SELECT pg_backend_pid()"))
    other.value("SELECT pg_backend_pid()")
    victim.send(wire.query("SELECT pg_sleep(60)"))
    wait_until(
        lambda: server.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"),
        "the statement runs",
    )
    server.run(f"SELECT pg_terminate_backend({pid})")
    assert wire.sqlstate(victim.until_end()) in GONE
    assert other.value("SELECT v * 0 FROM t") == b"0"
    victim.close(), other.close()


def test_a_killed_process_mid_query_gives_an_error_and_the_crash_recovery_is_survived(server, proxy):
    victim = RawSession.connect(proxy.port)
    pid = int(victim.value("SELECT pg_backend_pid()"))
    victim.send(wire.query("SELECT pg_sleep(60)"))
    wait_until(
        lambda: server.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"),
        "the statement runs",
    )
    os.kill(pid, signal.SIGKILL)
    assert wire.sqlstate(victim.until_end()) in GONE
    wait_until(lambda: attempt(proxy) is None, "it works again", 30)
    victim.close()


def test_what_a_crash_has_emptied_is_not_answered_from_memory(server, proxy):
    """The server goes on under the same postmaster; unlogged tables are empty afterwards."""
    with RawSession.connect(proxy.port) as client:
        client.run("CREATE UNLOGGED TABLE volatile (v int); INSERT INTO volatile VALUES (7)")
        warm(proxy, lambda: client.value("SELECT count(*) FROM volatile"))
    direct = psycopg2.connect(server.dsn("flights"))
    os.kill(direct.get_backend_pid(), signal.SIGKILL)
    wait_until(lambda: attempt(proxy) is None, "it works again", 30)
    assert server.run("SELECT count(*) FROM volatile", database="flights") == [(0,)]

    def counted() -> bytes:
        with RawSession.connect(proxy.port) as client:
            return client.value("SELECT count(*) FROM volatile")

    wait_until(lambda: counted() == b"0", "the rows that are gone are gone", 5)
    with RawSession.connect(proxy.port) as client:
        client.run("DROP TABLE volatile")


def test_a_read_after_a_death_during_commit_sees_what_became_of_it(server, proxy):
    """The session is terminated while its COMMIT runs a slow deferred trigger, then read again."""
    with RawSession.connect(proxy.port) as setup:
        setup.run("DROP TABLE IF EXISTS slow")
        setup.run("CREATE TABLE slow (v int); INSERT INTO slow VALUES (0)")
        setup.run(
            "CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$"
        )
        setup.run(
            "CREATE CONSTRAINT TRIGGER slowly AFTER UPDATE ON slow DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
    for kill in (True, False):
        reader, victim = RawSession.connect(proxy.port), RawSession.connect(proxy.port)
        for _ in range(3):
            reader.value("SELECT v FROM slow")
        victim.run("BEGIN")
        pid = int(victim.value("SELECT pg_backend_pid()"))
        victim.run("UPDATE slow SET v = v + 1")
        victim.send(wire.query("COMMIT"))
        wait_until(
            lambda: server.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"),
            "COMMIT runs the trigger",
        )
        if kill:
            server.run(f"SELECT pg_terminate_backend({pid})")
        else:
            victim.close()  # the client goes; the server goes on and commits
        deadline = time.monotonic() + 20
        while server.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
            before = server.run("SELECT v FROM slow")[0][0]
            seen = int(reader.value("SELECT v FROM slow"))
            after = server.run("SELECT v FROM slow")[0][0]
            assert before <= seen <= after
            assert time.monotonic() < deadline
        for _ in range(3):
            assert int(reader.value("SELECT v FROM slow")) == server.run("SELECT v FROM slow")[0][0]
        warm(proxy, lambda: reader.value("SELECT v FROM slow"))
        reader.close(), victim.close()


class Relay:
    """A TCP relay to the server that can cut every connection, or hold back what the server says."""

    def __init__(self, port: int):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = port
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.deliver = threading.Event()
        self.deliver.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.pairs.append((near, far))
            threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source, sink, held):
        try:
            while data := source.recv(65536):
                if held:
                    self.deliver.wait()
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()

    def close(self):
        self.listener.close()
        self.cut()
        self.deliver.set()


def test_a_link_cut_after_commit_was_sent_leaves_no_stale_answer(server, own_mynah):
    """The server commits, its word never arrives: what had been read before must not be served on."""
    relay = Relay(server.port)
    try:
        proxy = own_mynah(f"postgresql://127.0.0.1:{relay.port}").start()
        for _ in range(3):
            reader, writer = RawSession.connect(proxy.port), RawSession.connect(proxy.port)
            writer.run("BEGIN")
            writer.run("UPDATE t SET v = v + 1")
            warm(proxy, lambda: reader.value("SELECT v FROM t"))
            before = server.run("SELECT v FROM t")[0][0]
            relay.deliver.clear()
            writer.send(wire.query("COMMIT"))
            wait_until(lambda: server.run("SELECT v FROM t")[0][0] == before + 1, "the commit happens")
            relay.cut()
            relay.deliver.set()
            assert wire.sqlstate(writer.until_end()) in GONE
            writer.close(), reader.close()
            found = []

            def fresh():
                try:
                    with RawSession.connect(proxy.port, timeout=10) as client:
                        found.append(int(client.value("SELECT v FROM t")))
                        return True
                except (AssertionError, wire.ConnectionEnded, OSError):
                    return False

            wait_until(fresh, "a read works again", 30)
            assert found[0] == before + 1
            with RawSession.connect(proxy.port) as client:
                warm(proxy, lambda: client.value("SELECT v FROM t"), 30)
                assert int(client.value("SELECT v FROM t")) == before + 1
    finally:
        relay.close()


def test_the_server_out_of_connections_says_so_to_the_client(server, proxy):
    hoard = []
    try:
        while True:
            try:
                hoard.append(psycopg2.connect(server.dsn()))
            except psycopg2.OperationalError:
                break
        with RawSession.connect(proxy.port) as client:
            replies = client.query("SELECT pg_backend_pid() FROM t")
            assert wire.sqlstate(replies) == "53300"
    except wire.ConnectionEnded as ended:
        assert wire.sqlstate(ended.replies) == "53300"
    except AssertionError as refused:
        assert "53300" in str(refused)
    finally:
        for connection in hoard:
            connection.close()
    wait_until(lambda: attempt(proxy) is None, "it works again")
