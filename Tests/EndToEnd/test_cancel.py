"""CancelRequest among pipelined statements: every reply in its place, one for each request."""

import random
import socket
import threading

import pytest

import wire
from history_client import PipelinedSession
from servers import wait_until

SLOW = "SELECT count(*) FROM airlines a, airlines b, airlines c, airlines d, airlines e, airlines f"


def cancel(server, session) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as request:
        request.sendall(wire.cancel_request(*session.backend_key))
        request.recv(1)  # until the other side has taken it and closed


@pytest.mark.timeout(180)
@pytest.mark.parametrize("make", [wire.query, wire.extended], ids=["simple", "extended"])
def test_replies_keep_their_order_while_statements_are_cancelled(own_mynah, postgres, make):
    """Duplicates in a pipeline wait for their first execution; a cancel does not answer them."""
    mynah = own_mynah(postgres.url()).start()
    chance, cancelled = random.Random(1), 0
    for attempt in range(60):
        session = PipelinedSession.connect(mynah.port)
        codes = [chance.randrange(8) for _ in range(24)]
        stop = threading.Event()

        def hammer():
            while not stop.is_set():
                cancel(mynah, session)

        thread = threading.Thread(target=hammer)
        thread.start()
        try:
            sql = "SELECT {0} AS code, count(*) FROM airlines WHERE {0} < 100 AND {1} = {1}"
            _, replies = session.batch([make(sql.format(code, attempt)) for code in codes])
        finally:
            stop.set()
            thread.join()
        for code, reply in zip(codes, replies):
            cancelled += reply.error == "57014"
            assert reply.error == "57014" or reply.rows[0][0] == str(code).encode()
        assert session.rows("SELECT 42 FROM airlines LIMIT 1") == [[b"42"]]
        session.close()
    assert cancelled > 0


def test_a_cancelled_wait_for_a_flush_is_followed_by_one_ready_for_query(
    cached_postgres, postgres, session
):
    """A client that asks with Flush gets its error, and ReadyForQuery at its Sync alone."""
    leader, follower = session(cached_postgres), session(cached_postgres)
    follower.run("SELECT 1")
    leader.send(wire.extended(SLOW))
    wait_until(
        lambda: postgres.run(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active'"
            " AND query LIKE 'SELECT count(*) FROM airl%'"
        ),
        "the statement runs",
    )
    request = wire.parse(SLOW) + wire.bind() + wire.describe_portal() + wire.execute()
    follower.send(request + wire.flush())
    follower.timeout = 60
    done = threading.Event()

    def hammer():
        while not done.is_set():
            cancel(cached_postgres, follower)

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        assert wire.sqlstate(follower.until(b"E")) == "57014"
    finally:
        done.set()
        thread.join()
    follower.send(wire.sync() + wire.query("SELECT 42 FROM airlines LIMIT 1"))
    assert wire.tags(follower.until_ready()) == "Z"
    assert wire.data_rows(follower.until_ready()) == [[b"42"]]
    leader.send(wire.terminate())
