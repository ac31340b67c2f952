"""Every way in which the counters are read: the bytes to send, and what the rows then say."""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import wire
from history_client import prepare, prepared
from history_keyed_reads import Torn, keyed_reads
from history_schema import Schema

Row = tuple[bytes | None, ...]


class Request(NamedTuple):
    data: bytes
    values: Callable[[list[Row]], Iterator[tuple[int, int]]]  # (counter, value)


def number(data: bytes) -> int:
    return int(data)


def binary_number(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


class Requests:
    """The reads of one schema, by table; `preparation` must have run in the session."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.integer = 20 if schema.is_sqlite else 23
        self.width = 8 if schema.is_sqlite else 4
        self.by_table = [self._of_table(table) for table in range(schema.tables)]
        self.of_groups = self._of_groups()
        self.of_keys = [Request(*read) for read in keyed_reads(schema)]

    @property
    def preparation(self) -> list[bytes]:
        schema = self.schema
        found = []
        for table in range(schema.tables):
            found.append(prepare(
                f"one{table}", f"SELECT id, v FROM {schema.table(table)} WHERE id = $1",
                (self.integer,),
            ))
            found.append(prepare(
                f"all{table}", f"SELECT id, v FROM {schema.table(table)} ORDER BY id"
            ))
        return found

    def _rows(self, table: int, count: int, decode) -> Callable:
        counter = self.schema.counter

        def values(rows: list[Row]) -> Iterator[tuple[int, int]]:
            if len(rows) != count:
                raise Torn(f"{len(rows)} rows of table {table} where there are {count}")
            for row in rows:
                yield counter(table, decode(row[0])), decode(row[1])

        return values

    def _sum(self, table: int) -> Callable:
        def values(rows: list[Row]) -> Iterator[tuple[int, int]]:
            if int(rows[0][1]) != self.schema.keys:
                raise Torn(f"{int(rows[0][1])} rows counted in table {table}")
            yield self.schema.sum_counter(table), int(rows[0][0])

        return values

    def _of_table(self, table: int) -> list[Request]:
        schema, found = self.schema, []
        name, other = schema.table(table), schema.table((table + 1) % schema.tables)
        for key in range(schema.keys):
            one = f"SELECT id, v FROM {name} WHERE id = {key}"
            text, binary = self._rows(table, 1, number), self._rows(table, 1, binary_number)
            raw = key.to_bytes(self.width, "big")
            found += [
                Request(wire.query(one), text),
                Request(wire.extended(one), text),
                Request(wire.extended(one, wire.BINARY), binary),
                Request(prepared(f"one{table}", (str(key).encode(),), wire.TEXT, wire.TEXT), text),
                Request(prepared(f"one{table}", (raw,), wire.BINARY, wire.BINARY), binary),
            ]
        some = (table % schema.keys, (table + 3) % schema.keys, (table + 5) % schema.keys)
        among = f"SELECT id, v FROM {name} WHERE id IN {some}"
        whole = f"SELECT id, v FROM {name} ORDER BY id"
        total = f"SELECT sum(v), count(*) FROM {name}"
        view = f"SELECT id, v FROM {schema.view(table)} WHERE id = {table % schema.keys}"
        joined = (
            f"SELECT a.v, b.v FROM {name} a JOIN {other} b ON b.id = a.id WHERE a.id = {some[1]}"
        )

        def pair(rows: list[Row]) -> Iterator[tuple[int, int]]:
            yield schema.counter(table, some[1]), int(rows[0][0])
            yield schema.counter((table + 1) % schema.tables, some[1]), int(rows[0][1])

        everything = self._rows(table, schema.keys, number)
        return found + [
            Request(wire.query(among), self._rows(table, 3, number)),
            Request(wire.extended(among, wire.BINARY), self._rows(table, 3, binary_number)),
            Request(wire.query(whole), everything),
            Request(wire.extended(whole), everything),
            Request(
                prepared(f"all{table}", (), wire.BINARY, wire.TEXT),
                self._rows(table, schema.keys, binary_number),
            ),
            Request(wire.query(total), self._sum(table)),
            Request(wire.extended(total), self._sum(table)),
            Request(wire.query(view), self._rows(table, 1, number)),
            Request(wire.query(joined), pair),
        ]

    def _of_groups(self) -> list[Request]:
        schema, found = self.schema, []
        a, b, c = schema.group_tables
        for group in range(schema.groups):
            def values(rows: list[Row], group: int = group) -> Iterator[tuple[int, int]]:
                seen = {int(value) for row in rows for value in row}
                if len(seen) != 1:
                    raise Torn(f"group {group} read as {sorted(seen)} by one statement")
                yield schema.group_counter(group), seen.pop()

            joined = (
                f"SELECT a.v, b.v, c.v FROM {a} a JOIN {b} b ON b.id = a.id"
                f" JOIN {c} c ON c.id = b.id WHERE a.id = {group}"
            )
            stacked = " UNION ALL ".join(
                f"SELECT v FROM {name} WHERE id = {group}" for name in (a, b, c)
            )
            found += [Request(wire.query(joined), values), Request(wire.extended(joined), values)]
            found.append(Request(wire.query(stacked), values))
            found += [
                Request(make(f"SELECT v FROM {name} WHERE id = {group}"), values)
                for name in (a, b, c) for make in (wire.query, wire.extended)
            ]
        return found

    def few(self, chance: random.Random) -> list[Request]:
        """Reads of one place, few enough that they soon repeat."""
        dice = chance.random()
        if dice < 0.15:
            among = self.of_groups
        elif dice < 0.35:
            among = self.of_keys
        else:
            among = self.by_table[chance.randrange(self.schema.tables)]
        return chance.sample(among, min(len(among), chance.choice((1, 4, 8))))

    def locking(self, chance: random.Random) -> Request:
        """A read that is never answered from memory."""
        table, key = chance.randrange(self.schema.tables), chance.randrange(self.schema.keys)
        lock = "" if self.schema.is_sqlite else " FOR KEY SHARE"
        volatile = " AND random() IS NOT NULL" if self.schema.is_sqlite else ""
        sql = f"SELECT id, v FROM {self.schema.table(table)} WHERE id = {key}{volatile}{lock}"
        return Request(wire.query(sql), self._rows(table, 1, number))
