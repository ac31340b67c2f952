"""Rows by key: a write to one row leaves the answers about others alone, and takes its own out."""

import struct

import pytest

import wire
from anomaly_lab import Lab, lab  # noqa: F401 (a fixture)
from caching import assert_hit

TABLE = (
    "CREATE TABLE {t} (id int PRIMARY KEY, owner text, v int)",
    "INSERT INTO {t} SELECT i, 'owner' || i % 3, 0 FROM generate_series(1, 20) i",
)
PAIRS = (
    "CREATE TABLE {t} (a int, b bigint, v int, PRIMARY KEY (a, b))",
    "INSERT INTO {t} SELECT i, j, 0 FROM generate_series(1, 4) i, generate_series(1, 4) j",
)
ROW = "SELECT v FROM {t} WHERE id = 5"


def bound(sql: str, *parameters: bytes | None, formats: tuple[int, ...] = (), types=()) -> bytes:
    return (
        wire.parse(sql, types=types) + wire.bind(parameters=parameters, parameter_formats=formats)
        + wire.describe_portal() + wire.execute() + wire.sync()
    )


def leaves(lab: Lab, read: str, write: str) -> None:
    """The write goes by what the read has left in memory."""
    lab.remember(read)
    lab.writer.run(lab.sql(write))
    answer = assert_hit(lab.server, lambda: lab.reader.query(lab.sql(read)))
    assert answer == lab.direct.query(lab.sql(read))


@pytest.mark.parametrize("setup, read, write", [
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id = 6"),
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id IN (1, 2, 6)"),
    (TABLE, ROW, "UPDATE {t} SET id = 70 WHERE id = 7"),
    (TABLE, ROW, "DELETE FROM {t} WHERE id = 8"),
    (TABLE, ROW, "INSERT INTO {t} VALUES (99, 'x', 1), (100, 'y', 2)"),
    (TABLE, ROW, "INSERT INTO {t} VALUES (6, 'x', 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v"),
    (TABLE, ROW, "BEGIN; UPDATE {t} SET v = 1 WHERE id = 6; DELETE FROM {t} WHERE id = 7; COMMIT"),
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id = -5"),
    (TABLE, "SELECT v FROM {t} WHERE id IN (3, 4)", "UPDATE {t} SET v = 1 WHERE id = 5"),
    (TABLE, "SELECT count(*) FROM {t} WHERE owner = 'owner1' AND v >= 0",
     "UPDATE {t} SET v = 1 WHERE owner = 'owner2'"),
    (TABLE, "SELECT a.v, b.owner FROM {t} a JOIN {t} b ON b.id = a.id WHERE a.id = 5",
     "UPDATE {t} SET v = 1 WHERE id = 6"),
    (TABLE, "SELECT v FROM (SELECT * FROM {t} WHERE id = 5) s", "UPDATE {t} SET v = 1 WHERE id = 6"),
    (PAIRS, "SELECT v FROM {t} WHERE a = 1 AND b = 2", "UPDATE {t} SET v = 1 WHERE a = 1 AND b = 3"),
    (PAIRS, "SELECT v FROM {t} WHERE b = 2 AND a = 1", "UPDATE {t} SET v = 1 WHERE a = 2 AND b = 2"),
])
def test_a_write_leaves_the_answers_about_other_rows_alone(lab, setup, read, write):
    lab.make(*setup)
    leaves(lab, read, write)


@pytest.mark.parametrize("setup, read, write", [
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id = 5"),
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id IN (4, 5)"),
    (TABLE, ROW, "UPDATE {t} SET v = 1"),
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id > 4"),
    (TABLE, ROW, "UPDATE {t} SET v = 1 WHERE id = 6 OR id = 5"),
    (TABLE, ROW, "UPDATE {t} SET id = 50 WHERE id = 5"),
    (TABLE, "SELECT v FROM {t} WHERE id = 50", "UPDATE {t} SET id = 50 WHERE id = 5"),
    (TABLE, "SELECT v FROM {t} WHERE id = 25", "UPDATE {t} SET id = id + 20 WHERE id = 5"),
    (TABLE, "SELECT v FROM {t} WHERE id = 30", "INSERT INTO {t} VALUES (30, 'x', 1)"),
    (TABLE, "SELECT v FROM {t} WHERE id = 30", "INSERT INTO {t} SELECT 30, 'x', 1"),
    (TABLE, ROW, "INSERT INTO {t} VALUES (5, 'x', 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v"),
    (TABLE, "SELECT v FROM {t} WHERE id = 60",
     "INSERT INTO {t} VALUES (5, 'x', 1) ON CONFLICT (id) DO UPDATE SET id = 60"),
    (TABLE, "SELECT count(*) FROM {t} WHERE owner = 'owner1'", "UPDATE {t} SET owner = 'owner1' WHERE id = 3"),
    (TABLE, "SELECT count(*) FROM {t} WHERE owner = 'owner1'", "DELETE FROM {t} WHERE id = 4"),
    (TABLE, ROW, "TRUNCATE {t}"),
    (PAIRS, "SELECT v FROM {t} WHERE a = 1 AND b = 2", "UPDATE {t} SET v = 1 WHERE a = 1"),
    (PAIRS, "SELECT v FROM {t} WHERE a = 1 AND b = 2", "UPDATE {t} SET b = 9 WHERE a = 1 AND b = 2"),
    (PAIRS, "SELECT v FROM {t} WHERE a = 1 AND b = 9", "UPDATE {t} SET b = 9 WHERE a = 1 AND b = 2"),
    (TABLE + ("CREATE TABLE {t}_c () INHERITS ({t})",), "SELECT v FROM {t} WHERE id = 40",
     "INSERT INTO {t}_c VALUES (40, 'x', 1)"),
])
def test_a_write_takes_the_answers_about_its_rows_out(lab, setup, read, write):
    lab.make(*setup)
    lab.changes(read, write)


@pytest.mark.parametrize("value, format, types", [
    (b"5", wire.TEXT, ()), (struct.pack("!i", 5), wire.BINARY, ()), (b"5", wire.TEXT, (20,)),
    (struct.pack("!q", 5), wire.BINARY, (20,)), (struct.pack("!h", 5), wire.BINARY, (21,)),
])
def test_parameters_name_rows_in_every_format(lab, value, format, types):
    lab.make(*TABLE)
    read = bound(lab.sql("SELECT v FROM {t} WHERE id = $1"), value, formats=(format,), types=types)
    update = lab.sql("UPDATE {t} SET v = v + 1 WHERE id = $1")

    def ask():
        return lab.reader.exchange(read)

    for row, is_ours in ((b"6", False), (b"5", True), (b"7", False), (b"05", True)):
        ask(), ask()
        before = assert_hit(lab.server, ask)
        assert wire.sqlstate(lab.writer.exchange(bound(update, row))) is None
        if is_ours:
            assert ask() == lab.direct.exchange(read) != before
        else:
            assert assert_hit(lab.server, ask) == lab.direct.exchange(read)


def test_an_array_names_its_elements(lab):
    lab.make(*TABLE)
    read = bound(lab.sql("SELECT id, v FROM {t} WHERE id = ANY ($1) ORDER BY id"), b"{3,4}")

    def ask():
        return lab.reader.exchange(read)

    ask(), ask()
    lab.writer.run(lab.sql("UPDATE {t} SET v = 1 WHERE id = 5"))
    before = assert_hit(lab.server, ask)
    lab.writer.run(lab.sql("UPDATE {t} SET v = 1 WHERE id = 4"))
    assert ask() == lab.direct.exchange(read) != before


def test_partitions_share_their_keys_with_the_whole(lab):
    lab.make(
        "CREATE TABLE {t} (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)",
        "CREATE TABLE {t}_1 PARTITION OF {t} FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE {t}_2 PARTITION OF {t} FOR VALUES FROM (10) TO (20)",
        "INSERT INTO {t} SELECT i, 0 FROM generate_series(1, 15) i")
    leaves(lab, ROW, "UPDATE {t}_1 SET v = 1 WHERE id = 6")
    lab.changes(ROW, "UPDATE {t}_1 SET v = 1 WHERE id = 5")
    lab.changes("SELECT v FROM {t}_2 WHERE id = 12", "UPDATE {t} SET v = 1 WHERE id = 12")
    lab.changes("SELECT v FROM {t}_2 WHERE id = 16", "UPDATE {t} SET id = 16 WHERE id = 3")
