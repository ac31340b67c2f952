"""How much a run of the history checkers has to check.

`MYNAH_CHECKED_HITS` sets the number of answers from memory that are checked, in front of PostgreSQL
and SQLite together; the run goes on until it is reached.
"""

import faulthandler
import os
from collections.abc import Iterator

from history_campaign import Outcome
from history_faults import MynahFaults

GOAL = int(os.environ.get("MYNAH_CHECKED_HITS") or 200_000)
# A run without the variable has a time to keep; one with it takes the time that it takes.
TIMEOUT = 0 if os.environ.get("MYNAH_CHECKED_HITS") else 240


def rounds(outcome: Outcome, share: float) -> Iterator[int]:
    """Numbers rounds until their share of the goal is reached, or something is wrong."""
    number = 0
    while number == 0 or (outcome.hits < GOAL * share and not outcome.anomalies + outcome.failures):
        number += 1
        if TIMEOUT == 0:
            faulthandler.cancel_dump_traceback_later()
        yield number


def seeds(counts, name: str, seconds: float) -> Iterator[int]:
    """Numbers runs of `seconds` each: one, or as many as a raised goal asks of `counts[name]`."""
    number = 0
    while number == 0 or (TIMEOUT == 0 and counts[name] < GOAL):
        number += 1
        if TIMEOUT == 0:
            faulthandler.cancel_dump_traceback_later()
        yield number


def counted(outcome: Outcome, faults: MynahFaults) -> Outcome:
    """Adds what Mynah's own metrics say. Hits whose reply nobody waited for were not checked."""
    hits = faults.incarnations.total("mynah_cache_hits_total")
    outcome.counts["checked hits"] = max(0, hits - outcome.counts["abandoned"])
    outcome.counts["settled"] = faults.incarnations.total("mynah_unknown_outcomes_total")
    return outcome


def assert_sound(outcome: Outcome) -> None:
    """No anomaly; and enough was done that one would have been found."""
    assert not outcome.anomalies, "\n".join(outcome.anomalies[:20])
    assert not outcome.failures, "\n".join(outcome.failures[:20])
    of = outcome.counts
    assert outcome.hits > 10_000 and of["reads"] > 20_000 and of["direct reads"] > 100
    assert of["writes acknowledged"] > 150 and of["transactions"] > 300
    assert of["writes rolled back"] > 1 and of["writes refused"] > 1
