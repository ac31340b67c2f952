"""Random tables of every kind, with their rows and the references between them."""

import random

from fuzz_types import ACTIONS, COMMON, EXACT, ODD, VALUES, Column, Relation


class Tables:
    """`statements` makes them, in order."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.statements: list[str] = [
            "CREATE SCHEMA s1", "CREATE SCHEMA s2",
            "CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy')",
            "CREATE DOMAIN public.small AS integer CHECK (VALUE BETWEEN -100 AND 1000)",
            "CREATE COLLATION public.folded"
            " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        ]
        self.relations: list[Relation] = []
        self.references: list[str] = []
        # Who refers to whom: parent, child, the child's column.
        self.foreign_keys: list[tuple[Relation, Relation, str]] = []
        for index in range(rng.randint(3, 5)):
            self.add_table(index)
        if rng.random() < 0.75:
            self.add_partitioned()
        if rng.random() < 0.6:
            self.add_inheritance()
        if rng.random() < 0.6:
            self.add_twins()
        self.add_foreign_keys()
        if rng.random() < 0.6:
            self.add_keyed_child()
        self.fill()
        self.hot = rng.sample(self.tables(), min(2, len(self.tables())))

    # Relations

    def tables(self, *kinds: str) -> list[Relation]:
        wanted = kinds or ("table", "partitioned", "partition", "parent", "child")
        return [relation for relation in self.relations if relation.kind in wanted]

    def any_relation(self) -> Relation:
        """Most of what happens, happens to few tables: only then do reads and writes meet."""
        if self.rng.random() < 0.5:
            return self.rng.choice(self.hot)
        return self.rng.choice(self.relations)

    def random_columns(self, odd: float) -> list[Column]:
        rng = self.rng
        names = rng.sample(["a", "b", "c", "d", "e", '"Id"', '"x y"'], rng.randint(2, 4))
        return [
            Column(name, rng.choice(ODD) if rng.random() < odd else rng.choice(COMMON))
            for name in names
        ]

    def create(self, relation: Relation, extra: list[str] = (), tail: str = "") -> None:
        parts = [
            f"{column.name} {column.type}" + (" NOT NULL" if column.not_null else "")
            for column in relation.columns if not column.generated
        ]
        if relation.key:
            parts.append(f"PRIMARY KEY ({', '.join(relation.key)})")
        if relation.unique:
            parts.append(f"UNIQUE ({', '.join(relation.unique)})")
        generated = [column for column in relation.columns if column.generated]
        parts += [f"{c.name} {c.type} GENERATED ALWAYS AS (id * 2 + 1) STORED" for c in generated]
        self.statements.append(
            f"CREATE TABLE {relation.qualified} ({', '.join([*parts, *extra])}){tail}"
        )
        self.relations.append(relation)

    def add_table(self, index: int) -> None:
        rng = self.rng
        relation = Relation(
            rng.choice(["public", "public", "s1", "s2"]), f"t{index}", "table",
            self.random_columns(rng.choice([0, 0, 0.4])),
        )
        key_type = rng.choice(["integer", "integer", "bigint", "text", "uuid", "date", "smallint"])
        if rng.random() < 0.25:
            relation.columns[:0] = [
                Column("id", "integer"),
                Column("k", rng.choice(["text", "integer"])),
            ]
            relation.key = ["id", "k"] if rng.random() < 0.5 else ["k", "id"]
        elif rng.random() < 0.9:
            relation.columns.insert(0, Column("id", key_type))
            relation.key = ["id"]
        else:
            relation.columns.insert(0, Column("id", "integer"))
        if (
            rng.random() < 0.3
            and relation.columns[0].type == "integer"
            and relation.key[:1] == ["id"]
        ):
            relation.columns.append(Column("g", "integer", generated=True))
        plain = [column.name for column in relation.columns if column.type in EXACT
                 and column.name not in relation.key and not column.generated]
        if plain and rng.random() < 0.3:
            relation.unique = [rng.choice(plain)]
        self.create(relation)

    def add_partitioned(self) -> None:
        rng = self.rng
        how = rng.choice(["RANGE", "LIST", "HASH"])
        columns = [Column("id", "integer"), *self.random_columns(0)]
        parent = Relation("public", "p", "partitioned", columns, ["id"])
        self.create(parent, tail=f" PARTITION BY {how} (id)")
        bounds = {
            "RANGE": ["FROM (MINVALUE) TO (2)", "FROM (2) TO (5)", "DEFAULT"],
            "LIST": ["IN (0, 1, 2)", "IN (3, 4)", "DEFAULT"],
            "HASH": [f"WITH (MODULUS 3, REMAINDER {r})" for r in range(3)],
        }[how]
        for index, bound in enumerate(bounds):
            clause = bound if bound == "DEFAULT" else f"FOR VALUES {bound}"
            below = rng.random() < 0.3
            name = f"p{index}"
            schema = rng.choice(["public", "s1"])
            self.statements.append(
                f"CREATE TABLE {schema}.{name} PARTITION OF public.p {clause}"
                + (" PARTITION BY HASH (id)" if below else "")
            )
            self.relations.append(Relation(schema, name, "partition", columns, ["id"]))
            for remainder in range(2 if below else 0):
                self.statements.append(
                    f"CREATE TABLE {schema}.{name}_{remainder} PARTITION OF {schema}.{name}"
                    f" FOR VALUES WITH (MODULUS 2, REMAINDER {remainder})"
                )
                self.relations.append(
                    Relation(schema, f"{name}_{remainder}", "partition", columns, ["id"])
                )

    def add_inheritance(self) -> None:
        rng = self.rng
        parent = Relation(
            "public", "h", "parent", [Column("id", "integer"), *self.random_columns(0)]
        )
        self.create(parent)
        for name in ["h1", "h2"][: rng.randint(1, 2)]:
            extra = [Column("own", "integer")] if rng.random() < 0.5 else []
            child = Relation("public", name, "child", [*parent.columns, *extra])
            columns = ", ".join(f"{column.name} {column.type}" for column in extra)
            above = "public.h" if name == "h1" or rng.random() < 0.5 else "public.h1"
            if above == "public.h1":
                h1 = next(r for r in self.relations if r.name == "h1")
                child.columns = [*h1.columns, *[c for c in extra if c not in h1.columns]]
                columns = ", ".join(f"{c.name} {c.type}" for c in extra if c not in h1.columns)
            self.statements.append(f"CREATE TABLE public.{name} ({columns}) INHERITS ({above})")
            self.relations.append(child)

    def add_twins(self) -> None:
        """The same name in two schemas: search_path decides."""
        for schema in ("s1", "s2"):
            columns = [Column("id", "integer"), Column("a", "text"), Column("b", "integer")]
            self.create(Relation(schema, "twin", "table", columns, ["id"]))

    def add_foreign_keys(self) -> None:
        rng = self.rng
        parents = [r for r in self.tables("table", "partitioned") if len(r.key) == 1]
        for number in range(rng.randint(1, 4)):
            if not parents:
                return
            parent = rng.choice(parents)
            child = rng.choice(self.tables("table", "partitioned"))
            column = Column(f"fk{number}", parent.column(parent.key[0]).type)
            child.columns.append(column)
            for relation in self.relations:
                if child.kind == "partitioned" and relation.kind == "partition":
                    if relation.columns is not child.columns:
                        relation.columns.append(column)
            self.foreign_keys.append((parent, child, column.name))
            self.references.append(
                f"UPDATE {child.qualified} SET {column.name} ="
                f" (SELECT {rng.choice(['max', 'min'])}({parent.key[0]}::text)::{column.type}"
                f" FROM {parent.qualified}) WHERE {child.columns[0].name} IS NOT NULL")
            self.statements.append(
                f"ALTER TABLE {child.qualified} ADD COLUMN {column.name} {column.type}"
                f" REFERENCES {parent.qualified} ON DELETE {rng.choice(ACTIONS)}"
                f" ON UPDATE {rng.choice(ACTIONS)}"
                + rng.choice(["", "", " DEFERRABLE INITIALLY DEFERRED"])
            )

    def add_keyed_child(self) -> None:
        """A child whose key, or a part of it, is its parent's: cascades move keys."""
        rng = self.rng
        parents = [r for r in self.tables("table", "partitioned") if len(r.key) == 1]
        if not parents:
            return
        parent = rng.choice(parents)
        id = Column("id", parent.column(parent.key[0]).type)
        columns = [id, Column("n", "integer"), Column("a", rng.choice(["text", "integer"]))]
        key = rng.choice([["id"], ["id", "n"], ["n", "id"]])
        child = Relation("public", "kc", "table", columns, key)
        self.create(child, [
            f"FOREIGN KEY (id) REFERENCES {parent.qualified} ON DELETE CASCADE"
            f" ON UPDATE {rng.choice(['CASCADE', 'CASCADE', 'CASCADE', 'NO ACTION'])}"])
        self.foreign_keys += [(parent, child, "id")] * 2
        self.references.append(
            f"INSERT INTO public.kc SELECT {parent.key[0]}, 1, NULL FROM {parent.qualified}")

    def fill(self) -> None:
        """Rows; those that keys refuse are left out (`ON CONFLICT`, references by SELECT)."""
        rng = self.rng
        for relation in self.tables("table", "partitioned", "parent", "child"):
            columns = [
                c for c in relation.columns if not c.generated and not c.name.startswith("fk")
            ]
            rows = ", ".join(
                "(" + ", ".join(self.value(c, c.name in relation.key) for c in columns) + ")"
                for _ in range(rng.randint(4, 9))
            )
            self.statements.append(
                f"INSERT INTO {relation.qualified} ({', '.join(c.name for c in columns)})"
                f" VALUES {rows} ON CONFLICT DO NOTHING"
            )
        self.statements += self.references

    def value(self, column: Column, required: bool = False) -> str:
        if not required and not column.not_null and self.rng.random() < 0.12:
            return "NULL"
        return self.rng.choice(VALUES[column.type])
