"""The tables that recorded histories are about, and what a row of them says about which counter."""

from dataclasses import dataclass

POISON = 1_000_000_000  # written only by what is rolled back
AWAY = 100
PAIR_WIDTH = 4


@dataclass(frozen=True)
class Schema:
    """Names and counters of one round; equal in every process that takes part.

    Counters: `tables` × `keys` rows of c0, c1, …, each a counter of its own; then the sum of each
    of these tables; then `groups` counters that stand in all three of ga, gb and gc, which one
    transaction always increments together; then `keyed` counters in each of three tables whose keys
    are what matters: rows of m that move to another key and back (`AWAY` further, after every odd
    version), rows of d that are there after every odd version only, and rows of p with a key of two
    columns. Lists: `lists` rows of l0 and l1.

    In SQLite the last table is incremented by another process in the file itself.
    """

    prefix: str
    is_sqlite: bool
    tables: int = 12
    keys: int = 8
    groups: int = 4
    keyed: int = 8
    lists: int = 6

    def counter(self, table: int, identifier: int) -> int:
        return table * self.keys + identifier

    def sum_counter(self, table: int) -> int:
        return self.tables * self.keys + table

    def group_counter(self, group: int) -> int:
        return self.tables * (self.keys + 1) + group

    @property
    def first_keyed(self) -> int:
        return self.tables * (self.keys + 1) + self.groups

    def moving_counter(self, identifier: int) -> int:
        return self.first_keyed + identifier % AWAY

    def fleeting_counter(self, identifier: int) -> int:
        return self.first_keyed + self.keyed + identifier

    def pair_counter(self, a: int, b: int) -> int:
        return self.first_keyed + 2 * self.keyed + a * PAIR_WIDTH + b

    @property
    def foreign_table(self) -> int | None:
        """The table that another process writes, past Mynah."""
        return self.tables - 1 if self.is_sqlite else None

    @property
    def moving(self) -> str:
        return f"{self.prefix}m"

    @property
    def fleeting(self) -> str:
        return f"{self.prefix}d"

    @property
    def paired(self) -> str:
        return f"{self.prefix}p"

    @property
    def all_tables(self) -> list[str]:
        found = [self.table(table) for table in range(self.tables)] + self.group_tables
        found += [self.moving, self.fleeting, self.paired]
        return found + [self.list_table(half) for half in range(2)]

    @property
    def group_tables(self) -> list[str]:
        return [f"{self.prefix}g{letter}" for letter in "abc"]

    def table(self, table: int) -> str:
        return f"{self.prefix}c{table}"

    def view(self, table: int) -> str:
        return f"{self.prefix}v{table}"

    def list_table(self, key: int) -> str:
        return f"{self.prefix}l{key % 2}"

    def creation(self) -> list[str]:
        statements = []
        for table in range(self.tables):
            name = self.table(table)
            rows = ", ".join(f"({key}, 0)" for key in range(self.keys))
            statements += [
                f"CREATE TABLE {name} (id integer PRIMARY KEY, v integer NOT NULL)",
                f"INSERT INTO {name} VALUES {rows}",
                f"CREATE VIEW {self.view(table)} AS SELECT id, v FROM {name} WHERE v >= 0",
            ]
        for name in self.group_tables:
            rows = ", ".join(f"({group}, 0)" for group in range(self.groups))
            statements += [
                f"CREATE TABLE {name} (id integer PRIMARY KEY, v integer NOT NULL)",
                f"INSERT INTO {name} VALUES {rows}",
            ]
        for half in range(2):
            statements.append(
                f"CREATE TABLE {self.list_table(half)} (id integer PRIMARY KEY, l text NOT NULL)"
            )
        return statements + self.creation_of_keyed()

    def creation_of_keyed(self) -> list[str]:
        rows = ", ".join(f"({identifier}, 0)" for identifier in range(self.keyed))
        pairs = ", ".join(
            f"({number // PAIR_WIDTH}, {number % PAIR_WIDTH}, 0)" for number in range(self.keyed)
        )
        return [
            f"CREATE TABLE {self.moving} (id integer PRIMARY KEY, v integer NOT NULL)",
            f"INSERT INTO {self.moving} VALUES {rows}",
            f"CREATE TABLE {self.fleeting} (id integer PRIMARY KEY, v integer NOT NULL)",
            f"CREATE TABLE {self.paired} (a integer NOT NULL, b integer NOT NULL,"
            " v integer NOT NULL, PRIMARY KEY (a, b))",
            f"INSERT INTO {self.paired} VALUES {pairs}",
        ]

    def removal(self) -> list[str]:
        return [f"DROP VIEW {self.view(table)}" for table in range(self.tables)] + [
            f"DROP TABLE {name}" for name in self.all_tables
        ]
