"""Mirrors: nodes that answer from a copy of another one's cache."""

import pytest

from nodes import Node, Nodes
from servers import wait_until
from wire import data_rows, extended, query


@pytest.fixture
def nodes(postgres):
    """Makes a primary with replicas; they end with the test."""
    made = []

    def make(replicas: int = 1, upstream: str | None = None, **options) -> Nodes:
        nodes = Nodes(upstream or postgres.url(), replicas, **options)
        made.append(nodes)
        return nodes.start()

    yield make
    for nodes in made:
        nodes.remove()


def test_a_replica_answers_what_its_primary_has_stored(nodes, session, table):
    cluster = nodes()
    primary, replica = session(cluster.primary), session(cluster.replicas[0])
    primary.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int); INSERT INTO {table} VALUES (1, 7)")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    wait_until(lambda: stored(cluster.primary, primary, sql), "the primary has it", 20)
    wait_until(lambda: is_hit(cluster.replicas[0], replica, sql, b"7"), "the replica has it", 20)


def test_a_sqlite_file_can_be_mirrored(nodes, session, sqlite_file, table):
    cluster = nodes(upstream=f"sqlite:{sqlite_file}", replicas=2, replication={"mode": "sync"})
    sessions = [session(node, user="mynah") for node in cluster.all]
    sessions[1].run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    sessions[1].run(f"INSERT INTO {table} VALUES (1, 0)")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    for number in range(1, 60):
        sessions[number % 3].run(f"UPDATE {table} SET v = {number} WHERE id = 1")
        for reader in sessions * 2:
            assert reader.value(sql) == str(number).encode()
    assert all(node.metrics().total("mynah_cache_hits_total") > 20 for node in cluster.all)
    # Only the node with the file can tell what a statement reads.
    for text in (query, extended):
        explained = data_rows(sessions[1].exchange(text(f"EXPLAIN CACHE {sql}")))
        assert [b"cacheable", b"yes"] in explained, explained
    sessions[2].run(f"DROP TABLE {table}")


def test_what_was_in_memory_before_is_taken_over(nodes, session, table, postgres):
    cluster = nodes(replicas=0)
    primary = session(cluster.primary)
    primary.run(f"CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1), (2)")
    statements = [f"SELECT id, {n} FROM {table} WHERE id = {1 + n % 2}" for n in range(300)]
    for sql in statements * 2:
        primary.run(sql)
    late = Node(postgres.url(), follow=cluster.primary.mirror_port)
    cluster.all.append(late)
    late.start().wait_for_lease()
    wait_until(lambda: late.figure("entries_total") >= 300, "all entries have come", 20)
    replica = session(late)
    with late.counting() as delta:
        for n, sql in enumerate(statements):
            assert replica.value(sql) == str(1 + n % 2).encode()
    assert delta.hits == 300 and delta.upstream == 0


def test_a_write_through_any_node_is_seen_at_once_by_who_made_it(nodes, session, table):
    cluster = nodes(replicas=2)
    sessions = [session(node) for node in cluster.all]
    sessions[0].run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    sessions[0].run(f"INSERT INTO {table} VALUES (1, 0)")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    for number in range(1, 100):
        writer = sessions[number % 3]
        writer.run(f"UPDATE {table} SET v = {number} WHERE id = 1")
        for _ in range(3):
            assert writer.value(sql) == str(number).encode()
    assert all(node.metrics().total("mynah_cache_hits_total") > 20 for node in cluster.all)


def test_synchronous_replicas_never_answer_what_was_overwritten(nodes, session, table):
    cluster = nodes(replicas=2, replication={"mode": "sync"})
    sessions = [session(node) for node in cluster.all]
    sessions[0].run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    sessions[0].run(f"INSERT INTO {table} VALUES (1, 0)")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    for number in range(1, 100):
        sessions[number % 3].run(f"UPDATE {table} SET v = {number} WHERE id = 1")
        for reader in sessions * 2:
            assert reader.value(sql) == str(number).encode()
    assert all(node.metrics().total("mynah_cache_hits_total") > 20 for node in cluster.all)


def test_a_replica_may_be_followed(nodes, session, table, postgres):
    cluster = nodes(replicas=1, replication={"mode": "sync"})
    far = Node(
        postgres.url(), follow=cluster.replicas[0].mirror_port, replication={"mode": "sync"})
    cluster.all.append(far)
    far.start().wait_for_lease()
    sessions = [session(node) for node in cluster.all]
    sessions[2].run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    sessions[2].run(f"INSERT INTO {table} VALUES (1, 0)")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    for number in range(1, 60):
        sessions[number % 3].run(f"UPDATE {table} SET v = {number} WHERE id = 1")
        for reader in sessions * 2:
            assert reader.value(sql) == str(number).encode()
    assert far.metrics().total("mynah_cache_hits_total") > 20


def stored(node, session, sql) -> bool:
    with node.counting() as delta:
        session.run(sql)
    return delta.hits == 1


def is_hit(node, session, sql, value) -> bool:
    with node.counting() as delta:
        assert session.value(sql) == value
    return delta.hits == 1
