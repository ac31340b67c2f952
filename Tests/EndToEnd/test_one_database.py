"""A connection string that names the database and the user: they are the same for all clients."""

import pytest


@pytest.fixture
def server(postgres, own_mynah):
    return own_mynah(f"{postgres.url('postgres')}/flights").start()


@pytest.fixture
def namesake(postgres, table):
    """Another database, of which the proxy is not in front, with a table of the same name."""
    postgres.run(f"CREATE DATABASE {table}_db", "postgres")
    postgres.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)", f"{table}_db")
    postgres.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    postgres.run(f"INSERT INTO {table} VALUES (1, 0)")
    yield f"{table}_db"
    postgres.run(f"DROP DATABASE {table}_db WITH (FORCE)", "postgres")


def test_what_clients_call_the_database_makes_no_difference(server, session, table, namesake):
    one, other = session(server), session(server, database=namesake)
    for number in range(1, 20):
        for reader in (one, other, one, other):
            assert reader.value(f"SELECT v FROM {table} WHERE id = 1") == str(number - 1).encode()
        (one, other)[number % 2].run(f"UPDATE {table} SET v = {number} WHERE id = 1")


def test_clients_share_answers_whatever_they_call_themselves(server, session, table):
    one = session(server, user="alice")
    other = session(server, user="nobody_knows", database="nor_this")
    one.run(f"CREATE TABLE {table} (id int)")
    sql = f"SELECT count(*), min(id) FROM {table}"
    for _ in range(3):
        one.run(sql)
    with server.counting() as delta:
        assert other.value(sql) == b"0"
    assert delta.hits == 1
    assert other.value("SELECT current_user") == b"postgres"
