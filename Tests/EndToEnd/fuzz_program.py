"""What a program consists of: a schema, and what several sessions do with it."""

import dataclasses

import wire
from fuzz_values import Parameter

SIMPLE, TEXT, BINARY, PREPARED = "simple", "text", "binary", "prepared"


@dataclasses.dataclass
class Statement:
    """One statement and how it is sent. `rows_in_order`: the order of its rows counts."""

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
    changes the session; `explained` asks Mynah alone what it thinks of a statement."""

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
