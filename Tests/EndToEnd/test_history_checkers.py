"""The checkers find each anomaly in made-up histories, and nothing in sound ones."""

import pytest

from history_graph import Graph
from history_listappend import ListHistory
from history_monotone import (
    ACKNOWLEDGED, EVEN, FAILED, ODD, UNKNOWN, Read, Write, bounds_of, sum_of, violations,
)
from history_sessions import (
    aged, aged_lists, list_session_violations, session_violations,
)
from history_transactions import (
    AUTOCOMMIT, READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, Append, ListRead, Transaction,
)

WRITES = [
    Write(0, 1, 10, ACKNOWLEDGED, 20),
    Write(0, 2, 30, ACKNOWLEDGED, 40),
    Write(0, 3, 50, FAILED, 60),
    Write(0, 4, 70, UNKNOWN, 0),
]


def verdicts(*reads, writes=WRITES):
    history = [Read(start, end, 0, value) for start, end, value in reads]
    return [text.split(":")[0] for text in violations(bounds_of(list(writes)), history)]


@pytest.mark.parametrize("reads", [
    [(1, 5, 0)],
    [(11, 12, 0), (13, 14, 1)],
    [(11, 19, 1), (12, 18, 0)],
    [(25, 35, 2), (31, 33, 1)],
    [(45, 55, 2)],
    [(80, 90, 2), (100, 110, 2)],
    [(80, 90, 2), (100, 110, 4), (120, 130, 4)],
    [(1, 5, EVEN), (11, 19, ODD), (45, 55, EVEN), (80, 90, EVEN)],
])
def test_a_counter_may_be_read_as(reads):
    assert verdicts(*reads) == []


@pytest.mark.parametrize("reads, verdict", [
    ([(25, 26, 0)], "stale"),
    ([(11, 12, 1), (13, 14, 0)], "back"),
    ([(80, 90, 4), (100, 110, 2)], "back"),
    ([(25, 26, 2)], "future"),
    ([(1, 99, 5)], "future"),
    ([(75, 90, 3)], "aborted"),
    ([(41, 42, 1)], "stale"),
    ([(25, 26, EVEN)], "parity"),
    ([(1, 5, ODD)], "parity"),
    ([(31, 33, EVEN), (34, 35, ODD)], "parity"),
    ([(31, 33, EVEN), (34, 35, 1)], "back"),
    ([(61, 99, ODD)], "parity"),
])
def test_a_counter_may_not_be_read_as(reads, verdict):
    assert verdicts(*reads) == [verdict]


def test_a_sum_of_counters_is_bounded_like_a_counter():
    writes = [
        Write(0, 1, 10, ACKNOWLEDGED, 20), Write(1, 1, 12, ACKNOWLEDGED, 30),
        Write(1, 2, 40, UNKNOWN, 0), Write(0, 5, 50, FAILED, 55),
    ]
    bounds = {9: sum_of(list(bounds_of(writes).values()))}

    def sums(*reads):
        history = [Read(start, end, 9, value) for start, end, value in reads]
        return [text.split(":")[0] for text in violations(bounds, history)]

    assert sums((1, 2, 0), (13, 14, 2), (31, 32, 2), (60, 61, 3)) == []
    assert sums((31, 32, 1)) == ["stale"]
    assert sums((1, 2, 1)) == ["future"]
    assert sums((45, 46, 3), (47, 48, 2)) == ["back"]


def reading(key, *elements, at=0, lasting=1):
    return ListRead(key, elements, at, at + lasting)


def names(transactions, final):
    return {text.split(":")[0] for text in ListHistory(transactions, final).check()}


def committed(level, at, *steps):
    return Transaction(level, list(steps), ACKNOWLEDGED, at, at + 1)


def test_sound_lists_are_accepted():
    history = [
        committed(AUTOCOMMIT, 0, Append(1, 10)),
        committed(READ_COMMITTED, 10, reading(1, 10, at=5), Append(1, 11), Append(2, 20)),
        # A snapshot from before what was acknowledged since: REPEATABLE READ may.
        Transaction(
            REPEATABLE_READ, [reading(1, 10, at=6), reading(2, at=20)], ACKNOWLEDGED, 21, 22
        ),
        Transaction(AUTOCOMMIT, [Append(1, 12)], FAILED, 30, 31),
        Transaction(AUTOCOMMIT, [Append(1, 13)], UNKNOWN, 32),
        Transaction(AUTOCOMMIT, [Append(1, 14)], UNKNOWN, 34),
        committed(AUTOCOMMIT, 40, reading(1, 10, 11, 13, at=40)),
        # Read skew is what READ COMMITTED allows.
        committed(READ_COMMITTED, 13, reading(1, 10, at=7), reading(2, 20, at=12)),
        committed(READ_COMMITTED, 50, Append(3, 30), reading(3, 30, at=49), Append(3, 31)),
    ]
    assert names(history, {1: (10, 11, 13), 2: (20,), 3: (30, 31)}) == set()


def test_write_skew_is_allowed_below_serializable_alone():
    def skew(first, second):
        return [
            Transaction(first, [reading(1, at=1), Append(2, 20)], ACKNOWLEDGED, 3, 4),
            Transaction(second, [reading(2, at=1), Append(1, 10)], ACKNOWLEDGED, 3, 4),
        ]

    final = {1: (10,), 2: (20,)}
    assert names(skew(REPEATABLE_READ, REPEATABLE_READ), final) == set()
    assert names(skew(SERIALIZABLE, REPEATABLE_READ), final) == set()
    assert names(skew(SERIALIZABLE, SERIALIZABLE), final) == {"G2"}


ANOMALIES = {
    "G0": (
        [committed(READ_COMMITTED, 0, Append(1, 10), Append(2, 20)),
         committed(READ_COMMITTED, 0, Append(1, 11), Append(2, 21))],
        {1: (10, 11), 2: (21, 20)},
    ),
    "G1a": (
        [Transaction(AUTOCOMMIT, [Append(1, 10)], FAILED, 0, 1),
         committed(AUTOCOMMIT, 2, Append(1, 11)),
         committed(AUTOCOMMIT, 0, reading(1, 10))],
        {1: (11,)},
    ),
    "G1b": (
        [committed(READ_COMMITTED, 9, Append(1, 10), Append(1, 11)),
         committed(AUTOCOMMIT, 9, reading(1, 10, at=9))],
        {1: (10, 11)},
    ),
    "G1c": (
        [committed(READ_COMMITTED, 0, Append(1, 10), reading(2, 20)),
         committed(READ_COMMITTED, 0, Append(2, 20), reading(1, 10))],
        {1: (10,), 2: (20,)},
    ),
    "G-single": (
        [committed(READ_COMMITTED, 0, Append(1, 10), Append(2, 20)),
         Transaction(
             REPEATABLE_READ, [reading(1, at=0), reading(2, 20, at=3)], ACKNOWLEDGED, 5, 6
         )],
        {1: (10,), 2: (20,)},
    ),
    "internal": (
        [committed(READ_COMMITTED, 0, Append(1, 10), reading(1))],
        {1: (10,)},
    ),
    "order": (
        [committed(AUTOCOMMIT, 0, Append(1, 10)), committed(AUTOCOMMIT, 0, Append(1, 11)),
         committed(AUTOCOMMIT, 0, reading(1, 10, 11))],
        {1: (11, 10)},
    ),
    "lost": (
        [committed(AUTOCOMMIT, 0, Append(1, 10))],
        {1: ()},
    ),
    "duplicate": (
        [committed(AUTOCOMMIT, 0, Append(1, 10)),
         committed(AUTOCOMMIT, 2, reading(1, 10, 10, at=2))],
        {1: (10, 10)},
    ),
    # A stale autocommit read; one that goes back; two lists seen in an order that never was.
    "real time": (
        [committed(AUTOCOMMIT, 0, Append(1, 10)), committed(AUTOCOMMIT, 9, reading(1, at=9))],
        {1: (10,)},
    ),
    "real time (back)": (
        [Transaction(AUTOCOMMIT, [Append(1, 10)], ACKNOWLEDGED, 0, 99),
         committed(AUTOCOMMIT, 5, reading(1, 10, at=5)),
         committed(AUTOCOMMIT, 9, reading(1, at=9))],
        {1: (10,)},
    ),
    "real time (across lists)": (
        [Transaction(READ_COMMITTED, [Append(1, 10), Append(2, 20)], ACKNOWLEDGED, 0, 99),
         committed(READ_COMMITTED, 20, reading(1, 10, at=5), reading(2, at=9))],
        {1: (10,), 2: (20,)},
    ),
    "real time (unknown outcome)": (
        [Transaction(AUTOCOMMIT, [Append(1, 10)], UNKNOWN, 0),
         committed(AUTOCOMMIT, 5, reading(1, 10, at=5)),
         committed(AUTOCOMMIT, 9, reading(1, at=9))],
        {1: (10,)},
    ),
}


@pytest.mark.parametrize("anomaly", ANOMALIES)
def test_the_anomaly_is_found(anomaly):
    transactions, final = ANOMALIES[anomaly]
    assert anomaly.split(" (")[0] in names(transactions, final)


def test_cycles_are_found_in_long_chains():
    graph = Graph()
    for node in range(50_000):
        graph.add(node, node + 1)
    assert graph.cycles() == []
    graph.add(50_000, 49_990)
    assert [sorted(cycle) for cycle in graph.cycles()] == [list(range(49_990, 50_001))]


LEASE = 10
OF_A_REPLICA, OF_THE_PRIMARY = 1, 2
NODES = {OF_A_REPLICA: 1, OF_THE_PRIMARY: 0}


def verdicts_with_lease(*reads):
    history = [Read(start, end, 0, value, session) for start, end, value, session in reads]
    old = violations(bounds_of(list(WRITES)), aged(history, NODES, LEASE))
    return [text.split(":")[0] for text in old]


def test_an_answer_of_a_replica_may_be_as_old_as_the_lease():
    assert verdicts_with_lease((29, 30, 0, OF_A_REPLICA)) == []
    assert verdicts_with_lease((31, 32, 0, OF_A_REPLICA)) == ["stale"]
    assert verdicts_with_lease((29, 30, 0, OF_THE_PRIMARY)) == ["stale"]
    assert verdicts_with_lease((29, 30, 0, 0)) == ["stale"], "read from the database itself"
    # What somebody has seen is known to all a lease later, whatever became of the write.
    unknown = [(71, 72, 4, OF_THE_PRIMARY), (84, 85, 2, OF_A_REPLICA)]
    assert verdicts_with_lease(*unknown) == ["back"]
    assert verdicts_with_lease(unknown[0], (81, 83, 2, OF_A_REPLICA)) == []


def of_sessions(*reads, writes=()):
    history = [Read(start, end, 0, value, session) for start, end, value, session in reads]
    return session_violations(bounds_of(list(writes)), history, list(writes))


def test_a_session_must_see_what_it_has_seen_and_written():
    assert of_sessions((1, 2, 5, 1), (3, 4, 5, 1), (3, 4, 4, 2)) == []
    assert of_sessions((1, 2, 5, 1), (3, 4, 4, 1))
    # Of one batch: in the order of its answers.
    assert of_sessions((1, 2, 5, 1), (1, 2, 4, 1))
    assert of_sessions((1, 2, 5, 1), (3, 4, EVEN, 1), (5, 6, 5, 1))
    mine = Write(0, 3, 1, ACKNOWLEDGED, 2, session=1)
    assert of_sessions((3, 4, 2, 1), writes=[mine])
    assert of_sessions((2, 4, 2, 2), (1, 4, 2, 1), (3, 4, 3, 1), writes=[mine]) == []
    assert of_sessions((3, 4, 2, 1), writes=[mine._replace(outcome=UNKNOWN)]) == []


def test_a_session_must_see_lists_grow_and_its_own_appends():
    def by(session, *steps, level=AUTOCOMMIT):
        return Transaction(level, list(steps), ACKNOWLEDGED, 0, 1, session)

    grows = [by(1, reading(1, 10)), by(1, reading(1, 10, 11)), by(2, reading(1, 10))]
    assert list_session_violations(grows) == []
    assert list_session_violations([grows[1], grows[0]])
    assert list_session_violations([by(1, Append(1, 12)), by(1, reading(1, 10, 11))])
    assert list_session_violations([by(1, Append(1, 12)), by(2, reading(1, 10, 11))]) == []


def test_lists_read_at_a_replica_may_be_as_old_as_the_lease():
    def history(at):
        return [
            Transaction(AUTOCOMMIT, [Append(1, 10)], ACKNOWLEDGED, 0, 1),
            Transaction(AUTOCOMMIT, [reading(1, at=at)], ACKNOWLEDGED, at, at + 1, OF_A_REPLICA),
        ]

    assert names(aged_lists(history(9), NODES, LEASE), {1: (10,)}) == set()
    assert names(aged_lists(history(12), NODES, LEASE), {1: (10,)}) == {"real time"}
    assert names(history(9), {1: (10,)}) == {"real time"}
