"""The history checkers notice a Mynah whose rules are broken on purpose (`Sources/Mutants`).

A debug binary takes the fault's name from MYNAH_MUTANT. Each gives itself away within seconds; on a
loaded machine it has LIMIT. Faults that need an unlikely order of events are the simulation's.
"""

import random
import time
from collections.abc import Callable

import pytest

from authority_matrix import Matrix
from authority_pair import Mismatch
from authority_schema import SETUP
from fault_relay import DELAY, FaultRelay
from history_campaign import Campaign, Outcome
from history_faults import PostgresFaults
from history_schema import Schema
from servers import PostgresServer, with_flights


LIMIT = 90  # seconds
ROUND = 4
TABLES = 3


class Focus(PostgresFaults):
    """The few faults, or delays, that show what one rule is there for."""

    wanted: list[tuple[str, str | None]]
    delays = (0.1, 0.4)

    def plan(self) -> list[tuple[str, Callable[[], bool]]]:
        return [
            (kind, getattr(self, kind) if step is None else self.on_the_way(kind, step))
            for kind, step in self.wanted
        ]


# What is done meanwhile: a fault on the way, at a step; or one of PostgresFaults' own.
MUTANTS = {
    "no_bump_at_close": [],
    # A read's reply is held back, so that writes overtake it.
    "no_recheck_at_fill": [(DELAY, "read")] * 3,
    # COMMIT takes effect long before Mynah hears of it.
    "window_after_commit": [(DELAY, "COMMIT"), (DELAY, "write"), (DELAY, "read")],
    "own_writes_ignored": [],
    "isolation_ignored": [],
}
OF_SESSIONS = ["key_without_role", "key_without_search_path"]


@pytest.fixture(scope="module")
def server():
    yield from with_flights(PostgresServer(PostgresFaults.settings))


def broken(monkeypatch, own_mynah, upstream: str, mutant: str):
    monkeypatch.setenv("MYNAH_MUTANT", mutant)
    return own_mynah(upstream).start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_coherence_rule_is_noticed(server, own_mynah, monkeypatch, mutant):
    schemas = [
        Schema(f"{mutant}_{number}_", False, tables=TABLES) for number in range(LIMIT // ROUND)
    ]
    # Before Mynah knows the database: DDL through a broken Mynah may leave it without a catalog.
    server.run(";".join(statement for schema in schemas for statement in schema.creation()))
    relay = FaultRelay(server.port)
    try:
        mynah = broken(monkeypatch, own_mynah, f"postgresql://127.0.0.1:{relay.port}", mutant)
        began, outcome = time.monotonic(), Outcome()
        for number, schema in enumerate(schemas):
            if outcome.anomalies or time.monotonic() - began > LIMIT:
                break
            campaign = Campaign(
                mynah, server.dsn(), schema.prefix, seed=number, tables=TABLES, pace=0.005
            )
            faults = Focus(mynah, campaign.schema, random.Random(number), server, relay)
            faults.wanted = MUTANTS[mutant]
            outcome.add(campaign.record(ROUND, faults, 0.01 if faults.wanted else None))
        print(f"\n{mutant}: {len(outcome.anomalies)} anomalies after "
              f"{time.monotonic() - began:.0f} s, {outcome.anomalies[:2]}; {outcome}")
        assert outcome.anomalies
    finally:
        relay.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", OF_SESSIONS)
def test_a_broken_key_is_noticed(server, own_mynah, monkeypatch, mutant):
    if not server.run("SELECT 1 FROM pg_roles WHERE rolname = 'alice'"):
        server.run(SETUP)
    mynah = broken(monkeypatch, own_mynah, server.url(), mutant)
    matrix = Matrix(mynah, server, 1)
    matrix.repeats = (1,)
    began = time.monotonic()
    try:
        with pytest.raises(Mismatch) as found:
            matrix.run(LIMIT)
    finally:
        matrix.close()
    seconds = time.monotonic() - began
    print(f"\n{mutant}: after {seconds:.0f} s, {found.value}; {dict(matrix.counts)}")
