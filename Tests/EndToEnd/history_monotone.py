"""A checker for counters: is every value read one that the counter had while it was being read?

Each counter is incremented by one writer at a time, so its values are its versions. For a read of
value v from `start` to `end`:

- v is at least what was acknowledged before `start`, and what any read had seen that ended before;
- v is at most what was sent before `end`, and nothing that is known to have failed.

A write whose outcome is unknown may or may not have happened: it is sent, never acknowledged, until
a read shows it. With one writer and distinct values the two rules are complete: a history that
keeps them is linearizable, counter by counter. Work grows with the history's length (and its
sorting).

Where a row stands may depend on its version: here after every odd one, there after every even one.
A read that finds nothing then says ODD or EVEN; some such version must have been possible.
"""

import bisect
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

ACKNOWLEDGED, FAILED, UNKNOWN = "acknowledged", "failed", "unknown"
# What was read instead of a version.
ODD, EVEN = -1, -2


class Write(NamedTuple):
    """One increment of one counter. `sent` is before the first byte that could commit it."""

    key: int
    value: int
    sent: int
    outcome: str
    end: int  # when the reply came; without meaning where the outcome is unknown
    session: int = 0


class Read(NamedTuple):
    start: int
    end: int
    key: int
    value: int
    session: int = 0  # 0: none of Mynah's


@dataclass
class Bounds:
    """How far a counter can be at any time, as two step functions that only grow."""

    sent_at: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    acknowledged_at: list[int] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)

    def lowest(self, start: int) -> int:
        index = bisect.bisect_left(self.acknowledged_at, start)
        return self.acknowledged[index - 1] if index else 0

    def highest(self, end: int) -> int:
        index = bisect.bisect_right(self.sent_at, end)
        return self.sent[index - 1] if index else 0


def bounds_of(writes: list[Write]) -> dict[int, Bounds]:
    """The bounds of every counter that was written."""
    by_key: dict[int, list[Write]] = defaultdict(list)
    for write in writes:
        by_key[write.key].append(write)
    found = {}
    for key, own in by_key.items():
        bounds = Bounds()
        own.sort(key=lambda write: write.value)
        possible = [write for write in own if write.outcome != FAILED]
        bounds.failed = {write.value for write in own if write.outcome == FAILED}
        bounds.sent_at, bounds.sent = steps((write.sent, write.value) for write in possible)
        bounds.acknowledged_at, bounds.acknowledged = steps(
            (write.end, write.value) for write in possible if write.outcome == ACKNOWLEDGED
        )
        found[key] = bounds
    return found


def steps(events) -> tuple[list[int], list[int]]:
    """The greatest value so far at each time."""
    times, values = [], []
    for at, value in sorted(events):
        times.append(at)
        values.append(max(value, values[-1]) if values else value)
    return times, values


def sum_of(parts: list[Bounds]) -> Bounds:
    """The bounds of a sum of independent counters; the sum only grows because they do."""

    def total(series: list[tuple[list[int], list[int]]]) -> tuple[list[int], list[int]]:
        changes = []
        for times, values in series:
            previous = 0
            for at, value in zip(times, values):
                changes.append((at, value - previous))
                previous = value
        changes.sort()
        times, values, so_far = [], [], 0
        for at, change in changes:
            so_far += change
            times.append(at)
            values.append(so_far)
        return times, values

    result = Bounds()
    result.sent_at, result.sent = total([(part.sent_at, part.sent) for part in parts])
    result.acknowledged_at, result.acknowledged = total(
        [(part.acknowledged_at, part.acknowledged) for part in parts]
    )
    return result


def violations(bounds: dict[int, Bounds], reads: list[Read]) -> list[str]:
    """What is wrong with the reads, each with its counter, value, and what was possible."""
    by_key: dict[int, list[Read]] = defaultdict(list)
    for read in reads:
        by_key[read.key].append(read)
    found = []
    for key, own in by_key.items():
        allowed = bounds.get(key) or Bounds()
        own.sort(key=lambda read: read.start)
        by_end = sorted(range(len(own)), key=lambda index: own[index].end)
        least = [0] * len(own)  # what the counter was at least, by each read
        seen = done = 0
        for index, (start, end, _, value, _) in enumerate(own):
            # What ended before this read had started before it too: `least` knows it.
            while own[by_end[done]].end < start:
                seen = max(seen, least[by_end[done]])
                done += 1
            acknowledged, highest = allowed.lowest(start), allowed.highest(end)
            if value < 0:
                version = first_of(value, max(acknowledged, seen), allowed.failed)
                if version <= highest:
                    least[index] = version
                else:
                    parity = "odd" if value == ODD else "even"
                    possible = f"between {max(acknowledged, seen)} and {highest}"
                    found.append(f"parity: counter {key} read as {parity}, {possible}")
                continue
            least[index] = value
            read = f"counter {key} read as {value}"
            if value < acknowledged:
                found.append(f"stale: {read}, {acknowledged} was acknowledged")
            elif value < seen:
                found.append(f"back: {read}, {seen} had been read before")
            elif value > highest:
                found.append(f"future: {read}, only {highest} had been sent")
            elif value in allowed.failed:
                found.append(f"aborted: {read}, whose write had failed")
    return found


def first_of(parity: int, lowest: int, failed: set[int]) -> int:
    """The first version from `lowest` on that is odd, or even, and has not failed."""
    version = lowest + ((lowest - parity) % 2)
    while version in failed:
        version += 2
    return version
