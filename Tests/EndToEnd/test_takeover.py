"""When the node that leads goes, another one takes over."""

import concurrent.futures
import contextlib
import signal
import subprocess
import threading
import time

import psycopg
import psycopg2
import pytest

import wire
from nodes import Peers
from servers import MYNAH_BINARY, wait_until
from wire import query


@pytest.fixture
def peers(postgres):
    """Makes nodes of which one leads; they end with the test."""
    made = []

    def make(count: int = 3, **options) -> Peers:
        nodes = Peers(postgres, count, **options)
        made.append(nodes)
        return nodes.start()

    yield make
    for nodes in made:
        nodes.remove()


def multi_host(nodes: Peers, **options) -> psycopg.Connection:
    """A client that knows all nodes, as libpq finds the one that serves."""
    ports = ",".join(str(node.port) for node in nodes.all)
    hosts = ",".join("127.0.0.1" for _ in nodes.all)
    return psycopg.connect(
        f"host={hosts} port={ports} user=postgres dbname=flights connect_timeout=5 "
        "target_session_attrs=read-write", autocommit=True, **options)


def kill(node) -> None:
    node.signal(signal.SIGKILL)
    node.process.wait(10)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_another_node_takes_over(peers, table, mode):
    nodes = peers(replication={"mode": mode})
    with multi_host(nodes) as client:
        client.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
        client.execute(f"INSERT INTO {table} SELECT n, n FROM generate_series(1, 50) n")
    victim = nodes.primary
    killed = time.monotonic()
    kill(victim)
    first = None
    while first is None:
        assert time.monotonic() < killed + 20
        try:
            with multi_host(nodes) as client:
                client.execute(f"SELECT v FROM {table} WHERE id = 1").fetchone()
                read = time.monotonic() - killed
                client.execute(f"UPDATE {table} SET v = 100 WHERE id = 1")
                first = time.monotonic() - killed
        except psycopg.Error:
            time.sleep(0.01)
    print(f"\n{mode}: first read after {read:.2f} s, first write after {first:.2f} s")
    nodes.wait()
    for node in nodes.all:
        if node is not victim:
            with psycopg.connect(
                f"host=127.0.0.1 port={node.port} user=postgres dbname=flights"
            ) as client:
                assert client.execute(f"SELECT v FROM {table} WHERE id = 1").fetchone() == (100,)
    # The one that comes back follows.
    victim.start()
    nodes.wait()
    assert not victim.leads


def test_a_synchronous_mirror_is_kept(peers, session, table):
    # A longer lease than usual: the machine may be busy.
    nodes = peers(replication={"mode": "sync", "lease": "4s"})
    first = session(nodes.primary)
    first.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    first.run(f"INSERT INTO {table} SELECT n, n FROM generate_series(1, 100) n")
    statements = [f"SELECT v FROM {table} WHERE id = {n}" for n in range(1, 101)]
    for sql in statements * 2:
        first.run(sql)
    for replica in nodes.replicas:
        wait_until(
            lambda: replica.metrics().total("mynah_cache_entries") >= 100, "it has all", 20)
    kill(nodes.primary)
    nodes.wait()
    leader = nodes.primary
    assert leader.figure("takeovers_total", mirror="kept") == 1
    next_one = session(leader)
    next_one.run("SELECT 1")
    with leader.counting() as delta:
        for number, sql in enumerate(statements, 1):
            assert next_one.value(sql) == str(number).encode()
    assert delta.hits == 100
    # What it has been sent it also forgets when it is told to.
    next_one.run(f"UPDATE {table} SET v = v + 1")
    assert next_one.value(statements[0]) == b"2"


def promote(node) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(MYNAH_BINARY), "promote", "--config", str(node.configuration)],
        capture_output=True, text=True, timeout=60,
    )


def test_a_planned_switchover_interrupts_nobody(peers, table):
    nodes = peers(replication={"mode": "sync"})
    clients = [
        psycopg.connect(
            f"host=127.0.0.1 port={node.port} user=postgres dbname=flights", autocommit=True)
        for node in nodes.all for _ in range(2)
    ]
    clients[0].execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    for number in range(len(clients)):
        clients[0].execute(f"INSERT INTO {table} VALUES ({number}, 0)")
    ends = threading.Event()

    def work(number: int) -> int:
        """Counts up, in blocks and outside of them, and reads what it has counted."""
        client, count = clients[number], 0
        while not ends.is_set():
            count += 1
            if count % 2:
                client.execute(f"UPDATE {table} SET v = v + 1 WHERE id = %s", [number])
            else:
                with client.transaction():
                    client.execute(f"SELECT v FROM {table} WHERE id = %s FOR UPDATE", [number])
                    client.execute(f"UPDATE {table} SET v = v + 1 WHERE id = %s", [number])
            row = client.execute(f"SELECT v FROM {table} WHERE id = %s", [number]).fetchone()
            assert row == (count,)
        return count

    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        workers = [pool.submit(work, number) for number in range(len(clients))]
        for _ in range(3):
            time.sleep(0.5)
            successor = nodes.replicas[0]
            result = promote(successor)
            assert (result.returncode, result.stdout) == (0, "it leads now\n"), result.stderr
            assert successor.leads
            nodes.wait()
        ends.set()
        counts = [worker.result(60) for worker in workers]
    print(f"\ncounts {counts}")
    for number, count in enumerate(counts):
        row = clients[0].execute(f"SELECT v FROM {table} WHERE id = {number}").fetchone()
        assert row == (count,)
    assert sum(counts) > 10 * len(counts)
    for client in clients:
        client.close()
    assert promote(nodes.primary).returncode == 0


def test_promote_says_why_not(peers, own_mynah, postgres):
    nodes = peers(count=2)
    victim = nodes.replicas[0]
    kill(victim)
    result = promote(victim)
    assert result.returncode == 1 and "does not lead" in result.stderr
    alone = own_mynah(postgres.url()).start()
    result = promote(alone)
    assert result.returncode == 1 and "replication.listen: missing" in result.stderr


LEAD = "locktype = 'advisory' AND classid = x'4D594E4C'::int::oid AND granted"
MARKS = "locktype = 'advisory' AND classid::bigint >> 16 = x'4D59'::int AND objsubid = 2 AND " \
    "mode = 'ShareLock'"


def test_what_a_node_had_begun_before_it_lost_the_lead_is_ended_by_whoever_leads_next(
    peers, postgres, session, table
):
    """Also where that is the same node again: its statement goes on in the server without it."""
    nodes = peers(count=2)
    first = session(nodes.primary)
    first.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int); INSERT INTO {table} VALUES (1, 0)")
    holder = postgres.connect()
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute(f"SELECT FROM {table} WHERE id = 1 FOR UPDATE")
    for _ in range(3):
        writer = session(nodes.primary)
        writer.send(query(f"UPDATE {table} SET v = v + 1 WHERE id = 1"))
        wait_until(
            lambda: postgres.run(f"SELECT 1 FROM pg_stat_activity WHERE query LIKE 'UPDATE {table}%'"
                                 " AND wait_event_type = 'Lock'"), "it waits for the row")
        postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {LEAD}")
        wait_until(
            lambda: not postgres.run(
                f"SELECT 1 FROM pg_stat_activity WHERE query LIKE 'UPDATE {table}%'"
                " AND wait_event_type = 'Lock'"), "it has been ended")
        nodes.wait()
        for node in nodes.all:
            reader = session(node)
            for _ in range(3):
                assert reader.value(f"SELECT v FROM {table} WHERE id = 1") == b"0"
    holder.rollback()
    holder.close()
    for node in nodes.all:
        assert session(node).value(f"SELECT v FROM {table} WHERE id = 1") == b"0"


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_every_connection_for_clients_can_be_found(peers, postgres, session, mode):
    nodes = peers(count=2, pool={"mode": mode, "size": 2})

    def is_marked(client) -> bool:
        pid = int(client.value("SELECT pg_backend_pid()"))
        return bool(postgres.run(f"SELECT 1 FROM pg_locks WHERE {MARKS} AND pid = {pid}"))

    for what in ("SELECT 1", "LISTEN here", "DISCARD ALL", "SELECT pg_advisory_unlock_all()",
                 "CREATE TEMP TABLE gone (id int)", "DO 'BEGIN PERFORM pg_advisory_unlock_all(); END'"):
        client = session(nodes.primary)
        client.run(what)
        assert is_marked(client), what
        client.close()
        other = session(nodes.primary)
        assert is_marked(other), what
        other.close()


def test_a_connection_that_cannot_be_marked_again_is_not_used(peers, postgres, session):
    nodes = peers(count=2)
    client = session(nodes.primary)
    client.run("SET lock_timeout = '200ms'")
    [(key, number)] = postgres.run(
        "SELECT DISTINCT classid::bigint, objid::bigint::bit(32)::int FROM pg_locks "
        f"WHERE {MARKS}")
    # Whoever wants the lock for itself has all wait who come later.
    greedy = postgres.connect()

    def take() -> None:
        with contextlib.suppress(psycopg2.Error):
            greedy.cursor().execute(f"SELECT pg_advisory_lock({key}, {number})")

    waiting = threading.Thread(target=take)
    waiting.start()
    wait_until(
        lambda: postgres.run(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objsubid = 2"),
        "it waits")
    client.send(query("SELECT pg_advisory_unlock_all()") + query("SELECT 1"))
    replies = client.until_end()
    postgres.run(f"SELECT pg_terminate_backend({greedy.get_backend_pid()})")
    waiting.join()
    assert wire.sqlstate(replies) == "08006"
    others = [session(nodes.primary) for _ in range(3)]
    for other in others:
        other.run("BEGIN; SELECT 1")
        assert other.value(
            f"SELECT count(*) FROM pg_locks WHERE {MARKS} AND pid = pg_backend_pid()") == b"1"


def test_who_waits_for_a_node_that_has_frozen_is_told(peers, postgres, session, table):
    """Nothing is heard of it any more, and no connection is closed: not even by who takes over."""
    nodes = peers(replication={"mode": "sync"})
    frozen, others = nodes.primary, nodes.replicas
    session(frozen).run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    waiting, idle = [session(node) for node in others], [session(node) for node in others]
    for client in idle:
        client.run(f"SELECT count(*) FROM {table}")
    for client in waiting:
        client.send(query("SELECT pg_sleep(60)"))
    wait_until(
        lambda: len(postgres.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")) == 2,
        "they run")
    frozen.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        for client in waiting:
            assert wire.sqlstate(client.until_end())[:2] in ("08", "57")
        assert time.monotonic() < stopped + 10
        wait_until(lambda: any(node.leads for node in others), "another one leads")
        wait_until(lambda: all(node.figure("lease_held") or node.leads for node in others), "both serve")
        for client, node in zip(idle, others):
            # One that had nothing under way goes on, or is told.
            with contextlib.suppress(wire.ConnectionEnded):
                client.query(f"SELECT count(*) FROM {table}")
            session(node).run(f"INSERT INTO {table} VALUES ({node.port}, 1)")
        assert time.monotonic() < stopped + 15
    finally:
        frozen.signal(signal.SIGCONT)
    nodes.wait()


def test_an_arbiter_that_may_not_end_sessions_is_named_at_the_start(peers, postgres):
    postgres.run("CREATE ROLE mere_arbiter LOGIN")
    nodes = peers(
        count=2, replication={"arbiter": postgres.url("mere_arbiter") + "/postgres"})
    for node in nodes.all:
        assert "GRANT pg_signal_backend" in node.log()
    nodes.remove()
    postgres.run("GRANT pg_signal_backend TO mere_arbiter")
    nodes = peers(
        count=2, replication={"arbiter": postgres.url("mere_arbiter") + "/postgres"})
    for node in nodes.all:
        assert "GRANT pg_signal_backend" not in node.log()


def test_a_definition_that_a_node_has_missed_is_known_when_it_leads(
    peers, postgres, session, table
):
    nodes = peers(count=2, replication={"mode": "sync"})
    first, second = nodes.primary, nodes.replicas[0]
    for node in (first, second):
        client = session(node)
        client.run(f"CREATE TABLE IF NOT EXISTS {table} (id int PRIMARY KEY, v int)")
        client.run(f"CREATE TABLE IF NOT EXISTS {table}_2 (id int PRIMARY KEY, v int)")
        client.run(f"SELECT v FROM {table}_2 WHERE id = 1")
    session(first).run(f"INSERT INTO {table} VALUES (1, 0); INSERT INTO {table}_2 VALUES (1, 0)")
    assert promote(second).returncode == 0
    nodes.wait()
    kill(first)
    # The second knows neither of what follows but as the one who leads; the first was not there.
    writer = session(second)
    writer.run(f"CREATE FUNCTION {table}_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE "
               f"{table}_2 SET v = NEW.v; RETURN NEW; END'")
    writer.run(f"CREATE TRIGGER t AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_f()")
    first.start()
    nodes.wait()
    assert promote(first).returncode == 0
    nodes.wait()
    for number in range(1, 10):
        for node in nodes.all:
            reader = session(node)
            for _ in range(3):
                assert reader.value(f"SELECT v FROM {table}_2 WHERE id = 1") == str(
                    number - 1).encode()
        session(nodes.all[number % 2]).run(f"UPDATE {table} SET v = {number} WHERE id = 1")
