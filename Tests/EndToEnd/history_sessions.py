"""What nodes that may answer from an older past owe their clients all the same.

Asynchronous mirrors promise two things (README, "Mirrors"): an answer of a mirror is no older than
the lease, and a session never sees less than it has written or seen before. `aged` makes the first
one a matter of linearizability: a read that may be old by so much is like one that began so much
earlier.
"""

from collections import defaultdict
from dataclasses import replace

from history_monotone import ACKNOWLEDGED, Bounds, Read, Write, first_of
from history_transactions import SNAPSHOTS, ListRead, Transaction


def aged(reads: list[Read], nodes: dict[int, int], lease: int) -> list[Read]:
    """`lease` is nanoseconds; `nodes` tells which node's each session was, 0 the primary's."""
    return [
        read._replace(start=read.start - lease) if nodes.get(read.session) else read
        for read in reads
    ]


def aged_lists(
    transactions: list[Transaction], nodes: dict[int, int], lease: int
) -> list[Transaction]:
    """The same for what transactions read; what has a snapshot is never answered from memory."""

    def older(step):
        return replace(step, start=step.start - lease) if isinstance(step, ListRead) else step

    return [
        replace(transaction, steps=[older(step) for step in transaction.steps])
        if nodes.get(transaction.session) and transaction.level not in SNAPSHOTS else transaction
        for transaction in transactions
    ]


def session_violations(
    bounds: dict[int, Bounds], reads: list[Read], writes: list[Write]
) -> list[str]:
    """Where a session saw less than it had written or seen; a session's reads are in its order."""
    own: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for write in writes:
        if write.outcome == ACKNOWLEDGED and write.session:
            own[write.session, write.key].append((write.end, write.value))
    for ends in own.values():
        ends.sort(reverse=True)
    least: dict[tuple[int, int], int] = defaultdict(int)
    found = []
    for read in reads:
        if not read.session:
            continue
        place = read.session, read.key
        ends = own.get(place, ())
        while ends and ends[-1][0] <= read.start:
            least[place] = max(least[place], ends.pop()[1])
        if read.value < 0:
            failed = bounds[read.key].failed if read.key in bounds else set()
            least[place] = first_of(read.value, least[place], failed)
        elif read.value < least[place]:
            found.append(
                f"session: counter {read.key} read as {read.value}, by who knew of {least[place]}"
            )
        else:
            least[place] = read.value
    return found


def list_session_violations(transactions: list[Transaction]) -> list[str]:
    """The same for lists, which only grow; a session's transactions are in its order."""
    seen: dict[tuple[int, int], int] = defaultdict(int)
    mine: dict[tuple[int, int], set[int]] = defaultdict(set)
    found = []
    for transaction in transactions:
        if transaction.outcome != ACKNOWLEDGED or not transaction.session:
            continue
        appended = []
        for step in transaction.steps:
            place = transaction.session, step.key
            if not isinstance(step, ListRead):
                appended.append((place, step.element))
                continue
            if len(step.elements) < seen[place]:
                found.append(
                    f"session: list {step.key} has {len(step.elements)} elements, {seen[place]} "
                    "for the same session before"
                )
            seen[place] = max(seen[place], len(step.elements))
            if missing := mine[place].difference(step.elements):
                found.append(f"session: list {step.key} lacks {sorted(missing)}, its own appends")
        for place, element in appended:
            mine[place].add(element)
    return found
