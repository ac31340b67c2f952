"""What one process saw: its reads, writes and transactions, in a file until all have ended."""

import array
import pathlib
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from history_monotone import Read, Write
from history_transactions import Transaction


@dataclass
class Recorder:
    values: array.array = field(default_factory=lambda: array.array("q"))
    writes: list[Write] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    anomalies: list[str] = field(default_factory=list)   # seen by the process itself
    failures: list[str] = field(default_factory=list)    # what should not happen at all
    counts: Counter = field(default_factory=Counter)
    nodes: dict[int, int] = field(default_factory=dict)  # which node a session was of

    def saw(
        self, start: int, end: int, values: Iterable[tuple[int, int]], session: int = 0
    ) -> None:
        """Of one session, in the order in which it was answered."""
        for key, value in values:
            self.values.extend((start, end, key, value, session))

    def reads(self) -> Iterator[Read]:
        numbers = iter(self.values)
        return map(Read._make, zip(*[numbers] * len(Read._fields)))

    def merge(self, other: "Recorder") -> None:
        self.values.extend(other.values)
        self.writes += other.writes
        self.transactions += other.transactions
        self.anomalies += other.anomalies
        self.failures += other.failures
        self.counts += other.counts
        self.nodes |= other.nodes

    def save(self, path: pathlib.Path) -> None:
        path.write_bytes(pickle.dumps(self))

    @staticmethod
    def load(path: pathlib.Path) -> "Recorder":
        return pickle.loads(path.read_bytes())
