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
    "PostgreSQL": 0.15, "PostgreSQL under faults": 0.1,
    "SQLite": 0.25, "SQLite under faults": 0.2, "authority": 0.3,
}
# Ten times what a run takes; one with the variable takes the time that it takes.
TIMEOUT = 0 if os.environ.get("MYNAH_CHECKED_HITS") else 600


# What has to be among what was done, or an anomaly could have gone unnoticed.
OF_HISTORIES = {
    "direct reads": 100, "snapshots": 4, "transactions": 300, "writes acknowledged": 150,
    "writes rolled back": 2, "writes refused": 2, "wrote: move": 4, "wrote: move_and_back": 2,
    "wrote: come_or_go": 4, "wrote: come_and_go": 2, "wrote: pair": 4,
}
LEAST = {
    "PostgreSQL": OF_HISTORIES | {"copies": 2, "prepared, then COMMIT": 2},
    "PostgreSQL under faults": OF_HISTORIES,
    "SQLite": OF_HISTORIES | {"foreign writes acknowledged": 20},
    "SQLite under faults": OF_HISTORIES | {"foreign writes acknowledged": 20},
    "authority": {"changes of rights": 20, "changes of sessions": 100},
}


def missing(name: str, outcome: Outcome) -> list[str]:
    """What there is too little of."""
    wanted = LEAST[name] | {"checked hits": GOAL * SHARES[name]}
    return [
        f"{outcome.counts[what]} of {least:.0f} {what}"
        for what, least in wanted.items() if outcome.counts[what] < least
    ]


def rounds(name: str, outcome: Outcome) -> Iterator[int]:
    """Numbers rounds until nothing is missing, or something is wrong."""
    number = 0
    while number == 0 or (
        missing(name, outcome) and not outcome.anomalies + outcome.failures
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
    assert not missing(name, outcome)
