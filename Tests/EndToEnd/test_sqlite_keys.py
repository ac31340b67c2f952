"""Reads by key from SQLite survive writes to other rows, and no others."""

import random
import sqlite3

import pytest

import wire
from caching import assert_hit, assert_no_hit, warm


@pytest.fixture
def rows(cached_sqlite, session, table):
    """A session, on a table with rows 1 to 9."""
    opened = session(cached_sqlite)
    opened.run(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, v integer)")
    values = ", ".join(f"({i}, {i}0)" for i in range(1, 10))
    opened.run(f"INSERT INTO {table} VALUES {values}")
    return opened


@pytest.mark.parametrize(
    "write, touched",
    [
        ("UPDATE {t} SET v = v + 1 WHERE id = 3", {3}),
        ("UPDATE {t} SET v = 0 WHERE id IN (3, 4)", {3, 4}),
        ("DELETE FROM {t} WHERE id = 3", {3}),
        ("UPDATE {t} SET id = 12 WHERE id = 3", {3, 12}),
        ("INSERT INTO {t} VALUES (12, 5)", {12}),
        ("BEGIN; UPDATE {t} SET v = 1 WHERE id = 3; DELETE FROM {t} WHERE id = 5; COMMIT", {3, 5}),
        ("INSERT INTO {t} (v) VALUES (5)", set(range(1, 13))),
        ("UPDATE {t} SET id = id + 20 WHERE id = 3", set(range(1, 13))),
        ("REPLACE INTO {t} VALUES (3, 5)", set(range(1, 13))),
    ],
)
def test_a_write_leaves_the_answers_about_other_rows_alone(
    cached_sqlite, rows, session, table, write, touched
):
    def read(key):
        return rows.rows(f"SELECT id, v FROM {table} WHERE id = {key}")

    for key in range(1, 13):
        warm(cached_sqlite, lambda: read(key))
    session(cached_sqlite).query(write.format(t=table))
    for key in range(1, 13):
        (assert_no_hit if key in touched else assert_hit)(cached_sqlite, lambda: read(key))


def test_parameters_name_rows(cached_sqlite, rows, session, table):
    def read(key):
        sql = f"SELECT id, v FROM {table} WHERE id = $1"
        return wire.data_rows(rows.exchange(wire.extended(sql, parameters=(b"%d" % key,))))

    for key in range(1, 10):
        warm(cached_sqlite, lambda: read(key))
    update = f"UPDATE {table} SET v = $1 WHERE id = $2"
    session(cached_sqlite).exchange(wire.extended(update, parameters=(b"77", b"4")))
    for key in range(1, 10):
        if key != 4:
            assert_hit(cached_sqlite, lambda: read(key))
    assert assert_no_hit(cached_sqlite, lambda: read(4)) == [[b"4", b"77"]]


def test_an_insert_of_null_takes_a_key_that_was_read_as_missing(cached_sqlite, rows, table):
    read = f"SELECT v FROM {table} WHERE id = 10"
    assert warm(cached_sqlite, lambda: rows.rows(read)) == []
    insert = f"INSERT INTO {table} (id, v) VALUES ($1, $2)"
    assert wire.sqlstate(rows.exchange(wire.extended(insert, parameters=(None, b"5")))) is None
    assert rows.rows(read) == [[b"5"]]


def test_random_statements_answer_as_sqlite_itself_does(
    cached_sqlite, rows, session, sqlite_file, table
):
    generator = random.Random(20)
    direct = sqlite3.connect(sqlite_file, isolation_level=None, timeout=20)
    writer = session(cached_sqlite)
    keys = list(range(0, 14)) + [-1]

    def condition():
        key, other = generator.choice(keys), generator.choice(keys)
        return generator.choice(
            [f"id = {key}", f"{key} = id", f"id IN ({key}, {other})", f"{table}.id = {key}",
             f"id = '{key}'", f"id = {key}.0", f"rowid = {key}", f"id = {key} AND v > 3",
             f"id = {key} OR id = {other}", f"NOT id = {key}", f"id = {key}::bigint", f"v = {key}",
             f"id = {key} AND id IN ({key}, {other})", "true"]
        )

    def write():
        key, other = generator.choice(keys), generator.choice(keys)
        return generator.choice(
            [f"UPDATE {table} SET v = v + 1 WHERE {condition()}",
             f"UPDATE OR IGNORE {table} SET id = {other} WHERE id = {key}",
             f"UPDATE {table} SET id = {other} WHERE id = {key}",
             f"UPDATE {table} SET rowid = {other} WHERE id = {key}",
             f"DELETE FROM {table} WHERE id = {key}",
             f"INSERT INTO {table} VALUES ({key}, {other})",
             f"INSERT INTO {table} (v, id) VALUES ({other}, {key}) ON CONFLICT DO NOTHING",
             f"INSERT INTO {table} VALUES ({key}, 1) ON CONFLICT (id) DO UPDATE SET v = v + 1",
             f"INSERT INTO {table} (v) VALUES ({other})",
             f"REPLACE INTO {table} VALUES ({key}, {other})"]
        )

    texts = [condition() for _ in range(40)]
    with cached_sqlite.counting() as delta:
        for step in range(3000):
            if step % 5 == 0:
                if generator.random() < 0.2:
                    writer.query("BEGIN")
                    writer.query(write())
                    writer.query(generator.choice(["COMMIT", "ROLLBACK"]))
                elif generator.random() < 0.1:
                    try:
                        direct.execute(write().replace("::bigint", ""))
                    except sqlite3.IntegrityError:
                        pass
                else:
                    writer.query(write())
            where = generator.choice(texts)
            read = f"SELECT id, v FROM {table} WHERE {where} ORDER BY id"
            expected = direct.execute(read.replace("::bigint", "")).fetchall()
            answer = [tuple(int(cell) for cell in row) for row in rows.rows(read)]
            assert answer == expected, f"step {step}: {where}"
    direct.close()
    assert delta.hits > 300, f"{delta}"
