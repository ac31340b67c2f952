"""Anomalies 13 to 20: writes that are not recognised as writes. See `anomaly_lab.py`."""

import io

import psycopg2
import pytest

from anomaly_lab import lab  # noqa: F401 (a fixture)
from caching import warm
from servers import wait_until
from wire import RawSession

TABLE = (
    "CREATE TABLE {t} (id int PRIMARY KEY, v int)",
    "INSERT INTO {t} VALUES (1, 10), (2, 20)",
)
ALL = "SELECT id, v FROM {t} ORDER BY id"


def test_anomaly_13_merge_is_a_write(lab):
    lab.make(*TABLE)
    lab.changes(
        ALL, "MERGE INTO {t} USING (VALUES (1, 11), (3, 30)) n(id, v) ON {t}.id = n.id"
        " WHEN MATCHED THEN UPDATE SET v = n.v WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.v)")


def test_anomaly_14_a_common_table_expression_that_writes_is_a_write(lab):
    lab.make(*TABLE)
    lab.changes(ALL, "WITH gone AS (DELETE FROM {t} WHERE id = 1 RETURNING v) SELECT sum(v) FROM gone")


def test_anomaly_15_explain_analyze_of_a_write_is_a_write(lab):
    lab.make(*TABLE)
    lab.changes(ALL, "EXPLAIN (ANALYZE, COSTS off) UPDATE {t} SET v = v + 1")
    before = lab.remember(ALL)
    lab.writer.run(lab.sql("EXPLAIN UPDATE {t} SET v = v + 1"))
    assert lab.agrees(ALL) == before


@pytest.mark.parametrize("what, writes", {
    "EXECUTE": ["PREPARE {t}_p AS UPDATE {t} SET v = v + 1", "EXECUTE {t}_p"],
    "CALL": ["CALL {t}_w()"],
    "DO": ["DO $$ BEGIN UPDATE {t} SET v = v + 1; END $$"],
    "END": ["BEGIN", "UPDATE {t} SET v = v + 1", "END"],
    "COMMIT AND CHAIN": ["BEGIN", "UPDATE {t} SET v = v + 1", "COMMIT AND CHAIN", "ROLLBACK"],
    "several in one string": ["SELECT 1; UPDATE {t} SET v = v + 1; SELECT 2"],
    "a transaction in one string": ["BEGIN; UPDATE {t} SET v = v + 1; END"],
}.items())
def test_anomaly_16_writes_in_other_words(lab, what, writes):
    lab.make(*TABLE, "CREATE PROCEDURE {t}_w() LANGUAGE sql AS 'UPDATE {t} SET v = v + 1'")
    lab.changes(ALL, *writes)


def test_anomaly_16_copy_from_is_a_write(lab):
    lab.make(*TABLE)
    before = lab.remember(ALL)
    with psycopg2.connect(
        host="127.0.0.1", port=lab.server.port, user="postgres", dbname="flights"
    ) as client:
        with client.cursor() as cursor:
            cursor.copy_expert(lab.sql("COPY {t} FROM STDIN"), io.StringIO("3\t30\n4\t40\n"))
    assert lab.agrees(ALL) != before


def test_anomaly_16_select_into_makes_what_a_name_meant_before(lab):
    """A table appears in a schema that comes first in the search_path."""
    lab.make(*TABLE, "CREATE SCHEMA {t}_s")
    for session in (lab.reader, lab.direct):
        session.run(lab.sql("SET search_path = {t}_s, public"))
    lab.changes(ALL, "SELECT 7 AS id, 70 AS v INTO {t}_s.{t}")


@pytest.mark.parametrize("what, setup, read, writes", [
    ("TRUNCATE … CASCADE",
     ["CREATE TABLE {t}_c (id int, p int REFERENCES {t})", "INSERT INTO {t}_c VALUES (1, 1)"],
     "SELECT count(*) FROM {t}_c", ["TRUNCATE {t} CASCADE"]),
    ("ON DELETE CASCADE",
     ["CREATE TABLE {t}_c (id int, p int REFERENCES {t} ON DELETE CASCADE)", "INSERT INTO {t}_c VALUES (1, 1)"],
     "SELECT count(*) FROM {t}_c", ["DELETE FROM {t} WHERE id = 1"]),
    ("ON UPDATE SET NULL, two tables deep",
     ["CREATE TABLE {t}_c (p int UNIQUE REFERENCES {t} ON UPDATE CASCADE)",
      "CREATE TABLE {t}_d (p int REFERENCES {t}_c (p) ON UPDATE SET NULL)",
      "INSERT INTO {t}_c VALUES (1)", "INSERT INTO {t}_d VALUES (1)"],
     "SELECT p FROM {t}_d WHERE p = 1", ["UPDATE {t} SET id = 5 WHERE id = 1"]),
    ("ON UPDATE CASCADE through a view with other names for its columns",
     ["CREATE TABLE {t}_c (p int REFERENCES {t} ON UPDATE CASCADE)", "INSERT INTO {t}_c VALUES (1)",
      "CREATE VIEW {t}_v AS SELECT id AS number, v AS id FROM {t}"],
     "SELECT p FROM {t}_c", ["UPDATE {t}_v SET number = 5 WHERE number = 1"]),
    ("a trigger",
     ["CREATE TABLE {t}_c (n int)",
      "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN INSERT INTO {t}_c VALUES (NEW.id); RETURN NEW; END $$",
      "CREATE TRIGGER {t}_g AFTER UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION {t}_f()"],
     "SELECT count(*) FROM {t}_c", ["UPDATE {t} SET v = 0 WHERE id = 1"]),
    ("a partition written, its parent read",
     ["CREATE TABLE {t}_p (id int, v int) PARTITION BY RANGE (id)",
      "CREATE TABLE {t}_p1 PARTITION OF {t}_p FOR VALUES FROM (0) TO (10)"],
     "SELECT count(*) FROM {t}_p WHERE id = 3", ["INSERT INTO {t}_p1 VALUES (3, 3)"]),
    ("a parent written, its partition read",
     ["CREATE TABLE {t}_p (id int, v int) PARTITION BY RANGE (id)",
      "CREATE TABLE {t}_p1 PARTITION OF {t}_p FOR VALUES FROM (0) TO (10)"],
     "SELECT count(*) FROM {t}_p1 WHERE id = 3", ["INSERT INTO {t}_p VALUES (3, 3)"]),
    ("an inheritance child",
     ["CREATE TABLE {t}_i () INHERITS ({t})"],
     "SELECT count(*) FROM {t} WHERE id = 9", ["INSERT INTO {t}_i VALUES (9, 90)"]),
    ("an updatable view",
     ["CREATE VIEW {t}_v AS SELECT id, v FROM {t} WHERE v > 0"],
     ALL, ["UPDATE {t}_v SET v = 99 WHERE id = 1"]),
    ("a view with an INSTEAD OF trigger",
     ["CREATE VIEW {t}_v AS SELECT count(*) AS n FROM {t}",
      "CREATE FUNCTION {t}_f() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN INSERT INTO {t} VALUES (NEW.n, 0); RETURN NEW; END $$",
      "CREATE TRIGGER {t}_g INSTEAD OF INSERT ON {t}_v FOR EACH ROW EXECUTE FUNCTION {t}_f()"],
     ALL, ["INSERT INTO {t}_v VALUES (77)"]),
    ("a rule",
     ["CREATE TABLE {t}_c (n int)",
      "CREATE RULE {t}_r AS ON UPDATE TO {t} DO ALSO INSERT INTO {t}_c VALUES (NEW.id)"],
     "SELECT count(*) FROM {t}_c", ["UPDATE {t} SET v = 0 WHERE id = 1"]),
], ids=lambda value: value if isinstance(value, str) and len(value) < 40 and "SELECT" not in value else "")
def test_anomaly_17_writes_that_show_elsewhere(lab, what, setup, read, writes):
    lab.make(*TABLE, *setup)
    lab.changes(read, *writes)


def test_anomaly_18_a_function_that_writes_is_a_write(lab):
    lab.make(
        *TABLE, "CREATE FUNCTION {t}_f() RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE {t} SET v = v + 1; RETURN 1; END $$")
    lab.changes(ALL, "SELECT {t}_f()")
    lab.changes(ALL, "SELECT count(*) FROM {t} WHERE v > {t}_f()")
    assert lab.agrees(ALL) == lab.remember(ALL)


def test_anomaly_19_a_transaction_that_wrote_reads_past_the_cache_until_it_ends(lab):
    lab.make(*TABLE)
    before = lab.remember(ALL)
    lab.writer.run("BEGIN")
    lab.writer.run(lab.sql("UPDATE {t} SET v = 0"))
    lab.writer.run("SELECT count(*) FROM airlines")  # a read of another table changes nothing
    own = lab.writer.query(lab.sql(ALL))
    assert own != before
    assert lab.reader.query(lab.sql(ALL)) == before
    lab.writer.run("COMMIT")
    lab.agrees(ALL)


def test_anomaly_20_writes_around_the_proxy_show_within_the_time_to_live(postgres, own_mynah, table):
    server = own_mynah(postgres.url(), cache={"ttl": "300ms"}).start()
    with RawSession.connect(server.port) as reader:
        reader.run(f"CREATE TABLE {table} (v int); INSERT INTO {table} VALUES (1)")
        warm(server, lambda: reader.value(f"SELECT v FROM {table}"))
        postgres.run(f"UPDATE {table} SET v = 2")
        wait_until(lambda: reader.value(f"SELECT v FROM {table}") == b"2", "the new value shows", 5)
