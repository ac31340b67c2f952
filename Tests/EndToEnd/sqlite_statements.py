"""What a random program for SQLite consists of."""

import dataclasses

import wire

SIMPLE, TEXT, BINARY, PREPARED = "simple", "text", "binary", "prepared"


@dataclasses.dataclass
class Parameter:
    """What is bound: `value` as the library takes it, `sent` as it goes over the wire."""

    type: str
    value: int | str | None
    oid: int
    format: int
    sent: bytes | None


@dataclasses.dataclass
class Asked:
    """A statement and how it is sent: as a Query, or with parameters and formats."""

    sql: str
    mode: str = SIMPLE
    parameters: list[Parameter] = dataclasses.field(default_factory=list)
    name: str = ""

    def messages(self, is_prepared: bool) -> bytes:
        if self.mode == SIMPLE:
            return wire.query(self.sql)
        parse = wire.parse(self.sql, self.name, tuple(p.oid for p in self.parameters))
        return (
            (b"" if is_prepared else parse)
            + wire.bind(self.name, parameters=tuple(p.sent for p in self.parameters),
                        parameter_formats=tuple(p.format for p in self.parameters),
                        result_formats=(wire.BINARY if self.mode == BINARY else wire.TEXT,))
            + wire.describe_portal() + wire.execute() + wire.sync()
        )

    def script(self) -> str:
        bound = ", ".join(f"${i + 1} = {p.value!r} (type {p.oid}, format {p.format})"
                          for i, p in enumerate(self.parameters))
        return f"{self.sql};" + (f"  -- {self.mode} {bound}" if self.mode != SIMPLE else "")


@dataclasses.dataclass
class Step:
    """`kind` is read, write, transaction (whose statements start with BEGIN and end it) or foreign:
    what another process writes to the file that Mynah serves."""

    kind: str
    session: int
    statements: list[Asked]
