"""Random statements without parameters: rarer ways to write, definitions, settings."""

from fuzz_types import VALUES
from fuzz_values import Values, plain_text
from fuzz_writes import Writes


class Definitions(Writes):
    """Makes one statement."""

    def copy(self) -> tuple[str, bytes]:
        relation = self.rng.choice(self.schema.tables("table", "partitioned", "partition", "child"))
        columns = self.settable(relation)
        lines = []
        for _ in range(self.rng.randint(1, 3)):
            fields = [
                plain_text(self.rng.choice(VALUES[c.type])).replace("\n", "\\n") for c in columns
            ]
            lines.append("\t".join(fields) + "\n")
        return (f"COPY {relation.qualified} ({', '.join(c.name for c in columns)}) FROM STDIN",
                "".join(lines).encode())

    def unusual(self) -> str:
        """TRUNCATE, functions and procedures that write, DO, REFRESH, several statements in one."""
        rng, schema = self.rng, self.schema
        table = rng.choice(schema.tables())
        options = [
            f"TRUNCATE {table.qualified}"
            f"{rng.choice(['', ' CASCADE', ' CASCADE', ' RESTART IDENTITY'])}",
            f"DO $$ BEGIN DELETE FROM {table.qualified} WHERE {table.columns[0].name} ="
            f" {rng.choice(VALUES[table.columns[0].type])}; END $$",
            f"{self.plain().statement()}; {self.plain().statement()}",
            f"SELECT 1; {self.plain().statement()}; SELECT 2",
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF)"
            f" {self.plain().update()}",
        ]
        options += [
            f"DO $$ DECLARE r record; BEGIN FOR r IN SELECT {table.columns[0].name} AS id FROM"
            f" {table.qualified} LOOP UPDATE {table.qualified} SET {self.plain().assignment(table)}"
            f" WHERE {table.columns[0].name} = r.id; END LOOP; END $$",
            f"DO $$ BEGIN EXECUTE 'DELETE FROM {table.qualified} WHERE {table.columns[0].name}"
            f" IS NULL'; {self.plain().update()}; END $$",
            f"DO $$ BEGIN IF (SELECT count(*) FROM {table.qualified}) > 2 THEN"
            f" {self.plain().insert().partition(' RETURNING')[0]}; END IF; END $$",
        ]
        options += [f"SELECT {writer}" for writer in schema.writers] * 2
        options += [
            f"SELECT {table.columns[0].name}, {writer} FROM {table.qualified}"
            f" WHERE {table.columns[0].name} = {rng.choice(VALUES[table.columns[0].type])}"
            for writer in schema.writers
        ]
        options += [f"CALL {procedure}" for procedure in schema.procedures] * 2
        if any(r.kind == "matview" for r in schema.relations):
            options += ["REFRESH MATERIALIZED VIEW public.m"] * 4
        return rng.choice(options)

    def plain(self) -> "Writes":
        return Writes(self.rng, self.schema, Values(self.rng, None))

    def definition(self) -> str:
        """DDL that leaves the schema's own description true enough for later statements."""
        rng, schema = self.rng, self.schema
        table = rng.choice(schema.tables())
        plain = rng.choice([r for r in schema.tables("table")])
        other = rng.choice(schema.tables("table"))
        role, relation = rng.choice(schema.roles), rng.choice(schema.relations)
        number = rng.randint(1, 3)
        options = [
            f"ALTER TABLE {table.qualified} ADD COLUMN IF NOT EXISTS"
            f" added{number} integer DEFAULT 7",
            f"ALTER TABLE {table.qualified} DROP COLUMN IF EXISTS added{number}",
            f"CREATE INDEX ON {table.qualified} ({table.columns[0].name})",
            f"ALTER TABLE {table.qualified} {rng.choice(['DISABLE', 'ENABLE'])} TRIGGER USER",
            f"ALTER TABLE {plain.qualified}"
            f" {rng.choice(['ENABLE', 'DISABLE', 'FORCE'])} ROW LEVEL SECURITY",
            f"CREATE POLICY pol{number} ON {plain.qualified} USING (true)",
            f"DROP POLICY IF EXISTS pol{number} ON {plain.qualified}",
            f"ALTER TABLE public.h1 {rng.choice(['NO INHERIT', 'INHERIT'])} public.h",
            f"ALTER TABLE public.p DETACH PARTITION public.p{rng.randint(0, 2)}",
            f"ALTER TABLE public.p ATTACH PARTITION public.p2 DEFAULT",
            f"CREATE TABLE IF NOT EXISTS s{rng.randint(1, 2)}.{plain.name}"
            f" (LIKE {plain.qualified} INCLUDING ALL)",
            f"CREATE TABLE s1.scratch{number} AS SELECT * FROM {plain.qualified}",
            f"DROP TABLE IF EXISTS s1.scratch{number}",
            f"CREATE OR REPLACE VIEW public.v0 AS SELECT * FROM {other.qualified}",
            f"ALTER TABLE {plain.qualified} RENAME TO renamed",
            f"ALTER TABLE {plain.schema}.renamed RENAME TO {plain.name}",
            f"ALTER TABLE {plain.schema}.renamed RENAME TO {plain.name}",
            f"ALTER TABLE {plain.qualified} ADD UNIQUE ({plain.columns[-1].name})",
            f"COMMENT ON TABLE {plain.qualified} IS 'x'",
            f"ANALYZE {plain.qualified}",
            *[f"GRANT {rng.choice(['SELECT', 'ALL'])} ON {relation.qualified} TO {role}"] * 3,
            *[f"REVOKE {rng.choice(['SELECT', 'ALL'])} ON {relation.qualified} FROM {role}"] * 3,
            f"REVOKE USAGE ON SCHEMA s1 FROM {role}",
            f"GRANT USAGE ON SCHEMA s1, s2 TO {role}",
            f"GRANT {schema.roles[0]} TO {schema.roles[1]}",
            f"REVOKE {schema.roles[0]} FROM {schema.roles[1]}",
            f"CREATE OR REPLACE FUNCTION public.f_add(i integer) RETURNS integer IMMUTABLE"
            f" LANGUAGE sql AS 'SELECT i + {number}'",
        ]
        return rng.choice(options)

    def setting(self) -> str:
        rng = self.rng
        if self.schema.tenants and self.chance(0.4):
            return rng.choice([
                "SET app.tenant = 'a'", "SET app.tenant = 'b'", "SET app.tenant TO a",
                "RESET app.tenant", "SELECT set_config('app.tenant', 'b', false)"])
        return rng.choice(
            [
                "SET search_path = {}".format(
                    rng.choice(["s1, public", "s2, public", "public, s1", "s2", "DEFAULT"])
                ),
                "SET search_path = {}".format(
                    rng.choice(["s1, public", "s2, s1, public", "public"])
                ),
                "SET TimeZone = '{}'".format(
                    rng.choice(["UTC", "America/New_York", "Asia/Kolkata"])
                ),
                "SET DateStyle = '{}'".format(
                    rng.choice(["ISO, MDY", "German", "SQL, DMY", "ISO, DMY"])
                ),
                "SET extra_float_digits = {}".format(rng.choice([0, 1, 3])),
                f"SET ROLE {rng.choice([*self.schema.roles, 'NONE'])}",
                "RESET ROLE",
                "RESET search_path",
                "SELECT set_config('search_path', 's2, public', false)",
            ]
        )
