"""What applications do, through each driver, in front of each database."""

import datetime
import decimal
import uuid

import psycopg2.extras
import pytest

from caching import assert_hit, warm

AIRLINES = "SELECT carrier, name FROM airlines ORDER BY carrier"


def test_a_repeated_read_is_answered_from_memory(mynah, connect):
    connection = connect(mynah)
    first = connection.rows(AIRLINES)
    assert len(first) == 16 and ("UA", "United Air Lines Inc.") in first
    warm(mynah, lambda: connection.rows(AIRLINES))
    assert assert_hit(mynah, lambda: connection.rows(AIRLINES)) == first


def test_a_repeated_read_with_a_parameter_is_answered_from_memory(mynah, connect):
    connection = connect(mynah)
    sql = "SELECT name FROM airlines WHERE carrier = $1"

    def read(carrier):
        return connection.rows(sql, [carrier])

    assert read("UA") == [("United Air Lines Inc.",)]
    assert read("DL") == [("Delta Air Lines Inc.",)]
    warm(mynah, lambda: read("UA"))
    assert assert_hit(mynah, lambda: read("UA")) == [("United Air Lines Inc.",)]
    assert read("none") == []


def test_another_connection_hits_what_the_first_has_read(mynah, connect):
    first, second = connect(mynah), connect(mynah)
    sql = "SELECT carrier FROM airlines WHERE carrier > 'E' ORDER BY carrier"
    expected = warm(mynah, lambda: first.rows(sql))
    assert warm(mynah, lambda: second.rows(sql)) == expected


def test_a_write_shows_in_the_next_read_of_every_connection(mynah, connect, table):
    writer, reader = connect(mynah), connect(mynah)
    writer.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    sql = f"SELECT v FROM {table} ORDER BY id"
    writer.run(f"INSERT INTO {table} VALUES (1, 10)")
    for value in (11, 12, 13):
        warm(mynah, lambda: reader.rows(sql))
        writer.run(f"UPDATE {table} SET v = {value} WHERE id = 1")
        assert reader.rows(sql) == [(value,)]
        assert writer.rows(sql) == [(value,)]
    warm(mynah, lambda: reader.rows(sql))
    writer.run(f"DELETE FROM {table}")
    assert reader.rows(sql) == []
    writer.run(f"DROP TABLE {table}")


def test_a_transaction_sees_its_own_writes_and_others_see_them_after_commit(
    mynah, connect, table
):
    writer, reader = connect(mynah), connect(mynah)
    writer.run(f"CREATE TABLE {table} (v integer)")
    writer.run(f"INSERT INTO {table} VALUES (1)")
    sql = f"SELECT v FROM {table}"
    warm(mynah, lambda: reader.rows(sql))
    writer.begin()
    writer.run(f"UPDATE {table} SET v = 2")
    assert writer.rows(sql) == [(2,)]
    assert reader.rows(sql) == [(1,)]
    writer.commit()
    assert reader.rows(sql) == [(2,)]
    writer.begin()
    writer.run(f"UPDATE {table} SET v = 3")
    assert writer.rows(sql) == [(3,)]
    writer.rollback()
    assert writer.rows(sql) == [(2,)]
    assert reader.rows(sql) == [(2,)]
    writer.run(f"DROP TABLE {table}")


def test_savepoints_roll_back_part_of_a_transaction(mynah, connect, table):
    connection = connect(mynah)
    connection.run(f"CREATE TABLE {table} (v integer)")
    connection.begin()
    connection.run(f"INSERT INTO {table} VALUES (1)")
    connection.run("SAVEPOINT one")
    connection.run(f"INSERT INTO {table} VALUES (2)")
    assert connection.rows(f"SELECT v FROM {table} ORDER BY v") == [(1,), (2,)]
    connection.run("ROLLBACK TO SAVEPOINT one")
    assert connection.rows(f"SELECT v FROM {table} ORDER BY v") == [(1,)]
    connection.run(f"INSERT INTO {table} VALUES (3)")
    connection.run("RELEASE SAVEPOINT one")
    connection.commit()
    assert connection.rows(f"SELECT v FROM {table} ORDER BY v") == [(1,), (3,)]
    connection.run(f"DROP TABLE {table}")


def test_reads_in_a_transaction_are_answered_from_memory(mynah, connect):
    connection = connect(mynah)

    def read():
        connection.begin()
        rows = connection.rows("SELECT faa FROM airports WHERE alt > 6000 ORDER BY faa")
        connection.commit()
        return rows

    expected = read()
    assert expected
    warm(mynah, read)
    assert assert_hit(mynah, read) == expected


def test_nulls_and_all_of_unicode_survive(mynah, connect, table):
    connection = connect(mynah)
    connection.run(f"CREATE TABLE {table} (id integer, v text)")
    values = [None, "", "héllo", "日本語", "✈ 𝒳 👩‍👩‍👧", "quote ' and \" and \\", "a\nb\tc", "%s $1 :p1 ?"]
    for number, value in enumerate(values):
        connection.run(f"INSERT INTO {table} VALUES ({number}, $1)", [value])
    expected = [(value,) for value in values]
    read = lambda: connection.rows(f"SELECT v FROM {table} ORDER BY id")  # noqa: E731
    assert read() == expected
    assert warm(mynah, read) == expected
    assert connection.value(f"SELECT id FROM {table} WHERE v = $1", ["日本語"]) == 3
    connection.run(f"DROP TABLE {table}")


def test_many_rows_go_in_at_once(mynah, connect, table):
    connection = connect(mynah)
    connection.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v text)")
    count = f"SELECT count(*) FROM {table}"
    assert connection.value(count) == 0
    warm(mynah, lambda: connection.value(count))
    rows = [(number, f"row {number}") for number in range(200)]
    connection.run_many(f"INSERT INTO {table} VALUES ($1, $2)", rows)
    assert connection.value(count) == 200
    assert connection.rows(f"SELECT id, v FROM {table} ORDER BY id") == rows
    connection.run(f"DROP TABLE {table}")


def test_a_large_result_arrives_whole(mynah, connect):
    connection = connect(mynah)
    count, total = connection.rows("SELECT count(*), sum(distance) FROM flights")[0]
    assert count > 20_000
    for _ in range(2):
        rows = connection.rows("SELECT carrier, flight, tailnum, dest, distance FROM flights")
        assert len(rows) == count
        assert sum(row[4] for row in rows) == total


def test_numbers_come_with_their_types(mynah, connect):
    row = connect(mynah).rows(
        "SELECT name, lat, alt FROM airports WHERE faa = 'JFK'"
    )[0]
    assert row[0] == "John F Kennedy Intl"
    assert type(row[1]) is float and abs(row[1] - 40.639751) < 1e-9
    assert type(row[2]) is int and row[2] == 13


PARAMETERS = [
    ("smallint", -32768),
    ("integer", 2147483647),
    ("bigint", 9223372036854775807),
    ("bigint", -9223372036854775808),
    ("double precision", 0.1),
    ("double precision", -1e308),
    ("text", "it's"),
    ("varchar(30)", "日本語"),
    ("boolean", True),
    ("boolean", False),
]

POSTGRESQL_PARAMETERS = [
    ("numeric", decimal.Decimal("-12345678901234567890.000123")),
    ("bytea", b"\x00\xff\\'"),
    ("date", datetime.date(2013, 1, 31)),
    ("time", datetime.time(23, 59, 59, 999999)),
    ("timestamp", datetime.datetime(2013, 1, 1, 5, 15)),
    ("timestamptz", datetime.datetime(2013, 1, 1, 5, 15, tzinfo=datetime.timezone.utc)),
    ("interval", datetime.timedelta(days=-3, seconds=4, microseconds=5)),
    ("uuid", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("integer[]", [1, 2, 3]),
    ("text[]", ["a", "q\"'", ""]),
]


def round_trip(mynah, connection, table, kind, value):
    connection.run(f"CREATE TABLE {table} (id integer, v {kind})")
    connection.run(f"INSERT INTO {table} VALUES (1, $1)", [value])
    read = lambda: connection.rows(f"SELECT v FROM {table} WHERE id = 1")  # noqa: E731
    for answer in (read(), warm(mynah, read)):
        found = answer[0][0]
        if isinstance(found, memoryview):
            found = bytes(found)
        assert found == value and isinstance(found, type(value))
    connection.run(f"DROP TABLE {table}")


@pytest.mark.parametrize("kind,value", PARAMETERS, ids=lambda value: repr(value)[:30])
def test_a_parameter_comes_back_as_it_went_in(mynah, connect, table, kind, value):
    round_trip(mynah, connect(mynah), table, kind, value)


@pytest.mark.parametrize("kind,value", POSTGRESQL_PARAMETERS, ids=lambda value: repr(value)[:30])
def test_a_parameter_of_a_richer_type_comes_back_as_it_went_in(
    cached_postgres, postgres, driver, connect, table, kind, value
):
    if driver.name == "psycopg2" and kind == "uuid":
        psycopg2.extras.register_uuid()
    round_trip(cached_postgres, connect(cached_postgres), table, kind, value)


ERRORS = {
    "SELEC 1": "42601",
    "SELECT * FROM no_such_table": "42P01",
    "SELECT no_such_column FROM airlines": "42703",
    "SELECT no_such_function(carrier) FROM airlines": "42883",
    "INSERT INTO {table} VALUES (1, 1)": "23505",
    "INSERT INTO {table} VALUES (NULL, 1)": "23502",
    "INSERT INTO {table} VALUES (3, -1)": "23514",
    "CREATE TABLE {table} (v integer)": "42P07",
}


def test_errors_carry_the_sqlstate_of_postgresql_and_leave_the_session_usable(
    mynah, connect, table
):
    connection = connect(mynah)
    connection.run(
        f"CREATE TABLE {table} (id integer NOT NULL, v integer CHECK (v > 0), UNIQUE (id))"
    )
    connection.run(f"INSERT INTO {table} VALUES (1, 1)")
    for sql, expected in ERRORS.items():
        with pytest.raises(Exception) as raised:
            connection.run(sql.format(table=table))
        assert connection.sqlstate(raised.value) == expected, sql
        assert connection.value(f"SELECT count(*) FROM {table}") == 1
    connection.run(f"DROP TABLE {table}")


def test_a_failed_transaction_refuses_statements_until_it_ends(mynah, connect):
    connection = connect(mynah)
    sql = "SELECT count(*) FROM airlines"
    warm(mynah, lambda: connection.value(sql))
    connection.begin()
    with pytest.raises(Exception) as raised:
        connection.run("SELECT * FROM no_such_table")
    assert connection.sqlstate(raised.value) == "42P01"
    with pytest.raises(Exception) as raised:
        connection.value(sql)
    assert connection.sqlstate(raised.value) == "25P02"
    connection.rollback()
    assert connection.value(sql) == 16


def test_the_session_questions_of_drivers_are_answered(mynah, connect):
    connection = connect(mynah)
    assert "PostgreSQL" in connection.value("SELECT version()")
    assert connection.value("SELECT current_schema()") == "public"
    assert connection.value("SHOW server_version").startswith("15")
    connection.run("SET application_name = 'mynah test'")
