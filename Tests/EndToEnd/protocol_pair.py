"""The same bytes to PostgreSQL directly and through Mynah, and what came back, made comparable.

Two databases are copies of each other, identifiers and all: one is written to directly, the other
through Mynah.
"""

import re

import wire
from wire import Message, RawSession

DIRECT, PROXIED = "protocol_direct", "protocol_proxied"

# Five in a row are answered in any state but COPY and the one before the next Sync: they show where
# the answer to what came before has ended.
FENCE = wire.sync() + wire.close_statement("no_such_statement") * 5 + wire.sync()

SCHEMA = """
CREATE TABLE birds (id int PRIMARY KEY, name text NOT NULL, weight numeric);
INSERT INTO birds SELECT n, 'bird ' || n, n * 1.5 FROM generate_series(1, 40) n;
CREATE TABLE sightings (id int, place text, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE notes (line text);
"""

STATEMENT_NAME = re.compile(r'statement "[^"]*"')


def make_databases(postgres) -> None:
    """Makes both databases, with the same object identifiers."""
    for name in (DIRECT, PROXIED):
        postgres.run(f"DROP DATABASE IF EXISTS {name}", "postgres")
    postgres.run(f"CREATE DATABASE {DIRECT}", "postgres")
    postgres.run(SCHEMA, DIRECT)
    postgres.run(f"CREATE DATABASE {PROXIED} TEMPLATE {DIRECT}", "postgres")


def drop_databases(postgres) -> None:
    for name in (DIRECT, PROXIED):
        postgres.run(f"DROP DATABASE {name} WITH (FORCE)", "postgres")


def comparable(replies: list[Message]) -> list[tuple]:
    """What must be the same: every byte of an answer, the class and wording of an error, and of one
    that ends the session its class. Where in PostgreSQL's source it was reported is left out, and
    so are settings that are merely told of."""
    found = []
    for tag, body in replies:
        if tag in b"EN":
            fields = wire.error_fields(body)
            if fields.get("V") == "FATAL":
                found.append((tag, "FATAL", fields.get("C")))
            else:
                # Where clients share connections, a prepared statement has another name there.
                if fields.get("M"):
                    fields["M"] = STATEMENT_NAME.sub('statement "…"', fields["M"])
                found.append((tag, *(fields.get(name) for name in "SVCMDHPpq")))
        elif tag == b"T":
            found.append((tag, without_table(body)))
        elif tag not in (b"S", b"A"):
            found.append((tag, body))
    return found


def without_table(row_description: bytes) -> bytes:
    """Tables made since the databases were copied have identifiers of their own."""
    kept, offset = row_description[:2], 2
    while offset < len(row_description):
        end = row_description.index(b"\0", offset) + 1
        kept += row_description[offset:end] + row_description[end + 4 : end + 18]
        offset = end + 18
    return kept


def until_fence(session: RawSession) -> tuple[list[Message], bool]:
    """The answer to what was sent ahead of a FENCE, and whether the session has outlived it."""
    replies: list[Message] = []
    try:
        while not (replies and replies[-1][0] == b"Z" and wire.tags(replies[-6:-1]) == "33333"):
            replies.append(session.receive())
    except (wire.ConnectionEnded, ConnectionError):
        return replies, False
    return replies[:-6], True


class Difference(AssertionError):
    """`expected` was the answer directly, `found` through Mynah."""

    def __init__(self, text: str, expected: list[tuple], found: list[tuple]):
        super().__init__(text)
        self.expected, self.found = expected, found

    @property
    def is_known(self) -> bool:
        """A statement whose Parse was answered from memory cannot be parsed by the server, and so
        not be described, once the transaction has failed."""
        for expected, found in zip(self.expected, self.found):
            if expected != found:
                return expected[0] == b"t" and found[:4] == (b"E", "ERROR", "ERROR", "25P02")
        return False


class Pair:
    """A direct and a proxied session that are sent the same."""

    def __init__(self, postgres, mynah, databases: tuple[str, str] = (DIRECT, PROXIED)):
        self.direct = RawSession.connect(postgres.port, database=databases[0])
        self.proxied = RawSession.connect(mynah.port, database=databases[1])

    def send(self, data: bytes) -> tuple[list[Message], bool]:
        """Sends `data` to both; raises Difference where the answers differ. Returns the direct one,
        and whether the session goes on."""
        answers = []
        for session in (self.direct, self.proxied):
            try:
                session.send(data + FENCE)
            except ConnectionError:
                pass  # Ended already; what it said before is still to be read.
            answers.append(until_fence(session))
        (direct, lives), (proxied, proxied_lives) = answers
        expected, found = comparable(direct), comparable(proxied)
        if not lives:
            # What a closed connection still delivers is up to the kernel.
            expected, found = without_last_words(expected), without_last_words(found)
            found += expected[len(found):]
        if lives != proxied_lives or found != expected:
            raise Difference(
                f"\nsent {data!r}\ndirect  ({'lives' if lives else 'ends'}) {expected}"
                f"\nproxied ({'lives' if proxied_lives else 'ends'}) {found}",
                expected, found,
            )
        return direct, lives

    def close(self) -> None:
        self.direct.close()
        self.proxied.close()


def without_last_words(messages: list[tuple]) -> list[tuple]:
    """PostgreSQL closes without a word where Mynah says why; either may be lost on the way."""
    return [message for message in messages if message[1:2] != ("FATAL",)]
