"""Eleven probes at which a query cache without exact dependencies gives a wrong answer.

Each returns what a session was served and the truth. A cache that invalidates by the table named in
the statement, or that keys by text alone, fails all of them.
"""

import threading

import pytest

from servers import wait_until
from wire import RawSession


def both(cached, direct, sql, *, times=2):
    for _ in range(times):
        served = cached.rows(sql)
    return served, direct.rows(sql)


def search_path(a, b, direct, server, postgres):
    a.run("CREATE SCHEMA c1; CREATE SCHEMA c2; CREATE TABLE c1.x (v text); CREATE TABLE c2.x (v text)")
    a.run("INSERT INTO c1.x VALUES ('from c1'); INSERT INTO c2.x VALUES ('from c2')")
    for s in (a, b, direct):
        s.run(f"SET search_path = {'c1' if s is a else 'c2'}")
    both(a, direct, "SELECT * FROM x")
    return both(b, direct, "SELECT * FROM x", times=1)


def cascade(a, b, direct, server, postgres):
    a.run("CREATE TABLE fp (id int PRIMARY KEY); CREATE TABLE fc (id int, p int REFERENCES fp ON DELETE CASCADE)")
    a.run("INSERT INTO fp VALUES (1), (2); INSERT INTO fc VALUES (10, 1), (20, 2)")
    both(a, direct, "SELECT id FROM fc ORDER BY id")
    b.run("DELETE FROM fp WHERE id = 1")
    return both(a, direct, "SELECT id FROM fc ORDER BY id", times=1)


def inheritance(a, b, direct, server, postgres):
    a.run("CREATE TABLE inh (v int); CREATE TABLE inh1 () INHERITS (inh); INSERT INTO inh1 VALUES (1)")
    both(a, direct, "SELECT count(*) FROM inh")
    b.run("INSERT INTO inh1 VALUES (2)")
    return both(a, direct, "SELECT count(*) FROM inh", times=1)


def trigger(a, b, direct, server, postgres):
    a.run("CREATE TABLE trg (id int); CREATE TABLE trgt (n int); INSERT INTO trgt VALUES (0)")
    a.run("CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS"
          " $$ BEGIN UPDATE trgt SET n = n + 1; RETURN NEW; END $$")
    a.run("CREATE TRIGGER tt AFTER INSERT ON trg FOR EACH ROW EXECUTE FUNCTION tf()")
    both(a, direct, "SELECT n FROM trgt")
    b.run("INSERT INTO trg VALUES (1)")
    return both(a, direct, "SELECT n FROM trgt", times=1)


def call(a, b, direct, server, postgres):
    a.run("CREATE TABLE rr (id int PRIMARY KEY, v int); INSERT INTO rr VALUES (1, 1)")
    a.run("CREATE PROCEDURE wr() LANGUAGE sql AS 'UPDATE rr SET v = v + 100'")
    both(a, direct, "SELECT v FROM rr WHERE id = 1")
    b.run("CALL wr()")
    return both(a, direct, "SELECT v FROM rr WHERE id = 1", times=1)


def do(a, b, direct, server, postgres):
    a.run("CREATE TABLE dd (id int PRIMARY KEY, v int); INSERT INTO dd VALUES (1, 1)")
    both(a, direct, "SELECT v FROM dd WHERE id = 1")
    b.run("DO $$ BEGIN UPDATE dd SET v = v + 1000; END $$")
    return both(a, direct, "SELECT v FROM dd WHERE id = 1", times=1)


def output_setting(setting, column, kind, value):
    def probe(a, b, direct, server, postgres):
        name = f"out_{column}"
        a.run(f"CREATE TABLE {name} ({column} {kind}); INSERT INTO {name} VALUES ('{value}')")
        both(a, direct, f"SELECT {column}::text FROM {name}")
        b.run(setting), direct.run(setting)
        return both(b, direct, f"SELECT {column}::text FROM {name}", times=1)

    return probe


def repeatable_read(a, b, direct, server, postgres):
    a.run("CREATE TABLE rep (id int PRIMARY KEY, v int); INSERT INTO rep VALUES (1, 1)")
    b.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    b.run("SELECT count(*) FROM rep")
    a.run("UPDATE rep SET v = 2")
    assert b.value("SELECT v FROM rep WHERE id = 1") == b"1"
    b.run("COMMIT")
    return both(a, direct, "SELECT v FROM rep WHERE id = 1", times=1)


def stale_fill(a, b, direct, server, postgres):
    """A slow read is overtaken by a write; the old value must not be kept."""
    a.run("CREATE TABLE race (id int PRIMARY KEY, v int); INSERT INTO race VALUES (1, 7)")
    a.run("CREATE TABLE gate (i int)")
    a.run("INSERT INTO gate SELECT generate_series(1, 2500)")
    slow = "SELECT v, (SELECT count(*) FROM race r, gate x, gate y) FROM race WHERE id = 1"
    answers = []
    reader = threading.Thread(target=lambda: answers.append(a.rows(slow)))
    reader.start()
    wait_until(
        lambda: answers or postgres.run(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT v, (SELECT%'"
        ),
        "the slow read runs",
    )
    overtaken = not answers
    b.run("UPDATE race SET v = 8 WHERE id = 1")
    reader.join(60)
    assert overtaken and answers[0][0][0] == b"7"
    return both(a, direct, slow, times=1)


def key_collision(a, b, direct, server, postgres):
    a.run("CREATE DATABASE bar"), a.run("CREATE DATABASE ar")
    with RawSession.connect(server.port, database="bar") as bar:
        with RawSession.connect(server.port, database="ar") as ar:
            with RawSession.connect(postgres.port, database="ar") as truth:
                bar.run("CREATE TABLE foo (v text); INSERT INTO foo VALUES ('row of bar.foo')")
                ar.run("CREATE TABLE foob (v text); INSERT INTO foob VALUES ('row of ar.foob')")
                both(bar, bar, "select * from foo")
                return both(ar, truth, "select * from foob", times=1)


PROBES = {
    "search_path": search_path,
    "a foreign key's cascade": cascade,
    "a write to an inheritance child": inheritance,
    "a trigger": trigger,
    "CALL": call,
    "DO": do,
    "bytea_output": output_setting("SET bytea_output = escape", "b", "bytea", "\\xdead"),
    "IntervalStyle": output_setting("SET IntervalStyle = iso_8601", "i", "interval", "1 day 2 hours"),
    "a fill in a repeatable read transaction": repeatable_read,
    "a stale fill": stale_fill,
    "two keys that concatenate to one text": key_collision,
}


@pytest.mark.parametrize("probe", PROBES)
def test_the_answer_is_the_truth_despite(postgres, own_database, session, probe):
    server = own_database
    a, b, direct = (session(s, database="controls") for s in (server, server, postgres))
    served, truth = PROBES[probe](a, b, direct, server, postgres)
    assert served == truth


@pytest.fixture(scope="module")
def own_database(postgres, cached_postgres):
    postgres.run("CREATE DATABASE controls")
    return cached_postgres
