"""Recorded histories over several nodes: linearizable where mirrors are synchronous, no older than
the lease where they are not, and in every session's own order in either mode."""

import itertools
import random

import pytest

import history_nodes
from history_campaign import Outcome
from history_faults import PostgresFaults
from history_nodes import (
    BUFFER, KINDS, LEADER_KINDS, LEASE, PEERS_LEASE, LeaderFaults, NodeCampaign, NodeFaults,
    PeerCampaign,
)
from nodes import Nodes, Peers
from servers import PostgresServer, with_flights

SECONDS = 7
prefixes = itertools.count(1)


@pytest.fixture(scope="module")
def server():
    yield from with_flights(PostgresServer(PostgresFaults.settings))


@pytest.fixture
def cluster(server):
    made = []

    def make(mode: str, chained: bool, **options) -> Nodes:
        replication = {
            "mode": mode, "lease": f"{LEASE * 1000:.0f}ms", "buffer": f"{BUFFER >> 20}MB",
        }
        made.append(Nodes(
            server.url(), replicas=2, chained=chained, relayed=True, replication=replication,
            **options,
        ))
        return made[-1].start()

    yield make
    for nodes in made:
        nodes.remove()


def history(nodes: Nodes, server, mode: str, kind: str | None) -> tuple[Outcome, Outcome]:
    """One round's outcome; with faults of a kind, or without any."""
    number = next(prefixes)
    campaign = NodeCampaign(
        nodes, server.dsn(), f"n{number}_", seed=400 + number, lease=LEASE if mode == "async" else 0
    )
    campaign.create()
    faults = NodeFaults(nodes, campaign.schema, random.Random(number), kind)
    # Long enough that writers, who wait for leases, come to their turn.
    pause = 1.5 * LEASE if kind else None
    outcome = history_nodes.counted(campaign.record(SECONDS, faults, pause), faults)
    resyncs = sum(node.figure("follower_resyncs_total") for node in nodes.all)
    outcome.counts["resyncs"] += int(resyncs)
    campaign.assert_every_node_answers_from_memory_again()
    campaign.remove()
    return outcome


@pytest.mark.timeout(history_nodes.TIMEOUT)
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", [None, *KINDS], ids=lambda kind: kind or "undisturbed")
def test_histories_over_all_nodes_keep_their_promise(server, cluster, mode, kind):
    outcome = Outcome()
    # A replica that follows the other one, in every other round.
    for chained in itertools.cycle((True, False)):
        nodes = cluster(mode, chained)
        outcome.add(history(nodes, server, mode, kind))
        nodes.remove()
        if outcome.anomalies or outcome.failures or not history_nodes.missing(outcome, kind):
            break
    of = outcome.counts
    print(
        f"\n{mode}, {kind or 'undisturbed'}: {of['operations']} operations, "
        f"{of['replica hits']} hits on replicas, {of['resyncs']} resyncs; {outcome}"
    )
    assert not outcome.anomalies, "\n".join(outcome.anomalies[:20])
    assert not outcome.failures, "\n".join(outcome.failures[:20])


@pytest.mark.timeout(history_nodes.TIMEOUT * 2)
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", LEADER_KINDS)
def test_histories_keep_their_promise_while_others_take_over(server, mode, kind):
    outcome = Outcome()
    nodes = Peers(server, 3, replication={"mode": mode, "lease": f"{PEERS_LEASE:.0f}s"})
    try:
        nodes.start()
        while not outcome.anomalies + outcome.failures and history_nodes.missing(outcome, kind):
            number = next(prefixes)
            campaign = PeerCampaign(
                nodes, server.dsn(), f"n{number}_", seed=600 + number,
                lease=PEERS_LEASE if mode == "async" else 0,
            )
            campaign.create()
            faults = LeaderFaults(nodes, campaign.schema, random.Random(number), kind)
            outcome.add(history_nodes.counted(campaign.record(SECONDS, faults, 1), faults))
            campaign.remove()
        takeovers = sum(node.figure("takeovers_total") for node in nodes.all)
        kept = sum(node.figure("takeovers_total", mirror="kept") for node in nodes.all)
    finally:
        nodes.remove()
    of = outcome.counts
    print(
        f"\n{mode}, {kind}: {of['operations']} operations, {of['replica hits']} hits on nodes "
        f"that followed at first, {takeovers:.0f} take-overs of nodes still running, "
        f"{kept:.0f} with their mirror; {outcome}"
    )
    assert not outcome.anomalies, "\n".join(outcome.anomalies[:20])
    assert not outcome.failures, "\n".join(outcome.failures[:20])


@pytest.mark.timeout(history_nodes.TIMEOUT)
def test_sessions_that_share_links_never_go_back(server, cluster):
    """Little is written: the primary has seldom anything to tell a link that is used again."""
    nodes = cluster("async", chained=False)
    for relay in nodes.relays:
        relay.down.delay = LEASE / 4
    campaign = NodeCampaign(
        nodes, server.dsn(), f"n{next(prefixes)}_", seed=500, lease=LEASE, visitors=4, readers=0,
        lists=0, pace=0.1,
    )
    campaign.create()
    faults = NodeFaults(nodes, campaign.schema, random.Random(1), None)
    outcome = history_nodes.counted(campaign.record(SECONDS, faults, None), faults)
    print(f"\n{outcome.counts['visits']} visits, {outcome.counts['replica hits']} hits; {outcome}")
    assert not outcome.anomalies, "\n".join(outcome.anomalies[:20])
    assert not outcome.failures, "\n".join(outcome.failures[:20])
    assert outcome.counts["visits"] >= 100 and outcome.counts["replica hits"] >= 50
