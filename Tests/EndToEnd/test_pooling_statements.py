"""Prepared statements work on whichever connection serves, under their client's own names."""

import concurrent.futures

from pools import bind_and_run, client, pooled, value  # noqa: F401 (fixtures among them)
from wire import (
    bind, close_statement, data_rows, describe_statement, execute, parse, sqlstate, sync, tags,
)


def test_prepared_statements_work_on_whichever_connection_serves(pooled, client, table):
    server = pooled(size=2)
    clients = [client(server) for _ in range(4)]
    clients[0].execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, v text)")
    clients[0].execute(f"INSERT INTO {table} SELECT n, 'v' || n FROM generate_series(1, 50) n")
    sql = f"SELECT v, clock_timestamp() FROM {table} WHERE id = %s"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:

        def run(each):
            for number in range(1, 51):
                row = each.execute(sql, [number], prepare=True).fetchone()
                assert row[0] == f"v{number}"
                with each.transaction():
                    row = each.execute(sql, [number], prepare=True).fetchone()
                    assert row[0] == f"v{number}"

        list(pool.map(run, clients))
    # Shared by text, whoever prepared it; once more if it was analysed before the catalog that the
    # table is in had been read.
    for each in clients:
        with each.transaction():
            each.execute(sql, [1], prepare=True)
            count = value(
                each, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s",
                [f"%{table}%"])
            assert 1 <= count <= 2
    clients[0].execute(f"DROP TABLE {table}")


def test_two_clients_may_call_different_statements_the_same(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    assert tags(one.exchange(parse("SELECT 1 + $1::int", "s") + sync())) == "1Z"
    assert tags(other.exchange(parse("SELECT 'other ' || $1::text", "s") + sync())) == "1Z"
    for number in range(3):
        use = bind("s", parameters=(str(number).encode(),)) + execute() + sync()
        assert data_rows(one.exchange(use)) == [[str(number + 1).encode()]]
        assert data_rows(other.exchange(use)) == [[f"other {number}".encode()]]


def test_statements_beyond_the_limit_are_prepared_again(pooled, client):
    server = pooled(size=1, max_prepared_statements=3)
    one = client(server)
    one.prepare_threshold = 0
    for _ in range(3):
        for number in range(8):
            assert value(one, f"SELECT {number} + %s::int", [1]) == number + 1
    assert value(one, "SELECT count(*) FROM pg_prepared_statements") <= 3


EPOCH = "SELECT extract(epoch FROM '2024-06-01 12:00'::timestamptz)::int, {number}"
UTC, TOKYO = b"1717243200", b"1717210800"


def test_statements_beyond_the_limit_are_not_read_anew_with_other_settings(pooled, session):
    server = pooled(size=1, max_prepared_statements=1)
    one = session(server)
    one.run("SET timezone = 'UTC'")
    for number in range(3):
        one.exchange(parse(EPOCH.format(number=number), f"s{number}") + sync())
    one.run("SET timezone = 'Asia/Tokyo'")
    one.exchange(parse(EPOCH.format(number=3), "s3") + sync())
    for number, epoch in [*((number, UTC) for number in range(3)), (3, TOKYO)] * 2:
        replies = one.exchange(bind(f"s{number}") + execute() + sync())
        assert data_rows(replies) == [[epoch, b"%d" % number]]


def test_a_statement_parsed_behind_a_write_keeps_its_settings(pooled, session, table):
    server = pooled(size=1)
    one = session(server)
    one.run(f"SET timezone = 'UTC'; CREATE TABLE {table} (a int)")
    # What the write has changed of the session is not known when the statement is sent.
    one.exchange(
        parse(f"INSERT INTO {table} SELECT 1 FROM pg_sleep(0.2)") + bind() + execute() + sync()
        + parse(EPOCH.format(number=0), "s") + bind("s") + execute() + sync(), 2)
    one.run("SET timezone = 'Asia/Tokyo'")
    replies = one.exchange(bind("s") + execute() + sync())
    assert data_rows(replies) == [[UTC, b"0"]]


def test_deallocate_and_execute_mean_the_clients_own_names(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    one.exchange(parse("SELECT 41 + 1", "mine") + sync())
    other.run("SELECT 1")
    assert one.value("EXECUTE mine") == b"42"
    assert tags(one.query("DEALLOCATE mine")) == "CZ"
    assert sqlstate(one.query("EXECUTE mine")) == "26000"
    one.run("DISCARD ALL")
    assert sqlstate(other.query("EXECUTE mine")) == "26000"


def test_a_name_in_use_is_refused_as_the_server_does(pooled, session):
    server = pooled(size=1)
    one = session(server)
    one.exchange(parse("SELECT 7", "mine") + sync())
    replies = one.exchange(parse("SELECT 8", "mine") + bind("mine") + execute() + sync())
    assert tags(replies) == "EZ" and sqlstate(replies) == "42P05"
    assert data_rows(one.exchange(bind("mine") + execute() + sync())) == [[b"7"]]
    assert tags(one.exchange(close_statement("mine") + sync())) == "3Z"
    assert sqlstate(one.exchange(bind("mine") + sync())) == "26000"


def test_answers_of_the_proxys_own_stand_in_their_place(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    sql = "SELECT $1::int FROM pg_sleep(0)"
    one.exchange(parse(sql, "a") + sync())
    # The connection has it: Parse and Close are answered here, between replies of the server's.
    replies = other.exchange(
        bind_and_run("SELECT 'first' FROM pg_sleep(0.05)") + parse(sql, "b")
        + bind("b", parameters=(b"5",)) + execute() + close_statement("b") + sync())
    assert tags(replies) == "12DC12DC3Z"
    assert data_rows(replies) == [[b"first"], [b"5"]]
    # After an error they are skipped like any other.
    replies = other.exchange(
        bind_and_run("SELECT 1 / (clock_timestamp() IS NULL)::int") + parse(sql, "c") + bind("c", parameters=(b"5",)) + sync())
    assert tags(replies) == "12EZ"
    assert sqlstate(other.exchange(bind("c", parameters=(b"5",)) + sync())) == "26000"


def test_a_failed_transaction_refuses_to_parse_what_is_prepared(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    sql = "SELECT 5 FROM pg_sleep(0)"
    one.exchange(parse(sql, "a") + sync())
    other.query("BEGIN")
    other.query("SELECT 1 / 0")
    assert sqlstate(other.exchange(parse(sql, "a") + sync())) == "25P02"
    other.query("ROLLBACK")
    for each in (other, one):
        replies = each.exchange(parse(sql, "z") + bind("z") + execute() + sync())
        assert data_rows(replies) == [[b"5"]]


def test_a_statement_whose_columns_have_changed_is_refused_and_not_answered(
    pooled, session, table
):
    server = pooled(size=8)
    one, other = session(server), session(server)
    one.run(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
    sql = f"SELECT * FROM {table} WHERE a > 0"
    assert tags(one.exchange(parse(sql, "s") + describe_statement("s") + sync())) == "1tTZ"
    other.run(f"ALTER TABLE {table} ADD COLUMN b text DEFAULT 'new'")
    # The connection that has the statement is somebody else's now.
    for holder in [session(server) for _ in range(4)]:
        holder.run("BEGIN")
        holder.run("SELECT pg_backend_pid()")
    replies = one.exchange(bind("s") + execute() + sync())
    assert sqlstate(replies) in ("26000", "0A000") and data_rows(replies) == []
    # Prepared anew it is another statement, for everyone.
    one.exchange(close_statement("s") + sync())
    replies = one.exchange(parse(sql, "s") + bind("s") + execute() + sync())
    assert data_rows(replies) == [[b"1", b"new"]]


def test_a_name_that_stands_for_another_table_of_the_same_columns_is_no_change(
    pooled, session, table
):
    server = pooled(size=8)
    one = session(server)
    for schema in (f"{table}_a", f"{table}_b"):
        one.run(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.here (a int)")
        one.run(f"INSERT INTO {schema}.here VALUES ({len(schema)})")
    one.run(f"SET search_path = {table}_a")
    assert tags(one.exchange(parse("SELECT a FROM here", "s") + sync())) == "1Z"
    one.exchange(bind("s") + execute() + sync())
    one.run("SET search_path = nowhere")
    assert sqlstate(one.exchange(bind("s") + execute() + sync())) == "42P01"
    for path in (f"{table}_b, {table}_a", f"{table}_b", "nowhere"):
        one.run(f"SET search_path = {path}")
        # The connection that has the statement is somebody else's now.
        for holder in [session(server) for _ in range(2)]:
            holder.run("BEGIN")
            holder.run("SELECT pg_backend_pid()")
        replies = one.exchange(bind("s") + execute() + sync())
        if path == "nowhere":
            assert sqlstate(replies) == "42P01"
        else:
            assert data_rows(replies) == [[str(len(table) + 2).encode()]]
    one.run(f"DROP SCHEMA {table}_a, {table}_b CASCADE")


def test_a_refused_statement_fails_the_block_that_was_not_begun_yet(pooled, session, table):
    server = pooled(size=1, max_prepared_statements=1)
    one = session(server)
    one.run(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
    one.exchange(parse(f"SELECT * FROM {table}", "s") + sync())
    one.exchange(parse("SELECT 1", "other") + sync())
    one.run(f"ALTER TABLE {table} ADD COLUMN b text DEFAULT 'new'")
    assert tags(one.query("BEGIN")) == "CZ"
    assert sqlstate(one.exchange(bind("s") + execute() + sync())) == "26000"
    assert sqlstate(one.query(f"SELECT a FROM {table}")) == "25P02"
    assert tags(one.query("ROLLBACK")) == "CZ"
    assert data_rows(one.query(f"SELECT b FROM {table}")) == [[b"new"]]


def test_nobody_finds_the_unnamed_statement_of_another(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    one.exchange(parse("SELECT 'secret of one'") + sync())
    assert sqlstate(other.exchange(bind() + execute() + sync())) == "26000"
    assert data_rows(one.exchange(bind() + execute() + sync())) == [[b"secret of one"]]
