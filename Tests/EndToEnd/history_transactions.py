"""What a transaction did to lists, and what came of it."""

from dataclasses import dataclass

from history_monotone import ACKNOWLEDGED

AUTOCOMMIT, READ_COMMITTED = "autocommit", "read committed"
REPEATABLE_READ, SERIALIZABLE = "repeatable read", "serializable"
SNAPSHOTS = (REPEATABLE_READ, SERIALIZABLE)


@dataclass
class Append:
    key: int
    element: int


@dataclass
class ListRead:
    key: int
    elements: tuple[int, ...]
    start: int
    end: int


@dataclass
class Transaction:
    """`sent` is before the first byte that could commit it, `end` the arrival of the outcome."""

    level: str
    steps: list[Append | ListRead]
    outcome: str = ACKNOWLEDGED
    sent: int = 0
    end: int = 0
    session: int = 0

    def appends(self, key: int) -> list[int]:
        return [s.element for s in self.steps if isinstance(s, Append) and s.key == key]

    @property
    def writes(self) -> bool:
        return any(isinstance(step, Append) for step in self.steps)
