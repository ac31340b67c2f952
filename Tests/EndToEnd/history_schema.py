"""The tables that recorded histories are about, and what a row of them says about which counter."""

from dataclasses import dataclass

POISON = 1_000_000_000  # written only by what is rolled back


@dataclass(frozen=True)
class Schema:
    """Names and counters of one round; equal in every process that takes part.

    Counters: `tables` × `keys` rows of c0, c1, …, each a counter of its own; then the sum of each of
    these tables; then `groups` counters that stand in all three of ga, gb and gc, which one
    transaction always increments together. Lists: `lists` rows of l0 and l1.
    """

    prefix: str
    is_sqlite: bool
    tables: int = 12
    keys: int = 8
    groups: int = 4
    lists: int = 6

    def counter(self, table: int, identifier: int) -> int:
        return table * self.keys + identifier

    def sum_counter(self, table: int) -> int:
        return self.tables * self.keys + table

    def group_counter(self, group: int) -> int:
        return self.tables * (self.keys + 1) + group

    @property
    def counters(self) -> range:
        return range(self.tables * self.keys)

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
        return statements

    def removal(self) -> list[str]:
        tables = [self.table(t) for t in range(self.tables)]
        tables += self.group_tables + [self.list_table(half) for half in range(2)]
        return [f"DROP VIEW {self.view(t)}" for t in range(self.tables)] + [
            f"DROP TABLE {name}" for name in tables
        ]
