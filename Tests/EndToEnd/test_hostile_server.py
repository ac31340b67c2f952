"""A server that breaks the protocol: the session that it was for ends with an error, nobody else's does.

`MYNAH_FUZZ_SERVER_REPLIES` is how many mutated answers are tried, from `MYNAH_FUZZ_SEED` on.
"""

import os
import random
import struct

import pytest

import wire
from hostile_server import (
    ANSWER, COMPLETE, DESCRIPTION, PLACES, READY, ROW, SETTINGS, HostileServer, Misdeed, mutated,
)
from servers import wait_until
from wire import RawSession, message

REPLIES = int(os.environ.get("MYNAH_FUZZ_SERVER_REPLIES", "300"))
SEED = int(os.environ.get("MYNAH_FUZZ_SEED", "20130101"))
MEBIBYTE = 1 << 20

ERROR = message(b"E", b"SERROR\0VERROR\0C42000\0Mno\0\0")
SASL = message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
MISDEEDS = {
    "nothing, and closes": Misdeed("authentication", b"", "close"),
    "HTTP": Misdeed("authentication", b"HTTP/1.1 400 Bad Request\r\n\r\n", "close"),
    "an unknown authentication": Misdeed("authentication", message(b"R", struct.pack("!I", 99))),
    "an authentication cut short": Misdeed("authentication", message(b"R", b"\0")),
    "a password is asked for": Misdeed("authentication", message(b"R", struct.pack("!I", 3))),
    "SASL with no mechanism": Misdeed("authentication", message(b"R", struct.pack("!I", 10) + b"\0")),
    "SASL that is finished before it began": Misdeed(
        "authentication", message(b"R", struct.pack("!I", 12) + b"v=xxxx")
    ),
    "SASL asked for": Misdeed("authentication", SASL),
    "authenticated twice": Misdeed("authentication", message(b"R", struct.pack("!I", 0)) * 2),
    "a message of 2 GiB": Misdeed("authentication", b"R" + struct.pack("!I", 0x7FFFFFFF)),
    "a message of 1 GiB in the greeting": Misdeed("greeting", b"S" + struct.pack("!I", 1 << 30)),
    "a negative length in the greeting": Misdeed("greeting", b"S" + struct.pack("!i", -1)),
    "no key": Misdeed("greeting", READY + ANSWER, "goes on"),
    "settings without end": Misdeed("greeting", message(b"S", b"a\0b\0") * 1000, "close", 50),
    "a key that is too short": Misdeed("greeting", message(b"K", b"1")),
    "rows in the greeting": Misdeed("greeting", ROW),
    "notices without end": Misdeed("greeting", message(b"N", b"SNOTICE\0Mx\0\0") * 1000, "close", 50),
    "settings of another shape": Misdeed("probe", DESCRIPTION + ROW + COMPLETE + READY),
    "settings without end in the probe": Misdeed("probe", message(b"D", b"\0\2" + b"\0\0\0\1a" * 2) * 1000,
                                                 "close", 20),
    "an error for the probe": Misdeed("probe", ERROR + READY),
    "an answer to nothing": Misdeed("reply", ANSWER + ANSWER, "goes on"),
    "ReadyForQuery twice": Misdeed("reply", ANSWER + READY, "goes on"),
    "ReadyForQuery first": Misdeed("reply", READY + ANSWER, "goes on"),
    "a transaction status that is none": Misdeed("reply", DESCRIPTION + ROW + COMPLETE + message(b"Z", b"?")),
    "a ReadyForQuery without a body": Misdeed("reply", DESCRIPTION + ROW + COMPLETE + message(b"Z")),
    "a message of no known type": Misdeed("reply", message(b"@", b"x") + READY, "goes on"),
    "a zero byte": Misdeed("reply", b"\0" * 50),
    "an authentication in the middle": Misdeed("reply", message(b"R", struct.pack("!I", 3))),
    "a length below 4": Misdeed("reply", b"D" + struct.pack("!I", 3)),
    "a length of 4 GiB": Misdeed("reply", b"D" + struct.pack("!I", 0xFFFFFFFF)),
    "a ParseComplete": Misdeed("reply", message(b"1") + ANSWER, "goes on"),
    "a row cut in the middle": Misdeed("reply", DESCRIPTION + ROW[:8], "close"),
    "half a header": Misdeed("reply", DESCRIPTION[:3], "close"),
    "COPY data without COPY": Misdeed("reply", message(b"d", b"x") + READY, "goes on"),
    "an error without fields": Misdeed("reply", message(b"E") + READY, "goes on"),
    "an error without end": Misdeed("reply", message(b"E", b"SERROR"), "close"),
    "a FATAL error": Misdeed("reply", message(b"E", b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0"), "close"),
    "another order": Misdeed("extended reply", message(b"2") + message(b"1") + ROW + READY, "goes on"),
    "too little": Misdeed("extended reply", message(b"1") + READY, "goes on"),
    "too much": Misdeed("extended reply", message(b"1") * 5 + READY, "goes on"),
    "a suspended portal without rows": Misdeed("extended reply", message(b"s") * 3 + READY, "goes on"),
    "words when nobody asked": Misdeed("idle", ANSWER, "goes on"),
    "an end when nobody asked": Misdeed("idle", b"", "close"),
    "bytes without end when nobody asked": Misdeed("idle", ROW * 1000, "close", 100),
}


@pytest.fixture(scope="module")
def hostile():
    server = HostileServer()
    yield server
    server.close()


@pytest.fixture(params=[True, False], ids=["cached", "uncached"])
def mynah(request, own_mynah, hostile):
    server = own_mynah(
        f"postgresql://127.0.0.1:{hostile.port}?connect_timeout=2&sslmode=disable", cache={"enabled": request.param}
    ).spawn()
    # It never gets ready: what it asks on its own account is not answered either.
    wait_until(lambda: server.http_status("/readyz"), "it listens")
    return server


def suffer(mynah, requests: list[bytes]) -> list:
    """What the victim gets until its session ends or its questions are answered."""
    client = RawSession(mynah.port, timeout=15)
    replies = []
    try:
        client.send(wire.startup({"user": "victim", "database": "flights"}))
        replies += client.until_ready()
        for request in requests:
            client.send(request)
            replies += client.until_ready()
        # What was said unasked is there by now, or will be with this answer.
        client.send(wire.query("SELECT 'last'"))
        replies += client.until_ready()
    except (wire.ConnectionEnded, ConnectionError) as ended:
        replies += getattr(ended, "replies", [])
    except TimeoutError:
        # The server neither answers nor closes: so would the client wait directly.
        replies.append((b"silence", b""))
    finally:
        client.close()
    return replies


REQUESTS = [wire.query("SELECT 1"), wire.extended("SELECT 2"), wire.query("SELECT 3")]


@pytest.mark.timeout(300)
def test_what_a_hostile_server_says_ends_one_session_alone(mynah, hostile):
    witness = RawSession.connect(mynah.port, user="witness")
    assert witness.value("SELECT 1") == b"1"
    process, resident = mynah.process.pid, mynah.resident_bytes()
    silent = []
    for what, misdeed in MISDEEDS.items():
        assert misdeed.place in PLACES
        hostile.misdeed = misdeed
        done = hostile.misdeeds_done
        replies = suffer(mynah, REQUESTS)
        assert hostile.misdeeds_done > done, what
        for tag, body in replies:
            if tag == b"E" and misdeed.bytes_sent.find(body) < 0:
                fields = wire.error_fields(body)
                assert fields["S"] == "FATAL" and len(fields["C"]) == 5 and fields["M"], (what, fields)
        if replies and replies[-1][0] == b"silence":
            silent.append(what)
        assert witness.value("SELECT 1") == b"1", what
        assert mynah.process.poll() is None, (what, mynah.log())
    # Where the length is right, and only the rest does not come, nothing is wrong yet.
    assert set(silent) <= {
        "a transaction status that is none", "a zero byte", "an authentication in the middle",
        "a ReadyForQuery without a body",
    }, silent
    assert mynah.process.pid == process
    assert mynah.resident_bytes() - resident < 96 * MEBIBYTE
    witness.close()
    wait_until(lambda: mynah.metrics().total("mynah_client_connections") == 0, "sessions are gone")


@pytest.mark.timeout(60 + REPLIES)
def test_mutated_answers_end_one_session_alone(mynah, hostile):
    witness = RawSession.connect(mynah.port, user="witness")
    process, resident = mynah.process.pid, mynah.resident_bytes()
    rights = {
        "authentication": message(b"R", struct.pack("!I", 0)),
        "greeting": message(b"S", b"client_encoding\0UTF8\0") + message(b"K", b"\0\0\0\1\0\0\0\2") + READY,
        "probe": SETTINGS, "reply": ANSWER, "idle": ANSWER,
        "extended reply": message(b"1") + message(b"2") + ANSWER,
    }
    done = hostile.misdeeds_done
    for seed in range(SEED, SEED + REPLIES):
        chance = random.Random(seed)
        place = chance.choice(PLACES)
        hostile.misdeed = Misdeed(place, mutated(rights[place], chance), "close")
        suffer(mynah, REQUESTS)
        assert witness.value("SELECT 1") == b"1", f"seed {seed}"
        assert mynah.process.poll() is None and mynah.process.pid == process, f"seed {seed}: {mynah.log()}"
    assert mynah.resident_bytes() - resident < 96 * MEBIBYTE
    witness.close()
    wait_until(lambda: mynah.metrics().total("mynah_client_connections") == 0, "sessions are gone")
    assert hostile.misdeeds_done - done > REPLIES * 0.9
