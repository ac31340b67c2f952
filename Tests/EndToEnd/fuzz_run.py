"""Runs one random program directly and through Mynah, and compares every answer."""

import collections
import dataclasses
import random

import wire
from fuzz_program import PREPARED, Operation, Program, Statement
from fuzz_session import Peer, failed_with, is_definition, normalised, shown, split, without_rows
from servers import MynahServer

WINDOW = 60


class Mismatch(Exception):
    """An answer through Mynah that is not the one given directly."""

    def __init__(
        self, operation: int, session: int, statement: Statement, expected, got, when: str
    ):
        super().__init__(when)
        self.operation, self.session, self.statement = operation, session, statement
        self.expected, self.got, self.when = expected, got, when

    def __str__(self) -> str:
        return (f"after operation {self.operation}, {self.when}, session {self.session}:\n"
                f"{self.statement.script()}\n"
                f"directly:      {shown(self.expected)}\nthrough Mynah: {shown(self.got)}")


@dataclasses.dataclass
class Remembered:
    """A read that is asked again after each write, and its last answer from a direct connection."""

    session: int
    statement: Statement
    answer: bytes


@dataclasses.dataclass
class Tally:
    """What was asked through Mynah, by why."""

    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def statements(self) -> int:
        return sum(self.counts[kind] for kind in ("cold", "warm", "again", "write"))

    def add(self, other: "Tally") -> None:
        self.counts.update(other.counts)
        self.reasons.update(other.reasons)


class Run:
    """One program in a new database. Raises Mismatch."""

    def __init__(self, program: Program, postgres_port: int, mynah: MynahServer, database: str,
                 tally: Tally, audit=None):
        self.program = program
        self.rng = random.Random(program.label)
        self.tally = tally
        self.remembered: collections.deque = collections.deque(maxlen=WINDOW)
        self.database = database
        self.audit = audit
        self.postgres_port = postgres_port
        self.mynah = mynah

    def __enter__(self) -> "Run":
        admin = Peer(self.postgres_port, "postgres", "postgres")
        admin.ask(Statement(f"CREATE DATABASE {self.database}"))
        admin.close()
        loader = Peer(self.postgres_port, "postgres", self.database)
        # What the random schema gets wrong (a view on a column that is not there) is not made.
        loader.ask_all([Statement(sql) for sql in self.program.schema])
        loader.close()
        if self.audit:
            self.audit.begin(self.database)
        users = self.program.users
        self.direct = [Peer(self.postgres_port, user, self.database) for user in users]
        self.proxied = [Peer(self.mynah.port, user, self.database) for user in users]
        return self

    def __exit__(self, kind, *_) -> None:
        for peer in [*self.direct, *self.proxied]:
            peer.close()
        if self.audit:
            self.audit.end(self.database, complete=kind is None)
        admin = Peer(self.postgres_port, "postgres", "postgres")
        admin.ask(Statement(f"DROP DATABASE {self.database} WITH (FORCE)"))
        admin.close()

    def run(self) -> None:
        for index, operation in enumerate(self.program.operations):
            self.index = index
            if self.audit and any(is_definition(s.sql) for s in operation.statements):
                self.audit.decode(self.database)
            getattr(self, operation.kind)(operation)
        self.ask_unchanged()

    def ask_unchanged(self) -> None:
        """Nothing changes any more: what can be cached is, and is answered from memory. (Errors and
        notices are not kept.)"""
        self.remembered = [read for read in self.remembered
                           if not {b"E", b"N"} & {tag for tag, _ in split(read.answer)}]
        for _ in range(2):
            self.ask_again("at the end", changed=False, together=1)
        with self.mynah.counting() as delta:
            self.ask_again("at the end", changed=False, together=1)
        assert delta.misses == 0, (
            f"{self.program.label}: read twice and still {delta.misses} times not in memory")

    def compare(self, session, statement, expected: bytes, got: bytes, when: str) -> None:
        if statement.mode == PREPARED:
            # Each side parses at its own first use.
            expected, got = (raw.removeprefix(wire.message(b"1")) for raw in (expected, got))
        if expected == got:
            return
        in_order = statement.rows_in_order
        if statement.sql.startswith("EXPLAIN"):
            # The plan's counts include row versions that the dry run left behind.
            expected, got = (without_rows(raw) for raw in (expected, got))
        if normalised(expected, in_order) != normalised(got, in_order):
            raise Mismatch(self.index, session, statement, expected, got, when)

    # Operations

    def read(self, operation: Operation) -> None:
        session, statement = operation.session, operation.statements[0]
        expected = self.direct[session].ask(statement)
        for when in ("cold", "warm"):
            self.tally.counts[when] += 1
            self.compare(session, statement, expected, self.proxied[session].ask(statement), when)
        if failed_with(expected):
            self.tally.counts["failing"] += 1
        elif len(expected) < 8192:
            self.remembered.append(Remembered(session, statement, expected))

    def explained(self, operation: Operation) -> None:
        """What Mynah says of itself is compared with nothing; it must not change an answer."""
        session, statement = operation.session, operation.statements[0]
        answer = self.proxied[session].ask(statement)
        if answer[-1:] != b"I":
            raise Mismatch(self.index, session, statement, b"", answer, "explained")
        self.ask_again("after an explanation", changed=False, sessions=[session])

    def setting(self, operation: Operation) -> None:
        session, statement = operation.session, operation.statements[0]
        expected = self.direct[session].ask(statement)
        self.compare(
            session, statement, expected, self.proxied[session].ask(statement), "a setting"
        )
        self.ask_again("after a setting", sessions=[session])

    def dry_run(self, operation: Operation) -> list[bytes]:
        """What the statements answer directly, in a transaction that is rolled back."""
        steps = [Statement("BEGIN"), *operation.statements]
        if not operation.end:
            # An autocommit statement checks its deferred constraints at its end.
            steps.append(Statement("SET CONSTRAINTS ALL IMMEDIATE"))
        return self.direct[operation.session].ask_all([*steps, Statement("ROLLBACK")])[1:-1]

    def write(self, operation: Operation) -> None:
        session, statement = operation.session, operation.statements[0]
        expected, constraints = self.dry_run(operation)
        got = self.proxied[session].ask(statement)
        self.tally.counts["write"] += 1
        late = failed_with(constraints) if not failed_with(expected) else None
        if late:
            if failed_with(got) != late:
                raise Mismatch(self.index, session, statement, constraints, got, "a write")
        else:
            # Inside of the dry run's block: the status byte differs, and nothing else.
            self.compare(session, statement, expected[:-1], got[:-1], "a write")
        failed = late or failed_with(expected)
        self.tally.counts["failed write" if failed else "done write"] += 1
        self.ask_again("after a failed write" if failed else "after a write", changed=not failed)

    def block(self, operation: Operation, between: bool = False) -> None:
        session = operation.session
        expected = self.dry_run(operation)
        peer = self.proxied[session]
        peer.ask(Statement("BEGIN"))
        for statement, answer in zip(operation.statements, expected):
            self.tally.counts["write"] += 1
            self.compare(session, statement, answer, peer.ask(statement), "in a transaction")
        others = [other for other in range(len(self.direct)) if other != session]
        if between:
            self.ask_again("while a transaction is open", changed=False, sessions=others)
        peer.ask(Statement(operation.end))
        self.ask_again(f"after {operation.end}", changed=operation.end != "ROLLBACK")

    def overlap(self, operation: Operation) -> None:
        self.block(operation, between=True)

    def ask_again(self, when: str, changed: bool = True, sessions: list[int] | None = None,
                  together: int = 4) -> None:
        """Every remembered read: its answer directly (where it may have `changed`), and through
        Mynah, `together` at once in each session.

        What a session sends behind a miss is not answered from memory. So whose answer did change
        is asked alone: there an old answer would show.
        """
        reads = [read for read in self.remembered if sessions is None or read.session in sessions]
        alone = []
        if changed:
            before = [read.answer for read in reads]
            for batch in self.batches(reads, len(reads)):
                for read, answer in self.asked(batch, self.direct):
                    read.answer = answer
            alone = [read for read, answer in zip(reads, before) if read.answer != answer]
        others = [read for read in reads if not any(read is one for one in alone)]
        self.rng.shuffle(others)
        for batch in [*self.batches(alone, 1), *self.batches(others, together)]:
            for read, answer in self.asked(batch, self.proxied):
                self.tally.counts["again"] += 1
                self.compare(read.session, read.statement, read.answer, answer, when)

    def batches(self, reads: list[Remembered], together: int) -> list[list[Remembered]]:
        """Up to so many of each session in each batch."""
        made: list[list[Remembered]] = []
        number = collections.Counter()
        for read in reads:
            index = number[read.session] // together
            number[read.session] += 1
            if index == len(made):
                made.append([])
            made[index].append(read)
        return made

    def asked(self, batch: list[Remembered], peers: list[Peer]) -> list[tuple[Remembered, bytes]]:
        """The answers to a batch, that all its sessions ask at the same time."""
        by_session: dict[int, list[Remembered]] = {}
        for read in batch:
            by_session.setdefault(read.session, []).append(read)
        for session, reads in by_session.items():
            peers[session].send([read.statement for read in reads])
        return [pair for session, reads in by_session.items()
                for pair in zip(reads, peers[session].replies())]
