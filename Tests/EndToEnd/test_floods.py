"""Many, large and slow: what hostile or merely busy clients send costs bounded memory and others nothing."""

import struct
import threading
import time

import pytest

import wire
from servers import wait_until
from wire import RawSession, bind, describe_portal, execute, message, parse, query, sync

COUNT = "SELECT count(*) FROM airlines"
MEBIBYTE = 1 << 20


def p99(client: RawSession, seconds: float) -> float:
    """How long a read takes, at its slowest but for one in a hundred."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        assert client.value(COUNT) == b"16"
        times.append(time.monotonic() - begin)
    return sorted(times)[int(len(times) * 0.99)]


def test_half_open_and_dripping_clients_by_the_hundreds_cost_little(mynah, session):
    good = session(mynah)
    good.value(COUNT)
    resident = mynah.resident_bytes()
    hello = wire.startup({"user": "postgres", "database": "flights"})
    crowd = [RawSession(mynah.port) for _ in range(600)]
    for step in range(0, len(hello), 4):
        for number, client in enumerate(crowd):
            if number % 3 == 0:
                client.send(hello[step : step + 4][: max(0, len(hello) - 1 - step)])
        assert good.value(COUNT) == b"16"
    for number, client in enumerate(crowd):
        if number % 3 == 1:
            client.send(struct.pack("!I", 9_999))
    assert p99(good, 0.5) < 1
    grown = mynah.resident_bytes() - resident
    assert grown < 600 * 64 * 1024, f"{grown / 600:.0f} bytes for each"
    for client in crowd:
        client.close()
    wait_until(lambda: mynah.metrics().total("mynah_client_connections") < 100, "they are gone", 60)


def test_slow_readers_of_large_answers_from_memory_cost_bounded_memory(own_mynah, postgres):
    """Each asks a hundred times for 1 MB that is in memory, and reads nothing."""
    mynah = own_mynah(postgres.url(), cache={"max_entry": "4MB"}).start()
    sql = "SELECT carrier, flight, tailnum, origin, dest FROM flights ORDER BY 1, 2, 3, 4, 5 LIMIT 40000"
    with RawSession.connect(mynah.port, timeout=60) as client:
        for _ in range(3):
            expected = sum(len(body) + 5 for tag, body in client.query(sql))
    assert mynah.metrics().total("mynah_cache_hits_total") > 0
    resident, slow = mynah.resident_bytes(), []
    for _ in range(20):
        client = RawSession.connect(mynah.port, timeout=60)
        client.send(query(sql) * 100)
        slow.append(client)
    with RawSession.connect(mynah.port) as good:
        for _ in range(50):
            assert good.value(COUNT) == b"16"
    grown = mynah.resident_bytes() - resident
    assert grown < 20 * 5 * expected and grown < 160 * MEBIBYTE, grown
    # And nothing is lost: the first answers are whole.
    replies = slow[0].until_ready(2)
    assert sum(len(body) + 5 for tag, body in replies) == 2 * expected
    for client in slow:
        client.close()


@pytest.mark.parametrize("count", [10_000, 65_535])
def test_as_many_parameters_as_can_be(postgres, cached_postgres, session, count):
    sql = "SELECT count(*) FROM airlines WHERE carrier IN (" + ",".join(
        f"${number}" for number in range(1, count + 1)
    ) + ")"
    request = parse(sql) + bind(parameters=(b"UA",) * count) + describe_portal() + execute() + sync()
    direct, proxied = session(postgres, timeout=60), session(cached_postgres, timeout=60)
    expected = direct.exchange(request)
    assert wire.sqlstate(expected) is None
    for _ in range(3):
        assert proxied.exchange(request) == expected


def test_more_columns_than_can_be_are_an_error_as_directly(postgres, cached_postgres, session):
    direct, proxied = session(postgres), session(cached_postgres)
    for count in (1_600, 1_665, 64_000):
        sql = "SELECT " + ", ".join(["1"] * count) + " FROM airlines LIMIT 1"
        for request in (query(sql), wire.extended(sql)):
            assert proxied.exchange(request) == direct.exchange(request)


def test_a_gibibyte_that_is_declared_is_refused_or_waited_for_and_costs_nothing(mynah):
    resident, clients = mynah.resident_bytes(), []
    for tag in b"QPBdF":
        for length in (1 << 30, (1 << 30) - 2, 0x7FFFFFFF, 64 * MEBIBYTE - 1):
            client = RawSession.connect(mynah.port)
            client.send(bytes([tag]) + struct.pack("!I", length) + b"x" * 1000)
            clients.append(client)
    with RawSession.connect(mynah.port) as good:
        assert good.value(COUNT) == b"16"
    assert mynah.resident_bytes() - resident < 48 * MEBIBYTE
    for client in clients:
        client.close()


def test_much_copied_in_to_a_server_that_waits_is_held_back(cached_postgres, postgres, session, table):
    """The COPY waits for a lock while its client keeps sending."""
    mynah = cached_postgres
    client, holder = session(mynah, timeout=80), session(postgres)
    client.run(f"CREATE TABLE {table} (line text)")
    holder.run(f"BEGIN; LOCK TABLE {table} IN SHARE MODE")
    # The table can be opened, and its first row cannot be written.
    client.run(f"CREATE INDEX ON {table} (line)")
    holder.run("COMMIT")
    postgres.run(f"CREATE FUNCTION {table}_wait() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$")
    postgres.run(f"CREATE TRIGGER wait BEFORE INSERT ON {table} EXECUTE FUNCTION {table}_wait()")
    holder.run("SELECT pg_advisory_lock(4711)")
    client.send(query(f"COPY {table} FROM STDIN"))
    assert client.receive()[0] == b"G"
    resident = mynah.resident_bytes()
    chunk = message(b"d", (b"x" * 999 + b"\n") * 64)
    sent = threading.Event()

    def send() -> None:
        for _ in range(1_600):  # about 100 MB
            client.send(chunk)
        client.send(message(b"c"))
        sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        time_held = time.monotonic() + 1
        while time.monotonic() < time_held:
            assert mynah.resident_bytes() - resident < 48 * MEBIBYTE
            with RawSession.connect(mynah.port) as other:
                assert other.value(COUNT) == b"16"
        assert not sent.is_set()
    finally:
        holder.run("SELECT pg_advisory_unlock(4711)")
        thread.join(60)
    replies = client.until_ready()
    assert (b"C", b"COPY 102400\0") in replies
    assert mynah.resident_bytes() - resident < 64 * MEBIBYTE
    client.run(f"DROP TABLE {table}")
    postgres.run(f"DROP FUNCTION {table}_wait")


def test_much_copied_out_and_not_read_is_held_back(cached_postgres, postgres):
    client = RawSession.connect(cached_postgres.port, timeout=80)
    resident = cached_postgres.resident_bytes()
    client.send(query("COPY (SELECT repeat('y', 1000) FROM generate_series(1, 100000)) TO STDOUT"))
    assert client.receive()[0] == b"H"
    wait_until(
        lambda: postgres.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"
                             " AND query LIKE 'COPY (SELECT repeat%'"), "the server is held back")
    assert cached_postgres.resident_bytes() - resident < 48 * MEBIBYTE
    replies = client.until_ready()
    assert wire.tags(replies) == "d" * 100_000 + "cCZ"
    assert cached_postgres.resident_bytes() - resident < 48 * MEBIBYTE
    client.close()


def test_a_large_object_goes_in_and_out_through_function_calls(postgres, cached_postgres, session):
    """As libpq's lo_* functions do: by fast-path calls in a transaction."""

    def call(function: int, *arguments: bytes) -> bytes:
        body = struct.pack("!IHHH", function, 1, 1, len(arguments))
        body += b"".join(struct.pack("!I", len(value)) + value for value in arguments)
        return message(b"F", body + struct.pack("!H", 1))

    def number(value: int) -> bytes:
        return struct.pack("!i", value)

    def result(client: RawSession, request: bytes) -> bytes:
        replies = client.exchange(request)
        (answer,) = (body for tag, body in replies if tag == b"V")
        return answer[4:]

    oids = {
        name: int(postgres.run(f"SELECT '{name}'::regproc::oid::int8")[0][0])
        for name in ("lo_creat", "lo_open", "loread", "lowrite", "lo_close", "lo_unlink")
    }
    client = session(cached_postgres, timeout=60)
    client.run("BEGIN")
    made = result(client, call(oids["lo_creat"], number(0x60000)))
    opened = result(client, call(oids["lo_open"], made, number(0x60000)))
    block = bytes(range(256)) * 4096
    for _ in range(8):
        written = result(client, call(oids["lowrite"], opened, block))
        assert struct.unpack("!i", written)[0] == len(block)
    result(client, call(oids["lo_close"], opened))
    client.run("COMMIT")
    client.run("BEGIN")
    opened = result(client, call(oids["lo_open"], made, number(0x40000)))
    for _ in range(8):
        assert result(client, call(oids["loread"], opened, number(len(block)))) == block
    assert result(client, call(oids["loread"], opened, number(10))) == b""
    client.run("ROLLBACK")
    assert result(client, call(oids["lo_unlink"], made)) == number(1)
