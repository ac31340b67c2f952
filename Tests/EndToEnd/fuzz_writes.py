"""Random INSERT, UPDATE, DELETE and MERGE."""

import random

from fuzz_queries import Queries
from fuzz_schema import Schema
from fuzz_types import NUMBERS, VALUES, Column, Relation
from fuzz_values import Values


class Writes:
    """Makes one statement that may write; `values` collects its parameters."""

    def __init__(self, rng: random.Random, schema: Schema, values: Values):
        self.rng = rng
        self.schema = schema
        self.values = values
        self.queries = Queries(rng, schema, values)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def target(self) -> Relation:
        rng = self.rng
        if self.chance(0.12):
            views = [r for r in self.schema.relations if r.kind == "view" and r.writable]
            if views:
                return rng.choice(views)
        return rng.choice(self.schema.hot if self.chance(0.5) else self.schema.tables())

    def name(self, relation: Relation) -> str:
        return relation.qualified if self.chance(0.75) else relation.name

    def settable(self, relation: Relation) -> list[Column]:
        return [column for column in relation.columns if not column.generated]

    # INSERT, UPDATE, DELETE

    def statement(self) -> str:
        make = self.rng.choices(
            [self.insert, self.update, self.delete, self.merge, self.with_write, self.conflict,
             self.move, self.cascade],
            [26, 30, 10, 5, 6, 10, 12, 14],
        )[0]
        return make()

    def returning(self, relation: Relation, alias: str = "") -> str:
        if not self.chance(0.25):
            return ""
        return " RETURNING " + self.rng.choice(
            ["*", ", ".join((alias + c.name) for c in relation.columns[:2])]) if not alias else \
            f" RETURNING {alias}{relation.columns[0].name}"

    def row(self, columns: list[Column], relation: Relation) -> str:
        return (
            "("
            + ", ".join(
                (
                    self.rng.choice(VALUES[c.type])
                    if c.name in relation.key and self.chance(0.7)
                    else (
                        self.rng.choice(
                            [self.values.stored(c.type), self.values.stored(c.type), "DEFAULT"]
                        )
                        if self.chance(0.3)
                        else self.values.stored(c.type)
                    )
                )
                for c in columns
            )
            + ")"
        )

    def insert(self, conflict: str = "") -> str:
        relation = self.target()
        columns = self.settable(relation)
        if self.chance(0.25):
            columns = [c for c in columns if c.name in relation.key or self.chance(0.6)] or columns
        listing = f" ({', '.join(c.name for c in columns)})"
        if self.chance(0.15):
            same = self.queries.select(1, wanted=[c.type for c in columns])
            return f"INSERT INTO {self.name(relation)}{listing} {same.sql}"
        rows = ", ".join(
            self.row(columns, relation) for _ in range(self.rng.choice([1, 1, 1, 2, 3]))
        )
        tail = f"{conflict}{self.returning(relation)}"
        return f"INSERT INTO {self.name(relation)}{listing} VALUES {rows}{tail}"

    def conflict(self) -> str:
        relation = self.rng.choice(
            [r for r in self.schema.tables() if r.key] or self.schema.tables()
        )
        columns = self.settable(relation)
        rows = ", ".join(self.row(columns, relation) for _ in range(self.rng.choice([1, 1, 2])))
        listing = ", ".join(c.name for c in columns)
        head = f"INSERT INTO {relation.qualified} ({listing}) VALUES {rows} ON CONFLICT"
        if not relation.key or self.chance(0.3):
            return head + " DO NOTHING" + self.returning(relation)
        keys = relation.unique if relation.unique and self.chance(0.3) else relation.key
        column = self.rng.choice(columns)
        value = self.rng.choice([f"excluded.{column.name}", self.values.stored(column.type)])
        where = self.rng.choice(["", "", f" WHERE {relation.name}.{column.name} IS NOT NULL"])
        return f"{head} ({', '.join(keys)}) DO UPDATE SET {column.name} = {value}{where}" + \
            self.returning(relation)

    def where(self, relation: Relation, alias: str) -> str:
        rng = self.rng
        columns = [(f"{alias}.{c.name}", c.type) for c in relation.columns]
        if relation.key and self.chance(0.55):
            return " WHERE " + " AND ".join(
                f"{alias}.{name} = {self.values.operand(relation.column(name).type)}"
                if self.chance(0.8) else
                f"{alias}.{name} IN ({self.values.operand(relation.column(name).type)},"
                f" {self.values.operand(relation.column(name).type)})"
                for name in relation.key)
        if self.chance(0.04):
            return ""
        return f" WHERE {self.queries.predicate(rng.choice([0, 0, 1]), columns)}"

    def assignment(self, relation: Relation) -> str:
        rng = self.rng
        columns = self.settable(relation)
        others = [c for c in columns if c.name not in relation.key]
        keys = [c for c in columns if c.name in relation.key]
        if len(others) > 1 and self.chance(0.15):
            pair = rng.sample(others, 2)
            names = ", ".join(c.name for c in pair)
            if self.chance(0.5):
                return f"({names}) = ({', '.join(self.values.stored(c.type) for c in pair)})"
            return f"({names}) = (SELECT {', '.join(self.values.typed(c.type) for c in pair)})"
        column = rng.choice(keys) if keys and self.chance(0.25) else rng.choice(others or columns)
        if column.type in NUMBERS and self.chance(0.3):
            return f"{column.name} = {column.name} % 1000 + {rng.choice([1, 2, -1])}"
        text = f"{column.name} = {self.values.stored(column.type)}"
        if self.chance(0.2):
            other = rng.choice([c for c in columns if c is not column] or [column])
            if other is not column:
                text += f", {other.name} = {self.values.stored(other.type)}"
        return text

    def update(self) -> str:
        relation = self.target()
        name = self.name(relation)
        if relation.kind in ("parent", "partitioned") and self.chance(0.15):
            name = f"ONLY {name}"
        head = f"UPDATE {name} AS x SET {self.assignment(relation)}"
        if self.chance(0.15):
            other, columns = self.queries.relation()
            key = relation.columns[0]
            same = [n for n, t in columns if t == key.type]
            if same:
                return f"{head} FROM {other} WHERE x.{key.name} = {self.rng.choice(same)}" + (
                    f" AND {self.queries.comparison(columns)}" if self.chance(0.5) else "")
        return head + self.where(relation, "x") + self.returning(relation, "x.")

    def move(self) -> str:
        """One row gets another key, by values alone."""
        keyed = [r for r in self.schema.hot if r.key] or [r for r in self.schema.tables() if r.key]
        if not keyed:
            return self.update()
        relation = self.rng.choice(keyed)
        key = relation.column(self.rng.choice(relation.key))
        old, new = self.values.operand(key.type), self.rng.choice(VALUES[key.type])
        return f"UPDATE {self.name(relation)} SET {key.name} = {new} WHERE {key.name} = {old}"

    def cascade(self) -> str:
        """Takes away a row that others refer to, or its key."""
        if not self.schema.foreign_keys:
            return self.move()
        parent, child, column = self.rng.choice(self.schema.foreign_keys)
        key = parent.column(parent.key[0])
        where = self.rng.choice([
            f"IN (SELECT {column} FROM {child.qualified})", f"= {self.values.operand(key.type)}"])
        if self.chance(0.5):
            return f"DELETE FROM {parent.qualified} WHERE {key.name} {where}"
        new = self.rng.choice(VALUES[key.type])
        return f"UPDATE {parent.qualified} SET {key.name} = {new} WHERE {key.name} {where}"

    def delete(self) -> str:
        relation = self.target()
        if self.chance(0.2):
            other, columns = self.queries.relation()
            key = relation.columns[0]
            same = [n for n, t in columns if t == key.type]
            if same:
                return (
                    f"DELETE FROM {self.name(relation)} AS x USING {other} WHERE"
                    f" x.{key.name} = {self.rng.choice(same)}"
                    f" AND {self.queries.comparison(columns)}"
                )
        where = self.where(relation, "x") or " WHERE false"
        return f"DELETE FROM {self.name(relation)} AS x{where}{self.returning(relation, 'x.')}"

    def merge(self) -> str:
        relation = self.rng.choice([r for r in self.schema.tables("table", "partitioned") if r.key]
                                   or self.schema.tables("table"))
        key = relation.columns[0]
        columns = self.settable(relation)
        inserted = ", ".join("s.k" if c is key else self.values.stored(c.type) for c in columns)
        keys = ", ".join(f"({self.values.typed(key.type)})" for _ in range(1))
        clauses = [
            self.rng.choice(
                [
                    f"WHEN MATCHED THEN UPDATE SET {self.assignment(relation)}",
                    "WHEN MATCHED THEN DELETE",
                    "WHEN MATCHED THEN DO NOTHING",
                ]
            ),
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(c.name for c in columns)})"
            f" VALUES ({inserted})",
        ]
        self.rng.shuffle(clauses)
        return (
            f"MERGE INTO {relation.qualified} x USING (VALUES {keys}) s(k) ON x.{key.name} = s.k "
            + " ".join(clauses[: self.rng.randint(1, 2)])
        )

    def with_write(self) -> str:
        first, second = self.rng.choice([self.update, self.delete, self.insert])(), self.target()
        if "RETURNING" not in first and first.startswith("INSERT"):
            first += " RETURNING 1 AS one"
        elif "RETURNING" not in first:
            first += " RETURNING x.*"
        tail = self.rng.choice(
            [
                "SELECT count(*) FROM w",
                f"SELECT count(*) FROM {second.qualified}",
                f"DELETE FROM {second.qualified} WHERE {second.columns[0].name} ="
                f" {self.values.operand(second.columns[0].type)}",
            ]
        )
        return f"WITH w AS ({first}) {tail}"
