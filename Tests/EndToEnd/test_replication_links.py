"""Moments between nodes, each made to happen: what a late, lost or one-way message may do."""

import signal
import threading
import time

import pytest

from nodes import Node, Nodes
from servers import wait_until
from wire import (
    RawSession, bind, data_rows, describe_portal, error_fields, execute, flush, parse, query, sync,
)


@pytest.fixture
def nodes(postgres):
    """Makes nodes with a relay before each replica; they end with the test."""
    made = []

    def make(mode: str, lease: str, replicas: int = 1, **options) -> Nodes:
        made.append(Nodes(
            postgres.url(), replicas, relayed=True, replication={"mode": mode, "lease": lease},
            **options,
        ))
        return made[-1].start()

    yield make
    for nodes in made:
        nodes.remove()


def counter(nodes: Nodes, session, table: str, replica: int = 0) -> str:
    """Makes a counter, 0, that primary and replica answer from memory; returns how it is read."""
    node = nodes.replicas[replica]
    primary, replica = session(nodes.primary), session(node)
    primary.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    primary.run(f"INSERT INTO {table} VALUES (1, 0)")
    sql = f"SELECT v FROM {table} WHERE id = 1"

    def is_mirrored() -> bool:
        primary.run(sql)
        with node.counting() as delta:
            assert replica.value(sql) == b"0"
        return delta.hits == 1

    wait_until(is_mirrored, "the replica answers from memory")
    replica.close()
    return sql


def past_the_mirror(session: RawSession, sql: str) -> bytes | None:
    """What the database says, through the same session: a locking read is never a hit."""
    return session.value(f"{sql} FOR KEY SHARE")


def past_the_mirror_in_a_block(session: RawSession, sql: str) -> None:
    session.run("BEGIN")
    session.run(f"{sql} FOR KEY SHARE")


def test_a_session_on_a_new_link_does_not_go_back(nodes, session, table):
    """The replica's link is made after the write: nothing that the primary tells changes on it."""
    cluster = nodes("async", "5s")
    sql = counter(cluster, session, table)
    for _ in range(4):
        # Whatever link there is has a transaction on it.
        past_the_mirror_in_a_block(session(cluster.replicas[0]), sql)
    cluster.relays[0].down.delay = 1.5
    session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
    reader = session(cluster.replicas[0])
    assert past_the_mirror(reader, sql) == b"1"
    assert reader.value(sql) == b"1"


def test_a_session_on_a_link_that_others_have_used_does_not_go_back(nodes, session, table):
    """The primary has told the link, not the session, how far its log goes."""
    cluster = nodes("async", "5s")
    sql = counter(cluster, session, table)
    cluster.relays[0].down.delay = 1.5
    session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
    for _ in range(3):
        reader = session(cluster.replicas[0])
        assert past_the_mirror(reader, sql) == b"1"
        assert reader.value(sql) == b"1"


def test_a_session_does_not_go_back_before_its_sync(nodes, session, table):
    """Where the log stands is told with ReadyForQuery, which a Flush does without."""
    cluster = nodes("async", "5s")
    sql = counter(cluster, session, table)
    reader = session(cluster.replicas[0])
    assert reader.value(sql) == b"0"
    cluster.relays[0].down.delay = 1.5
    session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
    seen = []
    for text in (f"SELECT v + 0 FROM {table} WHERE id = 1", sql):
        reader.send(parse(text) + bind() + describe_portal() + execute() + flush())
        seen += data_rows(reader.until(b"C"))
    reader.send(sync())
    reader.until_ready()
    assert seen == [[b"1"], [b"1"]]


def test_a_commit_goes_on_when_its_acknowledgement_was_lost(nodes, session, table):
    """The replica has applied the write's record, and the connection ends before it has said so."""
    cluster = nodes("sync", "1s")
    sql = counter(cluster, session, table)
    relay, replica = cluster.relays[0], cluster.replicas[0]
    writer = session(cluster.primary, timeout=15)
    index = replica.figure("log_index")
    relay.up.passes = False
    writing = threading.Thread(
        target=lambda: writer.run(f"UPDATE {table} SET v = 1 WHERE id = 1"), daemon=True)
    writing.start()
    wait_until(lambda: replica.figure("log_index") > index, "the record has come")
    relay.cut_all()
    relay.heal()
    writing.join(10)
    assert not writing.is_alive(), (
        f"the commit still waits: {cluster.primary.figure('waiting_commits')}")
    assert session(replica).value(sql) == b"1"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_replica_that_cannot_be_heard_delays_a_commit_by_no_more_than_its_lease(
    nodes, session, table, direction
):
    """Heartbeats that arrive, and answers that do not, must not hold writers up for ever."""
    cluster = nodes("sync", "1s")
    sql = counter(cluster, session, table)
    writer = session(cluster.primary, timeout=15)
    getattr(cluster.relays[0], direction).passes = False
    writing = threading.Thread(
        target=lambda: writer.run(f"UPDATE {table} SET v = 1 WHERE id = 1"), daemon=True)
    writing.start()
    # Two leases: one that was given just before, and what a loaded machine adds.
    writing.join(2)
    assert not writing.is_alive(), "the commit waits longer than a lease lasts"
    assert session(cluster.primary).value(sql) == b"1"


# MARK: What no node may answer

def test_a_session_sees_its_own_write_however_far_its_mirror_is_behind(nodes, session, table):
    cluster = nodes("async", "5s")
    sql = counter(cluster, session, table)
    writer, other = session(cluster.replicas[0]), session(cluster.replicas[0])
    cluster.relays[0].down.delay = 1.5
    for value in range(1, 4):
        writer.run(f"UPDATE {table} SET v = {value} WHERE id = 1")
        assert writer.value(sql) == str(value).encode()
    # The mirror was behind, or this would have shown nothing.
    assert other.value(sql) == b"0"


def test_a_synchronous_commit_is_not_acknowledged_before_a_slow_replica_knows(
    nodes, session, table
):
    cluster = nodes("sync", "5s")
    sql = counter(cluster, session, table)
    writer, reader = session(cluster.primary), session(cluster.replicas[0])
    cluster.relays[0].down.delay = 0.4
    for value in range(1, 4):
        writer.run(f"UPDATE {table} SET v = {value} WHERE id = 1")
        assert reader.value(sql) == str(value).encode()


def test_a_synchronous_commit_is_not_acknowledged_before_who_follows_a_replica_knows(
    nodes, session, table
):
    cluster = nodes("sync", "5s", replicas=2, chained=True)
    sql = counter(cluster, session, table, replica=1)
    writer, reader = session(cluster.primary), session(cluster.replicas[1])
    cluster.relays[1].down.delay = 0.4
    for value in range(1, 4):
        writer.run(f"UPDATE {table} SET v = {value} WHERE id = 1")
        assert reader.value(sql) == str(value).encode()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_replica_that_was_stopped_for_a_lease_wakes_up_knowing_that(nodes, session, table, mode):
    cluster = nodes(mode, "1s")
    sql = counter(cluster, session, table)
    replica, reader = cluster.replicas[0], session(cluster.replicas[0])
    assert reader.value(sql) == b"0"
    # Nothing that was sent meanwhile reaches it before its clients' questions do.
    cluster.relays[0].down.passes = False
    replica.signal(signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
        wait_until(lambda: time.monotonic() > stopped + 1.1, "a lease has passed")
        reader.send(query(sql))
    finally:
        replica.signal(signal.SIGCONT)
    assert data_rows(reader.until_ready()) == [[b"1"]]


def test_a_primary_that_comes_back_waits_for_leases_that_were_given_before(nodes, session, table):
    """A replica still answers from memory; it hears nothing of the new process and its commits."""
    cluster = nodes("sync", "4s")
    sql = counter(cluster, session, table)
    replica, reader = cluster.replicas[0], session(cluster.replicas[0])
    cluster.primary.process.kill()
    cluster.primary.process.wait(10)
    for way in cluster.relays[0].ways:
        way.passes = False
    cluster.primary.start()
    assert replica.figure("lease_held") == 1, "too slow a start: nothing is shown"
    assert reader.value(sql) == b"0"
    session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
    assert reader.value(sql) == b"1"


def test_who_follows_a_replica_knows_how_old_that_ones_knowledge_is(nodes, session, table):
    cluster = nodes("async", "1500ms", replicas=2, chained=True)
    sql = counter(cluster, session, table, replica=1)
    far = cluster.replicas[1]
    reader = session(far)
    assert reader.value(sql) == b"0"
    cluster.relays[0].down.passes = False
    session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
    written = time.monotonic()
    wait_until(lambda: time.monotonic() > written + 1.6, "a lease has passed")
    assert reader.value(sql) == b"1"


def test_a_lease_counts_from_when_it_was_asked_for(nodes, session, table):
    """What proves it has been under way for a while, and is that much older when it arrives."""
    cluster = nodes("async", "4s")
    sql = counter(cluster, session, table)
    relay, replica, reader = cluster.relays[0], cluster.replicas[0], session(cluster.replicas[0])
    relay.down.delay = 1
    began = time.monotonic()
    wait_until(
        lambda: time.monotonic() > began + 1.5 and replica.figure("lease_held") == 1,
        "answers come late")
    assert reader.value(sql) == b"0"
    session(cluster.primary).run(f"UPDATE {table} SET v = 1 WHERE id = 1")
    written = time.monotonic()
    wait_until(lambda: time.monotonic() > written + 0.8, "the record is about to arrive")
    relay.down.passes = False
    wait_until(lambda: time.monotonic() > written + 2.1, "a lease has passed")
    assert reader.value(sql) == b"1"


# MARK: Life

def test_a_replica_whose_primary_is_gone_answers_for_a_lease_and_then_says_what_is_wrong(
    nodes, session, table
):
    cluster = nodes("async", "3s")
    sql = counter(cluster, session, table)
    replica = cluster.replicas[0]
    client = session(replica)
    assert client.value(sql) == b"0"
    cluster.primary.process.kill()
    cluster.primary.process.wait(10)
    with replica.counting() as delta:
        assert client.value(sql) == b"0"
    assert delta.hits == 1
    for refused in (f"UPDATE {table} SET v = 1", f"SELECT v + 1 FROM {table}"):
        [error] = errors(client.query(refused))
        assert error["C"].startswith(("08", "57P")), error
        assert str(cluster.primary.port) in error["M"], error
        assert "that this one follows" in error["D"], error
    wait_until(lambda: replica.figure("lease_held") == 0, "the lease has run out")
    assert errors(client.query(sql)), "an answer that nobody vouches for"
    cluster.primary.start()
    replica.wait_for_lease()
    assert client.value(sql) == b"0"
    client.run(f"UPDATE {table} SET v = 2 WHERE id = 1")
    assert client.value(sql) == b"2" == session(cluster.primary).value(sql)


def test_a_replica_without_a_primary_is_not_ready(nodes):
    """A load balancer must not send clients where nothing is answered."""
    cluster = nodes("async", "500ms")
    replica = cluster.replicas[0]
    cluster.primary.stop()
    wait_until(lambda: replica.figure("lease_held") == 0, "the lease has run out")
    wait_until(lambda: replica.http_status("/readyz") == 503, "the replica is not ready")
    cluster.primary.start()
    wait_until(replica.is_ready, "the replica is ready again")


def test_nodes_end_when_they_are_told_to(nodes, session, table):
    cluster = nodes("sync", "3s", replicas=2, chained=True)
    counter(cluster, session, table, replica=1)
    for number in (1, 0, 2):
        began = time.monotonic()
        assert cluster.all[number].stop() == 0
        assert time.monotonic() - began < 20


def test_what_a_reload_does_not_change_is_said(nodes):
    cluster = nodes("async", "1s")
    primary = cluster.primary
    primary.write_configuration(primary.configuration_text().replace("async", "sync"))
    primary.signal(signal.SIGHUP)
    assert "restart" in primary.wait_for_log("replication.mode")


def test_a_replica_goes_without_what_is_larger_than_it_takes(postgres, session, table):
    """The nodes' cache.max_entry differ: that must not keep a replica from following at all."""
    primary = Node(postgres.url(), cache={"max_entry": "64MB", "memory": "256MB"})
    replica = Node(postgres.url(), follow=primary.mirror_port, cache={"max_entry": "1MB"})
    try:
        client = session(primary.start())
        client.run(f"CREATE TABLE {table} (id int); INSERT INTO {table} VALUES (1)")
        for _ in range(3):
            client.run(f"SELECT repeat('x', 30000000) FROM {table}")
        assert primary.metrics().total("mynah_cache_hits_total") > 0
        replica.start()
        try:
            replica.wait_for_lease(5)
        except AssertionError as never:
            raise AssertionError(f"{never}; {replica.log()}") from None
        for _ in range(3):
            client.run(f"SELECT id FROM {table}")
        wait_until(lambda: replica.figure("records_total") >= 1, "it goes on", 5)
        assert replica.figure("resyncs_total") == 1, replica.log()
    finally:
        replica.remove()
        primary.remove()


def test_large_answers_are_taken_over_many_at_a_time(postgres, session, table):
    """Two shards of 64 MB: of seven answers of 13 MB one has at least four, 52 MB."""
    options = {"cache": {"max_entry": "16MB", "memory": "128MB"}}
    primary = Node(postgres.url(), **options)
    replica = Node(postgres.url(), follow=primary.mirror_port, **options)
    try:
        client = session(primary.start())
        client.run(f"CREATE TABLE {table} (id int); INSERT INTO {table} VALUES (1)")
        for number in range(7):
            for _ in range(2):
                client.run(f"SELECT repeat('x', {13 << 20}), {number} FROM {table}")
        assert primary.metrics().total("mynah_cache_hits_total") == 7
        kept = primary.metrics().total("mynah_cache_entries")
        assert kept >= 4
        replica.start()
        try:
            wait_until(lambda: replica.figure("entries_total") >= kept, "all have come", 10)
        except AssertionError as never:
            raise AssertionError(f"{never}; {replica.log()[-1000:]}") from None
    finally:
        replica.remove()
        primary.remove()


def test_a_replica_leaves_verifying_to_its_primary(nodes, session, table):
    """cache.verify: what is chosen and not verified would be neither a check nor a hit."""
    cluster = nodes("sync", "2s", cache={"verify": 0.5})
    primary, replica = session(cluster.primary), session(cluster.replicas[0])
    primary.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    primary.run(f"INSERT INTO {table} VALUES (1, 0)")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    primary.run(sql)
    wait_until(lambda: cluster.replicas[0].metrics().total("mynah_cache_entries") > 0, "it has it")
    with cluster.replicas[0].counting() as on_replica, cluster.primary.counting() as on_primary:
        for _ in range(100):
            replica.run(sql)
            primary.run(sql)
    assert on_replica.hits > 90 and on_replica.of("mynah_cache_verified_total") == 0
    assert on_primary.of("mynah_cache_verified_total") > 20


def errors(replies) -> list[dict[str, str]]:
    return [error_fields(body) for tag, body in replies if tag == b"E"]
