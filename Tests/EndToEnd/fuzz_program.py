"""A random program: a schema, and what several sessions do with it. The seed decides all of it."""

import dataclasses
import random

import wire
from fuzz_queries import Queries
from fuzz_schema import VALUES, Schema
from fuzz_values import Parameter, Values, redrawn, used
from fuzz_writes import Writes

SIMPLE, TEXT, BINARY, PREPARED = "simple", "text", "binary", "prepared"


@dataclasses.dataclass
class Statement:
    """One statement and how it is sent. `rows_in_order`: the order of its rows is part of the answer."""

    sql: str
    mode: str = SIMPLE
    parameters: list[Parameter] = dataclasses.field(default_factory=list)
    rows_in_order: bool = False
    copy: bytes | None = None
    name: str = ""

    def messages(self, is_prepared: bool = False) -> bytes:
        if self.mode == SIMPLE:
            tail = b"" if self.copy is None else wire.message(b"d", self.copy) + wire.message(b"c")
            return wire.query(self.sql) + tail
        types = tuple(p.oid for p in self.parameters)
        return (
            (b"" if is_prepared else wire.parse(self.sql, self.name, types))
            + wire.bind(
                self.name, parameters=tuple(p.value for p in self.parameters),
                parameter_formats=tuple(p.format for p in self.parameters),
                result_formats=(wire.BINARY if self.mode == BINARY else wire.TEXT,))
            + wire.describe_portal() + wire.execute() + wire.sync()
        )

    def script(self) -> str:
        """For a reader and psql: parameters, where there are any, as a comment."""
        text = self.sql + ";"
        if self.copy is not None:
            text += "\n" + self.copy.decode() + "\\."
        if self.mode != SIMPLE:
            bound = ", ".join(f"${i + 1} = {p.value!r} (type {p.oid}, format {p.format})"
                              for i, p in enumerate(self.parameters))
            text += f"  -- {self.mode} {bound}"
        return text


@dataclasses.dataclass
class Operation:
    """`read` is asked twice and remembered; `write` is one statement of its own; `block` and
    `overlap` run from BEGIN to `end`, the latter with others reading before that; `setting`
    changes the session."""

    kind: str
    session: int
    statements: list[Statement]
    end: str = ""

    def script(self) -> str:
        lines = [statement.script() for statement in self.statements]
        if self.end:
            lines = ["BEGIN;", *lines, f"{self.end};"]
        return f"-- session {self.session}, {self.kind}\n" + "\n".join(lines)


@dataclasses.dataclass
class Program:
    label: str
    schema: list[str]
    operations: list[Operation]
    roles: list[str]

    @property
    def users(self) -> list[str]:
        """Who the sessions are."""
        return ["postgres", "postgres", self.roles[0], self.roles[1], "postgres"]

    def script(self) -> str:
        return "\n".join([
            *[f"{statement};" for statement in self.schema],
            *[f"-- session {index} is {user}" for index, user in enumerate(self.users)],
            *[operation.script() for operation in self.operations],
        ])


class ProgramMaker:
    """Makes the program of a label such as `7:3` (seed 7, third round)."""

    def __init__(self, label: str, roles: list[str], operations: int):
        self.rng = random.Random(label)
        self.roles = roles
        self.schema = Schema(self.rng, roles)
        self.definitions = 0
        self.names: dict[str, str] = {}
        made = [
            Operation("setting", 1, [Statement("SET search_path = s1, public")]),
            Operation("setting", 3, [Statement("SET search_path = s2, public, s1")]),
        ]
        while len(made) < operations:
            made += self.operation()
        self.program = Program(label, self.schema.statements, made, roles)

    def operation(self) -> list[Operation]:
        rng = self.rng
        return rng.choices(
            [self.reads, self.write, self.block, self.overlap, self.definition, self.setting, self.moved],
            [38, 42, 9, 5, 4, 3, 6],
        )[0]()

    def mode(self) -> str:
        return self.rng.choice([SIMPLE, SIMPLE, TEXT, TEXT, BINARY, PREPARED])

    def read(self) -> Statement:
        mode = self.mode()
        parameters = None if mode == SIMPLE else []
        select = Queries(self.rng, self.schema, Values(self.rng, parameters)).statement()
        sql, parameters = used(select.sql, parameters) if parameters else (select.sql, [])
        statement = Statement(sql, mode, parameters, select.is_ordered)
        if mode == PREPARED:
            # A definition would make the server refuse the old plan, or not, by when it was made.
            statement.name = f"q{len(self.names)}_{self.definitions}"
            self.names[statement.name] = sql
        return statement

    def reads(self) -> list[Operation]:
        rng = self.rng
        session = rng.choice([0, 0, 0, 1, 1, 2, 3])
        first = self.read()
        made = [Operation("read", session, [first])]
        for _ in range(rng.choice([0, 1, 2]) if first.parameters else 0):
            again = dataclasses.replace(first, parameters=redrawn(rng, first.parameters))
            made.append(Operation("read", session, [again]))
        if rng.random() < 0.15:
            made.append(Operation("read", rng.choice([0, 1, 2, 3]), [first]))
        return made

    def moved(self) -> list[Operation]:
        """A read of one key, then a write that gives this key to the row of another."""
        keyed = [r for r in self.schema.tables("table", "partitioned") if r.key]
        if not keyed:
            return self.write()
        relation = self.rng.choice(keyed)
        key = relation.column(relation.key[0])
        old, new = self.rng.sample(VALUES[key.type], 2)
        table = relation.qualified
        read = Statement(f"SELECT count(*) FROM {table} WHERE {key.name} = {new}")
        write = Statement(f"UPDATE {table} SET {key.name} = {new} WHERE {key.name} = {old}")
        return [Operation("read", 0, [read]), Operation("write", 4, [write])]

    def written(self) -> Statement:
        mode = self.rng.choice([SIMPLE, SIMPLE, TEXT, BINARY])
        parameters = None if mode == SIMPLE else []
        sql = Writes(self.rng, self.schema, Values(self.rng, parameters)).statement()
        sql, parameters = used(sql, parameters) if parameters else (sql, [])
        return Statement(sql, mode, parameters)

    def writer(self) -> int:
        return self.rng.choice([4, 4, 4, 4, 0, 1, 2])

    def write(self) -> list[Operation]:
        rng = self.rng
        roll = rng.random()
        statement = self.written()
        if roll < 0.14:
            statement = Statement(self.plain().unusual())
        elif roll < 0.2:
            sql, data = self.plain().copy()
            statement = Statement(sql, copy=data)
        return [Operation("write", self.writer(), [statement])]

    def plain(self) -> Writes:
        return Writes(self.rng, self.schema, Values(self.rng, None))

    def block(self) -> list[Operation]:
        rng = self.rng
        steps = []
        for _ in range(rng.randint(1, 4)):
            roll = rng.random()
            if roll < 0.35:
                steps.append(dataclasses.replace(self.read(), mode=TEXT, name=""))
            elif roll < 0.75:
                steps.append(self.written())
            elif roll < 0.85:
                steps.append(Statement(self.plain().unusual()))
            else:
                inside = [self.written()]
                undo = rng.choice(["ROLLBACK TO SAVEPOINT sp", "RELEASE SAVEPOINT sp", "ROLLBACK TO sp"])
                steps += [Statement("SAVEPOINT sp"), *inside, Statement(undo)]
        if rng.random() < 0.15:
            steps.insert(0, Statement(rng.choice(
                ["SET LOCAL search_path = s2, public", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                 "SET LOCAL TimeZone = 'Asia/Kolkata'", f"SET LOCAL ROLE {rng.choice(self.roles)}"])))
        end = rng.choice(["COMMIT", "COMMIT", "COMMIT", "END", "ROLLBACK"])
        return [Operation("block", self.writer(), steps, end)]

    def overlap(self) -> list[Operation]:
        steps = [self.written() for _ in range(self.rng.randint(1, 2))]
        return [Operation("overlap", 4, steps, self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]))]

    def definition(self) -> list[Operation]:
        self.definitions += 1
        statement = Statement(self.plain().definition())
        if self.rng.random() < 0.2:
            return [Operation("block", 4, [statement, self.written()], self.rng.choice(["COMMIT", "ROLLBACK"]))]
        return [Operation("write", 4, [statement])]

    def setting(self) -> list[Operation]:
        session = self.rng.choice([1, 1, 0, 3, 2])
        return [Operation("setting", session, [Statement(self.plain().setting())])]
