"""A reader and a writer behind Mynah and a session without it, to compare what each is told.

The tests of `test_anomalies_*.py` carry the numbers of one list of 44 ways in which caching proxies
and poolers have gone wrong: A races (1–12), B writes that are not recognised (13–20), C identity
(21–25), D same text with another meaning (26–38), E transactions and replicas (39–44).
"""

import pytest

import wire
from caching import warm
from servers import MynahServer, PostgresServer
from wire import Message, RawSession


class Lab:
    def __init__(self, postgres: PostgresServer, server: MynahServer, table: str):
        self.postgres, self.server, self.t = postgres, server, table
        self.sessions: list[RawSession] = []
        self.direct = self.truth()
        self.reader, self.writer = self.client(), self.client()

    def client(self, **options) -> RawSession:
        return self._opened(RawSession.connect(self.server.port, **options))

    def truth(self, **options) -> RawSession:
        return self._opened(RawSession.connect(self.postgres.port, **options))

    def _opened(self, session: RawSession) -> RawSession:
        self.sessions.append(session)
        return session

    def close(self) -> None:
        for session in self.sessions:
            session.close()

    def sql(self, text: str) -> str:
        """`{t}` stands for a name that nothing else uses."""
        return text.replace("{t}", self.t)

    def make(self, *statements: str) -> None:
        for statement in statements:
            self.writer.run(self.sql(statement))

    def remember(self, sql: str, session: RawSession | None = None) -> list[Message]:
        """Asks until the answer comes from memory."""
        session = session or self.reader
        return warm(self.server, lambda: session.query(self.sql(sql)))

    def agrees(self, sql: str, session: RawSession | None = None,
               truth: RawSession | None = None) -> list[Message]:
        """The answer through Mynah, asked twice, must be the one without it."""
        session, truth = session or self.reader, truth or self.direct
        expected = truth.query(self.sql(sql))
        for _ in range(2):
            assert session.query(self.sql(sql)) == expected
        return expected

    def changes(self, sql: str, *writes: str) -> None:
        """Remembers a read, writes, and compares: the answer must be another, and the truth."""
        before = self.remember(sql)
        for write in writes:
            self.writer.run(self.sql(write))
        assert self.agrees(sql) != before, "the writes changed nothing that is read"


def values(replies: list[Message]) -> list[bytes | None]:
    return [row[0] for row in wire.data_rows(replies)]


@pytest.fixture
def lab(postgres, cached_postgres, table):
    lab = Lab(postgres, cached_postgres, table)
    try:
        yield lab
    finally:
        lab.close()
