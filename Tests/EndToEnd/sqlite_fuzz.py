"""Random programs against SQLite: through Mynah, and through the library on a file of its own."""

import collections
import contextlib
import dataclasses
import pathlib
import random
import sqlite3
import struct
import time

import wire
from servers import MynahServer
from sqlite_program import ProgramMaker
from sqlite_statements import BINARY, Asked, Step
from wire import RawSession

WINDOW = 60
TOGETHER = 4
# By type OID: int8, int4, int2, float8.
BINARY_FORMS = {20: "!q", 23: "!i", 21: "!h", 701: "!d"}

Answer = list[tuple] | str


@dataclasses.dataclass
class Tally:
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def statements(self) -> int:
        return sum(self.counts[kind] for kind in ("cold", "warm", "again", "write"))

    def __str__(self) -> str:
        return (
            f"{self.statements} statements through Mynah: {dict(self.counts)};"
            f" bypassed {self.reasons}"
        )


def as_text(value) -> bytes | None:
    return None if value is None else value if isinstance(value, bytes) else str(value).encode()


class Fuzzer:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.rng = random.Random(0)
        self.tally = Tally()

    def rounds(self, seed: str, statements: int) -> Tally:
        number = 0
        while self.tally.statements < statements:
            label = f"{seed}:{number}"
            maker = ProgramMaker(label)
            failure = self.run(maker.schema, maker.steps, number)
            assert not failure, self.report(label, maker, failure)
            number += 1
        return self.tally

    def report(self, label: str, maker: ProgramMaker, failure: str) -> str:
        """Leaves out steps, then statements of the schema, for as long as it still fails."""
        deadline = time.monotonic() + 60
        best = {"schema": maker.schema, "steps": maker.steps}
        for part in ("steps", "schema"):
            size = max(1, len(best[part]) // 2)
            while size:
                position = 0
                while position < len(best[part]) and time.monotonic() < deadline:
                    smaller = {**best, part: best[part][:position] + best[part][position + size :]}
                    found = self.run(smaller["schema"], smaller["steps"], 1000)
                    if found:
                        best, failure = smaller, found
                    else:
                        position += size
                size //= 2
        script = [f"{sql};" for sql in best["schema"]]
        for step in best["steps"]:
            script += [f"-- session {step.session}, {step.kind}",
                       *[asked.script() for asked in step.statements]]
        return "\n".join([f"round {label}", *script, failure])

    def run(self, schema: list[str], steps: list[Step], number: int) -> str | None:
        """What went wrong."""
        files = [self.directory / f"{name}{number}.db" for name in ("mynah", "library")]
        for file in files:
            for suffix in ("", "-wal", "-shm"):
                pathlib.Path(f"{file}{suffix}").unlink(missing_ok=True)
            library = sqlite3.connect(file, isolation_level=None)
            for sql in schema:
                with contextlib.suppress(sqlite3.Error):
                    library.execute(sql)
            library.close()
        mynah = MynahServer(f"sqlite:{files[0]}").start()
        library, foreign = (self.library(file) for file in reversed(files))
        sessions = [RawSession.connect(mynah.port, database=files[0].stem) for _ in range(2)]
        try:
            with mynah.counting() as delta:
                failure = self.compare(steps, library, foreign, sessions)
            self.tally.counts["hits"] += delta.hits
            self.tally.counts["misses"] += delta.misses
            for reason, count in delta.reasons().items():
                self.tally.reasons[reason] = self.tally.reasons.get(reason, 0) + count
            return failure
        finally:
            library.close()
            foreign.close()
            for session in sessions:
                session.close()
            mynah.remove()

    @staticmethod
    def library(file: pathlib.Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA case_sensitive_like = ON")
        return connection

    def compare(self, steps: list[Step], library, foreign, sessions) -> str | None:
        remembered: collections.deque = collections.deque(maxlen=WINDOW)
        expecting = Library(library)
        outside = Library(foreign)
        prepared: set[tuple[int, str]] = set()

        def sent(session: int, batch: list[Asked], kind: str) -> list[Answer]:
            """The answers to what one session sends at once."""
            self.tally.counts[kind] += len(batch)
            data = b""
            for asked in batch:
                data += asked.messages((session, asked.name) in prepared)
                if asked.name:
                    prepared.add((session, asked.name))
            sessions[session].send(data)
            answers = []
            for asked in batch:
                replies = sessions[session].until_ready()
                if asked.name and wire.sqlstate(replies) and replies[0][0] != b"1":
                    prepared.discard((session, asked.name))
                answers.append(answer_of(replies, asked))
            return answers

        for index, step in enumerate(steps):
            for asked in step.statements:
                expected = expecting.answer_as_server(asked)
                kinds = {"read": ("cold", "warm"), "foreign": ("foreign",)}
                for kind in kinds.get(step.kind, ("write",)):
                    if kind == "foreign":
                        self.tally.counts[kind] += 1
                        got = outside.answer_as_server(asked)
                    else:
                        (got,) = sent(step.session, [asked], kind)
                    if differ(asked.sql, expected, got):
                        return (f"step {index}, {kind}: {asked.script()}\n"
                                f"library: {expected}\nMynah:   {got}")
            if step.kind == "read":
                if not isinstance(expected, str):
                    remembered.append(Remembered(step.session, step.statements[0], expected))
                continue
            for batch in batches(remembered, expecting, self.rng):
                answers = sent(batch[0].session, [read.asked for read in batch], "again")
                for read, got in zip(batch, answers):
                    if differ(read.asked.sql, read.answer, got):
                        return (f"after step {index} ({step.kind}): {read.asked.script()}\n"
                                f"library: {read.answer}\nMynah:   {got}")
        return None


@dataclasses.dataclass
class Remembered:
    """A read that is asked again after each write, and its last answer of the library."""

    session: int
    asked: Asked
    answer: Answer


def batches(
    reads: collections.deque[Remembered], library: "Library", rng: random.Random
) -> list[list[Remembered]]:
    """What one session asks at once. What it sends behind a miss is not answered from memory: so
    whose answer has changed is asked alone, where an old answer would show."""
    alone, others = [], []
    for read in reads:
        before, read.answer = read.answer, library.answer(read.asked)
        (others if before == read.answer else alone).append(read)
    rng.shuffle(others)
    made = [[read] for read in alone]
    for session in (0, 1):
        of_session = [read for read in others if read.session == session]
        made += [of_session[start : start + TOGETHER]
                 for start in range(0, len(of_session), TOGETHER)]
    return made


def answer_of(replies: list[wire.Message], asked: Asked) -> Answer:
    for tag, body in replies:
        if tag == b"E":
            return f"failed: {wire.error_fields(body)}"
    return rows_of(replies, asked.mode == BINARY)


class Library:
    """A connection of the library that answers as a PostgreSQL session does: after an error a
    block does nothing but end."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self.has_failed = False

    def answer(self, asked: Asked) -> Answer:
        values = {str(index + 1): p.value for index, p in enumerate(asked.parameters)}
        try:
            rows = self.connection.execute(asked.sql, values).fetchall()
        except sqlite3.Error as error:
            return f"failed: {error}"
        return [tuple(as_text(value) for value in row) for row in rows]

    def answer_as_server(self, asked: Asked) -> Answer:
        if self.has_failed and not asked.sql.startswith(("ROLLBACK", "COMMIT")):
            return "failed: the transaction is aborted"
        if self.has_failed and asked.sql == "COMMIT":
            asked = Asked("ROLLBACK")
        self.has_failed = False
        answer = self.answer(asked)
        if isinstance(answer, str) and self.connection.in_transaction:
            self.has_failed = asked.sql != "COMMIT"
            if asked.sql == "COMMIT":
                self.connection.execute("ROLLBACK")
        return answer


def differ(sql: str, expected: Answer, got: Answer) -> bool:
    if isinstance(expected, str) or isinstance(got, str):
        return type(expected) is not type(got)
    if "ORDER BY" in sql:
        return expected != got
    return collections.Counter(expected) != collections.Counter(got)


def rows_of(replies: list[wire.Message], is_binary: bool) -> list[tuple]:
    """The rows as text."""
    rows = [tuple(row) for row in wire.data_rows(replies)]
    if not is_binary or not rows:
        return rows
    types = column_types(next(body for tag, body in replies if tag == b"T"))
    return [tuple(read_binary(value, type) for value, type in zip(row, types)) for row in rows]


def read_binary(value: bytes | None, oid: int) -> bytes | None:
    """A value that was sent in the binary form of its type, as text."""
    if value is None or oid not in BINARY_FORMS:
        return value
    (number,) = struct.unpack(BINARY_FORMS[oid], value)
    return str(number).encode()


def column_types(description: bytes) -> list[int]:
    """The type OIDs in a RowDescription."""
    (count,) = struct.unpack_from("!H", description)
    offset, types = 2, []
    for _ in range(count):
        offset = description.index(b"\0", offset) + 1
        types.append(struct.unpack_from("!I", description, offset + 6)[0])
        offset += 18
    return types
