"""`cache.stale_if_error`: what is answered while the database is away."""

import contextlib
import time

import pytest

from nodes import Nodes, Peers
from servers import PostgresServer, wait_until, with_flights
from wire import ConnectionEnded, bind, data_rows, describe_portal, error_fields, execute, parse, sqlstate, sync, tags

SQL = "SELECT v FROM kept WHERE id = 1"
PREPARED = parse(SQL) + bind() + describe_portal() + execute() + sync()


@pytest.fixture
def server():
    yield from with_flights(
        PostgresServer(), "CREATE TABLE kept (id int PRIMARY KEY, v int)",
        "INSERT INTO kept VALUES (1, 7), (2, 8)")


def test_expired_answers_are_given_while_the_database_is_away(server, own_mynah, session):
    mynah = own_mynah(server.url(), cache={"ttl": "1s", "stale_if_error": "30s"}).start()
    client = session(mynah)
    wait_until(lambda: is_stored(mynah, client), "it is stored", 20)
    server.stop()
    wait_until(lambda: tags(client.query(SQL)) == "NTDCZ", "the database is found to be away", 20)
    replies = client.query(SQL)
    assert data_rows(replies) == [[b"7"]]
    [notice] = [error_fields(body) for tag, body in replies if tag == b"N"]
    assert notice["C"] == "01000" and notice["S"] == "NOTICE"
    replies = client.exchange(PREPARED)
    assert sorted(tags(replies)) == sorted("12NTDCZ") and data_rows(replies) == [[b"7"]]
    # What is not in memory is an error as ever, and a block is no place for what is not certain.
    assert sqlstate(client.query("SELECT v FROM kept WHERE id = 2"))[:2] in ("08", "57")
    assert mynah.metrics().total("mynah_cache_stale_answers_total") >= 3
    server.start()
    other = session(mynah)
    wait_until(lambda: tags(other.query(SQL)) == "TDCZ", "the database is there again", 20)


def test_without_it_expired_answers_are_none(server, own_mynah, session):
    mynah = own_mynah(server.url(), cache={"ttl": "1s"}).start()
    client = session(mynah)
    wait_until(lambda: is_stored(mynah, client), "it is stored", 20)
    server.stop()
    wait_until(lambda: sqlstate(client.query(SQL)) is not None, "it has expired", 20)
    assert mynah.metrics().total("mynah_cache_stale_answers_total") == 0


def test_it_ends_after_its_time(server, own_mynah, session):
    mynah = own_mynah(server.url(), cache={"ttl": "1s", "stale_if_error": "3s"}).start()
    client = session(mynah)
    wait_until(lambda: is_stored(mynah, client), "it is stored", 20)
    server.stop()
    wait_until(lambda: tags(client.query(SQL)) == "NTDCZ", "the database is found to be away", 20)
    wait_until(lambda: sqlstate(client.query(SQL)) is not None, "the time is over", 20)


def test_a_mirror_answers_while_its_primary_is_away(server, session):
    nodes = Nodes(server.url(), cache={"stale_if_error": "30s"})
    try:
        nodes.start()
        replica = session(nodes.replicas[0])
        wait_until(lambda: is_stored(nodes.replicas[0], replica), "the mirror has it", 20)
        nodes.primary.process.kill()
        wait_until(
            lambda: tags(replica.query(SQL)) == "NTDCZ", "the primary is found to be away", 20)
        assert data_rows(replica.query(SQL)) == [[b"7"]]
    finally:
        nodes.remove()


def test_a_mirror_goes_on_while_the_database_is_away(server, session):
    """The node that leads is there, and vouches for nothing: it is not taken for gone."""
    nodes = Peers(server, 2, cache={"stale_if_error": "30s"})
    try:
        nodes.start()
        mirror = nodes.replicas[0]
        client = session(mirror)
        wait_until(lambda: is_stored(mirror, client), "the mirror has it", 20)
        server.stop()
        wait_until(lambda: tags(client.query(SQL)) == "NTDCZ", "the database is found to be away", 20)
        resyncs = mirror.figure("resyncs_total")
        for _ in range(12):
            time.sleep(0.5)
            assert data_rows(client.query(SQL)) == [[b"7"]]
        assert mirror.figure("resyncs_total") == resyncs
        server.start()
        nodes.wait()

        def has_it_again() -> bool:
            # (Each node notices in its own time that the database is back.)
            with contextlib.suppress(ConnectionEnded, AssertionError):
                return is_stored(mirror, session(mirror))
            return False

        wait_until(has_it_again, "the mirror has it again", 20)
    finally:
        nodes.remove()


def is_stored(mynah, client) -> bool:
    with mynah.counting() as delta:
        client.run(SQL)
    return delta.hits == 1
