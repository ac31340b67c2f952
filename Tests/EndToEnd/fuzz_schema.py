"""Random schemas for differential fuzzing: what there is, and the statements that make it."""

import random

from fuzz_tables import Tables
from fuzz_types import EXACT, NUMBERS, VALUES, Column, Relation


class Schema(Tables):
    """`statements` makes it, in order; roles (`roles`, by prefix) exist before and own nothing."""

    def __init__(self, rng: random.Random, roles: list[str]):
        super().__init__(rng)
        self.roles = roles
        self.functions: list[str] = []
        self.writers: list[str] = []
        self.procedures: list[str] = []
        # Which table's triggers and rules write to which.
        self.logs: list[tuple[Relation, str]] = []
        self.tenants: Relation | None = None
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
        if rng.random() < 0.5:
            self.add_tenants()
        self.add_grants()

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
            columns = [
                Column("l", left.type),
                Column("r", right.type),
                Column("id", base.columns[0].type),
            ]
        elif kind == "aggregate":
            by = rng.choice([c for c in plain if c.type in EXACT] or [None])
            if by is None:
                return
            body = f"SELECT {by.name} AS by, count(*)::bigint AS n"
            body += f" FROM {base.qualified} GROUP BY {by.name}"
            columns = [Column("by", by.type), Column("n", "bigint")]
        else:
            body = (
                f"SELECT {plain[0].name} AS id FROM {base.qualified} UNION ALL"
                f" SELECT {plain[0].name} FROM {base.qualified}"
            )
            columns = [Column("id", plain[0].type)]
        self.statements.append(f"CREATE VIEW public.{name}{options} AS {body}")
        view = Relation("public", name, "view", columns, writable=writable)
        if kind in ("simple", "filter") and {c.name for c in columns} >= set(base.key):
            # Not declared, but what reads and writes of the view name.
            view.key = base.key
        self.relations.append(view)

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
            "CREATE FUNCTION public.f_twice(i integer) RETURNS integer IMMUTABLE"
            " LANGUAGE plpgsql AS $$ BEGIN RETURN i * 2; END $$",
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
            self.logs.append((on, f"public.log{number}"))
            when = (
                f"AFTER {rng.choice(['INSERT', 'UPDATE', 'DELETE', 'INSERT OR UPDATE OR DELETE'])}"
            )
            each = "STATEMENT" if kind == "statement" else "ROW"
        self.statements += [
            f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN {ret}; END $$",
            f"CREATE TRIGGER {name} {when} ON {on.qualified} FOR EACH {each}"
            f" EXECUTE FUNCTION public.{name}()",
        ]

    def add_rule(self) -> None:
        on = self.rng.choice(self.tables("table"))
        self.create(
            Relation("public", "ruled", "table", [Column("id", "integer"), Column("a", "text")])
        )
        event = self.rng.choice(["INSERT", "UPDATE", "DELETE"])
        self.logs.append((on, "public.ruled"))
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

    def add_tenants(self) -> None:
        """A table whose rows are seen by a setting."""
        rng = self.rng
        columns = [Column("id", "integer"), Column("tenant", "text"), Column("n", "integer")]
        self.tenants = Relation("public", "rented", "table", columns, ["id"])
        self.create(self.tenants)
        rows = ", ".join(f"({id}, '{rng.choice('ab')}', {id})" for id in range(6))
        setting = rng.choice([
            "current_setting('app.tenant', true)", "(SELECT current_setting('app.tenant', true))"])
        self.statements += [
            f"INSERT INTO public.rented VALUES {rows}",
            "ALTER TABLE public.rented ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY rent ON public.rented USING (tenant = {setting}) WITH CHECK (true)",
        ]
        if rng.random() < 0.5:
            self.statements.append(
                f"CREATE VIEW public.vrented{rng.choice(['', ' WITH (security_invoker)'])} AS"
                " SELECT id, tenant, n FROM public.rented")
            self.relations.append(
                Relation("public", "vrented", "view", columns, ["id"]))

    def add_grants(self) -> None:
        self.statements += [
            f"GRANT USAGE ON SCHEMA s1, s2 TO {', '.join(self.roles)}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, s1"
            f" TO {self.roles[0]}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public, s2 TO {self.roles[1]}",
        ]
