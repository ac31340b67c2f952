"""Snapshots as files: those that cannot be used, how they are written, the commands."""

import pathlib
import resource
import secrets
import socket
import sqlite3
import stat

import pytest

from servers import wait_until
from snapshot_bed import (  # fixtures among them
    KEY, QUESTIONS, ROWS, Database, ask, client, database, mynah, proxy, quiet_postgres, restart,
    save, snapshots, warmed_up,
)


# Files that cannot be used.


@pytest.mark.parametrize("fault", ["truncated", "changed", "future", "empty", "other"])
def test_a_bad_file_is_refused_and_the_cache_begins_empty(proxy, database, fault):
    server = proxy()
    before = ask(server, database)
    server.stop()
    path = snapshots(server)[-1]
    data = bytearray(path.read_bytes())
    if fault == "truncated":
        data = data[: len(data) // 2]
    elif fault == "changed":
        data[len(data) // 2] ^= 1
    elif fault == "future":
        data[9] = 2
    elif fault == "empty":
        data = b""
    else:
        data = b"#!/bin/sh\n" * 100
    path.write_bytes(data)
    words = {
        "truncated": "truncated", "changed": "damaged", "future": "format 2",
        "empty": "not a snapshot", "other": "not a snapshot",
    }[fault]
    server.start()
    assert "snapshot refused" in server.log() and words in server.log()
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == 0
    assert server.metrics().total("mynah_snapshot_restores_total", result="refused") == 1
    error = mynah("snapshot", "verify", path, ok=False)
    assert error.startswith("mynah: ") and words in error and error.count("\n") == 1
    error = mynah("snapshot", "restore", "--config", server.configuration, path, ok=False)
    assert words in error


def test_with_a_key_nothing_can_be_read_or_put_there(proxy, database, tmp_path):
    server = proxy(key_env="MYNAH_TEST_KEY")
    before = ask(server, database)
    row = b"name17"
    restart(server)
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS
    path = snapshots(server)[-1]
    assert row not in path.read_bytes() and b"scores" not in path.read_bytes()
    assert "encrypted, and no key" in mynah("snapshot", "info", path, ok=False)
    assert "whole, 6 answers" in mynah(
        "snapshot", "verify", "--config", server.configuration, path
    )
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    assert "can be read by others" in mynah("snapshot", "verify", "--key-file", key, path, ok=False)
    key.chmod(0o600)
    assert "the key is another one" in mynah(
        "snapshot", "verify", "--key-file", key, path, ok=False
    )
    key.write_text(KEY + "\n")
    assert "encrypted  yes" in mynah("snapshot", "info", "--key-file", key, path)
    # One that anybody could have written is not trusted.
    server.stop()
    server.snapshot["key_env"] = ""
    server.write_configuration()
    server.start()
    assert "encrypted, and no key" in server.log()
    ask(server, database)
    server.stop()
    assert row in snapshots(server)[-1].read_bytes(), "the control: without a key it is there"
    server.snapshot["key_env"] = "MYNAH_TEST_KEY"
    server.write_configuration()
    server.start()
    assert "not encrypted, although a key is configured" in server.log()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"key_env": "MYNAH_NO_SUCH_VARIABLE"}, "there is no environment variable"),
        ({"key_file": "missing"}, "no such file"),
        ({"key_file": "short"}, "holds no key of 32 bytes"),
        ({"key_file": "open"}, "can be read by others"),
        ({"directory": "open.d"}, "others own or can write to"),
        ({"directory": "short"}, "Not a directory"),
        ({"directory": "x" * 120}, "cannot listen on"),
    ],
)
def test_a_key_or_directory_that_cannot_be_used_keeps_it_from_starting(
    own_mynah, sqlite_file, settings, words
):
    server = own_mynah(f"sqlite:{sqlite_file}", snapshot={"directory": "s", **settings})
    for name, mode, text in [("short", 0o600, "abc"), ("open", 0o644, KEY)]:
        (server.directory / name).write_text(text)
        (server.directory / name).chmod(mode)
    (server.directory / "open.d").mkdir()
    (server.directory / "open.d").chmod(0o777)
    server.spawn()
    assert server.process.wait(20) == 1
    key = next(reversed(settings))
    assert f"snapshot.{key}: " in server.log() and words in server.log()
    assert "proxy.conf:" in server.log()


# Writing.


def test_files_and_socket_are_their_owners_alone(proxy, database):
    server = proxy()
    ask(server, database)
    save(server)
    directory = pathlib.Path(server.snapshot["directory"])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "control.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(snapshots(server)[-1].stat().st_mode) == 0o600
    server.stop()
    assert not (directory / "control.sock").exists()


def test_a_disk_that_is_full_costs_nothing_else(proxy, database):
    server = proxy()
    before = ask(server, database)
    save(server)
    kept = {path: path.read_bytes() for path in snapshots(server)}
    with client(server, database) as connection:
        connection.execute("SELECT 'x' FROM scores").fetchall()
        for n in range(50):
            connection.execute(f"SELECT id, name, score, {n} FROM scores").fetchall()
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (16_384, 16_384))
    error = save(server, ok=False)
    assert error.startswith("mynah: cannot write the file: File too large"), error
    directory = pathlib.Path(server.snapshot["directory"])
    assert {path: path.read_bytes() for path in snapshots(server)} == kept
    assert sorted(p.name for p in directory.iterdir() if p.name != "control.sock") == [
        path.name for path in kept
    ]
    with server.counting() as counted:
        assert ask(server, database) == before
    assert counted.hits == QUESTIONS
    assert server.metrics().total("mynah_snapshots_total", result="failed") == 1


def test_a_schedule_and_how_many_are_kept(proxy, database):
    server = proxy(interval="1s", keep=2)
    ask(server, database)
    wait_until(
        lambda: server.metrics().total("mynah_snapshots_total", result="written") >= 4,
        "four snapshots were written",
    )
    assert 1 <= len(snapshots(server)) <= 3
    server.stop()
    assert len(snapshots(server)) == 2
    metrics = mynah("snapshot", "info", snapshots(server)[-1])
    assert "answers    6" in metrics and "provable   yes" in metrics, metrics


def test_nothing_is_written_at_the_end_where_that_is_not_wanted_or_there_is_nothing(proxy, database):
    server = proxy(on_shutdown=False)
    ask(server, database)
    server.stop()
    assert snapshots(server) == []
    server.snapshot["on_shutdown"] = True
    server.write_configuration()
    server.start()
    server.stop()
    assert snapshots(server) == [], "an empty one would hide those before it"


def test_what_a_killed_process_left_half_written_is_removed(proxy, database):
    server = proxy()
    ask(server, database)
    server.stop()
    torn = pathlib.Path(server.snapshot["directory"]) / ".mynah-snapshot-torn"
    torn.write_bytes(b"MYNAHSNP")
    server.start()
    assert not torn.exists()
    with server.counting() as counted:
        ask(server, database)
    assert counted.hits == QUESTIONS


def test_saved_elsewhere_and_restored_by_hand(proxy, database, tmp_path):
    server = proxy(on_shutdown=False, warm_up_rate=1000)
    ask(server, database)
    path = tmp_path / "elsewhere.snapshot"
    mynah("snapshot", "save", "--config", server.configuration, "--output", path)
    assert snapshots(server) == []
    restart(server)
    with server.counting() as before:
        said = mynah("snapshot", "restore", "--config", server.configuration, path)
    if server.is_sqlite:
        assert "6 answers restored" in said
    else:
        assert "6 answers restored" in said or "6 statements are being run again" in said
        if "run again" in said:
            warmed_up(server)
    with server.counting() as counted:
        ask(server, database)
    assert counted.hits == QUESTIONS and counted.upstream == 0


def test_a_directory_is_for_one_process(proxy, database, own_mynah):
    server = proxy()
    ask(server, database)
    torn = pathlib.Path(server.snapshot["directory"]) / ".mynah-snapshot-being-written"
    torn.write_bytes(b"MYNAHSNP")
    other = own_mynah(database.upstream, snapshot=server.snapshot).spawn()
    assert other.process.wait(20) == 1
    assert "cannot listen on" in other.log() and "snapshot.directory" in other.log()
    assert torn.exists()
    assert "6 answers" in save(server)


def test_the_socket_takes_nothing_but_orders(proxy, database, tmp_path):
    server = proxy()
    path = str(pathlib.Path(server.snapshot["directory"]) / "control.sock")
    for sent, answered in [
        (b"save me\n", b"error\n"), (b"restore\n", b"error\n"), (b"\n", b"error\n"),
        (b"\xff\xfe\n", b"error\n"), (b"drop everything\nsave\n", b"error\n"),
        (b"x" * 10_000, b""),
        (f"restore {tmp_path}\n".encode(), b"error\nnot a snapshot"),
    ]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.settimeout(10)
            answer = b""
            try:
                connection.sendall(sent)
                while part := connection.recv(4096):
                    answer += part
            except ConnectionError:
                pass
            if answered:
                assert answer.startswith(answered), (sent, answer)
            else:
                assert answer == b""
    assert snapshots(server) == []
    assert ask(server, database)


def test_without_a_running_proxy_or_a_directory_the_commands_say_so(own_mynah, sqlite_file):
    server = own_mynah(f"sqlite:{sqlite_file}", snapshot={"directory": "s"})
    server.write_configuration()
    assert "no proxy is running" in save(server, ok=False)
    server.snapshot = {}
    server.write_configuration()
    assert "snapshot.directory: is not set" in save(server, ok=False)
    assert "cannot open the file: No such file" in mynah("snapshot", "info", "nowhere", ok=False)


def test_no_row_or_literal_is_in_the_log_or_in_what_info_says(own_mynah, tmp_path):
    path = tmp_path / "scores.db"
    with sqlite3.connect(path) as connection:
        connection.execute(ROWS)
        connection.execute("INSERT INTO scores VALUES (1, 'rowsecret', 1)")
    connection.close()
    database = Database(f"sqlite:{path}", "scores", None)
    server = own_mynah(
        database.upstream, log={"level": "trace"},
        snapshot={"directory": str(tmp_path / "s"), "warm_up_rate": 1000},
    ).start()
    with client(server, database) as connection:
        for _ in range(2):
            connection.execute("SELECT name FROM scores WHERE name <> 'literalsecret'")
            connection.execute("SELECT name FROM scores WHERE name <> %s", ("valuesecret",))
    server.stop()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE scores SET score = 2")
    connection.close()
    server.start()
    warmed_up(server)
    said = mynah("snapshot", "info", snapshots(server)[-1]) + server.log()
    assert "run=2" in said and "secret" not in said
    assert b"rowsecret" in snapshots(server)[-1].read_bytes(), "the control"
