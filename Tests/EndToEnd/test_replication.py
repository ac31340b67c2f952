"""Replication connections go through untouched: PostgreSQL's own tools, and psycopg2's."""

import socket
import struct
import subprocess
import time

import psycopg2
import psycopg2.extras
import pytest

import wire
from caching import warm
from servers import POSTGRESQL_BIN, PostgresServer, wait_until, with_flights
from wire import RawSession

READ = "SELECT count(*) FROM airlines"


@pytest.fixture(scope="module")
def primary():
    """A server whose WAL belongs to these tests."""
    yield from with_flights(
        PostgresServer({"max_replication_slots": "10", "max_wal_senders": "10"}),
        "CREATE TABLE airlines (carrier text); INSERT INTO airlines VALUES ('UA')",
    )


@pytest.fixture
def mynah(own_mynah, primary):
    server = own_mynah(primary.url()).start()
    with RawSession.connect(server.port) as client:
        warm(server, lambda: client.value(READ))
    yield server
    assert server.process.poll() is None


def program(name: str, port: int, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(POSTGRESQL_BIN / name), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", *arguments],
        capture_output=True, text=True, timeout=timeout,
    )


def replication(port: int, kind: str = "database") -> RawSession:
    return RawSession.connect(port, replication=kind)


@pytest.mark.parametrize("kind", ["true", "on", "1", "database", "off", "fal"])
def test_what_a_replication_connection_is_told_is_what_it_is_told_directly(primary, mynah, kind):
    answers = []
    for server in (primary, mynah):
        with replication(server.port, kind) as client:
            answers.append([
                [(tag, wire.error_fields(body).get("C") if tag == b"E" else len(body) if tag == b"D" else body)
                 for tag, body in client.exchange(request) if tag != b"S"]
                for request in (
                    wire.query("IDENTIFY_SYSTEM"), wire.query("SHOW wal_level"), wire.query("SELECT 1"),
                    wire.extended("SELECT 1"), wire.query("START_REPLICATION SLOT nothing LOGICAL 0/0"),
                    wire.query("BASE_BACKUP nonsense"), wire.query("IDENTIFY_SYSTEM; SELECT 1"),
                    wire.query(""),
                )
            ])
    assert answers[1] == answers[0]


def test_a_replication_parameter_that_means_nothing_is_refused_as_directly(primary, mynah):
    answers = []
    for server in (primary, mynah):
        client = RawSession(server.port)
        client.send(wire.startup({"user": "postgres", "database": "flights", "replication": "perhaps"}))
        fields = wire.error_fields(client.until_end()[-1][1])
        answers.append([fields[name] for name in "SCMH"])
        client.close()
    assert answers[1] == answers[0]


def test_before_sqlite_it_is_refused(cached_sqlite):
    client = RawSession(cached_sqlite.port)
    client.send(wire.startup({"user": "postgres", "database": "flights", "replication": "true"}))
    replies = client.until_end()
    assert wire.tags(replies) == "E" and wire.sqlstate(replies) == "0A000"
    client.close()


def test_a_base_backup_is_whole(primary, mynah, tmp_path):
    result = program("pg_basebackup", mynah.port, "-D", str(tmp_path / "backup"), "-X", "stream", "-c", "fast")
    assert result.returncode == 0, result.stderr
    verified = subprocess.run(
        [str(POSTGRESQL_BIN / "pg_verifybackup"), str(tmp_path / "backup")], capture_output=True, text=True
    )
    assert verified.returncode == 0, verified.stderr


def test_wal_is_received_as_it_is_written(primary, mynah, tmp_path):
    result = program("pg_receivewal", mynah.port, "--create-slot", "--slot", "received", "-D", str(tmp_path))
    assert result.returncode == 0, result.stderr
    received = []
    with subprocess.Popen(
        [str(POSTGRESQL_BIN / "pg_receivewal"), "-h", "127.0.0.1", "-p", str(mynah.port), "-U", "postgres",
         "--slot", "received", "-D", str(tmp_path), "--no-loop", "--synchronous"],
    ) as receiver:
        try:
            wait_until(
                lambda: primary.run("SELECT 1 FROM pg_replication_slots WHERE active"), "it receives"
            )
            for _ in range(2):
                primary.run("DROP TABLE IF EXISTS filler")
                primary.run("CREATE TABLE filler AS SELECT n FROM generate_series(1, 100000) n")
                primary.run("SELECT pg_switch_wal()")
            received = wait_until(
                lambda: [file for file in tmp_path.iterdir() if file.suffix != ".partial"], "a whole file"
            )
        finally:
            receiver.terminate()
            receiver.wait(20)
    for file in received:
        assert file.read_bytes() == (primary.data / "pg_wal" / file.name).read_bytes()
    wait_until(
        lambda: primary.run("SELECT 1 FROM pg_replication_slots WHERE NOT active"), "the slot is free"
    )
    program("pg_receivewal", mynah.port, "--drop-slot", "--slot", "received")
    assert primary.run("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'received'") == [(0,)]


def test_decoded_changes_arrive_and_reads_are_still_answered_from_memory(primary, mynah, tmp_path):
    output = tmp_path / "changes"
    result = program("pg_recvlogical", mynah.port, "-d", "flights", "--slot", "decoded", "--create-slot")
    assert result.returncode == 0, result.stderr
    with subprocess.Popen(
        [str(POSTGRESQL_BIN / "pg_recvlogical"), "-h", "127.0.0.1", "-p", str(mynah.port), "-U",
         "postgres", "-d", "flights", "--slot", "decoded", "--start", "-f", str(output), "-F", "0",
         "--status-interval", "1"],
    ) as receiver:
        try:
            with RawSession.connect(mynah.port) as client:
                client.run("CREATE TABLE IF NOT EXISTS written (id int)")
                client.run("INSERT INTO written SELECT generate_series(1, 100)")
                wait_until(
                    lambda: output.exists() and output.read_text().count("INSERT: id") == 100,
                    "the changes arrive",
                )
                # The stream is open, and covers nothing.
                assert mynah.metrics().total("mynah_write_windows_open") == 0
                warm(mynah, lambda: client.value(READ))
                with mynah.counting() as delta:
                    assert client.value(READ) == b"1"
                assert delta.hits == 1
        finally:
            receiver.terminate()
            receiver.wait(20)
    wait_until(
        lambda: primary.run("SELECT active FROM pg_replication_slots WHERE slot_name = 'decoded'")
        == [(False,)], "the server's side has ended",
    )
    result = program("pg_recvlogical", mynah.port, "-d", "flights", "--slot", "decoded", "--drop-slot")
    assert result.returncode == 0, result.stderr


def test_sql_of_a_replication_connection_counts_as_a_write(primary, mynah):
    with RawSession.connect(mynah.port) as reader, replication(mynah.port) as writer:
        for number in range(3):
            expected = reader.value(READ)
            warm(mynah, lambda: reader.value(READ))
            writer.run(f"INSERT INTO airlines VALUES ('{number}')")
            assert reader.value(READ) == str(int(expected) + 1).encode()
        assert mynah.metrics().total("mynah_write_windows_open") == 0
        writer.run("DELETE FROM airlines WHERE carrier <> 'UA'")
        # Sent, and the connection lost before the answer.
        writer.send(wire.query("SELECT pg_sleep(0.3); INSERT INTO airlines VALUES ('late')"))
        wait_until(
            lambda: primary.run("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%late%' AND state = 'active'"
                                " AND pid <> pg_backend_pid()"), "it runs")
        writer.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: mynah.metrics().total("mynah_write_windows_open") == 0, "its end is known")
        assert reader.value(READ) == str(primary.run(READ)[0][0]).encode()
        primary.run("DELETE FROM airlines WHERE carrier <> 'UA'")


def test_psycopg2_streams_with_feedback(primary, mynah):
    connection = psycopg2.connect(
        f"host=127.0.0.1 port={mynah.port} user=postgres dbname=flights",
        connection_factory=psycopg2.extras.LogicalReplicationConnection,
    )
    cursor = connection.cursor()
    cursor.create_replication_slot("fed", output_plugin="test_decoding")
    cursor.start_replication("fed", decode=True, status_interval=1)
    with RawSession.connect(mynah.port) as client:
        client.run("CREATE TABLE IF NOT EXISTS fed (id int)")
        client.run("INSERT INTO fed SELECT generate_series(1, 20)")
    seen: list[str] = []
    deadline = time.monotonic() + 20
    last = 0
    while sum("INSERT" in line for line in seen) < 20:
        assert time.monotonic() < deadline, seen
        message = cursor.read_message()
        if message is None:
            time.sleep(0.01)
            continue
        seen.append(message.payload)
        last = message.data_start
        message.cursor.send_feedback(write_lsn=last, flush_lsn=last, apply_lsn=last, reply=True)
    connection.close()
    wait_until(
        lambda: primary.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                            " WHERE slot_name = 'fed' AND NOT active"), "the slot can be dropped")


def test_a_stream_that_is_not_read_costs_bounded_memory_and_loses_nothing(primary, mynah):
    """Back-pressure: some 60 MB of WAL wait at the server until they are read."""
    with replication(mynah.port, "true") as client:
        start = primary.run("SELECT pg_current_wal_lsn()")[0][0]
        resident = mynah.resident_bytes()
        client.send(wire.query(f"START_REPLICATION PHYSICAL {start}"))
        assert client.receive()[0] == b"W"
        primary.run("CREATE TABLE flood AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)")
        primary.run("DROP TABLE flood")
        end = primary.run("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]
        assert mynah.resident_bytes() - resident < 48 << 20
        position = 0
        while position < end:
            tag, body = client.receive()
            assert tag == b"d"
            if body[:1] == b"w":
                begin, = struct.unpack_from("!Q", body, 1)
                assert position in (0, begin)
                position = begin + len(body) - 25
        assert mynah.resident_bytes() - resident < 48 << 20
        client.send(wire.message(b"c"))
        replies = client.until_ready()
        assert [tag for tag, _ in replies if tag != b"d"][:1] == [b"c"]


def test_a_lost_server_and_a_shutdown_end_the_stream(primary, own_mynah):
    mynah = own_mynah(primary.url()).start()
    client = replication(mynah.port, "true")
    client.send(wire.query("START_REPLICATION PHYSICAL 0/1000000"))
    client.receive()
    primary.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'")
    assert wire.sqlstate(client.until_end()) in (None, "57P01", "58P01")
    client = replication(mynah.port, "database")
    assert mynah.stop() == 0
    assert wire.sqlstate(client.until_end()) == "57P01"
