"""What ties a session to its connection: shown, ended, and never found by the next client."""

import psycopg
import pytest

from pools import backend, busy, client, pinned, pooled, value  # noqa: F401 (fixtures among them)
from servers import wait_until


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


def test_notifications_come_from_the_process_id_that_their_sender_was_told(pooled, client, postgres):
    server = pooled(size=3)
    listener, speaker = client(server), client(server)
    listener.execute("LISTEN pool_channel")
    listener.execute("NOTIFY pool_channel, 'own'")
    (own,) = listener.notifies(timeout=10, stop_after=1)
    assert (own.payload, own.pid) == ("own", listener.info.backend_pid)
    speaker.execute("NOTIFY pool_channel, 'foreign'")
    (foreign,) = listener.notifies(timeout=10, stop_after=1)
    assert (foreign.payload, foreign.pid) == ("foreign", speaker.info.backend_pid)
    with psycopg.connect(postgres.dsn(), autocommit=True) as direct:
        direct.execute("NOTIFY pool_channel, 'direct'")
        (outside,) = listener.notifies(timeout=10, stop_after=1)
        assert (outside.payload, outside.pid) == ("direct", direct.info.backend_pid)
    # Who has asked for it in SQL compares with that.
    mine = backend(listener)
    listener.execute("NOTIFY pool_channel, 'own'")
    (own,) = listener.notifies(timeout=10, stop_after=1)
    assert (own.payload, own.pid) == ("own", mine)


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
