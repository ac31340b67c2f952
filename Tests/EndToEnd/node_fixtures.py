"""What tests of single nodes share: making them, real and false, and that others do not suffer."""

import contextlib

import pytest

from mirror_wire import FakePrimary
from nodes import Node, Nodes
from servers import wait_until
from wire import ConnectionEnded, RawSession, error_fields

MEBIBYTE = 1 << 20


@pytest.fixture
def node(postgres):
    """Makes nodes that belong to one test."""
    made = []

    def make(follow: int | None = None, **options) -> Node:
        made.append(Node(postgres.url(), follow, **options))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def replica_of(node):
    """A replica of what a script plays to it."""
    made = []

    def make(script, **options) -> Node:
        made.append(FakePrimary(script))
        replica = node(made[-1].port, **options).spawn()
        wait_until(lambda: replica.http_status("/healthz"), "it runs")
        return replica

    yield make
    for primary in made:
        primary.close()


def serves_nothing(replica: Node) -> bool:
    """Its clients are told, rather than kept waiting."""
    wait_until(lambda: replica.http_status("/healthz"), "it runs")
    try:
        RawSession.connect(replica.port, timeout=10).close()
        return False
    except ConnectionEnded as refused:
        [(_, body)] = [reply for reply in refused.replies if reply[0] == b"E"]
        error = error_fields(body)
        return error["C"] == "08006" or error["C"] == "57P03" and "H" in error


@contextlib.contextmanager
def undisturbed(nodes: Nodes):
    """Clients and replicas are served throughout, and it costs next to nothing."""
    primary, replica = nodes.primary, nodes.replicas[0]
    resident, descriptors = primary.resident_bytes(), primary.descriptors()
    resyncs = replica.figure("resyncs_total")
    with RawSession.connect(primary.port) as client:
        yield client
        assert client.value("SELECT count(*) FROM airlines") == b"16"
    assert primary.figure("followers") == 1 and replica.figure("lease_held") == 1
    assert replica.figure("resyncs_total") == resyncs, "the replica had to begin anew"
    assert primary.resident_bytes() - resident < 32 * MEBIBYTE
    wait_until(lambda: primary.descriptors() <= descriptors + 4, "connections are closed", 30)


def refusals(node: Node) -> float:
    return node.figure("refused_total")
