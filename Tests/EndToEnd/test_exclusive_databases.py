"""Statements that a database allows only while nobody, the proxy included, is connected to it."""

import itertools

import pytest

from caching import warm
from wire import RawSession, query, sqlstate

names = itertools.count(1)


@pytest.fixture
def database(postgres):
    name = f"alone_{next(names)}"
    postgres.run(f"CREATE DATABASE {name}", "postgres")
    yield name
    for leftover in (name, f"{name}_too"):
        postgres.run(f"DROP DATABASE IF EXISTS {leftover} WITH (FORCE)", "postgres")


def use(mynah, database: str, value: int) -> None:
    """Makes a table in the database and reads it from memory."""
    with RawSession.connect(mynah.port, database=database) as session:
        session.run("CREATE TABLE IF NOT EXISTS kept (v integer)")
        session.run(f"INSERT INTO kept VALUES ({value})")
        read = lambda: session.rows("SELECT v FROM kept")  # noqa: E731
        assert warm(mynah, read) == [[str(value).encode()]]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP DATABASE {0}",
        "ALTER DATABASE {0} RENAME TO {0}_too",
        "CREATE DATABASE {0}_too TEMPLATE {0}",
        "ALTER DATABASE {0} SET TABLESPACE pg_default",
    ],
)
def test_a_database_that_was_used_can_be_dropped_renamed_and_copied(
    cached_postgres, session, database, statement
):
    use(cached_postgres, database, 1)
    administrator = session(cached_postgres, database="postgres")
    replies = administrator.exchange(query(statement.format(database)))
    assert sqlstate(replies) is None, replies


def test_a_database_made_anew_has_none_of_the_old_answers(cached_postgres, session, database):
    administrator = session(cached_postgres, database="postgres")
    for value in (1, 2, 3):
        use(cached_postgres, database, value)
        administrator.run(f"DROP DATABASE {database}")
        administrator.run(f"CREATE DATABASE {database}")
