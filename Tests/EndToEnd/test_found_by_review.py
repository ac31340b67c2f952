"""Wrong answers that were found by reading the program against PostgreSQL's documentation."""

import wire
from anomaly_lab import lab  # noqa: F401
from caching import warm

# One letter to Unicode, two texts to the server.
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"


def test_a_column_that_only_a_child_generates_moves_unassigned(lab):
    lab.make(
        "CREATE TABLE {t} (id int, k int, v text)",
        "CREATE TABLE {t}_child (k int GENERATED ALWAYS AS (id * 2) STORED) INHERITS ({t})",
        "INSERT INTO {t}_child (id, v) VALUES (5, 'a')",
    )
    lab.changes("SELECT * FROM {t} WHERE k = 50", "UPDATE {t} SET id = 25 WHERE k = 10")


def test_columns_whose_names_are_canonically_equivalent_are_two(lab):
    lab.make(
        f'CREATE TABLE {{t}} ("{COMPOSED}" int, "{DECOMPOSED}" int, v text)',
        "INSERT INTO {t} VALUES (7, 5, 'a'), (8, 9, 'b')",
    )
    lab.changes(
        f'SELECT * FROM {{t}} WHERE "{COMPOSED}" = 7',
        f"UPDATE {{t}} SET v = 'changed' WHERE \"{DECOMPOSED}\" = 5",
    )


def test_tenants_whose_names_are_canonically_equivalent_are_two(lab):
    lab.make(
        "CREATE TABLE {t} (tenant text, v int)",
        f"INSERT INTO {{t}} VALUES ('{COMPOSED}', 1), ('{DECOMPOSED}', 2)",
    )
    read = "SELECT v FROM {t} WHERE tenant = current_setting('app.tenant')"
    one, other, truth = lab.client(), lab.client(), lab.truth()
    one.run(f"SET app.tenant = '{COMPOSED}'")
    for session in (other, truth):
        session.run(f"SET app.tenant = '{DECOMPOSED}'")
    lab.remember(read, one)
    lab.agrees(read, other, truth)


def test_settings_whose_names_differ_by_more_than_the_case_of_ascii_are_two(lab):
    # U+212A, the Kelvin sign, is k in lower case to Unicode, and to nobody else.
    read = "SELECT v, current_setting('app.k', true) FROM {t}"
    lab.make("CREATE TABLE {t} (v int)", "INSERT INTO {t} VALUES (1)")
    one, other, truth = lab.client(), lab.client(), lab.truth()
    one.run("SET app.k = 'a'")
    lab.remember(read, one)
    for session in (other, truth):
        session.run("SET app.k = 'b'")
        session.run("SET \"app.\u212a\" = 'a'")
    lab.agrees(read, other, truth)


def test_statements_whose_names_are_canonically_equivalent_are_two(lab):
    lab.make("CREATE TABLE {t} (v int)", "INSERT INTO {t} VALUES (1)")
    lab.reader.exchange(
        wire.parse(lab.sql("SELECT v, 'one' FROM {t}"), COMPOSED)
        + wire.parse(lab.sql("SELECT v, 'two' FROM {t}"), DECOMPOSED)
        + wire.sync()
    )
    for name, expected in ((COMPOSED, b"one"), (DECOMPOSED, b"two")):
        execution = wire.bind(name) + wire.execute() + wire.sync()
        replies = warm(lab.server, lambda: lab.reader.exchange(execution))
        assert wire.data_rows(replies) == [[b"1", expected]]


def test_sqlite_runs_the_statement_whose_bytes_were_sent(cached_sqlite, session, table):
    client = session(cached_sqlite)
    client.run(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT)")
    for text in (COMPOSED, DECOMPOSED):
        client.run(f"INSERT INTO {table} (name) VALUES ('{text}')")
    rows = client.rows(f"SELECT name FROM {table} ORDER BY id")
    assert rows == [[COMPOSED.encode()], [DECOMPOSED.encode()]]
