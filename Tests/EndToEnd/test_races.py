"""A checker for stale answers under concurrent writes.

Each key holds a counter that one writer alone increments. A read that started after a write was
acknowledged must see it, and no read may see what was not yet sent; and once a value has been seen,
no read that starts later may see less.
"""

import bisect
import threading
import time

import pytest

import wire
from wire import RawSession

KEYS = 8
SECONDS = 8


class History:
    def __init__(self):
        self.sent = [[] for _ in range(KEYS)]   # (time, value) before the write goes out
        self.acknowledged = [[] for _ in range(KEYS)]
        self.reads = []                          # (start, end, key, value)


def writer(port, key, table, history, stop, style):
    with RawSession.connect(port) as session:
        value = 0
        while not stop.is_set():
            value += 1
            sql = f"UPDATE {table} SET v = {value} WHERE id = {key}"
            history.sent[key].append((time.monotonic(), value))
            if style == "block":
                session.run("BEGIN")
                session.run(sql)
                if value % 5 == 0:
                    session.run(f"UPDATE {table} SET v = -1 WHERE id = {key}")
                    session.run("ROLLBACK")
                    session.run(sql)
                else:
                    session.run("COMMIT")
            elif style == "extended":
                assert wire.sqlstate(session.exchange(wire.extended(sql))) is None
            else:
                session.run(sql)
            history.acknowledged[key].append((time.monotonic(), value))
            stop.wait(0.004)


def reader(port, number, table, history, stop):
    with RawSession.connect(port) as session:
        turn, reads = number, []
        while not stop.is_set():
            turn += 1
            key = turn % KEYS
            whole = turn % 3 == 0
            sql = f"SELECT id, v FROM {table} ORDER BY id" if whole else (
                f"SELECT id, v FROM {table} WHERE id = {key}"
            )
            send = wire.extended(sql) if turn % 2 else wire.query(sql)
            start = time.monotonic()
            replies = session.exchange(send)
            end = time.monotonic()
            assert wire.sqlstate(replies) is None
            reads += [(start, end, int(k), int(v)) for k, v in wire.data_rows(replies)]
        history.reads += reads


def violations(history) -> list[str]:
    found = []
    for key in range(KEYS):
        reads = sorted(read for read in history.reads if read[2] == key)
        acknowledged = [(0.0, 0), *history.acknowledged[key]]
        sent = [(0.0, 0), *history.sent[key]]
        acknowledged_at, sent_at = [at for at, _ in acknowledged], [at for at, _ in sent]
        finished = sorted((end, value) for _, end, _, value in reads)
        seen = done = 0
        for start, end, _, value in reads:
            while done < len(finished) and finished[done][0] < start:
                seen = max(seen, finished[done][1])
                done += 1
            lowest = max(seen, acknowledged[bisect.bisect_left(acknowledged_at, start) - 1][1])
            highest = sent[bisect.bisect_right(sent_at, end) - 1][1]
            if not lowest <= value <= highest:
                found.append(f"key {key}: {value} not in {lowest} … {highest}")
    return found


def test_the_checker_finds_a_stale_read_a_step_back_and_a_read_of_the_future():
    def of(*reads):
        history = History()
        history.sent[0] = [(1.0, 1), (3.0, 2)]
        history.acknowledged[0] = [(2.0, 1), (4.0, 2)]
        history.reads = [(start, end, 0, value) for start, end, value in reads]
        return len(violations(history))

    assert of((0.5, 0.9, 0), (1.1, 1.2, 0), (1.3, 1.4, 1), (2.5, 2.6, 1), (3.1, 3.2, 1), (5.0, 5.1, 2)) == 0
    assert of((2.5, 2.6, 0)) == 1
    assert of((1.1, 1.2, 1), (1.3, 1.4, 0)) == 1
    assert of((2.5, 2.6, 2)) == 1
    assert of((0.1, 9.0, 2), (0.2, 0.3, 1)) == 1


@pytest.mark.timeout(180)
def test_no_read_is_stale_while_writers_and_readers_race(mynah, session, table):
    setup = session(mynah)
    setup.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    for key in range(KEYS):
        setup.run(f"INSERT INTO {table} VALUES ({key}, 0)")
    history, stop, failures = History(), threading.Event(), []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:
            failures.append(error)
            stop.set()

    styles = ["simple", "extended"] if mynah.is_sqlite else ["simple", "block", "extended"]
    threads = [
        threading.Thread(
            target=guarded,
            args=(writer, mynah.port, key, table, history, stop, styles[key % len(styles)]),
        )
        for key in range(3)
    ] + [
        threading.Thread(target=guarded, args=(reader, mynah.port, number, table, history, stop))
        for number in range(5)
    ]
    with mynah.counting() as delta:
        for thread in threads:
            thread.start()
        stop.wait(SECONDS)
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not failures, failures
    assert all(not thread.is_alive() for thread in threads)
    assert violations(history) == []
    writes = sum(len(acknowledged) for acknowledged in history.acknowledged)
    print(f"{len(history.reads)} values read, {writes} writes, {delta}")
    assert writes > 100 and len(history.reads) > 1000
    assert delta.hits > 0, f"a run without hits proves nothing: {delta}"


@pytest.mark.timeout(180)
def test_two_tables_written_together_are_never_seen_apart(cached_postgres, session, table):
    """One transaction writes the same number to two tables; one statement reads both."""
    setup = session(cached_postgres)
    setup.run(f"CREATE TABLE {table}_a (v int); CREATE TABLE {table}_b (v int)")
    setup.run(f"INSERT INTO {table}_a VALUES (0); INSERT INTO {table}_b VALUES (0)")
    stop, failures, pairs = threading.Event(), [], []

    def write():
        with RawSession.connect(cached_postgres.port) as client:
            value = 0
            while not stop.is_set():
                value += 1
                client.run("BEGIN")
                client.run(f"UPDATE {table}_a SET v = {value}")
                client.run(f"UPDATE {table}_b SET v = {value}")
                client.run("COMMIT")
                stop.wait(0.005)

    def read():
        with RawSession.connect(cached_postgres.port) as client:
            last = 0
            while not stop.is_set():
                a, b = map(int, client.rows(f"SELECT a.v, b.v FROM {table}_a a, {table}_b b")[0])
                if a != b or a < last:
                    failures.append((a, b, last))
                last = a
                pairs.append(a)

    threads = [threading.Thread(target=write)] + [threading.Thread(target=read) for _ in range(3)]
    with cached_postgres.counting() as delta:
        for thread in threads:
            thread.start()
        stop.wait(4)
        stop.set()
        for thread in threads:
            thread.join(30)
    assert failures == []
    assert len(set(pairs)) > 20 and delta.hits > 0, str(delta)


def test_identical_misses_at_once_get_the_same_answer(cached_postgres, session, table):
    setup = session(cached_postgres)
    setup.run(f"CREATE TABLE {table} (v int)")
    setup.run(f"INSERT INTO {table} SELECT generate_series(1, 1500)")
    sql = f"SELECT count(*), sum(a.v) FROM {table} a, {table} b WHERE a.v < b.v"
    clients = [session(cached_postgres) for _ in range(16)]
    for client in clients:
        client.send(wire.query(sql))
    answers = [client.until_ready() for client in clients]
    assert all(answer == answers[0] for answer in answers)
    assert wire.data_rows(answers[0])[0][0] == str(1500 * 1499 // 2).encode()


def test_a_follower_of_a_shared_miss_survives_the_leaders_death(cached_postgres, session, table):
    setup = session(cached_postgres)
    setup.run(f"CREATE TABLE {table} (v int)")
    setup.run(f"INSERT INTO {table} SELECT generate_series(1, 2500)")
    sql = f"SELECT count(*) FROM {table} a, {table} b WHERE a.v < b.v"
    leader, follower = session(cached_postgres), session(cached_postgres)
    leader.send(wire.query(sql))
    follower.send(wire.query(sql))
    leader.close()
    assert wire.data_rows(follower.until_ready()) == [[str(2500 * 2499 // 2).encode()]]
