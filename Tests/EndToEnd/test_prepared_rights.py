"""A server's plan knows the roles of when its statement was parsed; whoever parses it later must not.

PostgreSQL does not parse anew when a role gains or loses an attribute or a membership: which policies
apply to a prepared statement stays as it was.
"""

import pytest

import wire
from servers import MynahServer, PostgresServer, with_flights
from wire import RawSession

OWN, ALL = [b"alice"], [b"alice", b"bob", b"team"]
OWNERS = "SELECT owner FROM docs WHERE id < $1 ORDER BY owner"
CHANGES = {
    "attribute": ("ALTER ROLE alice BYPASSRLS", "ALTER ROLE alice NOBYPASSRLS"),
    "membership": ("GRANT team TO alice", "REVOKE team FROM alice"),
}


@pytest.fixture(scope="module")
def server():
    yield from with_flights(
        PostgresServer(),
        """
        CREATE ROLE alice LOGIN; CREATE ROLE team;
        CREATE TABLE docs (id int PRIMARY KEY, owner text);
        INSERT INTO docs VALUES (1, 'alice'), (2, 'bob'), (3, 'team');
        ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON docs USING (owner = current_user);
        CREATE POLICY everything ON docs TO team USING (true);
        GRANT SELECT ON docs TO alice;
        """)


@pytest.fixture(params=["session", "transaction"])
def mynah(request, server, own_mynah):
    return own_mynah(server.url(), pool={"mode": request.param}).start()


class Client:
    def __init__(self, server: PostgresServer | MynahServer, sql: str, name: str):
        self.session = RawSession.connect(server.port, user="alice")
        self.sql, self.name = sql, name
        self.is_prepared = False

    def rows(self) -> list:
        """What it is answered, or the error's code. A named statement is prepared once."""
        parse = b"" if self.is_prepared else wire.parse(self.sql, self.name, (23,))
        replies = self.session.exchange(
            parse + wire.bind(self.name, "", (b"9",)) + wire.describe_portal() + wire.execute() + wire.sync())
        if error := wire.sqlstate(replies):
            return [error]
        self.is_prepared = bool(self.name)
        return [row for [row] in wire.data_rows(replies)]


@pytest.mark.parametrize("name", ["statement", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_somebody_has_prepared_before_is_not_what_others_are_answered(
    server, mynah, change, name
):
    gives, takes = CHANGES[change]
    administrator = RawSession.connect(mynah.port)
    old = [Client(mynah, OWNERS, name)]
    try:
        for _ in range(3):
            for what, expected in ((takes, OWN), (gives, ALL)):
                administrator.run(what)
                for client in old:
                    client.rows()
                new = Client(mynah, OWNERS, name)
                assert Client(server, OWNERS, name).rows() == expected, "PostgreSQL itself"
                for client in (new, *old, new):
                    assert client.rows() == expected
                old.append(new)
        with mynah.counting() as delta:
            for client in old:
                client.rows()
        assert delta.hits == len(old), "they share one answer"
    finally:
        administrator.run(takes)
        for client in (administrator, *(one.session for one in old)):
            client.close()


EVENTS = "SELECT count(*) FROM events WHERE at > '2024-06-01 12:00'"
RUN = wire.bind("s", "") + wire.describe_portal() + wire.execute()


def test_constants_keep_their_meaning_when_roles_and_settings_change(server, mynah):
    """Its constants were read with those of its Parse."""
    administrator = RawSession.connect(mynah.port)
    administrator.run("DROP TABLE IF EXISTS events")
    administrator.run("CREATE TABLE events (at timestamptz)")
    administrator.run("INSERT INTO events VALUES ('2024-06-01 06:00+00'), ('2024-06-02 00:00+00')")
    administrator.run("GRANT SELECT ON events TO alice")
    direct, client = (RawSession.connect(one.port, user="alice") for one in (server, mynah))
    for change in ("SET LOCAL TimeZone = 'Asia/Tokyo'", "SET TimeZone = 'Asia/Tokyo'"):
        for session in (direct, client):
            session.run("SET TimeZone = 'UTC'")
            session.exchange(wire.close_statement("s") + wire.parse(EVENTS, "s") + RUN + wire.sync())
        administrator.run("CREATE ROLE another; DROP ROLE another")
        block = (
            wire.parse("BEGIN") + wire.bind() + wire.execute() + wire.parse(change) + wire.bind()
            + wire.execute() + RUN + wire.parse("COMMIT") + wire.bind() + wire.execute() + wire.sync())
        for messages in (block, RUN + wire.sync(), RUN + wire.sync()):
            expected = wire.data_rows(direct.exchange(messages))
            assert wire.data_rows(client.exchange(messages)) == expected == [[b"1"]]
        other = RawSession.connect(mynah.port, user="alice")
        other.run("SET TimeZone = 'UTC'")
        for _ in range(3):
            assert wire.data_rows(other.exchange(wire.parse(EVENTS, "s") + RUN + wire.sync())) == [[b"1"]]
            other.exchange(wire.close_statement("s") + wire.sync())


def test_a_statement_whose_columns_have_changed_is_an_error_as_directly(server, mynah):
    administrator = RawSession.connect(mynah.port)
    administrator.run("DROP TABLE IF EXISTS growing")
    administrator.run("CREATE TABLE growing (id int); INSERT INTO growing VALUES (1)")
    administrator.run("GRANT SELECT ON growing TO alice")
    client = RawSession.connect(mynah.port, user="alice")
    client.exchange(wire.parse("SELECT * FROM growing", "s") + wire.sync())
    administrator.run("ALTER TABLE growing ADD COLUMN more int")
    assert wire.sqlstate(client.exchange(RUN + wire.sync())) in ("0A000", "26000")
