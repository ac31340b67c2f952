"""Random SELECTs over a random schema."""

import dataclasses
import random

from fuzz_schema import EXACT, NUMBERS, VALUES, Column, Relation, Schema
from fuzz_values import Values, base_type

Columns = list[tuple[str, str]]


@dataclasses.dataclass
class Select:
    sql: str
    columns: list[Column]
    is_ordered: bool = False


class Queries:
    """Makes SELECTs for one statement; `values` collects its parameters.

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
            kind = self.rng.choice(["JOIN", "JOIN", "INNER JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN",
                                    "CROSS JOIN", "NATURAL JOIN", ",", "USING", "LEFT USING"])
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
            if self.values.parameters is not None and type in ("integer", "text", "bigint") and self.chance(0.4):
                literals = [rng.choice(VALUES[type]) for _ in range(2)]
                return f"{name} = ANY (ARRAY[{', '.join(literals)}, {self.values.parameter(type)}::{type}])"
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

    # SELECT

    def select(
        self, depth: int, outer: Columns = (), wanted: list[str] | None = None, named: bool = False,
    ) -> Select:
        """Without ORDER BY. `wanted` are the types of its columns; `named`: they have names q0, q1 …"""
        if depth > 0 and wanted is None and not outer and self.chance(0.12):
            return self.set_operation(depth, named)
        source, columns = self.source(depth, list(outer))
        where = f" WHERE {self.predicate(depth, [*columns, *outer])}" if self.chance(0.85) else ""
        rest = f" FROM {source}{where}"
        exact = [pair for pair in columns if pair[1] in EXACT]
        form = self.rng.random()
        if wanted is not None:
            chosen = []
            for type in wanted:
                fitting = [name for name, kind in columns if kind == type]
                chosen.append((self.rng.choice(fitting) if fitting else self.values.typed(type), type))
            return self.listed(chosen, rest, named)
        if form < 0.56:
            chosen = self.rng.sample(columns, min(len(columns), self.rng.randint(1, 5)))
            if not named and " JOIN " not in source and self.chance(0.2):
                return Select(f"SELECT *{rest}", [Column(n, t) for n, t in columns])
            return self.listed([*chosen, *self.expressions(columns, depth)], rest, named)
        if form < 0.63 and exact:
            chosen = self.rng.sample(exact, min(len(exact), 2))
            return self.listed(chosen, rest, named, "DISTINCT ")
        if form < 0.78:
            return self.listed([self.aggregate(exact) for _ in range(self.rng.randint(1, 2))], rest, named)
        if form < 0.92 and exact:
            groups = self.rng.sample(exact, min(len(exact), self.rng.randint(1, 2)))
            names = ", ".join(name for name, _ in groups)
            clause = self.rng.choice([names, names, f"GROUPING SETS (({names}), ())", f"ROLLUP ({names})",
                                      f"CUBE ({names})"])
            having = self.rng.choice(["", "", " HAVING count(*) > 1"])
            return self.listed([*groups, self.aggregate(exact)], f"{rest} GROUP BY {clause}{having}", named)
        if exact and len(exact) == len(columns):
            order = ", ".join(name for name, _ in columns)
            window = self.rng.choice([
                (f"row_number() OVER (ORDER BY {order})", "bigint"),
                (f"count(*) OVER (PARTITION BY {exact[0][0]})", "bigint"),
                (f"lag({exact[0][0]}) OVER (ORDER BY {order})", exact[0][1]),
                (f"sum(1) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING)", "bigint"),
            ])
            return self.listed([*exact, window], rest, named)
        return self.listed(columns[:3], rest, named)

    def listed(self, chosen: Columns, rest: str, named: bool, what: str = "") -> Select:
        naming = " AS q{}" if named else ""
        items = ", ".join(name + naming.format(index) for index, (name, _) in enumerate(chosen))
        return Select(f"SELECT {what}{items}{rest}",
                      [Column(f"q{index}", type) for index, (_, type) in enumerate(chosen)])

    def expressions(self, columns: Columns, depth: int) -> Columns:
        if not self.chance(0.25):
            return []
        name, type = self.rng.choice(columns)
        numbers = [n for n, t in columns if t == "integer"]
        options = [
            (f"{name}::text", "text"),
            (f"CASE WHEN {self.comparison(columns)} THEN 'yes' ELSE 'no' END", "text"),
            (f"{name} IS NULL", "boolean"),
        ]
        if type in EXACT:
            options.append((f"coalesce({name}, {self.values.typed(type)})", type))
        if numbers:
            number = self.rng.choice(numbers)
            options += [(f"{number}::bigint * 2", "bigint"), (f"f_add({number} % 100)", "integer")]
        if depth > 0:
            inner = self.select(depth - 1, columns, named=True)
            options.append((f"(SELECT count(*) FROM ({inner.sql}) {self.alias()})", "bigint"))
        return [self.rng.choice(options)]

    def aggregate(self, exact: Columns) -> tuple[str, str]:
        options = [("count(*)", "bigint")]
        for name, type in exact:
            options.append((f"count(DISTINCT {name})", "bigint"))
            if type not in ("boolean", "uuid"):
                options.append((f"max({name})", type))
            options.append((f"string_agg({name}::text, ',' ORDER BY {name}::text)", "text"))
            if type in ("integer", "smallint"):
                options.append((f"sum({name})", "bigint"))
            if type == "boolean":
                options.append((f"bool_or({name}) FILTER (WHERE {name} IS NOT NULL)", "boolean"))
        return self.rng.choice(options)

    def set_operation(self, depth: int, named: bool) -> Select:
        types = [self.rng.choice(["integer", "text", "bigint", "date", "boolean"])
                 for _ in range(self.rng.randint(1, 2))]
        left = self.select(depth - 1, wanted=types, named=named)
        right = self.select(depth - 1, wanted=types)
        operator = self.rng.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"])
        return Select(f"({left.sql}) {operator} ({right.sql})" if self.chance(0.5)
                      else f"{left.sql} {operator} {right.sql}", left.columns)

    # Statements

    def keyed(self) -> Select:
        """A read of one table by key, or of what is joined with it: what applications mostly ask."""
        relation = self.schema.any_relation()
        name = self.name(relation)
        by = relation.key or relation.unique or [self.rng.choice(relation.columns).name]
        if self.chance(0.2):
            by = [self.rng.choice(relation.columns).name]
        conditions = [
            f"x.{column} = {self.values.operand(relation.column(column).type)}" if self.chance(0.75) else
            f"x.{column} IN ({self.values.operand(relation.column(column).type)},"
            f" {self.values.operand(relation.column(column).type)})"
            for column in by
        ]
        where = " AND ".join(conditions)
        columns = [Column(c.name, c.type) for c in relation.columns]
        form = self.rng.random()
        if form < 0.55:
            return Select(f"SELECT * FROM {name} x WHERE {where}", columns)
        if form < 0.65:
            return Select(f"SELECT * FROM (SELECT * FROM {name}) x WHERE {where}", columns)
        if form < 0.75:
            return Select(f"WITH x AS (SELECT * FROM {name}) SELECT count(*) FROM x WHERE {where}",
                          [Column("count", "bigint")])
        other = self.rng.choice(self.schema.relations)
        key = relation.column(by[0])
        same = [c.name for c in other.columns if c.type == key.type]
        if not same:
            return Select(f"SELECT count(*) FROM {name} x WHERE {where}", [Column("count", "bigint")])
        join = self.rng.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        chosen = other.columns[:3]
        items = ", ".join(["x." + by[0], *[f"y.{c.name}" for c in chosen]])
        return Select(f"SELECT {items} FROM {name} x {join} {self.name(other)} y"
                      f" ON y.{self.rng.choice(same)} = x.{by[0]} WHERE {where}",
                      [key, *[Column(c.name, c.type) for c in chosen]])

    def statement(self) -> Select:
        """A whole SELECT, with WITH, ORDER BY and LIMIT now and then."""
        if self.chance(0.4):
            result = self.keyed()
        else:
            prefix = self.with_clause()
            result = self.select(self.rng.choice([0, 1, 1, 2]))
            result.sql = prefix + result.sql
        # A column that is added later comes out of `*` too: then the order below is not total.
        stars = "*" in result.sql.replace("count(*)", "").partition(" FROM ")[0]
        exact = all(column.type in EXACT for column in result.columns)
        if exact and not stars and self.chance(0.5):
            order = ", ".join(f"{index + 1}{self.rng.choice(['', '', ' DESC'])}"
                              for index in range(len(result.columns)))
            result.sql += f" ORDER BY {order}"
            result.is_ordered = True
            if self.chance(0.3):
                result.sql += f" LIMIT {self.rng.randint(0, 3)} OFFSET {self.rng.randint(0, 2)}"
        return result

    def with_clause(self) -> str:
        if not self.chance(0.2):
            return ""
        if self.chance(0.25):
            self.common.append(("n", [Column("i", "integer")]))
            return "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4) "
        name = self.rng.choice(["c", "c", self.rng.choice(self.schema.relations).name])
        inner = self.select(1, named=True)
        self.common.append((name, inner.columns))
        how = self.rng.choice(["", "", " MATERIALIZED", " NOT MATERIALIZED"])
        return f"WITH {name} AS{how} ({inner.sql}) "
