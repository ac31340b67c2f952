"""Values in random statements: literals, other spellings of them, and parameters."""

import dataclasses
import random
import re
import struct
import uuid

from fuzz_types import NUMBERS, SPELLINGS, VALUES

# Type OIDs that a Parse may declare, and how their values go over the wire in binary.
OIDS = {
    "integer": 23, "bigint": 20, "smallint": 21, "text": 25, "varchar(6)": 1043, "char(3)": 1042,
    "boolean": 16, "date": 1082, "uuid": 2950, "numeric": 1700, "timestamptz": 1184, "jsonb": 3802,
    "double precision": 701,
}
INTEGERS = {23: "!i", 20: "!q", 21: "!h"}


@dataclasses.dataclass
class Parameter:
    """`oid` 0 leaves the type to the server; `value` None is NULL."""

    type: str
    oid: int
    format: int
    value: bytes | None


def plain_text(literal: str) -> str:
    """What a literal of `VALUES` means, as text that its type reads."""
    if literal.startswith("E'"):
        return literal[2:-1].replace("\\n", "\n")
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def base_type(type: str) -> str:
    return type.partition(" COLLATE")[0]


def random_parameter(rng: random.Random, type: str) -> Parameter:
    oid = OIDS.get(type, 0)
    if rng.random() < 0.06:
        return Parameter(type, rng.choice([0, oid]), 0, None)
    text = plain_text(rng.choice(VALUES[type]))
    if type in NUMBERS:
        number = int(text)
        declared = rng.choice([0, oid, 23, 20, 21])
        binary = declared if declared else oid or 23
        width = struct.calcsize(INTEGERS[binary]) * 8 - 1
        if (
            rng.random() < 0.5
            and -(1 << width) <= number < 1 << width
            and (declared or type != "small")
        ):
            return Parameter(type, declared, 1, struct.pack(INTEGERS[binary], number))
        text = rng.choice([text, text, f" {text}", f"{text} ", text if number < 0 else f"+{text}"])
        return Parameter(type, declared, 0, text.encode())
    declared = rng.choice([0, oid])
    if rng.random() < 0.4:
        if type in ("text", "varchar(6)", "char(3)"):
            return Parameter(type, declared, 1, text.encode())
        if type == "uuid":
            return Parameter(type, declared, 1, uuid.UUID(text).bytes)
        if type == "boolean":
            return Parameter(type, declared, 1, b"\1" if text == "true" else b"\0")
    if type == "uuid":
        text = rng.choice([text, text.upper(), "{" + text + "}", text.replace("-", "")])
    if type == "boolean":
        text = rng.choice([text, text[:1], text.upper(), {"true": "on", "false": "no"}[text]])
    if type == "text" and rng.random() < 0.2:
        declared = rng.choice([1043, 1042, 19, 0])
    return Parameter(type, declared, 0, text.encode())


def used(sql: str, parameters: list[Parameter]) -> tuple[str, list[Parameter]]:
    """The statement with its parameters numbered anew, without those that it does not mention."""
    numbers = sorted({int(number) for number in re.findall(r"\$(\d+)", sql)})
    new = {old: index + 1 for index, old in enumerate(numbers)}
    sql = re.sub(r"\$(\d+)", lambda match: f"${new[int(match[1])]}", sql)
    return sql, [parameters[number - 1] for number in numbers]


def redrawn(rng: random.Random, parameters: list[Parameter]) -> list[Parameter]:
    """Other values for the same declared types, as a driver binds a statement again."""
    fresh = []
    for old in parameters:
        for _ in range(20):
            new = random_parameter(rng, old.type)
            if new.oid == old.oid:
                break
        else:
            new = old
        fresh.append(new)
    return fresh


class Values:
    """Makes values for one statement. Where `parameters` is a list, some become parameters."""

    def __init__(self, rng: random.Random, parameters: list[Parameter] | None):
        self.rng = rng
        self.parameters = parameters

    def parameter(self, type: str) -> str:
        self.parameters.append(random_parameter(self.rng, type))
        return f"${len(self.parameters)}"

    def operand(self, type: str) -> str:
        """To compare with a column of the type."""
        if self.parameters is not None and self.rng.random() < 0.55:
            operand = self.parameter(type)
            return operand if self.rng.random() < 0.8 else f"{operand}::{base_type(type)}"
        if self.rng.random() < 0.15 and type in SPELLINGS:
            return self.rng.choice(SPELLINGS[type])
        return self.rng.choice(VALUES[type])

    def stored(self, type: str) -> str:
        """To store in a column of the type."""
        if self.rng.random() < 0.1:
            return "NULL"
        if self.parameters is not None and self.rng.random() < 0.4:
            return f"{self.parameter(type)}::{base_type(type)}"
        return self.rng.choice(VALUES[type])

    def typed(self, type: str) -> str:
        """A value whose type shows without a context."""
        literal = self.rng.choice(VALUES[type])
        return (
            f"{literal}::{base_type(type)}"
            if literal.startswith("'")
            else f"({literal})::{base_type(type)}"
        )
