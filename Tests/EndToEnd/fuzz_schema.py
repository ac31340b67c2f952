"""Random schemas for differential fuzzing: what there is, and the statements that make it."""

import dataclasses
import random

# Literals by type. They are few, so that keys meet; the odd spellings of equal values are there
# because a cache that narrows its dependencies by value must not tell them apart, or together,
# where the server does not.
VALUES: dict[str, list[str]] = {
    "integer": ["0", "1", "2", "3", "4", "5", "6", "-1", "-7", "2147483647"],
    "bigint": ["0", "1", "2", "3", "4", "5", "-1", "9007199254740993", "-9223372036854775807"],
    "smallint": ["0", "1", "2", "3", "-1", "32767"],
    "text": ["'a'", "'b'", "'A'", "''", "'a '", "'it''s'", "'é'", "'null'", "'1'", "E'x\\ny'"],
    "varchar(6)": ["'a'", "'b'", "'B'", "''", "'a '", "'1'"],
    "char(3)": ["'a'", "'b'", "'a  '", "''"],
    "boolean": ["true", "false"],
    "date": ["'2020-01-01'", "'2020-02-29'", "'1999-12-31'", "'2020-03-02'"],
    "uuid": ["'00000000-0000-0000-0000-000000000001'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "numeric": ["0", "1", "1.0", "2.50", "-0.5", "100"],
    "timestamptz": ["'2020-01-01 00:00+00'", "'2020-07-01 12:30+02'", "'1999-12-31 23:59:59-05'"],
    "jsonb": ["'{\"a\": 1}'", "'[1, 2]'", "'null'", "'\"x\"'"],
    "double precision": ["'0'", "'-0'", "'1.5'", "'NaN'"],
    "mood": ["'sad'", "'ok'", "'happy'"],
    "small": ["0", "1", "2", "3"],
    "text COLLATE folded": ["'a'", "'A'", "'b'", "'B'"],
}

# Other spellings of values, for comparisons: the literal, then what it equals.
SPELLINGS: dict[str, list[str]] = {
    "integer": ["' 1'", "'2 '", "+3", "1.0", "2::bigint", "'4'::integer", "-(1)", "'-1'", "3::numeric",
                "1::smallint", "2e0", "1.5", "NULL"],
    "bigint": ["'1'", "2::integer", "3.0", "'0004'", "9007199254740992.0::double precision", "NULL"],
    "smallint": ["'1'", "2::bigint", "1.0", "100000", "NULL"],
    "text": ["'a'::text", "'b'::varchar", "'a '::char(2)", "'A'::name", "'a' || ''", "NULL"],
    "varchar(6)": ["'a'::text", "'b'::varchar(1)", "'a '::char(3)", "NULL"],
    "char(3)": ["'a'::text", "'a '::text", "'b'::char(5)"],
    "boolean": ["'t'", "'no'", "1::boolean", "NOT false", "'on'"],
    "date": ["'Jan 1, 2020'", "date '2020-02-29'", "'20191231'::date + 1", "'2020-01-01'::timestamp",
             "'03/02/2020'"],
    "uuid": ["'{00000000-0000-0000-0000-000000000001}'", "'A0EEBC999C0B4EF8BB6D6BB9BD380A11'"],
    "numeric": ["1.00", "'1'", "2.5", "1::integer"],
    "timestamptz": ["'2020-01-01 02:00+02'", "'2020-01-01'", "'2020-01-01'::date"],
    "small": ["1::integer", "'2'"],
}

# Types whose equal values all print alike: sorting, grouping and LIMIT by them is deterministic.
EXACT = {"integer", "bigint", "smallint", "text", "varchar(6)", "boolean", "date", "uuid", "small",
         "timestamptz"}
NUMBERS = {"integer", "bigint", "smallint", "small"}
COMMON = ["integer", "integer", "integer", "bigint", "text", "text", "varchar(6)", "boolean", "date",
          "uuid", "smallint"]
ODD = ["numeric", "timestamptz", "jsonb", "double precision", "char(3)", "mood", "small",
       "text COLLATE folded"]
ACTIONS = ["CASCADE", "CASCADE", "CASCADE", "SET NULL", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"]


@dataclasses.dataclass
class Column:
    name: str
    type: str
    generated: bool = False
    not_null: bool = False


@dataclasses.dataclass
class Relation:
    """`key` is unique and not null; `kind` is table, partitioned, partition, child, view or matview."""

    schema: str
    name: str
    kind: str
    columns: list[Column]
    key: list[str] = dataclasses.field(default_factory=list)
    unique: list[str] = dataclasses.field(default_factory=list)
    writable: bool = True

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


class Schema:
    """`statements` makes it, in order; roles (`roles`, by prefix) exist before and own nothing."""

    def __init__(self, rng: random.Random, roles: list[str]):
        self.rng = rng
        self.roles = roles
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
        self.functions: list[str] = []
        self.writers: list[str] = []
        self.procedures: list[str] = []
        for index in range(rng.randint(3, 5)):
            self.add_table(index)
        if rng.random() < 0.75:
            self.add_partitioned()
        if rng.random() < 0.6:
            self.add_inheritance()
        if rng.random() < 0.6:
            self.add_twins()
        self.add_foreign_keys()
        self.fill()
        self.hot = rng.sample(self.tables(), min(2, len(self.tables())))
        for _ in range(rng.randint(2, 5)):
            self.add_view()
        if rng.random() < 0.5:
            self.add_materialized_view()
        self.add_functions()
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            self.add_trigger()
        if rng.random() < 0.25:
            self.add_rule()
        if rng.random() < 0.3:
            self.add_policies()
        self.add_grants()

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
        self.statements.append(f"CREATE TABLE {relation.qualified} ({', '.join([*parts, *extra])}){tail}")
        self.relations.append(relation)

    def add_table(self, index: int) -> None:
        rng = self.rng
        relation = Relation(
            rng.choice(["public", "public", "s1", "s2"]), f"t{index}", "table",
            self.random_columns(rng.choice([0, 0, 0.4])),
        )
        key_type = rng.choice(["integer", "integer", "bigint", "text", "uuid", "date", "smallint"])
        if rng.random() < 0.25:
            relation.columns[:0] = [Column("id", "integer"), Column("k", rng.choice(["text", "integer"]))]
            relation.key = ["id", "k"] if rng.random() < 0.5 else ["k", "id"]
        elif rng.random() < 0.9:
            relation.columns.insert(0, Column("id", key_type))
            relation.key = ["id"]
        else:
            relation.columns.insert(0, Column("id", "integer"))
        if rng.random() < 0.3 and relation.columns[0].type == "integer" and relation.key[:1] == ["id"]:
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
        parent = Relation("public", "h", "parent", [Column("id", "integer"), *self.random_columns(0)])
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

    def fill(self) -> None:
        """Rows; those that keys refuse are left out one by one (`ON CONFLICT`, references by SELECT)."""
        rng = self.rng
        for relation in self.tables("table", "partitioned", "parent", "child"):
            columns = [c for c in relation.columns if not c.generated and not c.name.startswith("fk")]
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

    # What is made of them

    def add_view(self) -> None:
        rng = self.rng
        name = f"v{sum(r.kind == 'view' for r in self.relations)}"
        base = rng.choice(self.relations)
        plain = [c for c in base.columns]
        options = rng.choice(["", "", " WITH (security_barrier)", " WITH (security_invoker)"])
        kind = rng.choice(["simple", "filter", "join", "aggregate", "union"])
        writable = False
        if kind in ("simple", "filter"):
            chosen = plain if rng.random() < 0.7 else rng.sample(plain, max(1, len(plain) - 1))
            body = f"SELECT {', '.join(c.name for c in chosen)} FROM {base.qualified}"
            if kind == "filter":
                body += f" WHERE {chosen[0].name} <> {rng.choice(VALUES[chosen[0].type])}" \
                    if chosen[0].type in EXACT else ""
            columns = [Column(c.name, c.type, c.generated) for c in chosen]
            writable = base.kind != "matview" and base.writable
        elif kind == "join":
            other = rng.choice(self.relations)
            left, right = rng.choice(base.columns), rng.choice(other.columns)
            join = rng.choice(["JOIN", "LEFT JOIN"])
            same = [r for r in other.columns if r.type == left.type]
            condition = f"x.{left.name} = y.{rng.choice(same).name}" if same else "true"
            body = (
                f"SELECT x.{left.name} AS l, y.{right.name} AS r, x.{base.columns[0].name} AS id"
                f" FROM {base.qualified} x {join} {other.qualified} y ON {condition}"
            )
            columns = [Column("l", left.type), Column("r", right.type), Column("id", base.columns[0].type)]
        elif kind == "aggregate":
            by = rng.choice([c for c in plain if c.type in EXACT] or [None])
            if by is None:
                return
            body = f"SELECT {by.name} AS by, count(*)::bigint AS n FROM {base.qualified} GROUP BY {by.name}"
            columns = [Column("by", by.type), Column("n", "bigint")]
        else:
            body = (
                f"SELECT {plain[0].name} AS id FROM {base.qualified} UNION ALL"
                f" SELECT {plain[0].name} FROM {base.qualified}"
            )
            columns = [Column("id", plain[0].type)]
        self.statements.append(f"CREATE VIEW public.{name}{options} AS {body}")
        self.relations.append(Relation("public", name, "view", columns, writable=writable))

    def add_materialized_view(self) -> None:
        base = self.rng.choice([r for r in self.relations if r.kind != "matview"])
        columns = ", ".join(c.name for c in base.columns)
        self.statements.append(
            f"CREATE MATERIALIZED VIEW public.m AS SELECT {columns} FROM {base.qualified}")
        self.relations.append(
            Relation("public", "m", "matview", [Column(c.name, c.type) for c in base.columns],
                     writable=False))

    def add_functions(self) -> None:
        rng = self.rng
        reads, writes = rng.choice(self.relations), rng.choice(self.tables("table", "partitioned"))
        self.statements += [
            f"CREATE FUNCTION public.f_count(i integer) RETURNS bigint STABLE LANGUAGE sql AS"
            f" 'SELECT count(*) + i FROM {reads.qualified}'",
            "CREATE FUNCTION public.f_add(i integer) RETURNS integer IMMUTABLE LANGUAGE sql AS"
            " 'SELECT i + 1'",
            "CREATE FUNCTION public.f_twice(i integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS"
            " $$ BEGIN RETURN i * 2; END $$",
        ]
        self.functions = ["public.f_count", "public.f_add", "public.f_twice"]
        column = next((c for c in writes.columns if c.type in NUMBERS and c.name not in writes.key
                       and not c.generated and not c.name.startswith("fk")), None)
        if column:
            update = f"UPDATE {writes.qualified} SET {column.name} = {column.name} % 1000 + 1"
            self.statements += [
                f"CREATE FUNCTION public.w_sql() RETURNS void LANGUAGE sql AS '{update}'",
                "CREATE FUNCTION public.w_plpgsql(i integer) RETURNS integer LANGUAGE plpgsql AS"
                f" $$ BEGIN {update}; RETURN i; END $$",
                f"CREATE PROCEDURE public.w_call() LANGUAGE plpgsql AS $$ BEGIN {update}; END $$",
            ]
            self.writers = ["public.w_sql()", "public.w_plpgsql(1)"]
            self.procedures = ["public.w_call()"]

    def add_trigger(self) -> None:
        rng = self.rng
        number = sum(s.startswith("CREATE TRIGGER") for s in self.statements)
        on = rng.choice(self.tables("table", "partitioned", "child"))
        kind = rng.choice(["audit", "before", "statement", "dynamic"])
        name = f"trg{number}"
        numeric = next((c for c in on.columns if c.type == "integer" and c.name not in on.key
                        and not c.generated and not c.name.startswith("fk")), None)
        if kind == "before" and numeric:
            body, when, ret = f"NEW.{numeric.name} := coalesce(NEW.{numeric.name}, 0) % 5;", \
                "BEFORE INSERT OR UPDATE", "NEW"
            each = "ROW"
        else:
            if not any(r.name == f"log{number}" for r in self.relations):
                self.create(Relation("public", f"log{number}", "table",
                                     [Column("id", "integer"), Column("a", "text")]))
            insert = f"INSERT INTO public.log{number} VALUES (1, TG_OP);"
            if kind == "dynamic":
                insert = f"EXECUTE 'INSERT INTO public.log{number} VALUES (2, $1)' USING TG_OP;"
            body, ret = insert, "NULL"
            when = f"AFTER {rng.choice(['INSERT', 'UPDATE', 'DELETE', 'INSERT OR UPDATE OR DELETE'])}"
            each = "STATEMENT" if kind == "statement" else "ROW"
        self.statements += [
            f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN {ret}; END $$",
            f"CREATE TRIGGER {name} {when} ON {on.qualified} FOR EACH {each}"
            f" EXECUTE FUNCTION public.{name}()",
        ]

    def add_rule(self) -> None:
        on = self.rng.choice(self.tables("table"))
        self.create(Relation("public", "ruled", "table", [Column("id", "integer"), Column("a", "text")]))
        event = self.rng.choice(["INSERT", "UPDATE", "DELETE"])
        self.statements.append(
            f"CREATE RULE r AS ON {event} TO {on.qualified} DO ALSO"
            f" INSERT INTO public.ruled VALUES (3, '{event.lower()}')")

    def add_policies(self) -> None:
        on = self.rng.choice(self.tables("table"))
        column = on.columns[0]
        literal = self.rng.choice(VALUES[column.type])
        self.statements += [
            f"ALTER TABLE {on.qualified} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY pol ON {on.qualified} TO {self.roles[0]}"
            f" USING ({column.name} <> {literal}) WITH CHECK (true)",
        ]

    def add_grants(self) -> None:
        self.statements += [
            f"GRANT USAGE ON SCHEMA s1, s2 TO {', '.join(self.roles)}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, s1 TO {self.roles[0]}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public, s2 TO {self.roles[1]}",
        ]
