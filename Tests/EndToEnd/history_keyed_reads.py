"""Reads of rows that move to another key, that come and go, and whose key has two columns."""

from collections.abc import Callable, Iterator

import wire
from history_monotone import EVEN, ODD
from history_schema import AWAY, PAIR_WIDTH, Schema

Values = Callable[[list[tuple]], Iterator[tuple[int, int]]]


class Torn(Exception):
    """One statement's answer contradicts itself."""


def keyed_reads(schema: Schema) -> list[tuple[bytes, Values]]:
    """Each read's bytes, and what its rows say about which counter."""
    found = []
    for identifier in range(schema.keyed):
        found += of_moving(schema, identifier) + of_fleeting(schema, identifier)
        found += of_pair(schema, *divmod(identifier, PAIR_WIDTH))
    for sql, values in whole_tables(schema):
        found += [(wire.query(sql), values), (wire.extended(sql), values)]
    for a in range((schema.keyed - 1) // PAIR_WIDTH + 1):
        # The leading column alone is not a key.
        sql = f"SELECT a, b, v FROM {schema.paired} WHERE a = {a}"
        count = min(PAIR_WIDTH, schema.keyed - a * PAIR_WIDTH)
        found.append((wire.query(sql), pairs(schema, count)))
    return found


def whole_tables(schema: Schema) -> list[tuple[str, Values]]:
    return [
        (f"SELECT id, v FROM {schema.moving}", all_moving(schema)),
        (f"SELECT id, v FROM {schema.fleeting}", all_fleeting(schema)),
        (f"SELECT a, b, v FROM {schema.paired}", pairs(schema, schema.keyed)),
    ]


def with_parameters(schema: Schema, sql: str, *parameters: int) -> bytes:
    integer = 20 if schema.is_sqlite else 23
    raw = tuple(str(parameter).encode() for parameter in parameters)
    return (
        wire.parse(sql, "", (integer,) * len(raw)) + wire.bind(parameters=raw)
        + wire.describe_portal() + wire.execute() + wire.sync()
    )


def of_moving(schema: Schema, identifier: int) -> list[tuple[bytes, Values]]:
    counter, away = schema.moving_counter(identifier), identifier + AWAY

    def at(place: int, elsewhere: int) -> Values:
        def values(rows: list[tuple]) -> Iterator[tuple[int, int]]:
            if not rows:
                yield counter, elsewhere
                return
            [(found, version)] = rows
            if int(found) != place:
                raise Torn(f"key {int(found)} of {schema.moving} where {place} was asked for")
            yield from moved(schema, found, version)

        return values

    def either(rows: list[tuple]) -> Iterator[tuple[int, int]]:
        if len(rows) != 1:
            raise Torn(f"row {identifier} of {schema.moving} is in {len(rows)} places")
        yield from moved(schema, *rows[0])

    select = f"SELECT id, v FROM {schema.moving} WHERE id"
    found = [(wire.query(f"{select} IN ({identifier}, {away})"), either)]
    for place, elsewhere in ((identifier, ODD), (away, EVEN)):
        found.append((wire.query(f"{select} = {place}"), at(place, elsewhere)))
        found.append((with_parameters(schema, f"{select} = $1", place), at(place, elsewhere)))
    return found


def moved(schema: Schema, identifier, version) -> Iterator[tuple[int, int]]:
    if (int(identifier) >= AWAY) != (int(version) % 2 == 1):
        raise Torn(f"version {int(version)} of {schema.moving} has key {int(identifier)}")
    yield schema.moving_counter(int(identifier)), int(version)


def all_moving(schema: Schema) -> Values:
    def values(rows: list[tuple]) -> Iterator[tuple[int, int]]:
        if sorted(int(row[0]) % AWAY for row in rows) != list(range(schema.keyed)):
            raise Torn(f"{schema.moving} has the keys {sorted(int(row[0]) for row in rows)}")
        for row in rows:
            yield from moved(schema, *row)

    return values


def of_fleeting(schema: Schema, identifier: int) -> list[tuple[bytes, Values]]:
    counter = schema.fleeting_counter(identifier)

    def values(rows: list[tuple]) -> Iterator[tuple[int, int]]:
        if not rows:
            yield counter, EVEN
            return
        [(found, version)] = rows
        if int(found) != identifier:
            raise Torn(f"key {int(found)} of {schema.fleeting} where {identifier} was asked for")
        if int(version) % 2 == 0:
            raise Torn(f"version {int(version)} of {schema.fleeting} should be gone")
        yield counter, int(version)

    select = f"SELECT id, v FROM {schema.fleeting} WHERE id"
    return [
        (wire.query(f"{select} = {identifier}"), values),
        (wire.extended(f"{select} = {identifier}"), values),
        (with_parameters(schema, f"{select} = $1", identifier), values),
    ]


def all_fleeting(schema: Schema) -> Values:
    def values(rows: list[tuple]) -> Iterator[tuple[int, int]]:
        there = {int(identifier): int(version) for identifier, version in rows}
        if len(there) != len(rows):
            raise Torn(f"{schema.fleeting} has the keys {sorted(int(row[0]) for row in rows)}")
        for identifier in range(schema.keyed):
            yield schema.fleeting_counter(identifier), there.get(identifier, EVEN)

    return values


def of_pair(schema: Schema, a: int, b: int) -> list[tuple[bytes, Values]]:
    select = f"SELECT a, b, v FROM {schema.paired} WHERE"
    other = f"(a = 0 AND b = {(b + 1) % PAIR_WIDTH})"
    return [
        (wire.query(f"{select} a = {a} AND b = {b}"), pairs(schema, 1)),
        (wire.extended(f"{select} b = {b} AND a = {a}"), pairs(schema, 1)),
        (with_parameters(schema, f"{select} a = $1 AND b = $2", a, b), pairs(schema, 1)),
        (wire.query(f"{select} (a = {a} AND b = {b}) OR {other}"), pairs(schema, 2)),
    ]


def pairs(schema: Schema, count: int) -> Values:
    def values(rows: list[tuple]) -> Iterator[tuple[int, int]]:
        if len(rows) != count:
            raise Torn(f"{len(rows)} rows of {schema.paired} where there are {count}")
        for a, b, version in rows:
            yield schema.pair_counter(int(a), int(b)), int(version)

    return values
