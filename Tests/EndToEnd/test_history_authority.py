"""Who may see which row: random sessions, and the same sessions on PostgreSQL itself."""

import pytest

import history_goal
import wire
from authority_matrix import Matrix
from authority_schema import SETUP
from history_campaign import Outcome
from history_client import PipelinedSession
from servers import PostgresServer, with_flights

SECONDS = 12


@pytest.fixture(scope="module")
def server():
    yield from with_flights(PostgresServer(), SETUP)


@pytest.mark.timeout(history_goal.TIMEOUT)
def test_nobody_sees_what_postgresql_would_not_show_them(server, own_mynah):
    mynah = own_mynah(server.url()).start()
    outcome = Outcome()
    with mynah.counting() as delta:
        for seed in history_goal.rounds("authority", outcome):
            matrix = Matrix(mynah, server, seed)
            try:
                matrix.run(SECONDS)
            finally:
                matrix.close()
                outcome.counts.update(matrix.counts)
            delta.after = mynah.metrics()
            outcome.counts["checked hits"] = delta.hits
    counts = outcome.counts
    print(f"\nauthority: {dict(counts)}, {delta}")
    assert not history_goal.missing("authority", outcome)
    assert counts["rows"] > counts["reads"] / 4


def test_a_revoke_takes_effect_on_the_next_statement_of_every_session(server, own_mynah):
    mynah = own_mynah(server.url()).start()
    server.run("CREATE TABLE given (id int, owner text); INSERT INTO given VALUES (1, 'postgres')")
    sql = "SELECT id, owner FROM given"
    admin = PipelinedSession.connect(mynah.port)
    clients = [PipelinedSession.connect(mynah.port, user="bob") for _ in range(3)]
    clients[1].run("BEGIN")
    for _ in range(10):
        admin.run("GRANT SELECT ON given TO bob")
        for client in clients:
            assert [client.batch([wire.query(sql)] * 3)[1][2].rows] == [[(b"1", b"postgres")]]
        admin.run("REVOKE SELECT ON given FROM bob")
        for client in clients:
            assert client.batch([wire.query(sql)])[1][0].error == "42501"
        clients[1].run("ROLLBACK; BEGIN")
    for session in (*clients, admin):
        session.close()
