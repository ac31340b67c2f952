"""The bytes of an answer do not tell whether Mynah, or its cache, was there."""

import math
import sqlite3
import struct

import pytest

import corpus
import wire
from wire import BINARY, TEXT, RawSession

ON_POSTGRESQL = corpus.SHARED + corpus.POSTGRESQL + corpus.TYPE_QUERIES


def prepared(sql: str, format: int):
    """Parse once, execute twice, close."""
    return [
        wire.parse(sql, "p") + wire.describe_statement("p") + wire.sync(),
        wire.bind("p", result_formats=(format,)) + wire.execute() + wire.sync(),
        wire.bind("p", result_formats=(format,)) + wire.describe_portal() + wire.execute() + wire.sync(),
        wire.close_statement("p") + wire.sync(),
    ]


def all_ways(session: RawSession, sql: str) -> dict[str, list]:
    """The replies to one statement in every protocol mode."""
    return {
        "simple": session.exchange(wire.query(sql)),
        "text": session.exchange(wire.extended(sql, TEXT)),
        "binary": session.exchange(wire.extended(sql, BINARY)),
        "without describe": session.exchange(
            wire.parse(sql) + wire.bind() + wire.execute() + wire.sync()
        ),
        "prepared, text": [session.exchange(request) for request in prepared(sql, TEXT)],
        "prepared, binary": [session.exchange(request) for request in prepared(sql, BINARY)],
    }


@pytest.fixture(scope="module")
def opened():
    """Sessions that the whole module shares, by server."""
    sessions = {}

    def of(server) -> RawSession:
        if server.port not in sessions:
            sessions[server.port] = RawSession.connect(server.port, TimeZone="Europe/Berlin")
        return sessions[server.port]

    yield of
    for session in sessions.values():
        session.close()


@pytest.mark.parametrize("sql", ON_POSTGRESQL)
def test_every_reply_equals_the_direct_one(
    postgres, cached_postgres, uncached_postgres, opened, sql
):
    expected = all_ways(opened(postgres), sql)
    assert wire.sqlstate(expected["simple"]) is None
    assert all_ways(opened(cached_postgres), sql) == expected, "first time"
    assert all_ways(opened(cached_postgres), sql) == expected, "again"
    assert all_ways(opened(uncached_postgres), sql) == expected, "with the cache off"


PARAMETERS = [
    ("SELECT name FROM airlines WHERE carrier = $1", 25, [b"UA", b"DL", b"", None, b"x' OR 1=1"]),
    ("SELECT carrier FROM flights WHERE flight = $1 ORDER BY 1 LIMIT 5", 23, [1, 1545, -1, None]),
    ("SELECT count(*) FROM flights WHERE distance > $1", 20, [0, 1000, 10**12]),
    ("SELECT id FROM types WHERE c_float8 = $1 ORDER BY id", 701, [0.5, 5e-324, math.nan]),
]


def encodings(kind: int, value):
    if value is None or isinstance(value, bytes):
        return value, value
    code = {23: "!i", 20: "!q", 701: "!d"}[kind]
    return repr(value).encode(), struct.pack(code, value)


@pytest.mark.parametrize("sql,kind,values", PARAMETERS, ids=lambda value: str(value)[:40])
def test_parameters_give_the_direct_answer_in_both_formats(
    postgres, cached_postgres, uncached_postgres, opened, sql, kind, values
):
    for _ in range(2):
        for value in values:
            for format, encoded in enumerate(encodings(kind, value)):
                request = (
                    wire.parse(sql, types=(kind,))
                    + wire.bind(parameters=(encoded,), parameter_formats=(format,), result_formats=(1,))
                    + wire.describe_portal() + wire.execute() + wire.sync()
                )
                expected = opened(postgres).exchange(request)
                assert wire.sqlstate(expected) is None
                assert opened(cached_postgres).exchange(request) == expected
                assert opened(uncached_postgres).exchange(request) == expected


def test_mixed_result_formats_give_the_direct_answer(postgres, cached_postgres, opened):
    sql = "SELECT faa, alt, lat FROM airports ORDER BY faa LIMIT 20"
    for formats in ((), (0,), (1,), (0, 1, 0), (1, 0, 1), (0, 0, 0), (1, 1, 1)):
        request = (
            wire.parse(sql) + wire.bind(result_formats=formats) + wire.describe_portal()
            + wire.execute() + wire.sync()
        )
        expected = opened(postgres).exchange(request)
        for _ in range(3):
            assert opened(cached_postgres).exchange(request) == expected


def test_the_greeting_is_that_of_postgresql(postgres, cached_postgres):
    with RawSession.connect(postgres.port) as direct, RawSession.connect(cached_postgres.port) as proxied:
        assert proxied.parameters == direct.parameters
        assert direct.backend_key and proxied.backend_key


def test_startup_options_take_effect_as_directly(postgres, cached_postgres):
    options = {
        "options": "-c DateStyle=German -c bytea_output=escape",
        "application_name": "startup options",
        "extra_float_digits": "0",
    }
    sql = "SELECT id, c_date, c_bytea, c_float8 FROM types WHERE id < 3 ORDER BY id"
    with RawSession.connect(postgres.port, **options) as direct:
        expected = direct.query(sql)
        with RawSession.connect(cached_postgres.port) as plain:
            plain.query(sql), plain.query(sql)
        with RawSession.connect(cached_postgres.port, **options) as proxied:
            assert proxied.parameters == direct.parameters
            assert proxied.query(sql) == expected
            assert proxied.query(sql) == expected


def test_most_of_the_corpus_is_answered_from_memory(cached_postgres, cached_sqlite, opened):
    for server in (cached_postgres, cached_sqlite):
        missed = {}
        for sql in corpus.SHARED:
            opened(server).query(sql)
            with server.counting() as delta:
                opened(server).query(sql)
            if not delta.hits:
                missed[sql] = str(delta)
        assert len(missed) <= len(corpus.SHARED) * 0.1, missed


# SQLite: no server to compare with, so the cache is compared with its absence, and the values with
# what the library itself gives.


def values_of(rows, decode=bytes.decode):
    return [[None if field is None else decode(field) for field in row] for row in rows]


def agrees(text: str | None, value: object) -> bool:
    if value is None or text is None:
        return value is None and text is None
    if isinstance(value, float):
        return float(text) == value
    if isinstance(value, int):
        return text in (str(value), {0: "f", 1: "t"}.get(value)) or float(text) == value
    if isinstance(value, bytes):
        return text == "\\x" + value.hex()
    return text == value or text.replace("+00", "") == value.replace("T", " ").replace("Z", "")


@pytest.mark.parametrize("sql", corpus.SHARED)
def test_sqlite_answers_do_not_depend_on_the_cache(
    cached_sqlite, uncached_sqlite, sqlite_file, opened, sql
):
    expected = all_ways(opened(uncached_sqlite), sql)
    assert wire.sqlstate(expected["simple"]) is None, expected["simple"]
    assert all_ways(opened(cached_sqlite), sql) == expected, "first time"
    assert all_ways(opened(cached_sqlite), sql) == expected, "again"
    own = sqlite3.connect(sqlite_file)
    rows = own.execute(sql).fetchall()
    own.close()
    found = values_of(wire.data_rows(expected["simple"]))
    assert len(found) == len(rows)
    for row, truth in zip(found, rows):
        assert all(agrees(field, value) for field, value in zip(row, truth)), (row, truth)


@pytest.mark.parametrize("sql", corpus.SHARED)
def test_sqlite_gives_the_same_values_and_types_as_postgresql(
    postgres, cached_sqlite, opened, sql
):
    expected = values_of(wire.data_rows(opened(postgres).query(sql)))
    for _ in range(2):
        found = values_of(wire.data_rows(opened(cached_sqlite).query(sql)))
        assert len(found) == len(expected)
        for row, truth in zip(found, expected):
            for field, value in zip(row, truth):
                assert field == value or float(field) == float(value), (row, truth)
