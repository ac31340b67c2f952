"""A random program for SQLite: a schema, and what two sessions and another process do with it."""

import dataclasses
import random
import struct

from sqlite_statements import BINARY, PREPARED, SIMPLE, TEXT, Asked, Parameter, Step

OPERATIONS = 150
INTEGERS = ["0", "1", "2", "3", "4", "5", "-1", "9007199254740993", "NULL"]
TEXTS = ["'a'", "'b'", "'A'", "''", "'a '", "'it''s'", "'é'", "'1'", "NULL"]
SPELLINGS = {
    "INTEGER": ["'1'", "2.0", "+3", "1.5", "' 2'", "x'31'"],
    "TEXT": ["1", "x'61'", "'a' || ''"],
}
ACTIONS = ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"]


@dataclasses.dataclass
class Table:
    name: str
    columns: list[tuple[str, str]]
    key: list[str]


class ProgramMaker:
    def __init__(self, label: str):
        self.rng = random.Random(label)
        self.tables: list[Table] = []
        self.views: list[Table] = []
        self.schema: list[str] = []
        self.aliases = 0
        self.names = 0
        # What the statement that is being made binds; None where it cannot.
        self.parameters: list[Parameter] | None = None
        for index in range(self.rng.randint(3, 4)):
            self.add_table(index)
        for index in range(self.rng.randint(1, 3)):
            self.add_view(index)
        for index in range(self.rng.choice([0, 1, 2])):
            self.add_trigger(index)
        self.reads: list[tuple[int, Asked]] = []
        self.steps = [self.step() for _ in range(OPERATIONS)]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def literal(self, type: str) -> str:
        literal = self.rng.choice(INTEGERS if type == "INTEGER" else TEXTS)
        if self.parameters is None or self.chance(0.5):
            return literal
        self.parameters.append(self.parameter(type, literal))
        return f"${len(self.parameters)}"

    def parameter(self, type: str, literal: str) -> Parameter:
        """Without a declared type the text counts, which the column then treats as it does."""
        rng = self.rng
        if literal == "NULL":
            return Parameter(type, None, rng.choice([0, 20, 25]), rng.choice([0, 1]), None)
        if type == "TEXT":
            text = literal[1:-1].replace("''", "'")
            return Parameter(type, text, rng.choice([0, 25]), rng.choice([0, 1]), text.encode())
        number = int(literal)
        oid = rng.choice([0, 20, 20, 23 if abs(number) < 1 << 31 else 20])
        if not oid:
            text = rng.choice(["", " ", "+" if number >= 0 else ""]) + literal
            return Parameter(type, text, 0, 0, text.encode())
        if self.chance(0.5):
            return Parameter(type, number, oid, 1, struct.pack("!q" if oid == 20 else "!i", number))
        return Parameter(type, number, oid, 0, literal.encode())

    def asked(self, make) -> Asked:
        mode = self.rng.choice([SIMPLE, SIMPLE, TEXT, BINARY, PREPARED])
        self.parameters = None if mode == SIMPLE else []
        made = Asked(make(), mode, self.parameters or [])
        self.parameters = None
        if mode == PREPARED:
            self.names += 1
            made.name = f"q{self.names}"
        return made

    def rebound(self, read: Asked) -> Asked:
        """The same statement with other values for the same declared types."""
        fresh = []
        for old in read.parameters:
            literals = INTEGERS if old.type == "INTEGER" else TEXTS
            new = [self.parameter(old.type, self.rng.choice(literals)) for _ in range(5)]
            fresh.append(next((one for one in new if one.oid == old.oid), old))
        return dataclasses.replace(read, parameters=fresh)

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
            body = (
                f"SELECT {columns[0][0]}, count(*) AS n FROM {base.name} GROUP BY {columns[0][0]}"
            )
        view = Table(f"v{index}", columns, [])
        self.schema.append(f"CREATE VIEW {view.name} AS {body}")
        self.views.append(view)

    def add_trigger(self, index: int) -> None:
        on = self.rng.choice(self.tables)
        event = self.rng.choice(["INSERT", "UPDATE", "DELETE"])
        row = "OLD" if event == "DELETE" else "NEW"
        self.schema += [
            f"CREATE TABLE log{index} (id TEXT, a TEXT) STRICT",
            f"CREATE TRIGGER g{index} {self.rng.choice(['AFTER', 'BEFORE'])} {event} ON {on.name}"
            f" BEGIN INSERT INTO log{index} VALUES ({row}.id, '{event}'); END",
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
            return (
                f"({self.condition(columns, 0)} {joined} {self.condition(columns, 0)})"
                if depth
                else f"NOT {name} = {self.operand(type)}"
            )
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
            column = f"hex({chosen[0][0]})"
            return f"SELECT count(*), count(DISTINCT {column}), max({column}) FROM {source}{where}"
        if roll < 0.93:
            other, more = self.source()
            return (f"SELECT hex({chosen[0][0]}) FROM {source}{where}"
                    f" {self.rng.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])}"
                    f" SELECT hex({more[0][0]}) FROM {other}")
        common = f"SELECT hex({chosen[0][0]}) FROM {source}{where}"
        return f"WITH c(q) AS ({common}) SELECT q, count(*) FROM c GROUP BY q"

    def where(self, table: Table) -> str:
        if table.key and self.chance(0.6):
            types = dict(table.columns)
            return " AND ".join(f"{name} = {self.operand(types[name])}" for name in table.key)
        return self.condition(table.columns, 1 if self.chance(0.3) else 0)

    def write(self) -> str:
        table = self.rng.choice(self.tables)
        names = ", ".join(name for name, _ in table.columns)
        values = (
            lambda: "(" + ", ".join(self.literal(type) for _, type in table.columns) + ")"
        )  # noqa: E731
        name, type = self.rng.choice(table.columns)
        roll = self.rng.random()
        if roll < 0.3:
            rows = ", ".join(values() for _ in range(self.rng.choice([1, 1, 2])))
            return f"INSERT INTO {table.name} ({names}) VALUES {rows}"
        if roll < 0.4:
            verb = self.rng.choice(["INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"])
            return f"{verb} INTO {table.name} VALUES {values()}"
        if roll < 0.48 and table.key:
            return (
                f"INSERT INTO {table.name} VALUES {values()} ON CONFLICT ({', '.join(table.key)})"
                f" DO {self.rng.choice(['NOTHING', f'UPDATE SET {name} = excluded.{name}'])}"
            )
        if roll < 0.8:
            value = f"{name} + 1" if type == "INTEGER" and self.chance(0.3) else self.literal(type)
            return f"UPDATE {table.name} SET {name} = {value} WHERE {self.where(table)}"
        if roll < 0.92:
            return f"DELETE FROM {table.name} WHERE {self.where(table)}"
        if roll < 0.95:
            column, type = table.columns[0]
            return f"INSERT INTO {table.name} ({column}) SELECT {self.operand(type)}"
        return self.rng.choice(
            [
                f"CREATE INDEX IF NOT EXISTS i_{table.name} ON {table.name}"
                f" ({table.columns[-1][0]})",
                f"DROP INDEX IF EXISTS i_{table.name}",
                f"DELETE FROM {table.name}",
                f"CREATE TABLE IF NOT EXISTS copied AS SELECT * FROM {table.name}",
                "DROP TABLE IF EXISTS copied",
            ]
        )

    def step(self) -> Step:
        roll = self.rng.random()
        session = self.rng.choice([0, 1])
        if roll < 0.5:
            if self.reads and self.chance(0.25):
                session, read = self.rng.choice(self.reads)
                return Step("read", session, [self.rebound(read)])
            read = self.asked(self.read)
            if read.parameters:
                self.reads.append((session, read))
            return Step("read", session, [read])
        if roll < 0.75:
            return Step("write", session, [self.asked(self.write)])
        if roll < 0.87:
            return Step("foreign", session, self.foreign())
        inner = [self.asked(self.write if self.chance(0.7) else self.read)
                 for _ in range(self.rng.randint(1, 3))]
        if self.chance(0.25):
            undo = self.rng.choice(["ROLLBACK TO s", "RELEASE s"])
            inner = [Asked("SAVEPOINT s"), self.asked(self.write), Asked(undo), *inner]
        end = self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])
        return Step("transaction", session, [Asked("BEGIN"), *inner, Asked(end)])

    def foreign(self) -> list[Asked]:
        if self.chance(0.7):
            return [Asked(self.write())]
        end = self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])
        return [Asked("BEGIN"), *[Asked(self.write()) for _ in range(2)], Asked(end)]
