"""Messages that are malformed, out of place or out of order: the server's own answer, and no more.

PostgreSQL survives most of them: it reports an error and goes on at the next Sync. So does a session
through Mynah, with the same messages, whether what surrounds them is answered from memory or not.
"""

import struct

import pytest

import wire
from protocol_pair import DIRECT, FENCE, Pair, drop_databases, make_databases, until_fence
from wire import (
    RawSession, bind, close_portal, close_statement, describe_portal, describe_statement, execute,
    flush, message, parse, query, sync,
)

READ = "SELECT name FROM birds WHERE id = 3"
BY_ID = "SELECT name FROM birds WHERE id = $1"
ALL = "SELECT id FROM birds ORDER BY id"
DOUBLE = "INSERT INTO sightings VALUES (1, 'x'), (1, 'y')"
SEGMENT = parse(READ) + bind() + describe_portal() + execute()


def data(text: bytes) -> bytes:
    return message(b"d", text)


DONE = message(b"c")

# Answered alike by any server that speaks the protocol.
MALFORMED = {
    "a Query without terminator": message(b"Q", b"SELECT 1"),
    "a Query without a body": message(b"Q", b""),
    "two texts in a Query": message(b"Q", b"SELECT 1\0x\0"),
    "bytes behind a Query": message(b"Q", b"SELECT 1\0x"),
    "a Parse without text": message(b"P", b"name\0"),
    "a Parse without a body": message(b"P", b""),
    "a Parse that promises types": message(b"P", b"\0SELECT 1\0\x7f\xff"),
    "a Parse that promises 65,535 types": message(b"P", b"\0SELECT 1\0\xff\xff"),
    "bytes behind a Parse": message(b"P", b"\0SELECT 1\0\0\0x"),
    "a Bind without a body": message(b"B", b""),
    "a Bind cut short": parse(READ) + message(b"B", b"\0\0\0\1"),
    "a Bind that promises parameters": parse(READ) + message(b"B", b"\0\0\0\0\x7f\xff\0\0\0\1x"),
    "a Bind with a huge value": (
        parse(BY_ID) + message(b"B", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0")
    ),
    "bytes behind a Bind": parse(READ) + message(b"B", b"\0\0\0\0\0\0\0\0x") + execute(),
    "a Describe without a body": message(b"D", b""),
    "a Describe of an unknown kind": message(b"D", b"Zx\0"),
    "a Describe without terminator": message(b"D", b"Sx"),
    "bytes behind a Describe": parse(READ) + bind() + message(b"D", b"P\0x") + execute(),
    "a Close of an unknown kind": message(b"C", b"Zx\0"),
    "a Close without a body": message(b"C", b""),
    "bytes behind the Close of a portal": parse(READ) + bind() + message(b"C", b"P\0x") + execute(),
    "bytes behind the Close of a statement": SEGMENT + message(b"C", b"S\0x"),
    "an Execute cut short": parse(READ) + bind() + message(b"E", b"\0\0"),
    "an Execute without terminator": message(b"E", b"abc"),
    "bytes behind an Execute": parse(READ) + bind() + message(b"E", b"\0\0\0\0\0x"),
    "a Sync with a body": message(b"S", b"x"),
    "a Sync with a body behind a read": SEGMENT + message(b"S", b"x"),
    "a Flush with a body": message(b"H", b"x"),
    "a Flush with a body behind a read": SEGMENT + message(b"H", b"x"),
    "a Flush with a body ahead of a read": message(b"H", b"x") + SEGMENT,
    "CopyData out of place": data(b"x"),
    "CopyDone out of place": DONE,
    "CopyFail out of place": message(b"f", b"why\0"),
    "CopyFail without terminator out of place": message(b"f", b"why"),
    "COPY messages within a segment": parse(READ) + data(b"x") + bind() + DONE + execute(),
    "a password out of place": message(b"p", b"secret\0"),
    "an unknown type": b"@" + struct.pack("!I", 4),
    "an unknown type of which nothing more comes": b"@" + struct.pack("!I", 4000),
    "a backend's type": message(b"T", b"\0\0"),
    "a zero byte": b"\0" + struct.pack("!I", 4),
    "length 0": b"Q" + struct.pack("!I", 0),
    "length 3": b"Q" + struct.pack("!I", 3),
    "a negative length": b"Q" + struct.pack("!i", -2),
    "the largest length": b"Q" + struct.pack("!I", 0x7FFFFFFF),
    "a Describe as large as may be": message(b"D", b"S" + b"x" * 9_990 + b"\0"),
    "a Describe that is too large": message(b"D", b"S" + b"x" * 10_000 + b"\0"),
    "an Execute that is too large": message(b"E", b"x" * 20_000 + b"\0\0\0\0\0"),
    "a Close that is too large": message(b"C", b"S" + b"x" * 20_000 + b"\0"),
    "a Sync that is too large": message(b"S", b"x" * 20_000),
    "a Flush that is too large": message(b"H", b"x" * 20_000),
    "three hundred Syncs": sync() * 300,
    "three hundred Flushes": flush() * 300,
    "Flush everywhere": flush().join([b"", parse(READ), bind(), describe_portal(), execute(), b""]),
    "Terminate behind a Sync": SEGMENT + sync() + wire.terminate(),
    "nothing": b"",
}

OUT_OF_ORDER = {
    "a Bind with a negative value length": (
        parse(BY_ID) + message(b"B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0") + execute()
    ),
    "too many result formats": parse(READ) + bind(result_formats=(0, 0, 0)) + execute(),
    "parameter formats and no parameters": (
        parse(READ) + bind(parameter_formats=(0, 0)) + execute()
    ),
    "an unknown result format": parse(READ) + bind(result_formats=(7,)) + execute(),
    "an unknown parameter format": (
        parse(BY_ID) + bind(parameters=(b"1",), parameter_formats=(7,)) + execute()
    ),
    "a negative number of rows": parse(READ) + bind() + message(b"E", b"\0\xff\xff\xff\xff"),
    "a name longer than any": (
        parse(READ, "n" * 9_000) + bind("n" * 9_000) + execute() + close_statement("n" * 9_000)
    ),
    "a function that does not exist": message(b"F", struct.pack("!IHHH", 999_999_999, 0, 0, 0)),
    "a function call cut short": message(b"F", b"\0"),
    "a function call with too few arguments": message(b"F", struct.pack("!IHHH", 177, 0, 0, 0)),
    "a function call that answers": message(
        b"F", struct.pack("!IHHHIIIIH", 177, 1, 1, 2, 4, 40, 4, 2, 1)
    ),
    "a function call within a segment": (
        SEGMENT + message(b"F", struct.pack("!IHHH", 999_999_999, 0, 0, 0)) + SEGMENT
    ),
    "a Query within a segment": parse(READ) + bind() + query(READ) + execute(),
    "a portal in pieces": (
        query("BEGIN") + parse(ALL, "pieces") + bind("pieces", "p") + execute("p", 3)
        + execute("p", 3) + describe_portal("p") + execute("p", 0) + execute("p", 1) + sync()
        + execute("p", 1) + sync() + query("COMMIT")
    ),
    "the unnamed portal in pieces": (
        parse(ALL) + bind() + execute("", 3) + execute("", 3) + execute() + execute()
    ),
    "two portals by turns": (
        query("BEGIN") + parse(ALL, "turns") + bind("turns", "a") + bind("turns", "b")
        + (execute("a", 2) + execute("b", 3)) * 4 + sync() + execute("a", 1) + execute("b")
        + sync() + query("COMMIT")
    ),
    "a writing portal executed again": (
        parse("INSERT INTO notes VALUES ('x') RETURNING line") + bind() + execute("", 1)
        + execute() + execute()
    ),
    "a portal's name used twice": (
        parse(READ, "r1") + bind("r1", "p") + execute("p") + bind("r1", "p") + execute("p")
    ),
    "a portal's name used again after Close": (
        parse(READ, "r2") + bind("r2", "p") + execute("p") + close_portal("p")
        + bind("r2", "p") + execute("p")
    ),
    "a finished portal executed again": parse(READ) + bind() + execute() * 3,
    "an empty statement executed twice": parse("") + bind() + describe_portal() + execute() * 2,
    "BEGIN and COMMIT around segments": (
        parse("BEGIN") + bind() + describe_portal() + execute() + SEGMENT + sync() + SEGMENT
        + sync() + parse("COMMIT") + bind() + execute()
    ),
    "COPY": query("COPY notes FROM STDIN") + data(b"a\nb\n") + DONE,
    "COPY that is given up": query("COPY notes FROM STDIN") + data(b"a\n") + message(b"f", b"y\0"),
    "COPY given up without terminator": (
        query("COPY notes FROM STDIN") + data(b"a\n") + message(b"f", b"because")
    ),
    "a CopyDone with a body": query("COPY notes FROM STDIN") + data(b"a\n") + message(b"c", b"xx"),
    "COPY of bad data": query("COPY sightings FROM STDIN") + data(b"a\tb\n") * 3 + DONE,
    "COPY of much bad data and a read": (
        query("COPY sightings FROM STDIN") + data(b"a\tb\n") * 30 + DONE + query(READ)
    ),
    "COPY interrupted by a Query": query("COPY notes FROM STDIN") + query(READ),
    "COPY interrupted by a segment": query("COPY notes FROM STDIN") + SEGMENT,
    "COPY interrupted by Terminate": query("COPY notes FROM STDIN") + wire.terminate(),
    "Flush and Sync during COPY": (
        query("COPY notes FROM STDIN") + flush() + sync() + data(b"a\n") + sync() + DONE
    ),
    "COPY in a segment, Sync ahead of the data": (
        parse("COPY notes FROM STDIN") + bind() + describe_portal() + execute() + sync()
        + data(b"q\n") + DONE + sync()
    ),
    "COPY in a segment, Sync behind the data": (
        parse("COPY notes FROM STDIN") + bind() + execute() + data(b"q\n") + DONE + sync()
    ),
    "COPY in a segment that is given up": (
        parse("COPY notes FROM STDIN") + bind() + execute() + data(b"q\n") + message(b"f", b"y\0")
        + SEGMENT + sync()
    ),
    "COPY to the client": query("COPY birds TO STDOUT"),
    "COPY to the client, who sends data": query("COPY birds TO STDOUT") + data(b"z") + DONE,
    "COPY to the client in a segment": (
        parse("COPY birds TO STDOUT") + bind() + describe_portal() + execute() + SEGMENT
    ),
    "several statements, one with an error": query("SELECT 1; SELECT 1/0; SELECT 2"),
    "several statements, one a COPY": (
        query("SELECT 1; COPY notes FROM STDIN; SELECT 2") + data(b"m\n") + DONE
    ),
    "two COPY in one Query": (
        query("COPY notes FROM STDIN; COPY notes FROM STDIN") + (data(b"m\n") + DONE) * 2
    ),
    "two COPY in one Query, the first given up": (
        query("COPY notes FROM STDIN; COPY notes FROM STDIN") + data(b"m\n")
        + message(b"f", b"x\0") + data(b"m\n") + DONE
    ),
    "a constraint that fails at Sync": parse(DOUBLE) + bind() + execute(),
    "a constraint that fails at COMMIT": (
        query("BEGIN") + parse(DOUBLE) + bind() + execute() + sync() + query("COMMIT")
    ),
    "a constraint that fails behind a read": query(f"{DOUBLE}; SELECT 1"),
    "Describe of statements": (
        parse("SELECT $1::int, $2::text", "d1") + describe_statement("d1") + describe_statement("no")
    ),
    "an error between reads": (
        SEGMENT + parse("SELECT 1/0") + bind() + execute() + SEGMENT + sync() + SEGMENT
    ),
    "ROLLBACK in a failed block": (
        query("BEGIN") + query("SELECT 1/0") + SEGMENT + sync() + query(READ)
        + parse("ROLLBACK") + bind() + execute()
    ),
    "ROLLBACK prepared in a failed block": (
        query("BEGIN") + query("SELECT 1/0") + parse("ROLLBACK", "rb") + sync()
        + describe_statement("rb") + sync() + bind("rb") + sync() + execute() + sync()
        + query("ROLLBACK")
    ),
    "a thousand parameters": (
        parse("SELECT " + " + ".join(f"${number}::int" for number in range(1, 1001)))
        + bind(parameters=(b"1",) * 1000) + execute()
    ),
    "a cursor as a portal": (
        query(f"BEGIN; DECLARE c CURSOR FOR {ALL}") + execute("c", 2) + sync()
        + describe_portal("c") + sync() + query("FETCH 2 FROM c") + close_portal("c") + sync()
        + query("COMMIT")
    ),
    "a cursor WITH HOLD as a portal": (
        query(f"DECLARE h CURSOR WITH HOLD FOR {ALL}") + query("FETCH 2 FROM h") + execute("h", 2)
        + sync() + describe_portal("h") + sync() + close_portal("h") + sync()
    ),
    "PREPARE as a statement": (
        query(f"PREPARE z AS {BY_ID}") + describe_statement("z") + bind("z", "", (b"4",))
        + execute() + sync() + close_statement("z") + sync() + query("EXECUTE z(1)")
    ),
}


@pytest.fixture(scope="module", autouse=True)
def databases(postgres):
    make_databases(postgres)
    yield
    drop_databases(postgres)


@pytest.mark.parametrize("server", ["cached_postgres", "uncached_postgres"])
@pytest.mark.parametrize("what", [*MALFORMED, *OUT_OF_ORDER])
def test_the_answer_is_the_same_as_directly(request, postgres, server, what):
    mynah = request.getfixturevalue(server)
    bytes_sent = {**MALFORMED, **OUT_OF_ORDER}[what]
    for before in ([], ["BEGIN"], ["BEGIN", "SELECT 1/0"], [READ, READ], ["BEGIN", READ]):
        pair = Pair(postgres, mynah)
        try:
            for sql in before:
                pair.send(query(sql) + SEGMENT)
            _, lives = pair.send(bytes_sent)
            if lives:
                pair.send(query("ROLLBACK") + query("TABLE notes") + SEGMENT)
        finally:
            pair.close()


@pytest.mark.parametrize("what", MALFORMED)
def test_before_sqlite_the_answer_has_the_shape_and_sqlstate_of_postgresql(
    postgres, cached_sqlite, session, what
):
    with RawSession.connect(cached_sqlite.port) as maker:
        maker.run("CREATE TABLE IF NOT EXISTS birds (id integer PRIMARY KEY, name text)")
        maker.run("INSERT OR REPLACE INTO birds VALUES (3, 'bird 3')")
    shapes = []
    for server, database in ((postgres, DIRECT), (cached_sqlite, "flights")):
        client = session(server, database=database)
        try:
            client.send(query(READ) + MALFORMED[what] + FENCE)
        except ConnectionError:
            pass  # Refused while it was still being sent.
        replies, lives = until_fence(client)
        shapes.append([(tag, wire.sqlstate([(tag, body)])) for tag, body in replies] if lives else None)
    assert shapes[0] == shapes[1]


def test_an_unnamed_statement_that_a_read_from_memory_destroyed_is_gone(postgres, cached_postgres):
    """The server has not seen that Query, and still has an older statement of that name."""
    pair = Pair(postgres, cached_postgres)
    try:
        for destroys in (query(READ), query("BEGIN"), parse(READ) + close_statement() + sync()):
            pair.send((query(READ) + SEGMENT) * 2)
            pair.send(parse("SELECT random() < 2") + bind() + execute() + sync() + SEGMENT)
            pair.send(destroys)
            pair.send(bind() + execute() + sync() + describe_statement() + sync())
            pair.send(query("ROLLBACK"))
    finally:
        pair.close()


def test_a_statement_is_parsed_again_where_an_error_made_the_server_skip_it(
    postgres, cached_postgres
):
    """Its first Parse was answered from memory; the one that the proxy sends for it, behind a mistake
    of the client's, is skipped, and the next segment is on its way already."""
    pair = Pair(postgres, cached_postgres)
    try:
        pair.send((query(READ) + SEGMENT) * 2)
        for name in ("", "named"):
            pair.send(parse(READ, name) + bind(name) + execute() + sync())
            pair.send(
                parse("SELECT 1/0", "fails") + bind("fails") + execute() + bind(name, "", (), (), (1,))
                + execute() + sync() + bind(name, "", (), (), (1,)) + execute() + sync()
                + describe_statement(name) + sync() + close_statement("fails")
            )
    finally:
        pair.close()
