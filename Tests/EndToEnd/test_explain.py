"""EXPLAIN CACHE through every kind of client, and `mynah explain`."""

import re
import subprocess

import pytest

import wire
from caching import warm
from servers import MYNAH_BINARY, MynahServer, free_port

READ = "SELECT name FROM airlines WHERE carrier = 'UA'"


def properties(rows) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in rows:
        text = [part.decode() if isinstance(part, bytes) else part for part in (name, value)]
        found.setdefault(text[0], []).append(text[1])
    return found


def explain(client, statement: str) -> dict[str, list[str]]:
    return properties(client.rows("EXPLAIN CACHE " + statement))


def test_a_read_is_explained_and_its_entry_followed(mynah, session, table):
    client = session(mynah)
    client.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    client.run(f"INSERT INTO {table} VALUES (1, 10)")
    read = f"SELECT v FROM {table} WHERE id = 1"
    before = explain(client, read)
    assert before["cacheable"] == ["yes"] and before["kind"] == ["read"]
    assert len(before["reads"]) == 1 and table in before["reads"][0]
    assert before["rule"] == ["none"] and before["ttl"] == ["5 min"]
    assert before["entry"] == ["none"] and "writes" not in before and "reason" not in before
    warm(mynah, lambda: client.rows(read))
    assert re.fullmatch(
        r"cached \S+ m?s ago, \d+ bytes, expires in 4 min \d+ s", explain(client, read)["entry"][0]
    )
    client.run(f"UPDATE {table} SET v = 11 WHERE id = 1")
    assert explain(client, read)["entry"][0].startswith("stale")


def test_reasons_writes_and_several_statements(mynah, session, table):
    client = session(mynah)
    client.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, v integer)")
    write = explain(client, f"UPDATE {table} SET v = 1 WHERE id = 2")
    assert write["cacheable"] == ["no"] and write["reason"] == ["not_a_read"]
    assert len(write["writes"]) == 1 and table in write["writes"][0]
    assert explain(client, f"DROP TABLE {table}")["writes"] == ["everything and the catalog"]
    both = explain(client, f"SELECT * FROM {table}; DELETE FROM {table}")
    assert both["statement"] == ["1 of 2", "2 of 2"] and both["reason"][0] == "multiple_statements"
    unparsed = explain(client, "SELEC nothing")
    assert unparsed["reason"] == ["unparsed"] and "forwarded" in unparsed["explanation"][0]
    # It has not been run.
    assert client.rows(f"SELECT count(*) FROM {table}") == [[b"0"]]


def test_the_transaction_says_why_it_bypasses(cached_postgres, session):
    client = session(cached_postgres)
    client.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert explain(client, READ)["session"][0].startswith("isolation_level: ")
    client.run("ROLLBACK")
    assert "session" not in explain(client, READ)


def test_text_constants_are_safe_whatever_the_session_says(own_mynah, postgres, session):
    rule = {"query": r"(?i)\bit's\b", "ttl": "30s"}
    client = session(own_mynah(postgres.url(), rules=[rule]).start())
    for standard in "on", "off":
        client.run(f"SET standard_conforming_strings = {standard}")
        row = explain(client, "SELECT name FROM airlines WHERE name = 'it''s' AND carrier = '' -- it's")
        assert "it's" in row["rule"][0] and row["ttl"] == ["30 s"]


def test_every_driver_gets_the_rows(mynah, connect):
    connection = connect(mynah)
    for _ in range(7):
        found = properties(tuple(row) for row in connection.rows("EXPLAIN CACHE " + READ))
        assert found["cacheable"] == ["yes"]


def test_the_extended_protocol_describes_binds_and_pipelines(mynah, session):
    client = session(mynah)
    question = "EXPLAIN CACHE SELECT name FROM airlines WHERE carrier = $1"
    replies = client.exchange(
        wire.parse(question, name="q") + wire.describe_statement("q")
        + wire.bind("q", parameters=(b"UA",)) + wire.describe_portal() + wire.execute()
        + wire.parse(READ) + wire.bind() + wire.execute() + wire.sync()
    )
    assert wire.sqlstate(replies) is None
    assert wire.tags(replies).startswith("1tT2T")
    assert dict(replies)[b"t"][:2] == b"\0\1"
    found = properties(wire.data_rows(replies)[:-1])
    assert found["cacheable"] == ["yes"]
    assert found["entry"] == ["one for each set of parameter values"]


def test_psql_prints_it(mynah):
    result = subprocess.run(
        ["psql", "-X", "-h", "127.0.0.1", "-p", str(mynah.port), "-U", "postgres", "-At",
         "flights", "-c", "EXPLAIN CACHE " + READ],
        capture_output=True, text=True, timeout=30,
    )
    assert result.returncode == 0 and "cacheable|yes\n" in result.stdout, result


def test_nothing_of_the_statement_is_logged(own_mynah, postgres, session):
    server = own_mynah(postgres.url()).start()
    client = session(server)
    explain(client, "SELEC 'top secret'")
    explain(client, "SELECT name FROM airlines WHERE name = 'top secret'")
    assert "secret" not in server.log()


# mynah explain


def shell(server: MynahServer, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(MYNAH_BINARY), "explain", "--config", str(server.configuration), *arguments],
        capture_output=True, text=True, input=stdin, timeout=60,
    )


def table_of(result: subprocess.CompletedProcess) -> dict[str, list[str]]:
    assert result.returncode == 0, result
    return properties(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines())


@pytest.fixture(params=["postgresql", "sqlite"])
def upstream(request) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").url("postgres") + "/flights"
    return f"sqlite:{request.getfixturevalue('sqlite_file')}"


def test_the_shell_asks_the_running_proxy(own_mynah, upstream, session):
    server = own_mynah(upstream).start()
    client = session(server)
    warm(server, lambda: client.rows(READ))
    user = ("--user", "postgres")
    found = table_of(shell(server, *user, READ))
    assert found["entry"][0].startswith("cached "), found
    assert table_of(shell(server, *user, "-", stdin=READ + "\n"))["entry"] != ["none"]
    parameters = shell(
        server, *user, "--parameter-types", "text", "SELECT name FROM airlines WHERE carrier = $1"
    )
    assert table_of(parameters)["entry"] == ["one for each set of parameter values"]


def test_without_a_proxy_the_shell_analyses_by_itself(own_mynah, upstream):
    server = own_mynah(upstream)
    server.write_configuration()
    result = shell(server, READ)
    found = table_of(result)
    assert found["cacheable"] == ["yes"] and "airlines" in found["reads"][0]
    assert "entry" not in found
    assert result.stderr == "mynah: no proxy is running: nothing can be said of entries\n"


def test_the_search_path_decides_what_is_read(own_mynah, postgres, table):
    postgres.run(f"CREATE SCHEMA {table}; CREATE TABLE {table}.airlines (carrier text, name text)")
    server = own_mynah(postgres.url("postgres") + "/flights")
    server.write_configuration()
    found = table_of(shell(server, "--search-path", f"{table}, public", READ))
    assert any(row.startswith(f"{table}.airlines") for row in found["reads"])


def test_mistakes_are_one_line_and_a_status(own_mynah, postgres):
    server = own_mynah(postgres.url("postgres")).start()
    for arguments in (
        ("--database", "nothing", READ), ("--set", "nonsense", READ),
        ("--parameter-types", "nonsense", READ),
    ):
        result = shell(server, *arguments)
        assert result.returncode != 0 and result.stdout == "" and result.stderr != ""
    assert shell(server, "--database", "nothing", READ).stderr.count("\n") == 1
    server.stop()
    gone = own_mynah(f"postgresql://127.0.0.1:{free_port()}/flights")
    gone.write_configuration()
    result = shell(gone, READ)
    assert result.returncode == 1 and "upstream.url" in result.stderr
    assert result.stderr.count("\n") == 1
