"""Writes about keys: rows that move, come and go, keys of two columns; COPY, two-phase commit."""

import itertools
import time

import wire
from history_client import Reply
from history_keyed_reads import with_parameters
from history_monotone import ACKNOWLEDGED, FAILED, UNKNOWN
from history_schema import AWAY, PAIR_WIDTH
from history_writes import Writer

# Rows were not where a write that had failed would have left them.
UNDONE = (b"UPDATE 0", b"DELETE 0", b"INSERT 0 0")


class KeyedWriter(Writer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        schema = self.part.schema
        self.identifiers = [
            number for number in range(schema.keyed) if number % self.part.owners == self.part.owner
        ]
        # A row that comes and goes forgets its version, so that a straggler could bring it back
        # long after: what had an unknown outcome is left alone.
        self.usable = set(self.identifiers)
        self.failed: set[int] = set()  # counters whose last write has
        self.names = itertools.count()
        self.shapes += [
            self.move, self.move, self.move_and_back, self.come_or_go, self.come_or_go,
            self.pair, self.pair, self.come_and_go,
        ]
        if not schema.is_sqlite:
            self.shapes += [self.copy, self.copy]
            if not self.part.faulty:
                # What is prepared outlives whoever did it, with its locks.
                self.shapes += [self.two_phases, self.two_phases]

    def record(self, writes, sent: int, outcome: str, end: int = 0) -> None:
        super().record(writes, sent, outcome, end)
        first = self.part.schema.fleeting_counter(0)
        for counter, *_ in writes:
            (self.failed.add if outcome == FAILED else self.failed.discard)(counter)
            if outcome == UNKNOWN:
                self.usable.discard(counter - first)

    def judge(self, writes, sent: int, reply: Reply, done: tuple[bytes, ...]) -> None:
        of_keys = all(counter >= self.part.schema.first_keyed for counter, *_ in writes)
        if of_keys and reply.error is None and reply.tag in UNDONE:
            self.record(writes, sent, FAILED)
            self.recorder.counts["writes undone"] += 1
        else:
            super().judge(writes, sent, reply, done)

    # Rows that move

    def moving(self, identifier: int, version: int) -> str:
        home, away = identifier, identifier + AWAY
        old, new = (home, away) if version % 2 else (away, home)
        return (
            f"UPDATE {self.part.schema.moving} SET id = {new}, v = {version}"
            f" WHERE id = {old} AND v < {version}"
        )

    def move(self) -> None:
        identifier = self.chance.choice(self.identifiers)
        counter = self.part.schema.moving_counter(identifier)
        version = self.next(counter)
        make = self.chance.choice((wire.query, wire.extended))
        self.send([(counter, version)], [make(self.moving(identifier, version))], (b"UPDATE 1",))

    def move_and_back(self) -> None:
        """In one transaction: nobody may see the row where it was meanwhile."""
        identifier = self.chance.choice(self.identifiers)
        counter = self.part.schema.moving_counter(identifier)
        first, second = self.next(counter), self.next(counter)
        self.record([(counter, first)], time.monotonic_ns(), FAILED)
        before = [self.moving(identifier, first)]
        self.in_block([(counter, second, self.moving(identifier, second))], before)

    # Rows that come and go

    def of_fleeting(self) -> tuple[int, int, int] | None:
        if not self.usable:
            return None
        identifier = self.chance.choice(sorted(self.usable))
        counter = self.part.schema.fleeting_counter(identifier)
        return identifier, counter, self.next(counter)

    def coming_or_going(self, identifier: int, version: int) -> str:
        name = self.part.schema.fleeting
        if version % 2:
            values = f"({identifier}, {version})"
            return f"INSERT INTO {name} VALUES {values} ON CONFLICT (id) DO NOTHING"
        return f"DELETE FROM {name} WHERE id = {identifier} AND v < {version}"

    def come_or_go(self) -> None:
        if found := self.of_fleeting():
            identifier, counter, version = found
            sql = self.coming_or_going(identifier, version)
            make = self.chance.choice((wire.query, wire.extended))
            self.send([(counter, version)], [make(sql)], (b"INSERT 0 1", b"DELETE 1"))

    def come_and_go(self) -> None:
        """Both in one transaction, of which nobody may see the first alone."""
        if found := self.of_fleeting():
            identifier, counter, version = found
            second = self.next(counter)
            self.record([(counter, version)], time.monotonic_ns(), FAILED)
            before = [self.coming_or_going(identifier, version)]
            sql = self.coming_or_going(identifier, second)
            self.in_block([(counter, second, sql)], before)

    def copy(self) -> None:
        """COPY FROM STDIN brings a row that is known not to be there."""
        found = self.of_fleeting()
        if not found:
            return
        identifier, counter, version = found
        if version % 2 == 0 or version > 1 and counter in self.failed:
            sql = self.coming_or_going(identifier, version)
            self.send([(counter, version)], [wire.query(sql)], (b"INSERT 0 1", b"DELETE 1"))
            return
        self.recorder.counts["copies"] += 1
        data = (
            wire.query(f"COPY {self.part.schema.fleeting} (id, v) FROM STDIN")
            + wire.message(b"d", f"{identifier}\t{version}\n".encode()) + wire.message(b"c")
        )
        self.send([(counter, version)], [data], (b"COPY 1",))

    # Keys of two columns

    def pair(self) -> None:
        schema = self.part.schema
        a, b = divmod(self.chance.choice(self.identifiers), PAIR_WIDTH)
        counter = schema.pair_counter(a, b)
        value = self.next(counter)
        update = f"UPDATE {schema.paired} SET v = {value} WHERE a = {a} AND b = {b} AND v < {value}"
        upsert = (
            f"INSERT INTO {schema.paired} AS t VALUES ({a}, {b}, {value})"
            " ON CONFLICT (a, b) DO UPDATE SET v = excluded.v WHERE t.v < excluded.v"
        )
        by_parameters = (
            f"UPDATE {schema.paired} SET v = $1 WHERE b = $2 AND a = $3 AND v < $1"
        )
        request = self.chance.choice((
            wire.query(update), wire.extended(update), wire.query(upsert),
            with_parameters(schema, by_parameters, value, b, a),
        ))
        self.send([(counter, value)], [request], (b"UPDATE 1", b"INSERT 0 1"))

    # Two-phase commit

    def two_phases(self) -> None:
        """Another session decides about what one has prepared."""
        writes = self.some(self.chance.randint(1, 3))
        name = f"{self.part.schema.prefix}{self.part.owner}_{next(self.names)}"
        for sql in ["BEGIN", *(sql for _, _, sql in writes), f"PREPARE TRANSACTION '{name}'"]:
            _, [reply] = self.current.batch([wire.query(sql)])
            if reply.error:
                self.record(writes, time.monotonic_ns(), FAILED)
                self.note(reply.error)
                self.reset()
                return
        # Long enough for readers to store what they read meanwhile.
        self.stop.wait(self.part.pace * self.chance.random() * 2)
        self.slot = self.chance.randrange(3)
        self.current = self.session(self.slot)
        decision = self.chance.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK"))
        sent = time.monotonic_ns()
        _, [reply] = self.current.batch([wire.query(f"{decision} PREPARED '{name}'")])
        if reply.error:
            self.record(writes, sent, UNKNOWN)
            self.note(reply.error)
        else:
            outcome = ACKNOWLEDGED if decision == "COMMIT" else FAILED
            self.record(writes, sent, outcome, reply.end)
            self.recorder.counts[f"prepared, then {decision}"] += 1
