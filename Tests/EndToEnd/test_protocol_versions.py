"""Minor versions of protocol 3: what is agreed on, and the keys of 3.2."""

import contextlib
import socket
import struct
import threading

import psycopg
import pytest

import wire
from servers import wait_until
from wire import RawSession, message

SLOW = "SELECT pg_sleep(30), 'versions'"


def greeted(server, minor: int, **parameters: str) -> tuple[RawSession, list[wire.Message]]:
    client = RawSession(server.port)
    client.send(wire.startup({"user": "postgres", "database": "flights", **parameters}, (3 << 16) + minor))
    return client, client.until_ready()


@pytest.mark.parametrize(
    "minor, agreed, key_length", [(0, None, 4), (1, None, 4), (2, None, 32), (3, 2, 32), (9999, 2, 32)]
)
def test_a_minor_version_is_given_or_negotiated_down(mynah, minor, agreed, key_length):
    client, replies = greeted(mynah, minor)
    offers = [body for tag, body in replies if tag == b"v"]
    assert offers == ([] if agreed is None else [struct.pack("!II", (3 << 16) + agreed, 0)])
    # The offer comes ahead of everything else.
    assert wire.tags(replies).startswith("R" if agreed is None else "vR")
    (key,) = (body for tag, body in replies if tag == b"K")
    assert len(key) == 4 + key_length
    assert client.value("SELECT count(*) FROM airlines") == b"16"
    client.close()


def test_options_that_are_not_known_are_named(mynah):
    for minor, agreed in ((0, 0), (2, 2), (7, 2)):
        client, replies = greeted(mynah, minor, **{"_pq_.one": "1", "_pq_.two": "2"})
        (offer,) = (body for tag, body in replies if tag == b"v")
        assert offer == struct.pack("!II", (3 << 16) + agreed, 2) + b"_pq_.one\0_pq_.two\0"
        client.close()


def cancel(server, process: bytes, secret: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as request:
        body = struct.pack("!I", 80877102) + process + secret
        request.sendall(struct.pack("!I", len(body) + 4) + body)
        with contextlib.suppress(ConnectionError):
            while request.recv(1024):
                pass


def test_a_long_key_cancels_and_nothing_like_it_does(cached_postgres, postgres):
    client, replies = greeted(cached_postgres, 2)
    (key,) = (body for tag, body in replies if tag == b"K")
    process, secret = key[:4], key[4:]
    client.send(wire.query(SLOW))
    wait_until(
        lambda: postgres.run("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE"
                             " '%versions%' AND pid <> pg_backend_pid()"), "the statement runs")
    for wrong in (secret[:4], secret[:-1], secret + b"\0", secret[:-1] + bytes([secret[-1] ^ 1]),
                  bytes(32), b"", secret * 8, secret * 20):
        cancel(cached_postgres, process, wrong)
    with RawSession.connect(cached_postgres.port) as other:
        cancel(cached_postgres, struct.pack("!I", other.backend_key[0]), secret)
        other.value("SELECT 1")
    client.timeout = 0.5
    with pytest.raises(TimeoutError):
        client.receive()
    client.timeout = 20
    cancel(cached_postgres, process, secret)
    assert wire.sqlstate(client.until_ready()) == "57014"
    client.close()


@pytest.mark.parametrize("version", ["3.0", "3.2", "latest"])
def test_libpq_18_speaks_it(cached_postgres, postgres, version):
    assert psycopg.pq.version() >= 180000
    dsn = f"host=127.0.0.1 port={cached_postgres.port} user=postgres dbname=flights"
    with psycopg.connect(f"{dsn} max_protocol_version={version}", autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM airlines").fetchone() == (16,)
        started = threading.Event()

        def stop() -> None:
            started.wait(10)
            wait_until(
                lambda: postgres.run("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query"
                                     " LIKE '%versions%' AND pid <> pg_backend_pid()"), "it runs")
            connection.cancel_safe()

        thread = threading.Thread(target=stop)
        thread.start()
        started.set()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(SLOW)
        thread.join()


def test_a_key_in_the_middle_of_a_session_is_no_message(cached_postgres):
    client, _ = greeted(cached_postgres, 2)
    client.send(message(b"K", bytes(36)))
    assert wire.sqlstate(client.until_end()) == "08P01"
    client.close()
