"""Hostile and broken clients: an error or a bounded wait, and nobody else notices."""

import contextlib
import random
import socket
import struct
import time

import pytest

import wire
from caching import warm
from servers import wait_until
from wire import RawSession

COUNT = "SELECT count(*) FROM airlines"
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def undisturbed(mynah):
    """Another session lives through every test here, and the process stays the same."""
    process = mynah.process.pid
    witness = RawSession.connect(mynah.port)
    warm(mynah, lambda: witness.value(COUNT))
    witness.run("BEGIN")
    assert witness.value(COUNT) == b"16"
    yield
    assert mynah.process.poll() is None and mynah.process.pid == process, mynah.log()
    assert witness.value(COUNT) == b"16"
    witness.run("COMMIT")
    witness.close()
    with RawSession.connect(mynah.port) as fresh:
        assert fresh.value(COUNT) == b"16"


def ending(server, data: bytes, shutdown: bool = False) -> list:
    """Sends bytes on a fresh connection and reads until Mynah closes it."""
    client = RawSession(server.port)
    try:
        try:
            client.send(data)
            if shutdown:
                client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still sending
        return client.until_end()
    finally:
        client.close()


STARTUPS = {
    "zero length": struct.pack("!I", 0),
    "length 4": struct.pack("!I", 4),
    "length 7": struct.pack("!I", 7) + b"abc",
    "negative length": struct.pack("!i", -1) + b"x" * 100,
    "largest length": struct.pack("!I", 0x7FFFFFFF) + b"x" * 100,
    "over 10 000 bytes": wire.startup({"user": "postgres", "x": "y" * 10_000}),
    "just over 10 000 bytes declared": struct.pack("!I", 10_001) + struct.pack("!I", 196608),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS ClientHello": bytes.fromhex("1603010200010001fc0303") + b"\0" * 200,
    "no user": wire.startup({"database": "flights"}),
    "no terminator": struct.pack("!II", 8 + 9, 196608) + b"user\0abcd",
    "a name without a value": struct.pack("!II", 8 + 6, 196608) + b"user\0\0",
    "protocol 1.0": wire.startup({"user": "postgres"}, version=1 << 16),
    "protocol 2.0": wire.startup({"user": "postgres"}, version=2 << 16),
    "protocol 4.0": wire.startup({"user": "postgres"}, version=4 << 16),
    "bytes that are not UTF-8": struct.pack("!II", 8 + 10, 196608) + b"user\0\xff\xfe\xfd\0\0",
    "a cancel request that is too long": struct.pack("!II", 600, 80877102) + b"x" * 592,
    "a cancel request that is too short": struct.pack("!II", 8, 80877102),
    "a cancel request for nobody": wire.cancel_request(999_999, 12345),
}


@pytest.mark.parametrize("what", STARTUPS)
def test_a_bad_startup_is_refused(mynah, what):
    replies = ending(mynah, STARTUPS[what], shutdown=True)
    assert all(tag == b"E" for tag, _ in replies), replies
    assert wire.tags(replies) in ("", "E")


def test_encryption_requests_are_answered_and_plain_text_goes_on(mynah):
    for code in (80877103, 80877104):
        client = RawSession(mynah.port)
        client.send(struct.pack("!II", 8, code))
        assert client.socket.recv(1) == b"N"
        client.start({"user": "postgres", "database": "flights"})
        assert client.value(COUNT) == b"16"
        client.close()
    client = RawSession(mynah.port)
    for code in (80877104, 80877103):
        client.send(struct.pack("!II", 8, code))
        assert client.socket.recv(1) == b"N"
    client.start({"user": "postgres", "database": "flights"})
    client.close()


def test_encryption_requests_without_end_are_refused(mynah):
    client = RawSession(mynah.port)
    received = b""
    try:
        client.send(struct.pack("!II", 8, 80877103) * 1000)
        while data := client.socket.recv(4096):
            received += data
    except (ConnectionResetError, BrokenPipeError):
        pass
    client.close()
    assert received.count(b"N") < 1000


def test_a_newer_minor_protocol_and_unknown_options_are_negotiated(mynah):
    client = RawSession(mynah.port)
    client.send(wire.startup({"user": "postgres", "database": "flights", "_pq_.nothing": "1"}, (3 << 16) + 9))
    replies = client.until_ready()
    offered = [body for tag, body in replies if tag == b"v"]
    assert len(offered) == 1
    minor, count = struct.unpack_from("!II", offered[0])
    assert minor & 0xFFFF == 2 and count == 1 and b"_pq_.nothing\0" in offered[0]
    assert client.value(COUNT) == b"16"
    client.close()


MESSAGES = {
    "an unknown type": b"@" + struct.pack("!I", 4),
    "a backend's type": wire.message(b"T", b"\0\0"),
    "a zero byte type": b"\0" + struct.pack("!I", 4),
    "length 0": b"Q" + struct.pack("!I", 0),
    "length 3": b"Q" + struct.pack("!I", 3),
    "negative length": b"Q" + struct.pack("!i", -2),
    "largest length": b"Q" + struct.pack("!I", 0x7FFFFFFF),
    "length with the sign bit": b"Q" + struct.pack("!I", 0x80000005),
    "a huge Sync": b"S" + struct.pack("!I", 0x7FFFFFF0),
    "a second startup": wire.startup({"user": "postgres"}),
    "garbage": bytes(range(255, 128, -1)) * 20,
}


@pytest.mark.parametrize("what", MESSAGES)
def test_a_bad_message_ends_the_session_with_a_protocol_error(mynah, session, what):
    client = session(mynah)
    client.value(COUNT)
    client.send(MESSAGES[what])
    with contextlib.suppress(OSError):  # It may have been closed already.
        client.socket.shutdown(socket.SHUT_WR)
    replies = client.until_end()
    assert wire.tags(replies).strip("E") in ("", "Z"), wire.tags(replies)
    if replies:
        assert wire.sqlstate(replies) == "08P01"


BODIES = {
    "a query without terminator": wire.message(b"Q", b"SELECT 1"),
    "an empty query body": wire.message(b"Q", b""),
    "a Parse without text": wire.message(b"P", b"name\0"),
    "a Parse that promises types": wire.message(b"P", b"\0SELECT 1\0\x7f\xff"),
    "a Bind cut short": wire.message(b"B", b"\0\0\0\1"),
    "a Bind that promises parameters": wire.message(b"B", b"\0\0\0\0\x7f\xff\0\0\0\1x"),
    "a Bind with a huge value": wire.message(b"B", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"),
    "a Bind with a negative value length": wire.message(b"B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
    "a Bind with a wrong format": wire.parse("SELECT 1") + wire.bind(result_formats=(7,)),
    "a Describe of nothing": wire.message(b"D", b""),
    "a Describe of an unknown kind": wire.message(b"D", b"Zx\0"),
    "a Close of an unknown kind": wire.message(b"C", b"Zx\0"),
    "an Execute cut short": wire.message(b"E", b"\0\0"),
    "an Execute without terminator": wire.message(b"E", b"abc"),
    "a Sync with a body": wire.message(b"S", b"x"),
    "bytes behind a Describe": wire.message(b"D", b"S\0extra"),
    "text that is not UTF-8": wire.message(b"Q", b"SELECT '\xff\xfe'\0"),
    "a name that is not UTF-8": wire.message(b"P", b"\xff\0SELECT 1\0\0\0"),
    "CopyData out of place": wire.message(b"d", b"x"),
    "CopyDone out of place": wire.message(b"c"),
    "CopyFail out of place": wire.message(b"f", b"why\0"),
    "a function call to nowhere": wire.message(b"F", struct.pack("!IHHH", 999_999_999, 0, 0, 0)),
    "a function call cut short": wire.message(b"F", b"\0"),
    "a password out of place": wire.message(b"p", b"secret\0"),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_malformed_body_is_an_error_and_no_more(mynah, session, what):
    client = session(mynah)
    client.value(COUNT)
    client.send(BODIES[what] + wire.sync() + wire.query(COUNT))
    replies = []
    try:
        while not (wire.data_rows(replies) == [[b"16"]] and replies[-1][0] == b"Z"):
            replies.append(client.receive())
    except (wire.ConnectionEnded, ConnectionResetError):
        assert wire.sqlstate(replies) is not None
    assert set(wire.tags(replies)) <= set("EZTDC123ntN"), wire.tags(replies)


def test_a_stream_cut_at_any_byte_leaves_nothing_behind(mynah):
    whole = wire.startup({"user": "postgres", "database": "flights"}) + wire.query(COUNT) + wire.extended(
        "SELECT name FROM airlines WHERE carrier = $1", parameters=(b"UA",)
    )
    connections = mynah.metrics().total("mynah_client_connections")
    for length in range(1, len(whole), 3):
        client = RawSession(mynah.port)
        client.send(whole[:length])
        client.close()
    wait_until(
        lambda: mynah.metrics().total("mynah_client_connections") <= connections, "sessions are gone"
    )


def test_random_bytes_never_disturb(mynah):
    randomness = random.Random(20130101)
    hello = wire.startup({"user": "postgres", "database": "flights"})
    for turn in range(150):
        data = bytearray(hello if turn % 2 else b"")
        for _ in range(randomness.randint(1, 12)):
            tag = bytes([randomness.choice(b"QPBDECSHXFdcfp\0\xff")])
            body = randomness.randbytes(randomness.randint(0, 40))
            declared = len(body) + 4 if randomness.random() < 0.8 else randomness.getrandbits(32)
            data += tag + struct.pack("!I", declared) + body
        ending(mynah, bytes(data), shutdown=True)


def test_a_mutated_session_never_disturbs(mynah):
    randomness = random.Random(20130102)
    script = (
        wire.parse("SELECT name FROM airlines WHERE carrier = $1", "s") + wire.describe_statement("s")
        + wire.bind("s", "p", (b"UA",), (0,), (1,)) + wire.describe_portal("p") + wire.execute("p", 1)
        + wire.close_portal("p") + wire.flush() + wire.sync() + wire.query(COUNT)
    )
    hello = wire.startup({"user": "postgres", "database": "flights"})
    for _ in range(150):
        data = bytearray(script)
        for _ in range(randomness.randint(1, 4)):
            data[randomness.randrange(len(data))] = randomness.getrandbits(8)
        ending(mynah, hello + bytes(data), shutdown=True)


def test_two_hundred_connections_opened_and_dropped_are_forgotten(mynah):
    with RawSession.connect(mynah.port) as client:
        client.value(COUNT)
    base = mynah.metrics().total("mynah_client_connections")
    descriptors = mynah.descriptors()
    for kind in range(4):
        opened = []
        for _ in range(50):
            if kind == 0:
                opened.append(RawSession(mynah.port))
            elif kind == 1:
                opened.append(RawSession.connect(mynah.port))
            elif kind == 2:
                opened.append(RawSession.connect(mynah.port))
                opened[-1].send(wire.query(COUNT)[:7])
            else:
                opened.append(RawSession.connect(mynah.port))
                opened[-1].send(wire.query("SELECT count(*) FROM flights, airlines"))
        for client in opened:
            client.close()
    wait_until(lambda: mynah.metrics().total("mynah_client_connections") <= base, "sessions are gone", 60)
    wait_until(lambda: mynah.descriptors() <= descriptors + 8, "descriptors are closed", 60)


def test_half_open_clients_do_not_hold_others_up(mynah, session):
    silent = [RawSession(mynah.port) for _ in range(60)]
    for number, client in enumerate(silent):
        if number % 3:
            client.send(wire.startup({"user": "postgres"})[: number % 20 + 1])
    client = session(mynah)
    for _ in range(20):
        assert client.value(COUNT) == b"16"
    for one in silent:
        one.close()


def test_a_declared_length_costs_no_memory(mynah):
    before = mynah.resident_bytes()
    clients = []
    for _ in range(40):
        client = RawSession.connect(mynah.port)
        client.send(b"Q" + struct.pack("!I", 60 * MEBIBYTE) + b"SELECT 1")
        clients.append(client)
    with RawSession.connect(mynah.port) as other:
        other.value(COUNT)
    grown = mynah.resident_bytes() - before
    for client in clients:
        client.close()
    assert grown < 64 * MEBIBYTE


def test_a_slow_reader_of_a_large_result_costs_bounded_memory(mynah, session):
    """A result of about 500 MB is asked for and not read."""
    sql = (
        "SELECT a.carrier, a.flight, a.tailnum, a.origin, a.dest, b.name, b.name, b.name"
        " FROM flights a, airlines b, (SELECT 1 AS one UNION ALL SELECT 2 UNION ALL SELECT 3"
        " UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8) c"
    )
    client = RawSession(mynah.port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    client.start({"user": "postgres", "database": "flights"})
    client.value(COUNT)
    before = mynah.resident_bytes()
    highest = before
    client.send(wire.query(sql))
    client.socket.settimeout(30)
    deadline = time.monotonic() + 3
    read = 0
    while time.monotonic() < deadline:
        read += len(client.socket.recv(4096))
        highest = max(highest, mynah.resident_bytes())
    assert read > 0
    assert highest - before < 64 * MEBIBYTE, f"grew by {(highest - before) >> 20} MiB"
    client.close()


def test_a_large_statement_is_carried(mynah, session):
    client = session(mynah)
    filler = "x" * (2 * MEBIBYTE)
    assert client.value(f"SELECT length('{filler}')") == str(2 * MEBIBYTE).encode()
    replies = client.exchange(wire.extended("SELECT length($1)", parameters=(filler.encode(),)))
    assert wire.data_rows(replies) == [[str(2 * MEBIBYTE).encode()]]


def test_deep_nesting_is_an_answer_or_an_error(mynah, session):
    for depth in (100, 2_000, 50_000):
        client = session(mynah)
        for sql in (
            f"SELECT {'(' * depth}1{')' * depth} FROM airlines LIMIT 1",
            f"SELECT {'- ' * depth}1 FROM airlines LIMIT 1",
            "SELECT 1 FROM airlines WHERE " + " AND ".join(["carrier = 'UA'"] * depth),
        ):
            replies = client.query(sql)
            assert wire.tags(replies)[-1] == "Z"


def test_many_prepared_statements_and_portals_are_kept_apart(mynah, session):
    client = session(mynah)
    count = 2_000
    client.exchange(
        b"".join(wire.parse(f"SELECT {n} FROM airlines LIMIT 1", f"s{n}") for n in range(count)) + wire.sync()
    )
    for n in (0, 1, count // 2, count - 1):
        replies = client.exchange(wire.bind(f"s{n}") + wire.execute() + wire.sync())
        assert wire.data_rows(replies) == [[str(n).encode()]]
