"""What random SELECTs read, and on which conditions."""

import dataclasses
import random

from fuzz_schema import Schema
from fuzz_types import EXACT, NUMBERS, VALUES, Column, Relation
from fuzz_values import Values, base_type

Columns = list[tuple[str, str]]


@dataclasses.dataclass
class Select:
    sql: str
    columns: list[Column]
    is_ordered: bool = False


class Sources:
    """Makes FROM and WHERE for one statement; `values` collects its parameters.

    Its subclass makes the subqueries, by `select`.

    Whatever the server could answer differently each time (which of several equal values DISTINCT
    keeps, order among equals, sums of floating-point numbers) is left out.
    """

    def __init__(self, rng: random.Random, schema: Schema, values: Values):
        self.rng = rng
        self.schema = schema
        self.values = values
        self.aliases = 0
        self.common: list[tuple[str, list[Column]]] = []

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def alias(self) -> str:
        self.aliases += 1
        return f"r{self.aliases}"

    # FROM

    def name(self, relation: Relation) -> str:
        rng = self.rng
        name = relation.qualified if self.chance(0.65) else relation.name
        if relation.kind in ("parent", "partitioned", "child") and self.chance(0.25):
            return rng.choice([f"ONLY {name}", f"{name} *"])
        return name

    def relation(self) -> tuple[str, Columns]:
        relation = self.schema.any_relation()
        alias = self.alias()
        columns = [(column.name, column.type) for column in relation.columns]
        if self.chance(0.1):
            renamed = [f"n{index}" for index in range(len(columns))]
            columns = [(new, type) for new, (_, type) in zip(renamed, columns)]
            return (f"{self.name(relation)} AS {alias}({', '.join(renamed)})",
                    [(f"{alias}.{name}", type) for name, type in columns])
        return (f"{self.name(relation)} {self.rng.choice(['AS ', ''])}{alias}",
                [(f"{alias}.{name}", type) for name, type in columns])

    def item(self, depth: int, outer: Columns) -> tuple[str, Columns]:
        roll = self.rng.random()
        if self.common and roll < 0.4:
            name, columns = self.rng.choice(self.common)
            alias = self.alias()
            return f"{name} {alias}", [(f"{alias}.{c.name}", c.type) for c in columns]
        if depth > 0 and roll < 0.6 and self.chance(0.45):
            lateral = bool(outer) and self.chance(0.4)
            inner = self.select(depth - 1, outer if lateral else [], named=True)
            alias = self.alias()
            return (f"{'LATERAL ' if lateral else ''}({inner.sql}) {alias}",
                    [(f"{alias}.{c.name}", c.type) for c in inner.columns])
        if roll > 0.96:
            alias = self.alias()
            rows = ", ".join(f"({self.values.typed('integer')}, {self.values.typed('text')})"
                             for _ in range(2))
            return (f"(VALUES {rows}) AS {alias}(i, t)",
                    [(f"{alias}.i", "integer"), (f"{alias}.t", "text")])
        return self.relation()

    def source(self, depth: int, outer: Columns) -> tuple[str, Columns]:
        sql, columns = self.item(depth, outer)
        while self.chance(0.33) and self.aliases < 5:
            lateral_scope = [*outer, *columns]
            right, more = self.item(depth, lateral_scope)
            kind = self.rng.choice(
                [
                    "JOIN",
                    "JOIN",
                    "INNER JOIN",
                    "LEFT JOIN",
                    "RIGHT JOIN",
                    "FULL JOIN",
                    "CROSS JOIN",
                    "NATURAL JOIN",
                    ",",
                    "USING",
                    "LEFT USING",
                ]
            )
            if right.startswith("LATERAL") and kind not in ("JOIN", "LEFT JOIN", "CROSS JOIN", ","):
                kind = "LEFT JOIN"
            if kind in (",", "CROSS JOIN", "NATURAL JOIN"):
                separator = "," if kind == "," else f" {kind}"
                if kind == "," and " JOIN " in sql:
                    separator = " CROSS JOIN"
                sql = f"{sql}{separator} {right}"
            elif kind.endswith("USING"):
                left_names = {name.partition(".")[2]: type for name, type in columns}
                both = [name.partition(".")[2] for name, type in more
                        if left_names.get(name.partition(".")[2]) == type]
                counts = [n.partition(".")[2] for n, _ in columns]
                both = [name for name in both if counts.count(name) == 1]
                join = kind.replace("USING", "JOIN")
                if both:
                    chosen = self.rng.sample(both, 1 if self.chance(0.7) else len(both))
                    sql = f"{sql} {join} {right} USING ({', '.join(chosen)})"
                else:
                    sql = f"{sql} {join} {right} ON {self.join_condition(columns, more)}"
            else:
                sql = f"{sql} {kind} {right} ON {self.join_condition(columns, more)}"
            columns = [*columns, *more]
        return sql, columns

    def join_condition(self, left: Columns, right: Columns) -> str:
        pairs = [(a, b) for a, x in left for b, y in right if x == y]
        if not pairs:
            pairs = [(a, b) for a, x in left for b, y in right if x in NUMBERS and y in NUMBERS]
        if not pairs:
            return "true" if self.chance(0.7) else "1 = 1"
        condition = " = ".join(self.rng.choice(pairs))
        if self.chance(0.2):
            condition += f" AND {self.comparison([*left, *right])}"
        return condition

    # WHERE

    def comparison(self, columns: Columns) -> str:
        rng = self.rng
        first = [pair for pair in columns if pair[0].endswith((".id", ".k"))]
        name, type = rng.choice(first) if first and self.chance(0.5) else rng.choice(columns)
        operand = lambda: self.values.operand(type)  # noqa: E731
        roll = rng.random()
        if roll < 0.36:
            return f"{name} = {operand()}"
        if roll < 0.42:
            return f"{operand()} = {name}"
        if roll < 0.52:
            return f"{name} IN ({', '.join(operand() for _ in range(rng.randint(1, 3)))})"
        if roll < 0.58:
            if (
                self.values.parameters is not None
                and type in ("integer", "text", "bigint")
                and self.chance(0.4)
            ):
                literals = [rng.choice(VALUES[type]) for _ in range(2)]
                bound = f"{self.values.parameter(type)}::{type}"
                return f"{name} = ANY (ARRAY[{', '.join(literals)}, {bound}])"
            literals = ", ".join(rng.choice(VALUES[type]) for _ in range(rng.randint(1, 3)))
            return f"{name} = ANY (ARRAY[{literals}]::{base_type(type)}[])"
        if roll < 0.65 and len(columns) > 1:
            pairs = rng.sample(columns, 2)
            row = lambda: f"({', '.join(self.values.operand(t) for _, t in pairs)})"  # noqa: E731
            left = f"({', '.join(n for n, _ in pairs)})"
            return f"{left} = {row()}" if self.chance(0.5) else f"{left} IN ({row()}, {row()})"
        if roll < 0.71:
            return f"{name} IS {rng.choice(['NULL', 'NOT NULL'])}"
        if roll < 0.75:
            return f"{name} IS NOT DISTINCT FROM {operand()}"
        if roll < 0.79:
            return f"{name}::text = {rng.choice(VALUES['text'])}"
        if roll < 0.83:
            return f"coalesce({name}, {self.values.typed(type)}) = {operand()}"
        if roll < 0.86 and type in NUMBERS:
            return f"{name} + 1 = {operand()}"
        if roll < 0.93 and type in EXACT and type != "boolean":
            return f"{name} {rng.choice(['<', '>', '<=', '>=', '<>'])} {operand()}"
        same = [other for other, kind in columns if kind == type and other != name]
        if same:
            return f"{name} = {rng.choice(same)}"
        return f"{name} BETWEEN {operand()} AND {operand()}"

    def predicate(self, depth: int, columns: Columns) -> str:
        rng = self.rng
        roll = rng.random()
        if roll < 0.55 or depth <= 0 and roll > 0.8:
            return self.comparison(columns)
        if roll < 0.68:
            return f"{self.predicate(depth, columns)} AND {self.predicate(depth, columns)}"
        if roll < 0.77:
            return f"({self.predicate(depth, columns)} OR {self.predicate(depth, columns)})"
        if roll < 0.8:
            return f"NOT ({self.predicate(depth, columns)})"
        name, type = rng.choice(columns)
        if roll < 0.88:
            inner = self.select(depth - 1, columns, named=True)
            return f"{rng.choice(['', 'NOT '])}EXISTS ({inner.sql})"
        if roll < 0.96:
            inner = self.select(depth - 1, columns if self.chance(0.3) else [], wanted=[type])
            return f"{name} {rng.choice(['IN', '= ANY', 'NOT IN'])} ({inner.sql})"
        if type not in EXACT or type in ("boolean", "uuid"):
            return f"{name} = {self.values.operand(type)}"
        inner = self.select(depth - 1, [], wanted=[type], named=True)
        return f"{name} = (SELECT max({inner.columns[0].name}) FROM ({inner.sql}) {self.alias()})"
