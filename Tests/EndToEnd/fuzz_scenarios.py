"""Several operations that belong together: reads, then what might leave their answers behind."""

import dataclasses
import random

from fuzz_program import PREPARED, TEXT, Operation, Statement
from fuzz_schema import Schema
from fuzz_types import VALUES
from fuzz_values import Values, redrawn
from fuzz_writes import Writes


class Scenarios:
    """Its subclass makes the single statements and operations that are named here alone."""

    rng: random.Random
    schema: Schema
    prepared: list[tuple[int, Statement]]

    def moved(self) -> list[Operation]:
        """Reads of two keys, then a write that gives the one to the row of the other; in a
        transaction, now and then, that also moves another row, or it back."""
        rng = self.rng
        keyed = [r for r in self.schema.tables() if r.key]
        if not keyed:
            return self.write()
        relation = rng.choice(keyed)
        column = relation.column(rng.choice(relation.key))
        rest = {c: rng.choice(VALUES[relation.column(c).type]) for c in relation.key
                if c != column.name}

        def where(value: str) -> str:
            return " AND ".join([f"{column.name} = {value}",
                                 *[f"{name} = {other}" for name, other in rest.items()]])

        def move(old: str, new: str) -> Statement:
            return Statement(f"UPDATE {relation.qualified} SET {column.name} = {new}"
                             f" WHERE {where(old)}")

        old, new = rng.sample(VALUES[column.type], 2)
        made = [Operation("read", rng.choice([0, 1]), [
            Statement(f"SELECT * FROM {relation.qualified} WHERE {where(value)}")])
            for value in (old, new)]
        if rng.random() < 0.5:
            return [*made, Operation("write", 4, [move(old, new)])]
        second = rng.choice([move(new, old), move(rng.choice(VALUES[column.type]), old)])
        steps = [move(old, new), *rng.choice([
            [], [made[0].statements[0], made[1].statements[0]], [second],
            [Statement("SAVEPOINT sp"), second, Statement("ROLLBACK TO sp")]])]
        kind = rng.choice(["block", "overlap"])
        return [*made, Operation(kind, 4, steps, rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]))]

    def family(self) -> list[Operation]:
        """One key, read from all that a partitioned or inherited table consists of, then written
        through one of them."""
        rng = self.rng
        top = rng.choice(self.schema.tables("partitioned", "parent") or [None])
        if not top:
            return self.reads()
        kinds = ("partitioned", "partition") if top.kind == "partitioned" else ("parent", "child")
        members = self.schema.tables(*kinds)
        value = rng.choice(VALUES["integer"])
        made = [
            Operation(
                "read",
                0,
                [
                    Statement(
                        f"SELECT * FROM {rng.choice(['', '', 'ONLY '])}{member.qualified}"
                        f" WHERE id = {value}"
                    )
                ],
            )
            for member in rng.sample(members, min(3, len(members)))
        ]
        through, new = rng.choice(members), rng.choice(VALUES["integer"])
        write = rng.choice([
            f"UPDATE {through.qualified} SET id = {new} WHERE id = {value}",
            f"DELETE FROM {through.qualified} WHERE id = {value}",
            f"INSERT INTO {through.qualified} (id) VALUES ({value})",
            f"INSERT INTO {through.qualified} (id) VALUES ({value})",
        ])
        return [*made, Operation("write", 4, [Statement(write)])]

    def logged(self) -> list[Operation]:
        """A read of what a trigger or a rule writes, then a write that sets it off."""
        rng = self.rng
        if not self.schema.logs:
            return self.reads()
        on, log = rng.choice(self.schema.logs)
        column = rng.choice([c for c in on.columns if not c.generated])
        writes = Writes(rng, self.schema, Values(rng, None))
        listed = writes.settable(on)
        sql = rng.choice([
            f"UPDATE {on.qualified} SET {column.name} = {column.name}",
            f"DELETE FROM {on.qualified} WHERE {on.columns[0].name} ="
            f" {rng.choice(VALUES[on.columns[0].type])}",
            f"INSERT INTO {on.qualified} ({', '.join(c.name for c in listed)})"
            f" VALUES {writes.row(listed, on)}",
        ])
        read = Statement(f"SELECT a, count(*) FROM {log} GROUP BY a")
        return [
            Operation("read", rng.choice([0, 1]), [read]),
            Operation("write", 4, [Statement(sql)]),
        ]

    def rebound(self) -> list[Operation]:
        """A statement prepared long ago, perhaps before definitions, with other parameters."""
        if not self.prepared:
            return self.reads()
        session, statement = self.rng.choice(self.prepared)
        values = redrawn(self.rng, statement.parameters)
        return [Operation("read", session, [dataclasses.replace(statement, parameters=values)])]

    def rented(self) -> list[Operation]:
        """Reads of rows that a policy shows by a setting, also by one of a transaction alone."""
        if not self.schema.tenants:
            return self.reads()
        rng = self.rng
        session = rng.choice([2, 3, 2, 3, 0])
        name = rng.choice([r.qualified for r in self.schema.relations if "rented" in r.name])
        reads = [
            Statement(f"SELECT id, tenant, n FROM {name} ORDER BY id", rows_in_order=True),
            Statement(f"SELECT tenant FROM {name} WHERE id = {rng.randint(0, 5)}"),
        ]
        tenant = rng.choice(["a", "b", ""])
        made = [Operation("read", session, [rng.choice(reads)])]
        if rng.random() < 0.5:
            local = rng.choice([
                f"SET LOCAL app.tenant = '{tenant}'",
                f"SELECT set_config('app.tenant', '{tenant}', true)"])
            made.append(Operation("block", session, [
                rng.choice(reads), Statement(local), *reads], rng.choice(["COMMIT", "ROLLBACK"])))
        else:
            made.append(Operation(
                "setting", session, [Statement(f"SET app.tenant = '{tenant}'")]))
        made.append(Operation("read", session, [rng.choice(reads)]))
        id, n = rng.randint(0, 5), rng.randint(0, 9)
        write = rng.choice([
            f"UPDATE public.rented SET tenant = '{rng.choice('ab')}' WHERE id = {id}",
            f"UPDATE public.rented SET n = {n} WHERE id = {id}",
            f"INSERT INTO public.rented VALUES ({id}, 'a', {n})",
            f"DELETE FROM public.rented WHERE id = {id}"])
        return [*made, Operation("write", 4, [Statement(write)])]

    def explained(self) -> list[Operation]:
        statement = self.rng.choice([self.read, self.written])()
        return [Operation("explained", self.rng.choice([0, 1, 2, 3, 4]), [
            dataclasses.replace(statement, sql=f"EXPLAIN CACHE {statement.sql}", name="",
                                mode=TEXT if statement.mode == PREPARED else statement.mode)])]
