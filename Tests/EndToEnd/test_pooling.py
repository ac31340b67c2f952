"""Client sessions share connections: what moves with them, what ties them, what must not leak."""

import concurrent.futures
import threading
import time

import psycopg
import pytest

from servers import MynahServer, wait_until
from wire import (
    RawSession, bind, close_statement, data_rows, describe_statement, execute, parse, sqlstate,
    sync, tags,
)
from wire import query as wire_query


def bind_and_run(sql: str) -> bytes:
    return parse(sql) + bind() + execute()


@pytest.fixture
def pooled(own_mynah, postgres):
    """Makes a Mynah that pools by transaction, with connections of its own on the server."""

    def make(**pool) -> MynahServer:
        settings = {"mode": "transaction", "size": 2, "checkout_timeout": "10s", **pool}
        return own_mynah(postgres.url(), pool=settings).start()

    return make


@pytest.fixture
def client():
    """Opens psycopg connections in autocommit mode; they end with the test."""
    opened = []

    def connect(server, **options) -> psycopg.Connection:
        options = {"user": "postgres", "dbname": "flights", "autocommit": True, **options}
        connection = psycopg.connect(host="127.0.0.1", port=server.port, **options)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def value(connection, sql, parameters=None):
    return connection.execute(sql, parameters).fetchone()[0]


def pinned(server, reason: str) -> int:
    return int(server.metrics().total("mynah_pool_pinned_sessions", reason=reason))


def busy(server) -> int:
    return int(server.metrics().total("mynah_pool_connections", state="busy"))


def backend(connection) -> int:
    return value(connection, "SELECT pg_backend_pid()")


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


def test_settings_follow_the_client_and_nobody_else_sees_them(pooled, client):
    server = pooled(size=1)
    zones = ["Asia/Tokyo", "America/New_York", "Europe/Vienna"]
    clients = [client(server) for _ in zones]
    plain = client(server)
    for each, zone in zip(clients, zones):
        each.execute(f"SET TimeZone TO '{zone}'")
        each.execute("SET search_path TO pg_catalog, public")
    for _ in range(3):
        for each, zone in zip(clients, zones):
            assert value(each, "SELECT current_setting('TimeZone')") == zone
            assert value(each, "SHOW search_path") == "pg_catalog, public"
        assert value(plain, "SELECT current_setting('TimeZone')") == "UTC"
        assert value(plain, "SHOW search_path") == '"$user", public'


@pytest.mark.parametrize(
    "name, spelled, shown",
    [
        ("datestyle", "SQL, DMY", "SQL, DMY"),
        ("extra_float_digits", "-3", "-3"),
        ("work_mem", "'7MB'", "7MB"),
        ("statement_timeout", "12345", "12345ms"),
        ("enable_seqscan", "off", "off"),
        ("application_name", "'it''s \\ odd'", "it's \\ odd"),
        ("search_path", '"Odd ""name""", public', '"Odd ""name""", public'),
        ("bytea_output", "escape", "escape"),
        ("default_transaction_isolation", "'repeatable read'", "repeatable read"),
        ("app.tenant", "'seven'", "seven"),
    ],
)
def test_a_setting_is_made_again_on_another_connection(pooled, client, name, spelled, shown):
    server = pooled(size=6)
    one, third = client(server), client(server)
    before = backend(one)
    one.execute(f"SET {name} TO {spelled}")
    default = value(third, "SELECT current_setting(%s, true)", [name])
    # Whichever connection it had is taken by another client now (there are two event loops, each
    # with connections of its own).
    holders = [client(server) for _ in range(4)]
    for holder in holders:
        holder.execute("BEGIN")
    others = {backend(holder) for holder in holders}
    assert value(one, f"SHOW {name}") == shown
    if "." in name:
        # A connection on which such a name exists serves only those for whom it exists.
        assert before not in others
    else:
        assert before in others and backend(one) != before
    for holder in holders:
        holder.execute("ROLLBACK")
    assert value(third, "SELECT current_setting(%s, true)", [name]) == default
    one.execute(f"RESET {name}")
    expected = default if default is not None else ""
    assert value(one, "SELECT current_setting(%s, true)", [name]) == expected


def test_a_rolled_back_setting_is_not_taken_along(pooled, client):
    server = pooled(size=1)
    one, other = client(server), client(server)
    one.execute("SET work_mem TO '5MB'")
    one.execute("BEGIN")
    one.execute("SET work_mem TO '6MB'")
    one.execute("SET LOCAL work_mem TO '7MB'")
    one.execute("ROLLBACK")
    assert value(other, "SHOW work_mem") == "4MB"
    assert value(one, "SHOW work_mem") == "5MB"
    one.execute("BEGIN")
    one.execute("SET LOCAL work_mem TO '8MB'")
    one.execute("COMMIT")
    assert value(other, "SHOW work_mem") == "4MB"
    assert value(one, "SHOW work_mem") == "5MB"


def test_a_role_follows_the_client(pooled, client, postgres):
    server = pooled(size=1)
    postgres.run("DROP ROLE IF EXISTS pool_reader")
    postgres.run("CREATE ROLE pool_reader")
    one, other = client(server), client(server)
    one.execute("SET ROLE pool_reader")
    for _ in range(3):
        assert value(one, "SELECT current_user::text") == "pool_reader"
        assert value(other, "SELECT current_user::text") == "postgres"
    postgres.run("DROP ROLE pool_reader")
    with pytest.raises(psycopg.Error) as error:
        for _ in range(2):
            value(one, "SELECT current_user::text")
            value(other, "SELECT 1")
    assert error.value.sqlstate == "55000"
    assert value(other, "SELECT current_user::text") == "postgres"


def test_settings_that_cannot_be_made_again_are_not_left_to_the_next(pooled, client, postgres):
    """The connection on which they could not be made keeps those of whoever had it before."""
    server = pooled(size=1)
    for role in ("pool_gone", "pool_kept"):
        postgres.run(f"DROP ROLE IF EXISTS {role}")
        postgres.run(f"CREATE ROLE {role}")
    kept, gone, plain = client(server), client(server), client(server)
    gone.execute("SET ROLE pool_gone")
    kept.execute("SET ROLE pool_kept")
    kept.execute("SET search_path TO pool_secret")
    postgres.run("DROP ROLE pool_gone")
    assert value(kept, "SELECT current_user::text") == "pool_kept"
    with pytest.raises(psycopg.Error) as error:
        value(gone, "SELECT current_user::text")
    assert error.value.sqlstate == "55000"
    assert value(plain, "SELECT current_user::text") == "postgres"
    assert value(plain, "SHOW search_path") == '"$user", public'
    assert value(kept, "SELECT current_user::text || current_setting('search_path')") == (
        "pool_keptpool_secret")
    kept.close()
    postgres.run("DROP ROLE pool_kept")


def test_what_is_taken_while_the_server_is_asked_is_not_forgotten(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    for _ in range(20):
        one.run("SELECT pg_advisory_lock(1)")
        # All at once: the second lock is taken before it is known that the first one is gone.
        one.send(wire_query("SELECT pg_advisory_unlock(1)") + wire_query("BEGIN")
                 + wire_query("SELECT pg_advisory_lock(2)") + wire_query("ROLLBACK"))
        one.until_ready(4)
        one.run("SELECT 1 FROM pg_sleep(0)")
        assert one.value("SELECT pg_advisory_unlock(2)") == b"t"
        assert other.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == b"0"


def test_settings_of_tenants_never_reach_another_client(pooled, client):
    server = pooled(size=1)
    tenants = [client(server) for _ in range(3)]
    for number, each in enumerate(tenants):
        with each.transaction():
            each.execute(f"SET LOCAL app.tenant TO 't{number}'")
            assert value(each, "SELECT current_setting('app.tenant')") == f"t{number}"
    for each in tenants:
        assert value(each, "SELECT current_setting('app.tenant', true)") == ""
    # For one who never named it the setting does not exist.
    assert value(client(server), "SELECT current_setting('app.tenant', true)") is None


def test_prepared_statements_work_on_whichever_connection_serves(pooled, client, table):
    server = pooled(size=2)
    clients = [client(server) for _ in range(4)]
    clients[0].execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, v text)")
    clients[0].execute(f"INSERT INTO {table} SELECT n, 'v' || n FROM generate_series(1, 50) n")
    sql = f"SELECT v, clock_timestamp() FROM {table} WHERE id = %s"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:

        def run(each):
            for number in range(1, 51):
                row = each.execute(sql, [number], prepare=True).fetchone()
                assert row[0] == f"v{number}"
                with each.transaction():
                    row = each.execute(sql, [number], prepare=True).fetchone()
                    assert row[0] == f"v{number}"

        list(pool.map(run, clients))
    # Shared by text, whoever prepared it; once more if it was analysed before the catalog that the
    # table is in had been read.
    for each in clients:
        with each.transaction():
            each.execute(sql, [1], prepare=True)
            count = value(
                each, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s",
                [f"%{table}%"])
            assert 1 <= count <= 2
    clients[0].execute(f"DROP TABLE {table}")


def test_two_clients_may_call_different_statements_the_same(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    assert tags(one.exchange(parse("SELECT 1 + $1::int", "s") + sync())) == "1Z"
    assert tags(other.exchange(parse("SELECT 'other ' || $1::text", "s") + sync())) == "1Z"
    for number in range(3):
        use = bind("s", parameters=(str(number).encode(),)) + execute() + sync()
        assert data_rows(one.exchange(use)) == [[str(number + 1).encode()]]
        assert data_rows(other.exchange(use)) == [[f"other {number}".encode()]]


def test_statements_beyond_the_limit_are_prepared_again(pooled, client):
    server = pooled(size=1, max_prepared_statements=3)
    one = client(server)
    one.prepare_threshold = 0
    for _ in range(3):
        for number in range(8):
            assert value(one, f"SELECT {number} + %s::int", [1]) == number + 1
    assert value(one, "SELECT count(*) FROM pg_prepared_statements") <= 3


def test_deallocate_and_execute_mean_the_clients_own_names(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    one.exchange(parse("SELECT 41 + 1", "mine") + sync())
    other.run("SELECT 1")
    assert one.value("EXECUTE mine") == b"42"
    assert tags(one.query("DEALLOCATE mine")) == "CZ"
    assert sqlstate(one.query("EXECUTE mine")) == "26000"
    one.run("DISCARD ALL")
    assert sqlstate(other.query("EXECUTE mine")) == "26000"


def test_a_name_in_use_is_refused_as_the_server_does(pooled, session):
    server = pooled(size=1)
    one = session(server)
    one.exchange(parse("SELECT 7", "mine") + sync())
    replies = one.exchange(parse("SELECT 8", "mine") + bind("mine") + execute() + sync())
    assert tags(replies) == "EZ" and sqlstate(replies) == "42P05"
    assert data_rows(one.exchange(bind("mine") + execute() + sync())) == [[b"7"]]
    assert tags(one.exchange(close_statement("mine") + sync())) == "3Z"
    assert sqlstate(one.exchange(bind("mine") + sync())) == "26000"


def test_answers_of_the_proxys_own_stand_in_their_place(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    sql = "SELECT $1::int FROM pg_sleep(0)"
    one.exchange(parse(sql, "a") + sync())
    # The connection has it: Parse and Close are answered here, between replies of the server's.
    replies = other.exchange(
        bind_and_run("SELECT 'first' FROM pg_sleep(0.05)") + parse(sql, "b")
        + bind("b", parameters=(b"5",)) + execute() + close_statement("b") + sync())
    assert tags(replies) == "12DC12DC3Z"
    assert data_rows(replies) == [[b"first"], [b"5"]]
    # After an error they are skipped like any other.
    replies = other.exchange(
        bind_and_run("SELECT 1 / (clock_timestamp() IS NULL)::int") + parse(sql, "c") + bind("c", parameters=(b"5",)) + sync())
    assert tags(replies) == "12EZ"
    assert sqlstate(other.exchange(bind("c", parameters=(b"5",)) + sync())) == "26000"


def test_a_failed_transaction_refuses_to_parse_what_is_prepared(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    sql = "SELECT 5 FROM pg_sleep(0)"
    one.exchange(parse(sql, "a") + sync())
    other.query("BEGIN")
    other.query("SELECT 1 / 0")
    assert sqlstate(other.exchange(parse(sql, "a") + sync())) == "25P02"
    other.query("ROLLBACK")
    for each in (other, one):
        replies = each.exchange(parse(sql, "z") + bind("z") + execute() + sync())
        assert data_rows(replies) == [[b"5"]]


def test_a_statement_whose_columns_have_changed_is_refused_and_not_answered(
    pooled, session, table
):
    server = pooled(size=8)
    one, other = session(server), session(server)
    one.run(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
    sql = f"SELECT * FROM {table} WHERE a > 0"
    assert tags(one.exchange(parse(sql, "s") + describe_statement("s") + sync())) == "1tTZ"
    other.run(f"ALTER TABLE {table} ADD COLUMN b text DEFAULT 'new'")
    # The connection that has the statement is somebody else's now.
    for holder in [session(server) for _ in range(4)]:
        holder.run("BEGIN")
        holder.run("SELECT pg_backend_pid()")
    replies = one.exchange(bind("s") + execute() + sync())
    assert sqlstate(replies) in ("26000", "0A000") and data_rows(replies) == []
    # Prepared anew it is another statement, for everyone.
    one.exchange(close_statement("s") + sync())
    replies = one.exchange(parse(sql, "s") + bind("s") + execute() + sync())
    assert data_rows(replies) == [[b"1", b"new"]]


def test_nobody_finds_the_unnamed_statement_of_another(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    one.exchange(parse("SELECT 'secret of one'") + sync())
    assert sqlstate(other.exchange(bind() + execute() + sync())) == "26000"
    assert data_rows(one.exchange(bind() + execute() + sync())) == [[b"secret of one"]]


PINS = {
    "listen": ("LISTEN pool_channel", "UNLISTEN pool_channel"),
    "sql_prepare": ("PREPARE pool_statement AS SELECT 1", "DEALLOCATE pool_statement"),
    "held_cursor": (
        "DECLARE pool_cursor CURSOR WITH HOLD FOR SELECT * FROM airlines", "CLOSE pool_cursor"),
    "temporary_objects": ("CREATE TEMPORARY TABLE pool_temp (v integer)", "DROP TABLE pool_temp"),
    "advisory_lock": ("SELECT pg_advisory_lock(4711)", "SELECT pg_advisory_unlock(4711)"),
    "setting": ("SET SESSION AUTHORIZATION postgres", "DISCARD ALL"),
    "unknown_state": ("DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", "DISCARD ALL"),
}


@pytest.mark.parametrize("reason", PINS)
def test_what_ties_a_session_to_its_connection_is_shown_and_ends(pooled, client, reason):
    tie, untie = PINS[reason]
    server = pooled(size=2)
    one, other = client(server), client(server)
    one.execute(tie)
    wait_until(lambda: pinned(server, reason) == 1, f"pinned by {reason}")
    mine = backend(one)
    for _ in range(3):
        assert backend(other) != mine
        assert backend(one) == mine
    explained = dict(one.execute("EXPLAIN CACHE SELECT 1").fetchall())
    assert explained["connection"] == f"tied to this session: {reason}"
    one.execute(untie)
    wait_until(lambda: pinned(server, reason) == 0 and busy(server) == 0, "no longer pinned")


@pytest.mark.parametrize("reason", PINS)
def test_the_next_client_finds_nothing_of_a_session_that_ended_pinned(pooled, client, reason):
    server = pooled(size=1)
    one = client(server)
    one.execute("SET app.tenant TO 'one'")
    one.execute(PINS[reason][0])
    one.close()
    other = client(server)
    assert value(other, "SELECT count(*) FROM pg_listening_channels()") == 0
    assert value(other, "SELECT count(*) FROM pg_prepared_statements") == 0
    assert value(other, "SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0
    assert value(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert value(other, "SELECT pg_my_temp_schema() = 0 OR NOT EXISTS (SELECT FROM pg_class "
                        "WHERE relnamespace = pg_my_temp_schema())")
    assert value(other, "SELECT current_setting('app.tenant', true)") is None
    assert value(other, "SELECT session_user::text") == "postgres"


def test_rolling_back_an_unlisten_keeps_the_session_tied(pooled, client):
    server = pooled(size=2)
    one = client(server)
    one.execute("LISTEN pool_channel")
    one.execute("BEGIN")
    one.execute("UNLISTEN pool_channel")
    one.execute("ROLLBACK")
    client(server).execute("NOTIFY pool_channel, 'still there'")
    assert [n.payload for n in one.notifies(timeout=10, stop_after=1)] == ["still there"]
    assert pinned(server, "listen") == 1


def test_notifications_reach_an_idle_listener(pooled, client):
    server = pooled(size=2)
    listener, speaker = client(server), client(server)
    listener.execute("LISTEN pool_channel")
    for number in range(5):
        speaker.execute(f"NOTIFY pool_channel, '{number}'")
    got = [n.payload for n in listener.notifies(timeout=10, stop_after=5)]
    assert got == ["0", "1", "2", "3", "4"]


def test_a_client_knows_its_own_notification_by_the_process_id_it_was_told(pooled, client, postgres):
    server = pooled(size=3)
    listener, speaker = client(server), client(server)
    listener.execute("LISTEN pool_channel")
    listener.execute("NOTIFY pool_channel, 'own'")
    (own,) = listener.notifies(timeout=10, stop_after=1)
    assert (own.payload, own.pid) == ("own", listener.info.backend_pid)
    speaker.execute("NOTIFY pool_channel, 'foreign'")
    (foreign,) = listener.notifies(timeout=10, stop_after=1)
    assert foreign.payload == "foreign" and foreign.pid != listener.info.backend_pid
    with psycopg.connect(postgres.dsn(), autocommit=True) as direct:
        direct.execute("NOTIFY pool_channel, 'direct'")
        (outside,) = listener.notifies(timeout=10, stop_after=1)
        assert (outside.payload, outside.pid) == ("direct", direct.info.backend_pid)


def test_what_was_drawn_from_a_sequence_is_never_anothers(pooled, client, table):
    server = pooled(size=6)
    one = client(server)
    one.execute(f"CREATE TABLE {table} (id serial PRIMARY KEY, v integer)")
    one.execute(f"INSERT INTO {table} (v) VALUES (1)")
    mine = backend(one)
    # Somebody else uses the connection, and draws on it.
    others = [client(server) for _ in range(4)]
    for other in others:
        other.execute("BEGIN")
        other.execute(f"INSERT INTO {table} (v) VALUES (2)")
    assert mine in {backend(other) for other in others}
    for other in others:
        other.execute("COMMIT")
    with pytest.raises(psycopg.Error) as error:
        value(one, "SELECT lastval()")
    assert error.value.sqlstate == "55000"
    # From now on who has written keeps its connection.
    third = client(server)
    drawn = value(third, f"INSERT INTO {table} (v) VALUES (3) RETURNING id")
    wait_until(lambda: pinned(server, "sequence_state") >= 1, "pinned by sequence_state")
    assert value(third, "SELECT lastval()") == drawn
    third.execute(f"DROP TABLE {table}")


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
