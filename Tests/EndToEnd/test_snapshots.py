"""Snapshots whose answers are used: where that is provably right, and never else."""

import os
import pathlib
import random
import signal
import threading
import time

import psycopg
import pytest

from servers import MynahServer, PostgresServer, wait_until
from snapshot_bed import (  # fixtures among them
    ALL, FILL, QUESTIONS, ROWS, Database, ask, client, database, proxy, quiet_postgres, restart,
    save, snapshots,
)


def test_after_a_restart_without_writes_everything_hits(proxy, database):
    server = proxy()
    before = ask(server, database)
    restart(server)
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS and counted.upstream == 0, f"{counted}\n{server.log()}"
    assert server.metrics().total("mynah_snapshot_restores_total", result="restored") == 1
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS


def test_restored_answers_go_with_writes_through_the_proxy(proxy, database):
    server = proxy()
    ask(server, database)
    restart(server)
    with client(server, database) as connection:
        connection.execute("UPDATE scores SET score = 0 WHERE id = 1")
    after = ask(server, database)
    assert after[0] == [(12740,)] and after[2] == [("name1", 0)]


def test_a_saved_snapshot_is_used_by_a_process_that_follows_one_killed(proxy, database):
    server = proxy(on_shutdown=False)
    before = ask(server, database)
    assert "answers" in save(server)
    restart(server, signal.SIGKILL)
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS and counted.upstream == 0, f"{counted}\n{server.log()}"


def test_a_key_is_restored_for_all_rows(proxy, database):
    """Places of keys mean nothing in another process: any write to the table takes the answer out."""
    server = proxy()
    ask(server, database)
    restart(server)
    with client(server, database) as connection:
        connection.execute("UPDATE scores SET score = 1 WHERE id = 40")
    with server.counting() as counted:
        assert ask(server, database)[2] == [("name1", 10)]
    assert counted.hits == 0


def test_a_time_to_live_goes_on_while_the_proxy_is_down(proxy, database):
    server = proxy()
    server.stop()
    server.cache["ttl"] = "1s"
    server.write_configuration()
    server.start()
    ask(server, database)
    server.stop()
    wait_until(lambda: age(snapshots(server)[-1]) > 1.5, "the time to live is over")
    server.start()
    with server.counting() as counted:
        ask(server, database)
    assert counted.hits == 0
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def age(path: pathlib.Path) -> float:
    return time.time() - path.stat().st_mtime


def test_no_right_is_needed_to_recognise_a_server(quiet_postgres, own_mynah, tmp_path, table):
    """Nor to see that somebody else is connected."""
    quiet_postgres.run(f"CREATE DATABASE {table}; ", "postgres")
    quiet_postgres.run(f"CREATE ROLE {table} LOGIN", "postgres")
    quiet_postgres.run(f"{ROWS}; {FILL}; GRANT SELECT ON scores TO {table}", table)
    database = Database(quiet_postgres.url(table), table, None)
    server = own_mynah(
        database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
    ).start()
    ask(server, database)
    restart(server)
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS
    with quiet_postgres.connect("postgres"):
        restart(server)
    assert "it cannot be told whether" in server.log()
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0


def test_no_answer_is_stale_however_the_process_ends(proxy, database):
    """Clients read and write while snapshots are written; the process is killed, or ends in good
    order; what it answers next is compared with the database."""
    chance = random.Random(7)
    server = proxy(on_shutdown=True, interval="1s", warm_up_rate=200)
    restored = 0
    for round_number in range(8):
        is_quiet_before = round_number % 2 == 0
        stop = threading.Event()
        workers = [
            threading.Thread(target=_churn, args=(server, database, stop, chance.random()))
            for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        time.sleep(chance.uniform(0.3, 1.5))
        if is_quiet_before:
            stop.set()
            for worker in workers:
                worker.join()
            ask(server, database)
            save(server)
        server.signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
        stop.set()
        server.process.wait(60)
        ended = database.now()
        server.start()
        for worker in workers:
            worker.join()
        restored += server.metrics().total("mynah_snapshot_entries_total", result="restored")
        wait_until(lambda: database.has_settled(ended), "sessions of the process before have ended")
        truth = database.read("SELECT id, score FROM scores ORDER BY id")
        with client(server, database) as connection:
            for key, score in truth:
                found = connection.execute(
                    "SELECT score FROM scores WHERE id = %s", (key,)
                ).fetchall()
                assert found == [(score,)], f"round {round_number}, row {key}\n{server.log()}"
            assert connection.execute(ALL).fetchall() == [(sum(score for _, score in truth),)]
    assert restored >= QUESTIONS, "the control: some answers were taken over"


def _churn(server: MynahServer, database: Database, stop: threading.Event, seed: float) -> None:
    chance = random.Random(seed)
    try:
        with client(server, database) as connection:
            while not stop.is_set():
                key = chance.randint(1, 50)
                if chance.random() < 0.3:
                    connection.execute("UPDATE scores SET score = score + 1 WHERE id = %s", (key,))
                else:
                    connection.execute("SELECT score FROM scores WHERE id = %s", (key,)).fetchall()
                    connection.execute(ALL).fetchall()
    except psycopg.Error:
        pass  # The process has ended.


# PostgreSQL: what could still be under way.


def test_a_write_under_way_at_the_start_is_not_overlooked(quiet_postgres, own_mynah, tmp_path, table):
    """The server-side session of a killed process commits after the next one has begun."""
    quiet_postgres.run(f"CREATE DATABASE {table}", "postgres")
    quiet_postgres.run(ROWS, table)
    quiet_postgres.run(FILL, table)
    database = Database(quiet_postgres.url("postgres"), table, None)
    server = own_mynah(
        database.upstream,
        snapshot={"directory": str(tmp_path / "s"), "on_shutdown": False, "warm_up_rate": 0},
    ).start()
    ask(server, database)
    save(server)
    connection = client(server, database)
    # One message: once it was sent, nothing can stop it.
    connection.pgconn.send_query(b"SELECT pg_sleep(4); UPDATE scores SET score = 0 WHERE id = 1")
    wait_until(
        lambda: quiet_postgres.run(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(4)%'"
            " AND pid <> pg_backend_pid()", "postgres",
        ),
        "the statement runs",
    )
    restart(server, signal.SIGKILL)
    connection.pgconn.finish()
    assert "it cannot be told whether" in server.log()
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
    wait_until(
        lambda: quiet_postgres.run("SELECT score FROM scores WHERE id = 1", table) == [(0,)],
        "the write takes effect",
    )
    assert ask(server, database)[2] == [("name1", 0)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_was_restarted_is_not_the_same(own_mynah, tmp_path, how):
    postgres = PostgresServer({"autovacuum": "off"})
    try:
        postgres.start()
        postgres.run("CREATE DATABASE flights", "postgres")
        postgres.run(ROWS)
        postgres.run(FILL)
        database = Database(postgres.url("postgres"), "flights", postgres.run)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
        ).start()
        ask(server, database)
        server.stop()
        postgres.stop(how)
        postgres.start()
        server.start()
        assert "started" in server.log()
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
    finally:
        postgres.remove()


def test_a_crash_of_a_server_process_is_noticed(own_mynah, tmp_path):
    """It empties unlogged tables, without a transaction, in the same life of the server."""
    postgres = PostgresServer({"autovacuum": "off"})
    try:
        postgres.start()
        postgres.run("CREATE DATABASE flights", "postgres")
        postgres.run(ROWS.replace("TABLE", "UNLOGGED TABLE"))
        postgres.run(FILL)
        database = Database(postgres.url("postgres"), "flights", postgres.run)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
        ).start()
        ask(server, database)
        server.stop()
        victim = postgres.connect()
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        wait_until(lambda: postgres.answers(), "the server has recovered")
        wait_until(lambda: _empty(postgres), "the table is empty")
        server.start()
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
        with client(server, database) as connection:
            assert connection.execute(ALL).fetchall() == [(None,)]
    finally:
        postgres.remove()


def _empty(postgres) -> bool:
    try:
        return postgres.run("SELECT count(*) FROM scores") == [(0,)]
    except Exception:
        return False


def test_restored_answers_go_when_the_server_is_restarted(own_mynah, tmp_path):
    postgres = PostgresServer({"autovacuum": "off"})
    try:
        postgres.start()
        postgres.run("CREATE DATABASE flights", "postgres")
        postgres.run(ROWS)
        postgres.run(FILL)
        database = Database(postgres.url("postgres"), "flights", postgres.run)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s")}
        ).start()
        ask(server, database)
        restart(server)
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS
        # Nobody has connected yet: the only one to notice is who has looked at the start.
        postgres.stop()
        postgres.start()
        wait_until(lambda: "all answers are forgotten" in server.log(), "the restart is noticed")
        with server.counting() as counted:
            ask(server, database)
        assert counted.hits == 0
    finally:
        postgres.remove()


def test_a_restored_database_can_be_dropped(quiet_postgres, own_mynah, tmp_path, table):
    """Who watches the server for restored answers is connected to it."""
    quiet_postgres.run(f"CREATE DATABASE {table}", "postgres")
    quiet_postgres.run(ROWS, table)
    database = Database(quiet_postgres.url("postgres"), table, None)
    server = own_mynah(database.upstream, snapshot={"directory": str(tmp_path / "s")}).start()
    ask(server, database)
    restart(server)
    assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == QUESTIONS
    with client(server, Database("", "postgres", None)) as connection:
        connection.execute(f"DROP DATABASE {table}")


def test_a_standby_is_never_the_same(own_mynah, tmp_path):
    primary = PostgresServer({"autovacuum": "off", "wal_level": "replica"})
    standby = None
    try:
        primary.start()
        primary.run("CREATE DATABASE flights", "postgres")
        primary.run(ROWS)
        primary.run(FILL)
        database = Database(primary.url("postgres"), "flights", None)
        server = own_mynah(
            database.upstream, snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 0}
        ).start()
        ask(server, database)
        server.stop()
        standby = PostgresServer({"autovacuum": "off"}, primary=primary)
        standby.start()
        # The same contents, system identifier and timeline.
        server.upstream = standby.url("postgres")
        server.write_configuration()
        server.start()
        assert "it cannot be told whether" in server.log()
        assert server.metrics().total("mynah_snapshot_entries_total", result="restored") == 0
    finally:
        if standby:
            standby.remove()
        primary.remove()
