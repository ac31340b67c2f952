"""Client sessions share connections: who waits, who is served, what becomes of connections."""

import concurrent.futures
import threading
import time

import psycopg
import pytest

from pools import backend, busy, client, pooled, value  # noqa: F401 (fixtures among them)
from servers import wait_until
from wire import RawSession


def test_many_clients_share_few_connections(pooled, client):
    server = pooled(size=2)
    clients = [client(server) for _ in range(20)]
    pids = {backend(each) for each in clients for _ in range(3)}
    assert len(pids) <= 2
    wait_until(lambda: busy(server) == 0, "all connections are given back")


def test_a_transaction_keeps_its_connection(pooled, client, table):
    server = pooled(size=2)
    one, other = client(server), client(server)
    one.execute(f"CREATE TABLE {table} (v integer)")
    with one.transaction():
        one.execute(f"INSERT INTO {table} VALUES (1)")
        first = backend(one)
        assert backend(other) != first
        assert value(other, f"SELECT count(*) FROM {table}") == 0
        assert backend(one) == first
    assert value(other, f"SELECT count(*) FROM {table}") == 1
    one.execute(f"DROP TABLE {table}")


def test_clients_wait_in_order_and_are_told_when_it_takes_too_long(pooled, client):
    server = pooled(size=1, checkout_timeout="500ms")
    holder, waiter = client(server), client(server)
    holder.execute("BEGIN")
    holder.execute("SELECT pg_backend_pid()")
    started = time.monotonic()
    with pytest.raises(psycopg.Error) as error:
        value(waiter, "SELECT pg_backend_pid()")
    assert time.monotonic() - started < 5
    assert error.value.sqlstate == "53300"
    assert "pool.size" in str(error.value.diag.message_hint)
    holder.execute("COMMIT")
    # The session goes on.
    assert value(waiter, "SELECT 1 + pg_backend_pid() * 0") == 1
    assert server.metrics().total("mynah_pool_timeouts_total") == 1


def test_waiting_clients_are_served_first_come_first_served(pooled, client):
    server = pooled(size=1, checkout_timeout="60s")
    holder = client(server)
    holder.execute("BEGIN")
    holder.execute("SELECT pg_backend_pid()")
    order, threads = [], []
    waiters = [client(server) for _ in range(6)]
    for number, waiter in enumerate(waiters):

        def run(number=number, waiter=waiter):
            # Longer than the time for which a client of the same thread may go first.
            value(waiter, "SELECT 1 FROM pg_sleep(0.05)")
            order.append(number)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        wait_until(
            lambda: server.metrics().total("mynah_pool_waiting") == number + 1, "it waits")
        time.sleep(0.03)
    holder.execute("COMMIT")
    for thread in threads:
        thread.join(30)
    assert order == sorted(order)


def test_a_client_that_waits_can_cancel(pooled, client):
    server = pooled(size=1)
    holder, waiter = client(server), client(server)
    holder.execute("BEGIN")
    holder.execute("SELECT pg_backend_pid()")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(value, waiter, "SELECT 1 FROM pg_sleep(0)")
        wait_until(lambda: server.metrics().total("mynah_pool_waiting") == 1, "it waits")
        waiter.cancel()
        with pytest.raises(psycopg.errors.QueryCanceled):
            future.result(10)
    holder.execute("COMMIT")
    assert value(waiter, "SELECT 2 FROM pg_sleep(0)") == 2


def test_a_late_cancel_never_hits_another_client(pooled, client):
    server = pooled(size=1)
    one, other = client(server), client(server)
    stop = threading.Event()

    def cancel():
        while not stop.is_set():
            one.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        for number in range(300):
            try:
                value(one, "SELECT clock_timestamp()")
            except psycopg.errors.QueryCanceled:
                pass
            # Its statement is nobody's to cancel.
            assert value(other, "SELECT %s::int FROM pg_sleep(0.001)", [number]) == number
    finally:
        stop.set()
        thread.join(30)


def test_a_lost_idle_connection_is_not_noticed(pooled, client, postgres):
    server = pooled(size=2)
    one = client(server)
    for _ in range(3):
        pid = backend(one)
        wait_until(lambda: busy(server) == 0, "given back")
        postgres.run(f"SELECT pg_terminate_backend({pid})")
        wait_until(
            lambda: server.metrics().total("mynah_pool_connections", state="idle") == 0, "noticed")
        assert backend(one) != pid


def test_idle_connections_are_closed_and_some_kept_ready(pooled, client):
    server = pooled(size=4, idle_timeout="1s", min_idle=1)
    clients = [client(server) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: value(each, "SELECT 1 FROM pg_sleep(0.2)"), clients))
    wait_until(
        lambda: server.metrics().total("mynah_pool_connections", state="idle") == 1,
        "all but one are closed", 15)


def test_a_connection_that_has_lived_long_enough_is_replaced(pooled, client):
    server = pooled(size=1, max_lifetime="1s")
    one = client(server)
    first = backend(one)
    wait_until(lambda: backend(one) != first, "another connection", 15)


def test_the_clients_of_a_user_are_limited(pooled, client):
    server = pooled(max_client_connections=2)
    for _ in range(2):
        client(server)
    with pytest.raises(psycopg.OperationalError) as error:
        client(server)
    assert "pool.max_client_connections" in str(error.value)
    other = client(server, dbname="postgres")
    assert value(other, "SELECT 1") == 1


def test_session_mode_keeps_the_connection_and_cleans_it_up(own_mynah, postgres, client):
    server = own_mynah(postgres.url(), pool={"mode": "session", "size": 2}).start()
    one, other = client(server), client(server)
    mine = backend(one)
    assert one.info.backend_pid == mine
    assert backend(other) != mine
    one.execute("SET work_mem TO '9MB'")
    one.execute("CREATE TEMPORARY TABLE pool_temp (v integer)")
    one.execute("PREPARE pool_statement AS SELECT 1")
    one.close()
    third = client(server)
    assert backend(third) == mine
    assert value(third, "SHOW work_mem") == "4MB"
    assert value(third, "SELECT count(*) FROM pg_prepared_statements") == 0
    assert value(third, "SELECT to_regclass('pool_temp')") is None


def test_a_database_can_be_dropped_after_its_clients_have_gone(pooled, client, table):
    server = pooled()
    one = client(server)
    one.execute(f"CREATE DATABASE {table}")
    other = client(server, dbname=table)
    other.execute("CREATE TABLE t (v integer)")
    assert value(other, "SELECT count(*) FROM t") == 0
    other.close()
    one.execute(f"DROP DATABASE {table}")


def test_ddl_does_not_wait_for_the_catalog(pooled, client, table):
    server = pooled()
    one = client(server)
    one.execute(f"CREATE TABLE {table} (v integer)")
    assert value(one, f"SELECT count(*) FROM {table}") == 0
    started = time.monotonic()
    for number in range(100):
        one.execute(f"CREATE TABLE {table}_{number} () INHERITS ({table})")
    # Reading it takes a debug build a tenth of a second and more, each time.
    assert time.monotonic() - started < 8
    assert value(one, f"SELECT count(*) FROM {table}") == 0
    one.execute(f"DROP TABLE {table} CASCADE")


def test_five_thousand_idle_clients_share_twenty_connections(own_mynah, postgres):
    server = own_mynah(
        postgres.url(), pool={"mode": "transaction", "size": 20},
        limits={"max_client_connections": 6000},
    ).start()
    sessions = []
    try:
        before = None
        for number in range(5000):
            sessions.append(RawSession.connect(server.port))
            if number == 99:
                before = server.resident_bytes()
        per_client = (server.resident_bytes() - before) / 4900
        print(f"{per_client:.0f} bytes per idle client")
        for each in sessions[::250]:
            assert each.value("SELECT 1 + 0 * pg_backend_pid()") == b"1"
        metrics = server.metrics()
        assert metrics.total("mynah_pool_clients") == 5000
        assert metrics.total("mynah_pool_connections", state="idle") <= 20
        assert per_client < 60_000
    finally:
        for each in sessions:
            each.close()
