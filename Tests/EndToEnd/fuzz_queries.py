"""Random SELECTs over a random schema."""

from fuzz_sources import Columns, Select, Sources
from fuzz_types import EXACT, Column


class Queries(Sources):
    """Makes SELECTs for one statement."""

    def select(
        self, depth: int, outer: Columns = (), wanted: list[str] | None = None, named: bool = False,
    ) -> Select:
        """Without ORDER BY. `wanted` are the types of its columns; `named`: they are q0, q1 …"""
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
                chosen.append(
                    (self.rng.choice(fitting) if fitting else self.values.typed(type), type)
                )
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
            return self.listed(
                [self.aggregate(exact) for _ in range(self.rng.randint(1, 2))], rest, named
            )
        if form < 0.92 and exact:
            groups = self.rng.sample(exact, min(len(exact), self.rng.randint(1, 2)))
            names = ", ".join(name for name, _ in groups)
            clause = self.rng.choice(
                [
                    names,
                    names,
                    f"GROUPING SETS (({names}), ())",
                    f"ROLLUP ({names})",
                    f"CUBE ({names})",
                ]
            )
            having = self.rng.choice(["", "", " HAVING count(*) > 1"])
            return self.listed(
                [*groups, self.aggregate(exact)], f"{rest} GROUP BY {clause}{having}", named
            )
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
        """A read of one table by key, or of what is joined with it, as applications mostly ask."""
        relation = self.schema.any_relation()
        name = self.name(relation)
        by = relation.key or relation.unique or [self.rng.choice(relation.columns).name]
        if self.chance(0.2):
            by = [self.rng.choice(relation.columns).name]
        conditions = [
            (
                f"x.{column} = {self.values.operand(relation.column(column).type)}"
                if self.chance(0.75)
                else f"x.{column} IN ({self.values.operand(relation.column(column).type)},"
                f" {self.values.operand(relation.column(column).type)})"
            )
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
            return Select(
                f"SELECT count(*) FROM {name} x WHERE {where}", [Column("count", "bigint")]
            )
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
