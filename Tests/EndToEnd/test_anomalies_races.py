"""Anomalies 1 to 12 and 39 to 44: races, transactions and replicas. See `anomaly_lab.py`."""

import shutil
import threading

import pytest

import wire
from anomaly_lab import lab, values  # noqa: F401 (a fixture)
from caching import assert_no_hit, warm
from servers import PostgresServer, wait_until
from wire import RawSession

TABLE = (
    "CREATE TABLE {t} (id int PRIMARY KEY, v int)",
    "INSERT INTO {t} VALUES (1, 10), (2, 20)",
)
ALL = "SELECT id, v FROM {t} ORDER BY id"


def waits_for_lock(lab) -> bool:
    return bool(lab.postgres.run(
        f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{lab.t}%'"))


def test_anomaly_01_a_fill_that_a_write_overtook_is_not_kept(lab):
    """The read is held at a table lock after its snapshot of nothing, while a write commits."""
    lab.make(*TABLE, "CREATE TABLE {t}_big AS SELECT generate_series(1, 1800) AS i")
    slow = lab.sql("SELECT v, (SELECT count(*) FROM {t}_big a, {t}_big b) FROM {t} WHERE id = 1")
    lab.reader.send(wire.query(slow))
    wait_until(
        lambda: lab.postgres.run(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT v, (SELECT count%'"
            f" AND query LIKE '%{lab.t}%'"),
        "the slow read runs")
    lab.writer.run(lab.sql("UPDATE {t} SET v = 11 WHERE id = 1"))
    assert values(lab.reader.until_ready()) == [b"10"], "the write did not overtake the read"
    assert values(lab.agrees(slow)) == [b"11"]


def test_anomaly_02_a_fill_between_a_write_and_its_commit_dies_with_the_commit(lab):
    lab.make(*TABLE)
    lab.remember(ALL)
    lab.writer.run("BEGIN")
    lab.writer.run(lab.sql("UPDATE {t} SET v = 11"))
    lab.remember(ALL)
    other = lab.client()
    before = lab.remember("SELECT sum(v) FROM {t}", other)
    lab.writer.run("COMMIT")
    lab.agrees(ALL)
    assert lab.agrees("SELECT sum(v) FROM {t}", other) != before


def test_anomaly_03_a_read_while_a_write_is_on_its_way_is_not_kept(lab):
    lab.make(*TABLE)
    before = lab.remember(ALL)
    lab.direct.run("BEGIN")
    lab.direct.run(lab.sql("SELECT * FROM {t} WHERE id = 1 FOR UPDATE"))
    lab.writer.send(wire.query(lab.sql("UPDATE {t} SET v = 11 WHERE id = 1")))
    wait_until(lambda: waits_for_lock(lab), "the write waits for the row")
    for _ in range(3):
        assert assert_no_hit(lab.server, lambda: lab.reader.query(lab.sql(ALL))) == before
    lab.direct.run("COMMIT")
    lab.writer.until_ready()
    assert lab.agrees(ALL) != before


def test_anomaly_04_a_commit_whose_answer_is_lost_counts_as_one(lab):
    """The client is gone before COMMIT is answered: what it wrote shows all the same."""
    lab.make(
        *TABLE, "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$",
        "CREATE CONSTRAINT TRIGGER {t}_g AFTER UPDATE ON {t} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION {t}_f()")
    lab.remember(ALL)
    victim = lab.client()
    victim.run("BEGIN")
    victim.run(lab.sql("UPDATE {t} SET v = 11 WHERE id = 1"))
    victim.send(wire.query("COMMIT"))
    wait_until(
        lambda: lab.postgres.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
        "COMMIT runs the trigger")
    victim.close()
    wait_until(
        lambda: lab.direct.value(lab.sql("SELECT v FROM {t} WHERE id = 1")) == b"11", "it committed")
    lab.agrees(ALL)


def test_anomaly_05_a_write_parsed_once_invalidates_at_each_execution(lab):
    lab.make(*TABLE)
    lab.writer.exchange(wire.parse(lab.sql("UPDATE {t} SET v = v + 1 WHERE id = $1"), "w") + wire.sync())
    for _ in range(3):
        before = lab.remember(ALL)
        replies = lab.writer.exchange(
            wire.bind("w", parameters=(b"1",)) + wire.execute() + wire.sync())
        assert wire.sqlstate(replies) is None
        assert lab.agrees(ALL) != before


def test_anomaly_06_a_write_executed_with_a_row_limit_is_a_write(lab):
    lab.make(*TABLE)
    before = lab.remember(ALL)
    replies = lab.writer.exchange(
        wire.parse(lab.sql("UPDATE {t} SET v = v + 1 RETURNING v")) + wire.bind()
        + wire.execute(rows=1) + wire.sync())
    assert wire.sqlstate(replies) is None
    assert lab.agrees(ALL) != before


def test_anomaly_07_a_portal_read_in_parts_is_not_kept_and_ends_once(lab):
    lab.make(*TABLE)
    sql = lab.sql(ALL)
    messages = (
        wire.parse(sql) + wire.bind() + wire.execute(rows=1) + wire.execute() + wire.execute()
        + wire.sync())
    for _ in range(3):
        assert lab.reader.exchange(messages) == lab.direct.exchange(messages)
    whole = wire.extended(sql)
    for _ in range(2):
        assert lab.reader.exchange(whole) == lab.direct.exchange(whole)
    lab.agrees(ALL)


def test_anomaly_08_several_binds_before_one_sync_are_answered_in_order(lab):
    lab.make(*TABLE)
    sql = lab.sql("SELECT v FROM {t} WHERE id = $1")

    def one(value):
        return wire.bind(parameters=(value,)) + wire.describe_portal() + wire.execute()

    both = wire.parse(sql) + one(b"1") + one(b"2") + wire.sync()
    first = wire.parse(sql) + one(b"1") + wire.sync()
    warm(lab.server, lambda: lab.reader.exchange(first))
    for messages in (both, both, first + both + wire.sync(), both):
        count = messages.count(wire.sync())
        assert lab.reader.exchange(messages, count) == lab.direct.exchange(messages, count)


def test_anomaly_09_nothing_outlives_the_process_that_counted_its_versions(postgres, own_mynah, table):
    """Versions start anew with the process, and so does the cache: there is no clock to reset."""
    server = own_mynah(postgres.url()).start()
    with RawSession.connect(server.port) as client:
        client.run(f"CREATE TABLE {table} (v int); INSERT INTO {table} VALUES (1)")
        warm(server, lambda: client.value(f"SELECT v FROM {table}"))
        server.process.kill()
        server.process.wait(10)
    postgres.run(f"UPDATE {table} SET v = 2")
    server.start()
    with RawSession.connect(server.port) as client:
        assert assert_no_hit(server, lambda: client.value(f"SELECT v FROM {table}")) == b"2"


def test_anomaly_10_a_row_deleted_while_an_answer_streams_is_gone_from_the_next(lab):
    lab.make(
        "CREATE TABLE {t} (id int PRIMARY KEY, v text)",
        "INSERT INTO {t} SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i")
    sql = lab.sql("SELECT id, v FROM {t} ORDER BY id")
    lab.reader.send(wire.query(sql))
    assert lab.reader.receive()[0] == b"T"  # the answer has begun; the client stops reading
    lab.writer.run(lab.sql("DELETE FROM {t} WHERE id = 20000"))
    assert len(wire.data_rows(lab.reader.until_ready())) == 20000
    again = lab.reader.query(sql)
    assert len(wire.data_rows(again)) == 19999
    assert again == lab.direct.query(sql)


def test_anomaly_10_rows_written_together_are_never_seen_apart(lab):
    lab.make(*TABLE)
    stop, torn = threading.Event(), []

    def read():
        with RawSession.connect(lab.server.port) as client:
            while not stop.is_set():
                a, b = [int(row[1]) for row in client.rows(lab.sql(ALL))]
                if b - a != 10:
                    torn.append((a, b))

    threads = [threading.Thread(target=read) for _ in range(3)]
    with lab.server.counting() as delta:
        for thread in threads:
            thread.start()
        for number in range(150):
            lab.writer.run("BEGIN")
            for row in (1, 2):
                lab.writer.run(lab.sql(f"UPDATE {{t}} SET v = {number + 10 * row} WHERE id = {row}"))
            lab.writer.run("COMMIT")
        stop.set()
        for thread in threads:
            thread.join(20)
    assert torn == [] and delta.hits > 0, str(delta)


def test_anomaly_11_an_entry_that_expires_while_many_ask_is_replaced_whole(postgres, own_mynah):
    """Entries are immutable: one that has expired is replaced, never updated in place."""
    server = own_mynah(postgres.url(), cache={"ttl": "2ms"}).start()
    sql = "SELECT carrier, name FROM airlines ORDER BY carrier"
    with RawSession.connect(postgres.port) as direct:
        expected = direct.query(sql)
    different = []

    def read():
        with RawSession.connect(server.port) as client:
            for _ in range(400):
                if client.query(sql) != expected:
                    different.append(1)

    threads = [threading.Thread(target=read) for _ in range(6)]
    with server.counting() as delta:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not different
    assert delta.hits > 0 and delta.misses > 5, str(delta)


def test_anomaly_12_a_sampling_checker_watches_what_no_test_can(postgres, own_mynah, table):
    """Invalidations are not sent anywhere that they could be lost; the sampler would show it."""
    server = own_mynah(postgres.url(), cache={"verify": 1.0}).start()
    with RawSession.connect(server.port) as writer:
        writer.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
        writer.run(f"INSERT INTO {table} SELECT i, 0 FROM generate_series(1, 5) i")
        stop = threading.Event()

        def read():
            with RawSession.connect(server.port) as client:
                while not stop.is_set():
                    for row in range(1, 6):
                        client.run(f"SELECT v FROM {table} WHERE id = {row}")

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(100):
            writer.run(f"UPDATE {table} SET v = {number} WHERE id = {number % 5 + 1}")
        stop.set()
        for thread in threads:
            thread.join(20)
    metrics = server.metrics()
    assert metrics.total("mynah_cache_verified_total") > 20
    assert metrics.total("mynah_cache_verify_mismatch_total") == 0


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_anomaly_39_a_snapshot_transaction_is_not_answered_from_memory(lab, level):
    lab.make(*TABLE)
    snapshot = lab.client()
    snapshot.run(f"BEGIN ISOLATION LEVEL {level}")
    before = snapshot.query(lab.sql(ALL))
    lab.writer.run(lab.sql("UPDATE {t} SET v = 11"))
    lab.remember(ALL)
    assert snapshot.query(lab.sql(ALL)) == before
    snapshot.run("COMMIT")
    lab.agrees(ALL, snapshot)


@pytest.mark.parametrize("end", ["ROLLBACK", "ROLLBACK TO SAVEPOINT s", "COMMIT"])
def test_anomaly_40_what_a_transaction_reads_of_its_own_writes_is_not_kept(lab, end):
    lab.make(*TABLE)
    lab.writer.run("BEGIN")
    lab.writer.run("SAVEPOINT s")
    lab.writer.run(lab.sql("UPDATE {t} SET v = 11"))
    for _ in range(2):
        assert values(lab.writer.query(lab.sql("SELECT v FROM {t} WHERE id = 1"))) == [b"11"]
    lab.writer.run(end)
    if end.startswith("ROLLBACK TO"):
        assert values(lab.writer.query(lab.sql("SELECT v FROM {t} WHERE id = 1"))) == [b"10"]
        lab.writer.run("COMMIT")
    lab.agrees("SELECT v FROM {t} WHERE id = 1")
    lab.agrees("SELECT v FROM {t} WHERE id = 1", lab.writer)


@pytest.mark.parametrize("how", [
    "SET default_transaction_isolation = 'repeatable read'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SELECT set_config('default_transaction_isolation', 'serializable', false)",
])
def test_anomaly_41_the_isolation_level_may_come_from_a_setting(lab, how):
    lab.make(*TABLE)
    snapshot = lab.client()
    snapshot.run(how)
    snapshot.run("BEGIN")
    before = snapshot.query(lab.sql(ALL))
    lab.writer.run(lab.sql("UPDATE {t} SET v = 11"))
    lab.remember(ALL)
    assert snapshot.query(lab.sql(ALL)) == before
    snapshot.run("COMMIT")
    lab.agrees(ALL, snapshot)


def test_anomaly_41_a_read_only_session_still_refuses_writes(lab):
    lab.make(*TABLE)
    lab.remember(ALL)
    lab.reader.run("SET default_transaction_read_only = on")
    assert wire.sqlstate(lab.reader.query(lab.sql("UPDATE {t} SET v = 0"))) == "25006"
    lab.agrees(ALL)


def test_anomaly_42_a_standby_fills_nothing_until_it_is_promoted(own_mynah):
    """A standby is behind its primary, and changes without a write that Mynah could see."""
    primary, standby = PostgresServer(), None
    try:
        primary.start()
        primary.run("CREATE TABLE t (v int); INSERT INTO t VALUES (1)", "postgres")
        standby = PostgresServer(primary=primary).start()
        server = own_mynah(standby.url()).start()
        with RawSession.connect(server.port, database="postgres") as client:
            with server.counting() as delta:
                for _ in range(5):
                    assert client.value("SELECT v FROM t") == b"1"
            assert delta.hits == 0 and delta.reasons() == {"standby": 5}, str(delta)
            primary.run("UPDATE t SET v = 2", "postgres")
            wait_until(
                lambda: standby.run("SELECT v FROM t", "postgres") == [(2,)], "the standby follows")
            assert client.value("SELECT v FROM t") == b"2"
            standby.run("SELECT pg_promote()", "postgres")
            assert warm(server, lambda: client.value("SELECT v FROM t"), 20) == b"2"
    finally:
        primary.remove()
        if standby:
            standby.remove()


@pytest.mark.parametrize("end", ["COMMIT PREPARED", "ROLLBACK PREPARED"])
def test_anomaly_43_a_prepared_transaction_commits_from_another_session(lab, end):
    lab.make(*TABLE)
    before = lab.remember(ALL)
    lab.writer.run("BEGIN")
    lab.writer.run(lab.sql("UPDATE {t} SET v = 11"))
    lab.writer.run(lab.sql("PREPARE TRANSACTION '{t}'"))
    assert lab.remember(ALL) == before
    lab.client().run(lab.sql(end + " '{t}'"))
    assert (lab.agrees(ALL) == before) == (end == "ROLLBACK PREPARED")


def test_anomaly_44_a_server_that_lost_commits_takes_the_answers_of_then_with_it(own_mynah):
    """The data directory goes back to an earlier copy, as after a failover that loses commits."""
    postgres = PostgresServer()
    try:
        postgres.start()
        postgres.run("CREATE TABLE t (v int); INSERT INTO t VALUES (1)", "postgres")
        postgres.stop()
        copy = postgres.copy_data("copy")
        postgres.start()
        server = own_mynah(postgres.url()).start()
        with RawSession.connect(server.port, database="postgres") as client:
            client.run("UPDATE t SET v = 2")
            assert warm(server, lambda: client.value("SELECT v FROM t")) == b"2"
        postgres.stop()
        shutil.rmtree(postgres.data)
        copy.rename(postgres.data)
        postgres.start()
        wait_until(server.is_ready, "/readyz answers 200 again", 30)
        seen = []

        def read():
            try:
                with RawSession.connect(server.port, database="postgres") as client:
                    seen.append(client.value("SELECT v FROM t"))
                    return True
            except (AssertionError, wire.ConnectionEnded, OSError):
                return False

        wait_until(read, "a read works again", 30)
        wait_until(lambda: read() and seen[-1] == b"1", "the answer of then is gone", 3)
    finally:
        postgres.remove()
