"""Recorded histories whose clients are spread over a primary and its replicas, and what befalls
the nodes and the links between them meanwhile."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable

from history_campaign import Campaign, Outcome
from history_faults import Incarnations, MynahFaults
from history_listappend import ListHistory
from history_monotone import violations
from history_recorder import Recorder
from history_schema import Schema
from history_sessions import aged, aged_lists, list_session_violations, session_violations
from nodes import Nodes
from servers import MYNAH_BINARY
from wire import RawSession

HITS = "mynah_cache_hits_total"
LEASE = 0.5  # seconds
BUFFER = 1 << 20
# What a test has to check, of a kind of fault: reads and writes; some of the reads were answered by
# replicas from memory, and there were writes to be missed.
OPERATIONS = int(os.environ.get("MYNAH_CHECKED_OPERATIONS") or 4000)
LEAST_SHARES = {"operations": 1, "replica hits": 0.2, "writes acknowledged": 0.01}
TIMEOUT = 0 if os.environ.get("MYNAH_CHECKED_OPERATIONS") else 120


class NodeFaults(MynahFaults):
    """One kind of fault, again and again, each time of a node or a link that chance picks."""

    def __init__(self, nodes: Nodes, schema: Schema, chance: random.Random, kind: str):
        super().__init__(nodes.primary, schema, chance)
        self.nodes, self.kind = nodes, kind
        self.replicas = [Incarnations(replica) for replica in nodes.replicas]

    @property
    def all_incarnations(self) -> list[Incarnations]:
        return [self.incarnations, *self.replicas]

    @property
    def replica_hits(self) -> int:
        return sum(replica.total(HITS) for replica in self.replicas)

    def longer_than_lease(self) -> float:
        return LEASE * self.chance.uniform(1.2, 2.5)

    # Of nodes

    def replica_killed(self) -> bool:
        self.chance.choice(self.replicas).kill()
        return True

    def primary_killed(self) -> bool:
        # Soon enough, sometimes, that replicas still hold leases of the one before.
        self.incarnations.kill()
        return True

    def stopped(self, node: Incarnations) -> bool:
        node.mynah.signal(signal.SIGSTOP)
        try:
            time.sleep(self.longer_than_lease())
        finally:
            node.mynah.signal(signal.SIGCONT)
        return True

    def replica_stopped(self) -> bool:
        return self.stopped(self.chance.choice(self.replicas))

    def primary_stopped(self) -> bool:
        return self.stopped(self.incarnations)

    # Of links

    def link_cut(self) -> bool:
        """Cut, and sometimes not to be had again before the lease has run out."""
        relay = self.chance.choice(self.nodes.relays)
        relay.refuses = self.chance.random() < 0.5
        cut = relay.cut_all() > 0
        time.sleep(self.longer_than_lease() if relay.refuses else 0.05)
        relay.heal()
        return cut

    def link_deaf(self) -> bool:
        """A black hole, in one direction or both; what it has swallowed comes late, or never."""
        relay = self.chance.choice(self.nodes.relays)
        for way in self.chance.choice((relay.ways, (relay.up,), (relay.down,))):
            way.passes = False
        time.sleep(self.longer_than_lease())
        if self.chance.random() < 0.5:
            relay.cut_all()
        relay.heal()
        return True

    def link_slow(self) -> bool:
        """Replicas that are a little behind, or far, but not so far as to lose the lease."""
        delay = self.chance.choice((0.03, LEASE * 0.25))
        for relay in self.nodes.relays:
            relay.down.delay = delay
            relay.up.delay = self.chance.choice((0, 0.03))
        time.sleep(3 * LEASE)
        for relay in self.nodes.relays:
            relay.heal()
        return True

    def link_narrow(self) -> bool:
        """More is stored than the link takes, and than is kept for who has not read it."""
        relay = self.chance.choice(self.nodes.relays)
        relay.down.rate = 100_000
        with RawSession.connect(self.nodes.primary.port) as session:
            try:
                for number in range(8 * BUFFER // BALLAST):
                    for _ in range(2):
                        session.run(
                            f"SELECT repeat('x', {BALLAST}) FROM {ballast(self.schema)}"
                            f" WHERE id = {number % 100} AND {number} = {number}"
                        )
                time.sleep(LEASE * self.chance.random())
            finally:
                relay.heal()
            # What is not good any more needs not be sent.
            session.run(f"UPDATE {ballast(self.schema)} SET id = id")
        return True

    def plan(self) -> list[tuple[str, Callable[[], bool]]]:
        return [(self.kind, KINDS_OF_ALL[self.kind].__get__(self))]

    def run(self, deadline: float, pause: float) -> None:
        super().run(deadline, pause)
        self.nodes.wait_for_leases()


KINDS = {
    "replica killed and restarted": NodeFaults.replica_killed,
    "replica stopped": NodeFaults.replica_stopped,
    "primary stopped": NodeFaults.primary_stopped,
    "primary killed and restarted": NodeFaults.primary_killed,
    "mirror link cut": NodeFaults.link_cut,
    "mirror link deaf": NodeFaults.link_deaf,
    "mirror link slow": NodeFaults.link_slow,
    "mirror link narrow": NodeFaults.link_narrow,
}


class LeaderFaults(NodeFaults):
    """What makes another node lead; all nodes are alike."""

    @property
    def leader(self) -> Incarnations:
        self.nodes.wait(60)
        leader = self.nodes.primary
        return next(node for node in self.all_incarnations if node.mynah is leader)

    def leader_killed(self) -> bool:
        self.leader.kill()
        return True

    def leader_stopped(self) -> bool:
        """For so long that the database ends its session, and on it goes as if nothing were."""
        leader = self.leader.mynah
        leader.signal(signal.SIGSTOP)
        try:
            time.sleep(PEERS_LEASE * self.chance.uniform(0.5, 3))
        finally:
            leader.signal(signal.SIGCONT)
        return True

    def handed_over(self) -> bool:
        self.nodes.wait(60)
        successor = self.chance.choice(self.nodes.replicas)
        return subprocess.run(
            [str(MYNAH_BINARY), "promote", "--config", str(successor.configuration)],
            capture_output=True, timeout=60,
        ).returncode == 0


PEERS_LEASE = 1.0  # seconds
LEADER_KINDS = {
    "leader killed": LeaderFaults.leader_killed,
    "leader stopped": LeaderFaults.leader_stopped,
    "lead handed over": LeaderFaults.handed_over,
}
KINDS_OF_ALL = KINDS | LEADER_KINDS
BALLAST = 64 << 10


def ballast(schema: Schema) -> str:
    return f"{schema.prefix}ballast"


class NodeCampaign(Campaign):
    """One history over all nodes. `lease`, in seconds: how old an answer of a replica may be."""

    def __init__(
        self, nodes: Nodes, direct: str, prefix: str, seed: int, lease: float, visitors: int = 0,
        **options,
    ):
        super().__init__(
            nodes.primary, direct, prefix, seed, ports=nodes.ports, tables=4, **options
        )
        self.roles += [("visitor", number, visitors) for number in range(visitors)]
        self.nodes = nodes
        self.lease = int(lease * 1e9)

    def following(self, recorder: Recorder) -> dict[int, int]:
        """The sessions whose node may have mirrored another one, which is not 0 there."""
        return recorder.nodes

    def create(self) -> None:
        super().create()
        with RawSession.connect(self.mynah.port) as session:
            session.run(
                f"CREATE TABLE {ballast(self.schema)} (id int PRIMARY KEY);"
                f" INSERT INTO {ballast(self.schema)} SELECT generate_series(0, 99)"
            )

    def remove(self) -> None:
        super().remove()
        with RawSession.connect(self.mynah.port) as session:
            session.run(f"DROP TABLE {ballast(self.schema)}")

    def wait_for_hits(self, faults: NodeFaults, outcome: Outcome, hits: int = 100) -> None:
        super().wait_for_hits(faults, outcome, hits)

    def judge_reads(self, bounds, recorder: Recorder) -> list[str]:
        reads = list(recorder.reads())
        return (
            violations(bounds, aged(reads, self.following(recorder), self.lease))
            + session_violations(bounds, reads, recorder.writes)
        )

    def judge_transactions(self, final, recorder: Recorder) -> list[str]:
        transactions = aged_lists(
            recorder.transactions, self.following(recorder), self.lease)
        return (
            ListHistory(transactions, final).check()
            + list_session_violations(recorder.transactions)
        )

    def assert_every_node_answers_from_memory_again(self) -> None:
        for node in self.nodes.all:
            self.mynah = node
            self.assert_every_table_is_cached_again()
        self.mynah = self.nodes.primary


class PeerCampaign(NodeCampaign):
    """The same where any node may lead, or follow."""

    def following(self, recorder: Recorder) -> dict[int, int]:
        return dict.fromkeys(recorder.nodes, 1)


def counted(outcome: Outcome, faults: NodeFaults) -> Outcome:
    """Adds what the nodes' own metrics say. Hits whose reply nobody waited for were not checked."""
    of = outcome.counts
    of["replica hits"] = max(0, faults.replica_hits - of["abandoned"])
    of["checked hits"] = faults.incarnations.total(HITS) + of["replica hits"]
    of["operations"] = of["reads"] + sum(
        of[f"writes {outcome}"] for outcome in ("acknowledged", "failed", "unknown")
    )
    return outcome


def missing(outcome: Outcome, kind: str | None) -> list[str]:
    """What there is too little of."""
    wanted = {what: share * OPERATIONS for what, share in LEAST_SHARES.items()}
    if kind == "mirror link narrow":
        wanted["resyncs"] = 1
    found = [
        f"{outcome.counts[what]} of {least:.0f} {what}"
        for what, least in wanted.items() if outcome.counts[what] < least
    ]
    if kind and outcome.faults[kind] < 3:
        found.append(f"{outcome.faults[kind]} of 3 faults")
    return found
