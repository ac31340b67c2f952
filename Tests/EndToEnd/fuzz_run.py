"""Runs random programs directly and through Mynah, and compares every answer.

    python fuzz_run.py --port PORT --seed 7 --statements 100000

runs against the PostgreSQL on that loopback port; `--label 7:3` runs one round alone.
"""

import argparse
import collections
import dataclasses
import random
import struct
import sys
import time

import psycopg2

import wire
from fuzz_program import PREPARED, Operation, Program, ProgramMaker, Statement
from servers import MynahServer
from wire import RawSession

WINDOW = 30
OPERATIONS = 200


class Mismatch(Exception):
    """An answer through Mynah that is not the one given directly."""

    def __init__(self, operation: int, session: int, statement: Statement, expected, got, when: str):
        super().__init__(when)
        self.operation, self.session, self.statement = operation, session, statement
        self.expected, self.got, self.when = expected, got, when

    def __str__(self) -> str:
        return (f"after operation {self.operation}, {self.when}, session {self.session}:\n"
                f"{self.statement.script()}\n"
                f"directly:      {shown(self.expected)}\nthrough Mynah: {shown(self.got)}")


def split(raw: bytes) -> list[wire.Message]:
    messages, offset = [], 0
    while offset < len(raw):
        (length,) = struct.unpack_from("!I", raw, offset + 1)
        messages.append((raw[offset : offset + 1], raw[offset + 5 : offset + 1 + length]))
        offset += length + 1
    return messages


def normalised(raw: bytes, rows_in_order: bool) -> list:
    """What has to be equal. Of errors and notices the SQLSTATE: texts name cursors and positions."""
    messages = split(raw)
    kept = [(tag, wire.error_fields(body).get("C") if tag in b"EN" else body)
            for tag, body in messages if tag != b"D"]
    rows = [body for tag, body in messages if tag == b"D"]
    return [kept, rows if rows_in_order else sorted(rows)]


def is_definition(sql: str) -> bool:
    """Whether the statement changes what names mean."""
    return sql.startswith(("ALTER", "CREATE", "DROP"))


def without_rows(raw: bytes) -> bytes:
    return b"".join(wire.message(tag, body) for tag, body in split(raw) if tag != b"D")


def shown(raw: bytes) -> str:
    parts = []
    for tag, body in split(raw):
        if tag == b"D":
            parts.append(str(wire.data_rows([(tag, body)])[0]))
        elif tag == b"E":
            fields = wire.error_fields(body)
            parts.append(f"ERROR {fields.get('C')} {fields.get('M')}")
        elif tag not in b"12":
            parts.append(f"{tag.decode()} {body!r}" if tag in b"CZ" else tag.decode())
    return " | ".join(parts)


def failed_with(raw: bytes) -> str | None:
    return wire.sqlstate(split(raw))


class Peer:
    """A session whose replies are raw bytes, one per ReadyForQuery."""

    def __init__(self, port: int, user: str, database: str):
        self.session = RawSession.connect(port, user=user, database=database, timeout=60)
        self.prepared: set[str] = set()
        self.pending = bytearray()

    def message(self, statement: Statement) -> bytes:
        return statement.messages(statement.mode == PREPARED and statement.name in self.prepared)

    def ask(self, statement: Statement) -> bytes:
        return self.ask_all([statement])[0]

    def ask_all(self, statements: list[Statement]) -> list[bytes]:
        """Asks all at once."""
        sent = bytearray()
        parsed = []
        for statement in statements:
            sent += self.message(statement)
            if statement.mode == PREPARED and statement.name not in self.prepared:
                self.prepared.add(statement.name)
                parsed.append(statement.name)
            else:
                parsed.append(None)
        self.session.send(sent)
        replies = [self.reply() for _ in statements]
        for name, reply in zip(parsed, replies):
            if name and reply[:1] != b"1":
                self.prepared.discard(name)
        return replies

    def reply(self) -> bytes:
        pending, offset = self.pending, 0
        while True:
            while len(pending) >= offset + 5:
                (length,) = struct.unpack_from("!I", pending, offset + 1)
                if len(pending) < offset + length + 1:
                    break
                is_last = pending[offset] == 0x5A
                offset += length + 1
                if is_last:
                    reply = bytes(pending[:offset])
                    del pending[:offset]
                    return reply
            data = self.session.socket.recv(1 << 16)
            if not data:
                raise wire.ConnectionEnded(split(bytes(pending)))
            pending += data

    def close(self) -> None:
        self.session.close()


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
            self.ask_again("at the end", changed=False)
        with self.mynah.counting() as delta:
            self.ask_again("at the end", changed=False)
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

    def setting(self, operation: Operation) -> None:
        session, statement = operation.session, operation.statements[0]
        expected = self.direct[session].ask(statement)
        self.compare(session, statement, expected, self.proxied[session].ask(statement), "a setting")
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

    def ask_again(self, when: str, changed: bool = True, sessions: list[int] | None = None) -> None:
        """Every remembered read: its answer directly (where it may have `changed`), and through
        Mynah."""
        for session in range(len(self.direct)) if sessions is None else sessions:
            reads = [read for read in self.remembered if read.session == session]
            if changed and reads:
                answers = self.direct[session].ask_all([read.statement for read in reads])
                for read, answer in zip(reads, answers):
                    read.answer = answer
            peer = self.proxied[session]
            self.tally.counts["again"] += len(reads)
            for read in reads:
                self.compare(session, read.statement, read.answer, peer.ask(read.statement), when)


class Fuzzer:
    """Rounds against one PostgreSQL through one Mynah. `worker` tells concurrent fuzzers apart;
    a failing program is made smaller for at most so many `seconds`."""

    def __init__(self, postgres_port: int, worker: int = 0, audit=None, seconds: float = 90, **mynah):
        self.postgres_port = postgres_port
        self.roles = [f"fuzz{worker}_a", f"fuzz{worker}_b"]
        self.worker = worker
        self.databases = 0
        self.seconds = seconds
        self.tally = Tally()
        self.audit = audit
        log = {"level": "trace"} if audit else None
        self.mynah = MynahServer(
            f"postgresql://127.0.0.1:{postgres_port}", log=log, **mynah).start()
        admin = Peer(postgres_port, "postgres", "postgres")
        admin.ask_all([Statement(f"CREATE ROLE {role} LOGIN") for role in self.roles])
        admin.close()

    def close(self) -> None:
        self.mynah.remove()

    def program(self, label: str) -> Program:
        return ProgramMaker(label, self.roles, OPERATIONS).program

    def run(self, program: Program, tally: Tally | None = None) -> None:
        self.databases += 1
        database = f"fuzz{self.worker}_{self.databases}"
        with Run(program, self.postgres_port, self.mynah, database, tally or self.tally, self.audit) as run:
            run.run()

    def rounds(self, seed: str, statements: int) -> Tally:
        """Rounds until so many statements went through Mynah."""
        with self.mynah.counting() as delta:
            number = 0
            while self.tally.statements < statements:
                program = self.program(f"{seed}:{number}")
                try:
                    self.run(program)
                except Mismatch as mismatch:
                    raise AssertionError(self.report(program, mismatch)) from None
                number += 1
        self.tally.counts["rounds"] = number
        self.tally.counts["hits"], self.tally.counts["misses"] = delta.hits, delta.misses
        self.tally.reasons.update(delta.reasons())
        return self.tally

    def findings(self):
        """What the audit says of all rounds. Ends Mynah, whose log is complete only then."""
        self.mynah.stop()
        return self.audit.findings(self.mynah.directory / "log")

    # Reports

    def fails(self, program: Program) -> Mismatch | None:
        try:
            self.run(program, Tally())
        except Mismatch as mismatch:
            return mismatch
        return None

    def report(self, program: Program, mismatch: Mismatch) -> str:
        smaller, last = self.minimised(program, mismatch, self.seconds)
        return (
            f"label {program.label} of worker {self.worker} (replay:"
            f" python fuzz_run.py --port PORT --worker {self.worker} --label {program.label})\n"
            f"first seen {mismatch}\n\n-- minimised to {len(smaller.schema)} statements that make"
            f" the schema and {len(smaller.operations)} operations\n{smaller.script()}\n\nfails {last}"
        )

    def minimised(self, program: Program, mismatch: Mismatch, seconds: float) -> tuple[Program, Mismatch]:
        """Delta debugging: first of the operations, then of the schema, until the time is up."""
        deadline = time.monotonic() + seconds
        best = dataclasses.replace(program, operations=program.operations[: mismatch.operation + 1])
        for part in ("operations", "schema", "operations"):
            size = max(1, len(getattr(best, part)) // 2)
            while True:
                position = 0
                while position < len(getattr(best, part)):
                    if time.monotonic() > deadline:
                        return best, mismatch
                    items = getattr(best, part)
                    candidate = dataclasses.replace(
                        best, **{part: items[:position] + items[position + size :]})
                    found = self.fails(candidate)
                    if found:
                        best, mismatch = candidate, found
                        best.operations = best.operations[: found.operation + 1]
                    else:
                        position += size
                if size == 1:
                    break
                size //= 2
        return best, mismatch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--statements", type=int, default=100_000)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--label", help="run this round alone")
    parser.add_argument("--seconds", type=float, default=90, help="for making a failure smaller")
    options = parser.parse_args()
    fuzzer = Fuzzer(options.port, options.worker, seconds=options.seconds)
    started = time.monotonic()
    try:
        if options.label:
            program = fuzzer.program(options.label)
            mismatch = fuzzer.fails(program)
            print(fuzzer.report(program, mismatch) if mismatch else "no difference")
            return 1 if mismatch else 0
        tally = fuzzer.rounds(options.seed, options.statements)
        print(f"seed {options.seed}: {tally.statements} statements,"
              f" {time.monotonic() - started:.1f} s, {dict(tally.counts)}, {dict(tally.reasons)}")
        return 0
    except AssertionError as failure:
        print(failure)
        return 1
    finally:
        fuzzer.close()


if __name__ == "__main__":
    sys.exit(main())
