"""Text that Mynah cannot read: forwarded as it is, counted, and taken for a write of everything."""

import pytest

import wire
from anomaly_lab import lab  # noqa: F401 (a fixture)

NEWER = [
    # PostgreSQL 16
    "SELECT JSON_ARRAYAGG(id) FROM {t}", "SELECT v IS JSON FROM {t}", "SELECT 1_000 FROM {t}",
    "SELECT JSON_OBJECT('a': v) FROM {t}", "SELECT x FROM (SELECT 1 AS x)",
    # PostgreSQL 17
    "MERGE INTO {t} USING (SELECT 1 AS i) s ON id = s.i WHEN MATCHED THEN DELETE RETURNING merge_action()",
    "SELECT * FROM {t}, JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) j",
    "COPY {t} FROM stdin (ON_ERROR ignore, FORCE_NULL *)",
    # PostgreSQL 18
    "UPDATE {t} SET v = v RETURNING OLD.*, NEW.*", "SELECT id FROM {t} WHERE v AT LOCAL",
    # No SQL at all
    "HELLO", "SELECT FROM WHERE", "SELECT 'open", "/* open", "SELECT $$", "\\dt", "SELECT 1 1",
]


@pytest.mark.parametrize("sql", NEWER)
def test_what_this_server_does_not_know_is_answered_by_it(lab, sql):
    lab.make("CREATE TABLE {t} (id int PRIMARY KEY, v int)", "INSERT INTO {t} VALUES (1, 1)")
    for exchange in (wire.query, wire.extended):
        messages = exchange(lab.sql(sql))
        assert lab.reader.exchange(messages) == lab.direct.exchange(messages)
    lab.agrees("SELECT * FROM {t} ORDER BY id")


def unreadable_write(lab, session):
    """A write in bytes that are no UTF-8: the client speaks LATIN1."""
    session.run("SET client_encoding = 'LATIN1'")
    text = lab.sql("UPDATE {t} SET name = 'caf\xe9' WHERE id = 1").encode("latin-1")
    assert wire.sqlstate(session.exchange(wire.message(b"Q", text + b"\0"))) is None


def long_write(lab, session):
    """A statement longer than is read."""
    values = ", ".join(f"({i}, 'x')" for i in range(10, 60_000))
    session.run(lab.sql(f"INSERT INTO {{t}} VALUES {values}"))


def deep_write(lab, session):
    """An expression nested more deeply than is read."""
    session.run(lab.sql("UPDATE {t} SET id = " + "(" * 1500 + "7" + ")" * 1500))


@pytest.mark.parametrize("write", [unreadable_write, long_write, deep_write])
def test_a_write_that_cannot_be_read_invalidates_everything(lab, write):
    lab.make("CREATE TABLE {t} (id int, name text)", "INSERT INTO {t} VALUES (1, 'tea')",
             "CREATE TABLE {t}_other (v int)")
    before = lab.remember("SELECT id, name FROM {t} ORDER BY id")
    lab.remember("SELECT count(*) FROM {t}_other")
    with lab.server.counting() as delta:
        write(lab, lab.client())
    assert delta.reasons().get("unparsed") == 1, delta.reasons()
    with lab.server.counting() as delta:
        lab.agrees("SELECT count(*) FROM {t}_other")
    assert delta.misses == 1, "an unreadable write left an answer in the cache"
    assert lab.agrees("SELECT id, name FROM {t} ORDER BY id") != before


def test_what_cannot_be_read_is_counted_and_not_kept(lab):
    lab.make("CREATE TABLE {t} (id int)", "INSERT INTO {t} VALUES (1)")
    deep = "SELECT id FROM {t} WHERE id = " + "(" * 1500 + "1" + ")" * 1500
    with lab.server.counting() as delta:
        for _ in range(3):
            lab.agrees(deep)
    assert delta.hits == 0 and delta.reasons() == {"unparsed": 6}, str(delta)
