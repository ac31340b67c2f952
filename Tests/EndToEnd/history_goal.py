"""How much a run of the history checkers has to check.

`MYNAH_CHECKED_HITS` sets the number of answers from memory that are checked in all. Each test has a
share of it, and goes on until that is reached, however slow the machine.
"""

import faulthandler
import os
from collections.abc import Iterator

from history_campaign import Outcome
from history_faults import MynahFaults

GOAL = int(os.environ.get("MYNAH_CHECKED_HITS") or 200_000)
SHARES = {
    "PostgreSQL": 0.2, "PostgreSQL under faults": 0.15,
    "SQLite": 0.25, "SQLite under faults": 0.2, "authority": 0.2,
}
# Ten times what a run takes; one with the variable takes the time that it takes.
TIMEOUT = 0 if os.environ.get("MYNAH_CHECKED_HITS") else 600


def rounds(name: str, outcome: Outcome) -> Iterator[int]:
    """Numbers rounds until the share of a test is reached, or something is wrong."""
    number = 0
    while number == 0 or (
        outcome.hits < GOAL * SHARES[name] and not outcome.anomalies + outcome.failures
    ):
        number += 1
        # It knows of one limit for all tests, which is below this one's.
        faulthandler.cancel_dump_traceback_later()
        yield number


def counted(outcome: Outcome, faults: MynahFaults) -> Outcome:
    """Adds what Mynah's own metrics say. Hits whose reply nobody waited for were not checked."""
    hits = faults.incarnations.total("mynah_cache_hits_total")
    outcome.counts["checked hits"] = max(0, hits - outcome.counts["abandoned"])
    outcome.counts["settled"] = faults.incarnations.total("mynah_unknown_outcomes_total")
    return outcome


def assert_sound(name: str, outcome: Outcome) -> None:
    """No anomaly; and enough was done that one would have been found."""
    assert not outcome.anomalies, "\n".join(outcome.anomalies[:20])
    assert not outcome.failures, "\n".join(outcome.failures[:20])
    of = outcome.counts
    assert outcome.hits >= GOAL * SHARES[name] and of["direct reads"] > 100
    assert of["writes acknowledged"] > 150 and of["transactions"] > 300
    assert of["snapshots"] > 3
    assert of["writes rolled back"] > 1 and of["writes refused"] > 1
    assert of["wrote: move"] > 3 and of["wrote: move_and_back"] > 1 and of["wrote: pair"] > 3
    assert of["wrote: come_or_go"] > 3 and of["wrote: come_and_go"] > 1
