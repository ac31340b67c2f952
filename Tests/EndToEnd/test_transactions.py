"""Lazy BEGIN, and pipelines in which some statements are answered from memory."""

import pytest

import wire
from caching import warm

COUNT = "SELECT count(*) FROM airlines"
NAMES = "SELECT name FROM airlines ORDER BY name LIMIT 3"


def test_a_transaction_of_hits_never_goes_upstream(mynah, session):
    client = session(mynah)
    expected = warm(mynah, lambda: client.query(COUNT))
    for begin, end in (("BEGIN", "COMMIT"), ("BEGIN", "ROLLBACK"), ("START TRANSACTION", "END")):
        with mynah.counting() as delta:
            opening = client.query(begin)
            inside = client.query(COUNT)
            closing = client.query(end)
        assert (delta.upstream, delta.hits) == (0, 1), str(delta)
        assert wire.tags(opening) == "CZ" and opening[-1][1] == b"T"
        assert inside == expected[:-1] + [(b"Z", b"T")]
        assert wire.tags(closing) == "CZ" and closing[-1][1] == b"I"


def test_a_transaction_of_hits_in_the_extended_protocol_never_goes_upstream(mynah, session):
    client = session(mynah)
    warm(mynah, lambda: client.exchange(wire.extended(COUNT)))
    with mynah.counting() as delta:
        for sql in ("BEGIN", COUNT, "COMMIT"):
            client.exchange(wire.parse(sql) + wire.bind() + wire.describe_portal() + wire.execute() + wire.sync())
    assert (delta.upstream, delta.hits) == (0, 1), str(delta)


def test_a_fresh_session_hits_without_an_upstream_connection(cached_postgres, postgres, session):
    warm(cached_postgres, lambda: session(cached_postgres).query(COUNT))
    with cached_postgres.counting() as delta:
        client = session(cached_postgres)
        client.query(COUNT)
        client.query("BEGIN")
        client.query(COUNT)
        client.query("COMMIT")
    assert delta.hits == 2 and delta.upstream == 0, str(delta)


SCRIPTS = [
    ["BEGIN", "COMMIT"],
    ["BEGIN", "BEGIN", "COMMIT", "COMMIT"],
    ["COMMIT", "ROLLBACK"],
    ["BEGIN", COUNT, "SELECT now() = now()", "COMMIT", COUNT],
    ["BEGIN", COUNT, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "ROLLBACK"],
    ["BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", COUNT, "COMMIT"],
    ["BEGIN READ ONLY", COUNT, "DELETE FROM airlines", "ROLLBACK"],
    ["BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ, DEFERRABLE", COUNT, "SHOW transaction_isolation", "COMMIT"],
    ["BEGIN", COUNT, "SAVEPOINT a", COUNT, "SELECT nothing", "ROLLBACK TO a", COUNT, "COMMIT"],
    ["BEGIN", "SELECT nothing", COUNT, "BEGIN", "SAVEPOINT a", "COMMIT", COUNT],
    ["BEGIN", COUNT, "SELECT nothing", "ROLLBACK", COUNT],
    ["BEGIN", COUNT, "COMMIT AND CHAIN", COUNT, "ROLLBACK"],
    ["BEGIN", "ROLLBACK AND CHAIN", COUNT, "COMMIT"],
    ["BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'", "SHOW TimeZone", "COMMIT", "SHOW TimeZone"],
    ["BEGIN; SELECT 1", COUNT, "COMMIT; SELECT 2", COUNT],
    ["BEGIN; " + COUNT + "; COMMIT", COUNT],
    ["SELECT 1; BEGIN", COUNT, "SELECT 3; END"],
    ["BEGIN", COUNT, "DECLARE c CURSOR FOR SELECT carrier FROM airlines ORDER BY 1", "FETCH 2 FROM c",
     "MOVE 3 FROM c", "FETCH 2 FROM c", "CLOSE c", "COMMIT"],
    ["BEGIN", "PREPARE x AS " + COUNT, "EXECUTE x", "ROLLBACK", "EXECUTE x", "DEALLOCATE x", "EXECUTE x"],
    ["BEGIN", "LISTEN ch", "NOTIFY ch, 'x'", "ROLLBACK", COUNT],
    ["begin transaction", COUNT, "abort"],
    ["BEGIN;;", COUNT + ";", ";COMMIT;", ""],
    ["-- c\nBEGIN -- d", "/* e */" + COUNT, "COMMIT/**/"],
    ["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", COUNT, "COMMIT"],
    ["BEGIN ISOLATION LEVEL READ UNCOMMITTED", COUNT, "SHOW transaction_isolation", "COMMIT"],
    ["SET default_transaction_read_only = on", "BEGIN", COUNT, "DELETE FROM airlines", "ROLLBACK",
     "SET default_transaction_read_only = off"],
    ["SET CONSTRAINTS ALL DEFERRED", "BEGIN", COUNT, "SET CONSTRAINTS ALL DEFERRED", "COMMIT"],
]


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: " / ".join(script)[:70])
def test_a_script_is_answered_as_directly(postgres, cached_postgres, session, script, protocol):
    direct, proxied = session(postgres), session(cached_postgres)
    warm(cached_postgres, lambda: session(cached_postgres).query(COUNT))
    for _ in range(2):
        for sql in script:
            several = ";" in sql.strip().strip(";") or protocol == "simple"
            request = wire.query(sql) if several else wire.extended(sql)
            assert proxied.exchange(request) == direct.exchange(request), sql
        for client in (direct, proxied):
            client.query("ROLLBACK")


MISS = "SELECT pg_backend_pid() > 0"
BAD = "SELECT * FROM no_such_table"
UNSYNCED = {
    "a hit, a miss and a hit": [NAMES, MISS, NAMES],
    "a miss and a hit": [MISS, COUNT],
    "hits alone": [COUNT, NAMES, COUNT],
    "an error between hits": [COUNT, BAD, NAMES],
    "an error first": [BAD, COUNT],
    "an error last": [COUNT, MISS, BAD],
    "a transaction in one segment": ["BEGIN", COUNT, "COMMIT", NAMES],
    "a setting between two reads": [NAMES, "SET extra_float_digits = 0", NAMES, "RESET extra_float_digits"],
}


def segment(statements, between=b"", last=wire.sync()):
    one = lambda sql: wire.parse(sql) + wire.bind() + wire.describe_portal() + wire.execute()  # noqa: E731
    return b"".join(one(sql) + between for sql in statements) + last


@pytest.mark.parametrize("between", ["nothing", "Flush", "Sync"])
@pytest.mark.parametrize("what", UNSYNCED)
def test_a_pipeline_is_answered_as_directly(postgres, cached_postgres, session, what, between):
    direct, proxied = session(postgres), session(cached_postgres)
    for sql in (COUNT, NAMES):
        warm(cached_postgres, lambda: session(cached_postgres).exchange(wire.extended(sql)))
    statements = UNSYNCED[what]
    if between == "Sync":
        request, ready = segment(statements, wire.sync(), b""), len(statements)
    else:
        request, ready = segment(statements, wire.flush() if between == "Flush" else b""), 1
    for _ in range(3):
        expected = direct.exchange(request, ready)
        assert proxied.exchange(request, ready) == expected
        assert proxied.query(COUNT) == direct.query(COUNT)


def test_a_pipeline_that_arrives_byte_by_byte_is_answered_as_directly(postgres, cached_postgres, session):
    direct, proxied = session(postgres), session(cached_postgres)
    request = segment([COUNT, MISS, NAMES]) + wire.query(COUNT) + segment([BAD, COUNT])
    expected = direct.exchange(request, 3)
    for byte in request:
        proxied.send(bytes([byte]))
    assert proxied.until_ready(3) == expected


def test_flush_brings_replies_without_sync(mynah, session):
    client = session(mynah)
    warm(mynah, lambda: client.exchange(wire.extended(COUNT)))
    for _ in range(3):
        client.send(wire.parse(COUNT) + wire.bind() + wire.describe_portal() + wire.execute() + wire.flush())
        assert wire.tags(client.until(b"C")) == "12TDC"
        client.send(wire.parse(NAMES, "n") + wire.describe_statement("n") + wire.flush())
        assert wire.tags(client.until(b"T")) == "1tT"
        assert wire.tags(client.exchange(wire.close_statement("n") + wire.sync())) == "3Z"


def test_a_portal_read_in_parts_gives_each_row_once(postgres, cached_postgres, cached_sqlite, session):
    sql = "SELECT carrier FROM airlines ORDER BY carrier"
    parts = (
        wire.query("BEGIN") + wire.parse(sql) + wire.bind(portal="p") + wire.execute("p", 5) + wire.sync()
        + wire.execute("p", 5) + wire.execute("p", 0) + wire.execute("p", 0) + wire.sync() + wire.query("COMMIT")
    )
    expected = session(postgres).exchange(parts, 4)
    for server in (cached_postgres, cached_sqlite):
        warm(server, lambda: session(server).exchange(wire.extended(sql)))
        client = session(server)
        for _ in range(2):
            found = client.exchange(parts, 4)
            assert wire.tags(found) == wire.tags(expected)
            assert wire.data_rows(found) == wire.data_rows(expected)


def test_many_queries_sent_at_once_are_answered_in_order(mynah, session):
    client = session(mynah)
    carriers = [row[0].decode() for row in client.rows("SELECT carrier FROM airlines ORDER BY 1")]
    wanted = (carriers * 20)[:300]
    request = b"".join(
        wire.query(f"SELECT carrier FROM airlines WHERE carrier = '{carrier}'") for carrier in wanted
    )
    for _ in range(2):
        replies = client.exchange(request, len(wanted))
        assert [row[0].decode() for row in wire.data_rows(replies)] == wanted


def test_a_client_that_leaves_without_reading_disturbs_nobody(mynah, session):
    for _ in range(20):
        leaver = session(mynah)
        leaver.send(wire.query("SELECT * FROM flights") * 3 + wire.query(COUNT))
        leaver.close()
    assert session(mynah).value(COUNT) == b"16"
