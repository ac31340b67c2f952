"""Verify mode: sampled hits are run in the database too, and compared."""

import pathlib
import signal
import threading

import pytest

import wire
from caching import warm
from servers import wait_until

COUNTERS = ("verified", "verify_mismatch", "verify_inconclusive")


@pytest.fixture(params=["postgresql", "sqlite"])
def upstream(request) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").url()
    return f"sqlite:{request.getfixturevalue('sqlite_file')}"


def counted(delta) -> tuple[int, ...]:
    return tuple(delta.of(f"mynah_cache_{name}_total") for name in COUNTERS)


def test_every_hit_is_verified_in_both_protocols(own_mynah, upstream, session):
    server = own_mynah(upstream, cache={"verify": 1.0}).start()
    client = session(server)
    read = "SELECT * FROM airlines WHERE carrier < 'F'"
    first = client.query(read)
    # The catalog may have been on its way when the first one ran.
    wait_until(lambda: client.query(read) and server.metrics().total("mynah_cache_verified_total"),
               "a hit is verified")
    with server.counting() as delta:
        assert wire.data_rows(client.query(read)) == wire.data_rows(first)
        for _ in range(2):
            replies = client.exchange(wire.extended(read))
            assert wire.data_rows(replies) == wire.data_rows(first)
    assert counted(delta) == (3, 0, 0) and delta.hits == 0


def test_a_corrupted_entry_is_noticed(own_mynah, postgres, session, table):
    """With a fault that leaves the cells alone when a write commits."""
    postgres.run(f"CREATE TABLE {table} (id integer, v integer); INSERT INTO {table} VALUES (1, 10)")
    server = own_mynah(
        postgres.url(), cache={"verify": 0}, environment={"MYNAH_MUTANT": "no_bump_at_close"}
    ).start()
    client = session(server)
    read = f"SELECT v FROM {table}"
    assert warm(server, lambda: client.rows(read)) == [[b"10"]]
    client.run(f"UPDATE {table} SET v = 11")
    assert client.rows(read) == [[b"10"]], "the fault is not there: nothing to notice"
    server.cache["verify"] = 1.0
    server.write_configuration()
    server.signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in server.log(), "the reload")
    fresh = session(server)
    with server.counting() as delta:
        assert fresh.rows(read) == [[b"11"]]
    assert counted(delta) == (0, 1, 0)
    log = server.log()
    assert "differs from the database's" in log and table not in log
    with server.counting() as delta:
        assert fresh.rows(read) == [[b"11"]]
    assert counted(delta) == (1, 0, 0)


def test_readers_and_writers_never_differ(own_mynah, upstream, session, table):
    server = own_mynah(upstream, cache={"verify": 1.0}).start()
    setup = session(server)
    setup.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    for key in range(4):
        setup.run(f"INSERT INTO {table} VALUES ({key}, 0)")
    failures = []

    def work(number: int) -> None:
        try:
            client = wire.RawSession.connect(server.port)
            for round in range(150):
                key = (round + number) % 4
                if number < 2 and round % 5 == 0:
                    client.run(f"UPDATE {table} SET v = v + 1 WHERE id = {key}")
                elif number % 2:
                    client.rows(f"SELECT v FROM {table} WHERE id = {key}")
                else:
                    client.exchange(wire.extended(f"SELECT * FROM {table}"))
            client.close()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    with server.counting() as delta:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    verified, mismatches, _ = counted(delta)
    assert mismatches == 0 and verified >= 50, delta


def test_a_share_of_hits_is_verified(own_mynah, postgres, session):
    server = own_mynah(postgres.url(), cache={"verify": 0.1}).start()
    client = session(server)
    read = "SELECT name FROM airlines"
    warm(server, lambda: client.rows(read))
    with server.counting() as delta:
        for _ in range(2000):
            client.rows(read)
    verified, mismatches, inconclusive = counted(delta)
    assert 120 <= verified <= 280 and (mismatches, inconclusive) == (0, 0)
    assert delta.hits == 2000 - verified


def test_the_reference_configuration_has_it():
    assert "\nverify = 0\n" in (pathlib.Path(__file__).parents[2] / "proxy.conf").read_text()
