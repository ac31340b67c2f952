"""Random programs against SQLite: through Mynah, and through the library on a file of its own."""

import collections
import contextlib
import dataclasses
import pathlib
import random
import sqlite3
import time

import wire
from servers import MynahServer
from wire import RawSession

WINDOW = 40
OPERATIONS = 150
INTEGERS = ["0", "1", "2", "3", "4", "5", "-1", "9007199254740993", "NULL"]
TEXTS = ["'a'", "'b'", "'A'", "''", "'a '", "'it''s'", "'é'", "'1'", "NULL"]
SPELLINGS = {"INTEGER": ["'1'", "2.0", "+3", "1.5", "' 2'", "x'31'"], "TEXT": ["1", "x'61'", "'a' || ''"]}
ACTIONS = ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"]

Answer = list[tuple] | str


@dataclasses.dataclass
class Table:
    name: str
    columns: list[tuple[str, str]]
    key: list[str]


@dataclasses.dataclass
class Step:
    """`kind` is read, write or transaction (whose statements start with BEGIN and end it)."""

    kind: str
    session: int
    statements: list[str]


class ProgramMaker:
    def __init__(self, label: str):
        self.rng = random.Random(label)
        self.tables: list[Table] = []
        self.views: list[Table] = []
        self.schema: list[str] = []
        self.aliases = 0
        for index in range(self.rng.randint(3, 4)):
            self.add_table(index)
        for index in range(self.rng.randint(1, 3)):
            self.add_view(index)
        for index in range(self.rng.choice([0, 1, 2])):
            self.add_trigger(index)
        self.steps = [self.step() for _ in range(OPERATIONS)]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def literal(self, type: str) -> str:
        return self.rng.choice(INTEGERS if type == "INTEGER" else TEXTS)

    def operand(self, type: str) -> str:
        return self.rng.choice(SPELLINGS[type]) if self.chance(0.15) else self.literal(type)

    # Schema

    def add_table(self, index: int) -> None:
        rng = self.rng
        columns = [("id", rng.choice(["INTEGER", "INTEGER", "TEXT"]))]
        columns += [(name, rng.choice(["INTEGER", "TEXT"]))
                    for name in rng.sample(["a", "b", "c", '"x y"'], rng.randint(1, 3))]
        key = ["id"] if self.chance(0.7) else ["id", columns[1][0]]
        collation = " COLLATE NOCASE" if self.chance(0.15) else ""
        parts = [f"{name} {type}{collation if type == 'TEXT' else ''}" for name, type in columns]
        if self.tables and self.chance(0.6):
            parent = rng.choice([table for table in self.tables if len(table.key) == 1] or [None])
            if parent:
                columns.append((f"fk{index}", parent.columns[0][1]))
                parts.append(f"fk{index} {parent.columns[0][1]} REFERENCES {parent.name} (id)"
                             f" ON DELETE {rng.choice(ACTIONS)} ON UPDATE {rng.choice(ACTIONS)}"
                             + rng.choice(["", " DEFERRABLE INITIALLY DEFERRED"]))
        parts.append(f"PRIMARY KEY ({', '.join(key)})")
        # Mynah answers with an error where a value is not of its column's type.
        tail = " STRICT, WITHOUT ROWID" if self.chance(0.2) else " STRICT"
        table = Table(f"t{index}", columns, key)
        self.schema.append(f"CREATE TABLE {table.name} ({', '.join(parts)}){tail}")
        self.tables.append(table)
        for _ in range(rng.randint(3, 7)):
            values = ", ".join("NULL" if name.startswith("fk") else self.literal(type)
                               for name, type in columns)
            self.schema.append(f"INSERT OR IGNORE INTO {table.name} VALUES ({values})")

    def add_view(self, index: int) -> None:
        base = self.rng.choice([*self.tables, *self.views])
        columns = base.columns
        body = f"SELECT {', '.join(name for name, _ in columns)} FROM {base.name}"
        if self.chance(0.4):
            body += f" WHERE {columns[0][0]} <> {self.operand(columns[0][1])}"
        if self.chance(0.3):
            columns = [(columns[0][0], columns[0][1]), ("n", "INTEGER")]
            body = f"SELECT {columns[0][0]}, count(*) AS n FROM {base.name} GROUP BY {columns[0][0]}"
        view = Table(f"v{index}", columns, [])
        self.schema.append(f"CREATE VIEW {view.name} AS {body}")
        self.views.append(view)

    def add_trigger(self, index: int) -> None:
        on = self.rng.choice(self.tables)
        event = self.rng.choice(["INSERT", "UPDATE", "DELETE"])
        row = "OLD" if event == "DELETE" else "NEW"
        self.schema += [
            f"CREATE TABLE log{index} (id TEXT, a TEXT) STRICT",
            f"CREATE TRIGGER g{index} {self.rng.choice(['AFTER', 'BEFORE'])} {event} ON {on.name} BEGIN"
            f" INSERT INTO log{index} VALUES ({row}.id, '{event}'); END",
        ]
        self.tables.append(Table(f"log{index}", [("id", "TEXT"), ("a", "TEXT")], []))

    # Statements

    def source(self) -> tuple[str, list[tuple[str, str]]]:
        def one():
            self.aliases += 1
            table = self.rng.choice([*self.tables, *self.views])
            alias = f"r{self.aliases}"
            columns = [(f"{alias}.{name}", type) for name, type in table.columns]
            if self.chance(0.15):
                names = ", ".join(name for name, _ in table.columns)
                return f"(SELECT {names} FROM {table.name} WHERE id IS NOT NULL) AS {alias}" \
                    if "id" in names else f"{table.name} AS {alias}", columns
            return f"{table.name} AS {alias}", columns

        sql, columns = one()
        while self.chance(0.3):
            right, more = one()
            pairs = [(a, b) for a, x in columns for b, y in more if x == y]
            condition = " = ".join(self.rng.choice(pairs)) if pairs else "1"
            sql += f" {self.rng.choice(['JOIN', 'LEFT JOIN', 'JOIN'])} {right} ON {condition}"
            columns = columns + more
        return sql, columns

    def condition(self, columns: list[tuple[str, str]], depth: int = 1) -> str:
        name, type = columns[0] if self.chance(0.4) else self.rng.choice(columns)
        roll = self.rng.random()
        if roll < 0.4:
            return f"{name} = {self.operand(type)}"
        if roll < 0.5:
            return f"{name} IN ({self.operand(type)}, {self.operand(type)})"
        if roll < 0.58:
            return f"{name} IS {self.rng.choice(['NULL', 'NOT NULL', self.operand(type)])}"
        if roll < 0.66:
            return f"{name} {self.rng.choice(['<', '>=', '<>'])} {self.operand(type)}"
        if roll < 0.72:
            return f"{name} LIKE 'a%'"
        if roll < 0.86 or not depth:
            joined = self.rng.choice(["AND", "OR"])
            return f"({self.condition(columns, 0)} {joined} {self.condition(columns, 0)})" if depth else \
                f"NOT {name} = {self.operand(type)}"
        inner, more = self.source()
        if roll < 0.93:
            pairs = [(a, b) for a, x in columns for b, y in more if x == y]
            where = " = ".join(self.rng.choice(pairs)) if pairs else "1"
            return f"EXISTS (SELECT 1 FROM {inner} WHERE {where})"
        return f"{name} IN (SELECT {self.rng.choice(more)[0]} FROM {inner})"

    def read(self) -> str:
        source, columns = self.source()
        where = f" WHERE {self.condition(columns)}" if self.chance(0.85) else ""
        roll = self.rng.random()
        chosen = self.rng.sample(columns, min(len(columns), 3))
        names = ", ".join(name for name, _ in chosen)
        if roll < 0.6:
            order = f" ORDER BY {names}" if self.chance(0.5) else ""
            return f"SELECT {names} FROM {source}{where}{order}"
        if roll < 0.72:
            # Which of 'a' and 'A' a case-insensitive DISTINCT keeps is nobody's promise.
            return f"SELECT DISTINCT hex({chosen[0][0]}) FROM {source}{where}"
        if roll < 0.86:
            return f"SELECT count(*), count(DISTINCT hex({chosen[0][0]})), max(hex({chosen[0][0]})) FROM {source}{where}"
        if roll < 0.93:
            other, more = self.source()
            return (f"SELECT hex({chosen[0][0]}) FROM {source}{where}"
                    f" {self.rng.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])}"
                    f" SELECT hex({more[0][0]}) FROM {other}")
        return f"WITH c(q) AS (SELECT hex({chosen[0][0]}) FROM {source}{where}) SELECT q, count(*) FROM c GROUP BY q"

    def where(self, table: Table) -> str:
        if table.key and self.chance(0.6):
            types = dict(table.columns)
            return " AND ".join(f"{name} = {self.operand(types[name])}" for name in table.key)
        return self.condition(table.columns, 1 if self.chance(0.3) else 0)

    def write(self) -> str:
        table = self.rng.choice(self.tables)
        names = ", ".join(name for name, _ in table.columns)
        values = lambda: "(" + ", ".join(self.literal(type) for _, type in table.columns) + ")"  # noqa: E731
        name, type = self.rng.choice(table.columns)
        roll = self.rng.random()
        if roll < 0.3:
            rows = ", ".join(values() for _ in range(self.rng.choice([1, 1, 2])))
            return f"INSERT INTO {table.name} ({names}) VALUES {rows}"
        if roll < 0.4:
            return f"{self.rng.choice(['INSERT OR REPLACE', 'REPLACE', 'INSERT OR IGNORE'])} INTO {table.name} VALUES {values()}"
        if roll < 0.48 and table.key:
            return (f"INSERT INTO {table.name} VALUES {values()} ON CONFLICT ({', '.join(table.key)})"
                    f" DO {self.rng.choice(['NOTHING', f'UPDATE SET {name} = excluded.{name}'])}")
        if roll < 0.8:
            value = f"{name} + 1" if type == "INTEGER" and self.chance(0.3) else self.literal(type)
            return f"UPDATE {table.name} SET {name} = {value} WHERE {self.where(table)}"
        if roll < 0.92:
            return f"DELETE FROM {table.name} WHERE {self.where(table)}"
        if roll < 0.95:
            return f"INSERT INTO {table.name} ({table.columns[0][0]}) SELECT {self.operand(table.columns[0][1])}"
        return self.rng.choice([
            f"CREATE INDEX IF NOT EXISTS i_{table.name} ON {table.name} ({table.columns[-1][0]})",
            f"DROP INDEX IF EXISTS i_{table.name}", f"DELETE FROM {table.name}",
            f"CREATE TABLE IF NOT EXISTS copied AS SELECT * FROM {table.name}", "DROP TABLE IF EXISTS copied",
        ])

    def step(self) -> Step:
        roll = self.rng.random()
        session = self.rng.choice([0, 1])
        if roll < 0.5:
            return Step("read", session, [self.read()])
        if roll < 0.85:
            return Step("write", session, [self.write()])
        inner = [self.write() if self.chance(0.7) else self.read() for _ in range(self.rng.randint(1, 3))]
        if self.chance(0.25):
            inner = ["SAVEPOINT s", self.write(), self.rng.choice(["ROLLBACK TO s", "RELEASE s"]), *inner]
        return Step("transaction", session, ["BEGIN", *inner, self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])])


@dataclasses.dataclass
class Tally:
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def statements(self) -> int:
        return sum(self.counts[kind] for kind in ("cold", "warm", "again", "write"))

    def __str__(self) -> str:
        return f"{self.statements} statements through Mynah: {dict(self.counts)}; bypassed {self.reasons}"


def as_text(value) -> bytes | None:
    return None if value is None else value if isinstance(value, bytes) else str(value).encode()


def is_read(sql: str) -> bool:
    return sql.startswith(("SELECT", "WITH"))


class Fuzzer:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.tally = Tally()

    def rounds(self, seed: str, statements: int) -> Tally:
        number = 0
        while self.tally.statements < statements:
            label = f"{seed}:{number}"
            maker = ProgramMaker(label)
            failure = self.run(maker.schema, maker.steps, number)
            assert not failure, self.report(label, maker, failure)
            number += 1
        return self.tally

    def report(self, label: str, maker: ProgramMaker, failure: str) -> str:
        """Leaves out steps, then statements of the schema, for as long as it still fails."""
        deadline = time.monotonic() + 60
        best = {"schema": maker.schema, "steps": maker.steps}
        for part in ("steps", "schema"):
            size = max(1, len(best[part]) // 2)
            while size:
                position = 0
                while position < len(best[part]) and time.monotonic() < deadline:
                    smaller = {**best, part: best[part][:position] + best[part][position + size :]}
                    found = self.run(smaller["schema"], smaller["steps"], 1000)
                    if found:
                        best, failure = smaller, found
                    else:
                        position += size
                size //= 2
        script = [f"{sql};" for sql in best["schema"]]
        for step in best["steps"]:
            script += [f"-- session {step.session}, {step.kind}", *[f"{sql};" for sql in step.statements]]
        return "\n".join([f"round {label}", *script, failure])

    def run(self, schema: list[str], steps: list[Step], number: int) -> str | None:
        """What went wrong."""
        files = [self.directory / f"{name}{number}.db" for name in ("mynah", "library")]
        for file in files:
            for suffix in ("", "-wal", "-shm"):
                pathlib.Path(f"{file}{suffix}").unlink(missing_ok=True)
            library = sqlite3.connect(file, isolation_level=None)
            for sql in schema:
                with contextlib.suppress(sqlite3.Error):
                    library.execute(sql)
            library.close()
        mynah = MynahServer(f"sqlite:{files[0]}").start()
        library = sqlite3.connect(files[1], isolation_level=None)
        library.execute("PRAGMA foreign_keys = ON")
        library.execute("PRAGMA case_sensitive_like = ON")
        sessions = [RawSession.connect(mynah.port, database=files[0].stem) for _ in range(2)]
        try:
            with mynah.counting() as delta:
                failure = self.compare(steps, library, sessions)
            self.tally.counts["hits"] += delta.hits
            self.tally.counts["misses"] += delta.misses
            for reason, count in delta.reasons().items():
                self.tally.reasons[reason] = self.tally.reasons.get(reason, 0) + count
            return failure
        finally:
            library.close()
            for session in sessions:
                session.close()
            mynah.remove()

    def compare(self, steps: list[Step], library, sessions) -> str | None:
        remembered = collections.deque(maxlen=WINDOW)
        failed = False

        def directly(sql: str) -> Answer:
            try:
                return [tuple(as_text(v) for v in row) for row in library.execute(sql).fetchall()]
            except sqlite3.Error as error:
                return f"failed: {error}"

        def as_server(sql: str) -> Answer:
            """As a PostgreSQL session: after an error a block does nothing but end."""
            nonlocal failed
            if failed and not sql.startswith(("ROLLBACK", "COMMIT")):
                return "failed: the transaction is aborted"
            if failed and sql == "COMMIT":
                sql = "ROLLBACK"
            failed = False
            answer = directly(sql)
            if isinstance(answer, str) and library.in_transaction:
                failed = sql != "COMMIT"
                if sql == "COMMIT":
                    library.execute("ROLLBACK")
            return answer

        def proxied(session: int, sql: str, kind: str) -> Answer:
            self.tally.counts[kind] += 1
            replies = sessions[session].query(sql)
            for tag, body in replies:
                if tag == b"E":
                    return f"failed: {wire.error_fields(body)}"
            return [tuple(row) for row in wire.data_rows(replies)]

        def differ(sql: str, expected: Answer, got: Answer) -> bool:
            if isinstance(expected, str) or isinstance(got, str):
                return type(expected) is not type(got)
            if "ORDER BY" in sql:
                return expected != got
            return collections.Counter(expected) != collections.Counter(got)

        for index, step in enumerate(steps):
            for sql in step.statements:
                expected = as_server(sql)
                kinds = ("cold", "warm") if step.kind == "read" else ("write",)
                for kind in kinds:
                    got = proxied(step.session, sql, kind)
                    if differ(sql, expected, got):
                        return f"step {index}, {kind}: {sql}\nlibrary: {expected}\nMynah:   {got}"
            if step.kind == "read" and not isinstance(expected, str):
                remembered.append((step.session, step.statements[0]))
            elif step.kind != "read":
                for session, sql in remembered:
                    expected, got = directly(sql), proxied(session, sql, "again")
                    if differ(sql, expected, got):
                        return f"after step {index}: {sql}\nlibrary: {expected}\nMynah:   {got}"
        return None
