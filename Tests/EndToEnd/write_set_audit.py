"""Compares what transactions changed with what Mynah said beforehand that they might change.

The truth comes from the server's log of changes: a `test_decoding` slot names, for every committed
transaction, its commit time and each table that got or lost a row, by cascade, trigger, rule or
partition as much as by name. Mynah logs every write window at level trace: when it opened and
closed and which relation families it covered. A transaction is explained if one window of its
database was open when it committed, was not closed as aborted, and covered every table that the
transaction changed.
"""

import dataclasses
import pathlib
import re
from datetime import datetime

import psycopg2

IDENTIFIER = r'(?:"(?:[^"]|"")+"|[a-z_\u0080-\uffff][a-z0-9_$\u0080-\uffff]*)'
TABLE = rf"{IDENTIFIER}\.{IDENTIFIER}"
CHANGE = re.compile(
    rf"table ({TABLE}(?:, {TABLE})*): (?:INSERT|UPDATE|DELETE|TRUNCATE):", re.DOTALL)
COMMIT = re.compile(r"COMMIT (\d+) \(at (.+)\)")
WINDOW = re.compile(r"write window closed (.*)$", re.MULTILINE)
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')

# The smallest OID of the tree of partitions or inheritance that a table belongs to.
FAMILY = """
WITH RECURSIVE edges(a, b) AS (
    SELECT inhrelid, inhparent FROM pg_inherits UNION SELECT inhparent, inhrelid FROM pg_inherits
), reach(start, oid) AS (
    SELECT to_regclass(name)::oid, to_regclass(name)::oid FROM unnest(%s) AS name
     WHERE to_regclass(name) IS NOT NULL
    UNION SELECT reach.start, edges.b FROM reach JOIN edges ON edges.a = reach.oid
)
SELECT name, min(reach.oid)::text FROM unnest(%s) AS name
  JOIN reach ON reach.start = to_regclass(name)::oid GROUP BY name
"""


@dataclasses.dataclass
class Window:
    """Times are microseconds since 1970; `covers` is None for everything."""

    database: str
    opened: int
    closed: int
    outcome: str
    covers: set[str] | None


@dataclasses.dataclass
class Transaction:
    """`families` by table name; None for a table that was gone when the change was decoded."""

    database: str
    xid: int
    committed: int
    families: dict[str, str | None]

    def is_explained_by(self, window: Window) -> bool:
        return (
            window.database == self.database
            and window.opened <= self.committed <= window.closed
            and window.outcome != "aborted"
            and (window.covers is None
                 or all(family in window.covers for family in self.families.values()))
        )


def windows_of(log: str) -> list[Window]:
    found = []
    for line in WINDOW.findall(log):
        fields = {name: value.strip('"') for name, value in FIELD.findall(line)}
        covers = None if fields["covers"] == "*" else set(filter(None, fields["covers"].split(",")))
        found.append(Window(fields["database"], int(fields["opened"]), int(fields["closed"]),
                            fields["outcome"], covers))
    return found


def microseconds(timestamp: str) -> int:
    return round(datetime.fromisoformat(timestamp).timestamp() * 1_000_000)


class WriteSetAudit:
    """Audits databases of one server while all that writes to them goes through Mynah.

    `decode` has to run before names change their meaning (before DDL); `end` runs it a last time.
    """

    def __init__(self, postgres_port: int):
        self.port = postgres_port
        self.transactions: list[Transaction] = []
        self.connections: dict[str, psycopg2.extensions.connection] = {}

    def begin(self, database: str) -> None:
        connection = psycopg2.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"
            " options='-c timezone=UTC -c datestyle=ISO -c search_path='")
        connection.autocommit = True
        self.connections[database] = connection
        self.run(
            database,
            "SELECT pg_create_logical_replication_slot(%s, 'test_decoding')",
            self.slot(database),
        )

    @staticmethod
    def slot(database: str) -> str:
        return "audit_" + re.sub(r"[^a-z0-9_]", "_", database)

    def run(self, database: str, sql: str, *parameters) -> list[tuple]:
        with self.connections[database].cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def decode(self, database: str) -> None:
        rows = self.run(
            database,
            "SELECT xid::text, data FROM pg_logical_slot_get_changes(%s, NULL, NULL,"
            " 'include-timestamp', '1', 'skip-empty-xacts', '1')", self.slot(database))
        tables: set[str] = set()
        decoded: list[Transaction] = []
        for xid, data in rows:
            if data.startswith("BEGIN"):
                tables = set()
            elif commit := COMMIT.fullmatch(data):
                decoded.append(Transaction(database, int(xid), microseconds(commit[2]),
                                           dict.fromkeys(tables)))
            else:
                change = CHANGE.match(data)
                assert change, f"not a change as test_decoding prints it: {data[:80]!r}"
                tables |= set(re.findall(TABLE, change[1]))
        names = sorted({name for transaction in decoded for name in transaction.families})
        families = dict(self.run(database, FAMILY, names, names)) if names else {}
        for transaction in decoded:
            for name in transaction.families:
                transaction.families[name] = families.get(name)
        self.transactions += decoded

    def end(self, database: str, complete: bool = True) -> None:
        """Drops the slot; decodes what is left, unless the run was cut short."""
        try:
            if complete:
                self.decode(database)
            self.run(database, "SELECT pg_drop_replication_slot(%s)", self.slot(database))
        finally:
            self.connections.pop(database).close()

    def findings(self, log: str | pathlib.Path) -> "Findings":
        text = log.read_text(errors="replace") if isinstance(log, pathlib.Path) else log
        by_database: dict[str, list[Window]] = {}
        for window in windows_of(text):
            by_database.setdefault(window.database, []).append(window)
        for windows in by_database.values():
            windows.sort(key=lambda window: window.opened)
        found = Findings()
        for transaction in self.transactions:
            windows = [w for w in by_database.get(transaction.database, [])
                       if w.opened <= transaction.committed <= w.closed]
            if any(transaction.is_explained_by(window) for window in windows):
                found.explained += 1
                named = [
                    w for w in windows if w.covers is not None and transaction.is_explained_by(w)
                ]
                found.by_name += bool(named)
            else:
                found.unexplained.append((transaction, windows))
        return found


@dataclasses.dataclass
class Findings:
    """`by_name`: explained by a window that covered certain relations, not everything."""

    explained: int = 0
    by_name: int = 0
    unexplained: list[tuple[Transaction, list[Window]]] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.explained} transactions explained, {self.by_name} of them by relations;"
                 f" {len(self.unexplained)} not"]
        for transaction, windows in self.unexplained[:10]:
            lines.append(f"{transaction}\n    windows open then: {windows}")
        return "\n".join(lines)
