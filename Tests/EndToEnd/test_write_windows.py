"""No write window stays open: whatever becomes of a write, its table is cached again."""

import contextlib

import pytest

import fault_relay
import wire
from caching import warm
from fault_relay import CUT_REPLY, DELAY, Fault, FaultRelay
from servers import MynahServer, wait_until
from wire import RawSession

COMMIT = wire.message(b"C", wire.cstring("COMMIT")) + wire.message(b"Z", b"I")


@pytest.fixture
def relay(postgres):
    relay = FaultRelay(postgres.port)
    yield relay
    relay.close()


@pytest.fixture
def table(postgres):
    postgres.run("CREATE TABLE window_test (id int PRIMARY KEY, v int)")
    postgres.run("INSERT INTO window_test VALUES (1, 0)")
    yield "window_test"
    postgres.run("DROP TABLE window_test")


def assert_cached_again(mynah: MynahServer, table: str) -> None:
    def open_windows() -> int:
        return int(mynah.metrics().total("mynah_write_windows_open"))

    wait_until(lambda: open_windows() == 0, "every write window is closed", 40)
    with RawSession.connect(mynah.port) as session:
        warm(mynah, lambda: session.query(f"SELECT * FROM {table}"))


@pytest.mark.parametrize("missing", (1, 2, 5, 6, 9))
def test_link_lost_within_the_reply_to_commit(missing, table, relay, own_mynah):
    mynah = own_mynah(f"postgresql://127.0.0.1:{relay.port}").start()
    with contextlib.suppress(wire.ConnectionEnded), RawSession.connect(mynah.port) as session:
        session.query("BEGIN")
        session.query(f"UPDATE {table} SET v = v + 1")
        relay.armed.append(Fault(CUT_REPLY, "COMMIT", after=len(COMMIT) - missing))
        session.query("COMMIT")
    assert not relay.armed
    assert_cached_again(mynah, table)
    assert mynah.metrics().total("mynah_unknown_outcomes_total") == 1


def test_terminate_without_sync(table, postgres, own_mynah):
    mynah = own_mynah(postgres.url()).start()
    with RawSession.connect(mynah.port) as session:
        write = wire.parse(f"UPDATE {table} SET v = v + 1") + wire.bind() + wire.execute()
        session.send(write + wire.flush())
        session.until(b"C")
        session.send(wire.terminate())
        session.until_end()
    assert_cached_again(mynah, table)
    assert postgres.run(f"SELECT v FROM {table}") == [(0,)]


def test_question_for_the_outcome_that_is_never_answered(table, relay, own_mynah, monkeypatch):
    """What lies between holds the answer on the control connection back for ever."""
    monkeypatch.setitem(fault_relay.STEPS, "fate", b"pg_stat_activity")
    mynah = own_mynah(f"postgresql://127.0.0.1:{relay.port}").start()
    silence = Fault(DELAY, "fate", seconds=600)
    relay.armed += [silence, Fault(CUT_REPLY, "write", after=1)]
    with contextlib.suppress(wire.ConnectionEnded), RawSession.connect(mynah.port) as session:
        session.query(f"UPDATE {table} SET v = v + 1")
    assert silence.happened.wait(20)
    assert_cached_again(mynah, table)
