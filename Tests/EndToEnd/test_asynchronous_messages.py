"""What comes unasked, or too late: notifications, notices, timeouts and cancels, as directly."""

import inspect
import socket
import threading
import time

import pytest

import wire
from servers import MynahServer, wait_until
from wire import RawSession, bind, execute, parse, query, sync

COUNT = "SELECT count(*) FROM airlines"
HAS_POOL = "pool" in inspect.signature(MynahServer).parameters
MODES = ["session", "transaction"] if HAS_POOL else ["session"]


@pytest.fixture(scope="module", params=MODES)
def mynah(request, postgres):
    options = {"pool": {"mode": request.param}} if HAS_POOL else {}
    server = MynahServer(postgres.url(), **options)
    try:
        yield server.start()
    finally:
        server.remove()


def notified(session: RawSession) -> tuple[bytes, bytes]:
    (_, body) = session.until(b"A")[-1]
    channel, payload = body[4:].split(b"\0")[:2]
    return channel, payload


def test_a_notification_reaches_an_idle_listener_at_once(mynah, postgres, session):
    listener = session(mynah)
    listener.run("LISTEN songs")
    for number in range(5):
        began = time.monotonic()
        postgres.run(f"NOTIFY songs, 'direct {number}'")
        assert notified(listener) == (b"songs", f"direct {number}".encode())
        with RawSession.connect(mynah.port) as other:
            other.run(f"NOTIFY songs, 'proxied {number}'")
        assert notified(listener) == (b"songs", f"proxied {number}".encode())
        assert time.monotonic() - began < 10
    listener.run("UNLISTEN songs")
    postgres.run("NOTIFY songs, 'too late'")
    assert b"A" not in [tag for tag, _ in listener.query("SELECT 1")]


def test_a_busy_listener_is_told_between_its_statements(mynah, postgres, session):
    listener = session(mynah)
    listener.run("LISTEN songs")
    stop, sent = threading.Event(), []

    def notify() -> None:
        while not stop.is_set():
            sent.append(str(len(sent)).encode())
            postgres.run(f"NOTIFY songs, '{len(sent) - 1}'")

    thread = threading.Thread(target=notify)
    thread.start()
    heard: list[bytes] = []
    try:
        while len(heard) < 20:
            replies = listener.exchange(query(COUNT) + wire.extended("SELECT pg_backend_pid()"), ready=2)
            within = False
            for tag, body in replies:
                if tag == b"A":
                    assert not within, wire.tags(replies)
                    heard.append(body[4:].split(b"\0")[1])
                # A server tells it while it waits for a request, and once more before ReadyForQuery.
                within = tag not in b"ACZ" and (within or tag in b"T1")
    finally:
        stop.set()
        thread.join()
    assert heard == sent[: len(heard)]


def test_in_a_transaction_notifications_wait_for_its_end(mynah, postgres, session):
    answers = []
    for server in (postgres, mynah):
        listener = session(server)
        listener.run("LISTEN songs")
        listener.run("BEGIN")
        listener.run("SELECT 1")
        postgres.run("NOTIFY songs, 'one'")
        found = [wire.tags(listener.query(sql)) for sql in ("SELECT 1", COUNT)]
        listener.send(query("COMMIT"))
        found.append(wire.tags(listener.until(b"A")))
        answers.append(found)
    assert answers[0] == answers[1]


NOTICES = (
    "DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second'; RAISE INFO 'third'; END $$",
    "SELECT 1; DO $$ BEGIN RAISE NOTICE 'between'; END $$; SELECT 2",
    "DROP TABLE IF EXISTS never_was; SELECT 3",
    "BEGIN; BEGIN; COMMIT; COMMIT",
)


def test_notices_come_in_their_order(mynah, postgres, session):
    direct, proxied = session(postgres), session(mynah)
    for sql in NOTICES:
        assert proxied.query(sql) == direct.query(sql)
    request = b"".join(parse(sql) + bind() + execute() for sql in (NOTICES[0], COUNT, NOTICES[0])) + sync()
    assert proxied.exchange(request) == direct.exchange(request)


TIMEOUTS = {
    "statement_timeout": ["SET statement_timeout = '50ms'", "SELECT pg_sleep(10)", COUNT],
    "statement_timeout in a block": [
        "BEGIN", "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(10)", COUNT, "ROLLBACK", COUNT,
    ],
    "lock_timeout": ["SET lock_timeout = '50ms'", "SELECT pg_advisory_lock(815)", COUNT],
}


@pytest.mark.parametrize("what", TIMEOUTS)
def test_a_timeout_is_reported_as_directly(mynah, postgres, session, what):
    with postgres.connect().cursor() as holder:
        holder.execute("SELECT pg_advisory_lock(815)")
        direct, proxied = session(postgres), session(mynah)
        for sql in TIMEOUTS[what]:
            assert proxied.query(sql) == direct.query(sql), sql
        for sql in TIMEOUTS[what]:
            assert proxied.exchange(wire.extended(sql)) == direct.exchange(wire.extended(sql)), sql
        holder.connection.close()


@pytest.mark.parametrize("after", ["UPDATE airlines SET name = name WHERE false", COUNT])
def test_a_session_idle_in_a_transaction_is_ended_as_directly(mynah, postgres, session, after):
    endings = []
    for server in (postgres, mynah):
        client = session(server)
        client.run("SET idle_in_transaction_session_timeout = '100ms'")
        client.run("BEGIN")
        client.run("SELECT txid_current()")
        client.run(after)
        endings.append([(tag, wire.error_fields(body).get("C")) for tag, body in client.until_end()])
    assert endings[1] == endings[0] == [(b"E", "25P03")]


def cancel(server, session: RawSession) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as request:
        request.sendall(wire.cancel_request(*session.backend_key))
        request.recv(1)


def test_a_cancel_hits_nobody_but_the_session_whose_key_it_has(mynah, session):
    """One session's short statements are cancelled without pause: often too late. Whoever has its
    server connection next, itself or another, is not cancelled in its place."""
    victim = session(mynah)
    bystanders = [session(mynah) for _ in range(4)]
    stop, failures, cancelled = threading.Event(), [], 0

    def hammer() -> None:
        while not stop.is_set():
            cancel(mynah, victim)

    def work(client: RawSession, name: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            state = wire.sqlstate(client.query(f"SELECT pg_sleep(0.002), {name}, {count}"))
            if state is not None:
                failures.append((name, state))

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    threads += [threading.Thread(target=work, args=(client, name)) for name, client in enumerate(bystanders)]
    for thread in threads:
        thread.start()
    try:
        end = time.monotonic() + 4
        # Longer where the machine is so busy that few come in time.
        while time.monotonic() < end or cancelled <= 5 and time.monotonic() < end + 20:
            cancelled += wire.sqlstate(victim.query("SELECT pg_sleep(0.002)")) == "57014"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert cancelled > 5
    assert failures == []
    wait_until(lambda: wire.sqlstate(victim.query("SELECT 1")) is None, "the last cancel has passed")
