"""Snapshots as lists of statements that are run again."""

import signal

import psycopg
import pytest

from servers import wait_until
from snapshot_bed import (  # fixtures among them
    ALL, QUESTIONS, ROWS, ask, client, database, proxy, quiet_postgres, restart, save, warmed_up,
)


def test_a_write_around_the_proxy_makes_it_a_list_to_warm_up_from(proxy, database):
    server = proxy(warm_up_rate=1000)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert f"run={QUESTIONS}" in warmed_up(server), server.log()
    with server.counting() as counted:
        answers = ask(server, database)
    assert answers[0] == [(12800,)] and answers[2] == [("name1", 11)], "a stale answer"
    assert counted.hits == QUESTIONS and counted.upstream == 0, f"{counted}\n{server.log()}"
    metrics = server.metrics()
    assert metrics.total("mynah_snapshot_restores_total", result="warm_up") == 1
    assert metrics.total("mynah_warm_up_statements_total", result="run") == QUESTIONS
    assert metrics.total("mynah_warm_up_pending") == 0


def test_a_write_between_saving_and_the_end_is_noticed(proxy, database):
    server = proxy(on_shutdown=False)
    ask(server, database)
    save(server)
    with client(server, database) as connection:
        connection.execute("UPDATE scores SET score = 0 WHERE id = 1")
    restart(server, signal.SIGKILL)
    assert ask(server, database)[2] == [("name1", 0)]
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def test_other_rules_make_it_a_list(proxy, database):
    server = proxy()
    ask(server, database)
    server.stop()
    server.rules = [{"tables": ["scores"], "ttl": "7s"}]
    server.write_configuration()
    server.start()
    warmed_up(server)
    assert "the rules have changed" in server.log()
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def test_sessions_with_settings_of_their_own_are_made_again(proxy, database):
    server = proxy(warm_up_rate=1000)
    if server.is_sqlite:
        settings = {"options": "-c application_name=x"}
    else:
        settings = {"options": "-c timezone=Asia/Tokyo -c extra_float_digits=0"}
    with client(server, database, **settings) as connection:
        connection.execute(ALL)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert "run=1" in warmed_up(server)
    with server.counting() as counted, client(server, database, **settings) as connection:
        assert connection.execute(ALL).fetchall() == [(12800,)]
    assert counted.hits == 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_session_changed_by_set_is_not_warmed_up(proxy, database):
    server = proxy(warm_up_rate=1000)
    with client(server, database) as connection:
        connection.execute("SET extra_float_digits = 0")
        connection.execute(ALL)
        connection.execute(ALL)
    assert server.metrics().total("mynah_cache_entries") == 1
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert "run=0" in warmed_up(server)
    assert server.metrics().total("mynah_warm_up_statements_total", result="skipped") == 1


def test_a_warm_up_is_bounded(proxy, database):
    server = proxy(warm_up_rate=1000, warm_up_limit=2)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert "run=2" in warmed_up(server)


def test_a_warm_up_at_its_rate_does_not_hold_up_the_end(proxy, database):
    server = proxy(warm_up_rate=1)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    wait_until(
        lambda: server.metrics().total("mynah_warm_up_statements_total", result="run") >= 1,
        "the first statement was run",
    )
    assert server.metrics().total("mynah_warm_up_pending") >= 3
    assert server.stop() == 0
    assert "warm-up finished" not in server.log()


def test_no_warm_up_where_none_is_wanted(proxy, database):
    server = proxy(warm_up_rate=0)
    ask(server, database)
    server.stop()
    database.write("UPDATE scores SET score = score + 1")
    server.start()
    assert 'statements=0' in server.log()
    assert server.metrics().total("mynah_warm_up_statements_total", result="run") == 0


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_only_what_can_be_cached_is_run_again(proxy, database):
    """What read a table yesterday may call a function that writes today."""
    server = proxy(warm_up_rate=1000)
    database.write("CREATE VIEW shown AS SELECT score FROM scores")
    with client(server, database) as connection:
        connection.execute("SELECT * FROM shown")
    assert server.metrics().total("mynah_cache_entries") == 1
    server.stop()
    database.write(
        "CREATE FUNCTION spoil() RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN UPDATE scores SET score = -1; RETURN 0; END $$"
    )
    database.write("CREATE OR REPLACE VIEW shown AS SELECT spoil() AS score")
    server.start()
    assert "run=0" in warmed_up(server)
    assert server.metrics().total("mynah_warm_up_statements_total", result="skipped") == 1
    with client(server, database) as connection:
        assert connection.execute(ALL).fetchall() == [(12750,)]


def test_who_needs_a_password_of_their_own_is_left_out_of_a_warm_up(
    quiet_postgres, own_mynah, tmp_path, table
):
    quiet_postgres.run(f"CREATE DATABASE {table}", "postgres")
    quiet_postgres.run(
        "DO $$ BEGIN CREATE ROLE scram_user LOGIN PASSWORD 'opensesame';"
        " EXCEPTION WHEN duplicate_object THEN END $$", "postgres",
    )
    quiet_postgres.run(ROWS + "; GRANT SELECT ON scores TO scram_user", table)
    server = own_mynah(
        f"postgresql://127.0.0.1:{quiet_postgres.port}",
        snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 1000},
        auth={
            "auth_query": "default", "auth_user": "postgres",
            "rule": [
                {"users": ["postgres"], "addresses": ["127.0.0.0/8"], "method": "trust"},
                {"method": "scram-sha-256"},
            ],
        },
    ).start()

    def read(user: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=server.port, user=user, password="opensesame",
            dbname=table, autocommit=True,
        ) as connection:
            connection.execute(ALL)

    # The first one is whom the server's catalog is read as.
    read("postgres")
    read("scram_user")
    assert server.metrics().total("mynah_cache_entries") == 2
    server.stop()
    quiet_postgres.run("CREATE TABLE other (id int)", table)
    server.start()
    assert "run=1" in warmed_up(server) and "skipped=1" in warmed_up(server), server.log()
    with server.counting() as counted:
        read("scram_user")
    assert counted.misses == 1
    with server.counting() as counted:
        read("postgres")
    assert counted.hits == 1
