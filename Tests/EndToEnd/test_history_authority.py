"""Who may see which row: random sessions in lockstep with the same sessions on PostgreSQL itself.

Each client has two sessions, one through Mynah and one directly, that are told the same. Between
two changes of anybody's rights or of a session's identity both are asked the same questions, and
every answer must be equal: rows (each names its owner), or the SQLSTATE of the refusal.
"""

import random
import time
from collections import Counter

import pytest

import history_goal
import wire
from history_client import LinkLost, PipelinedSession, is_lost, prepare, prepared
from servers import PostgresServer

SECONDS = 20
USERS = ("alice", "bob", "boss", "postgres")
ROLES = ("alice", "bob", "boss", "team", "auditor", "nobody")
TABLES = ("docs", "tenants", "plain", "secret")
VIEWS = ("v_docs", "v_docs_invoker", "v_tenants_invoker", "v_nested", "v_plain")

SETUP = """
CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE boss LOGIN NOINHERIT;
CREATE ROLE team; CREATE ROLE auditor BYPASSRLS; CREATE ROLE nobody;
GRANT team TO alice; GRANT alice, bob, auditor TO boss;

CREATE TABLE docs (id int PRIMARY KEY, owner text, body text);
INSERT INTO docs SELECT i, (ARRAY['alice', 'bob', 'boss', 'team', 'postgres'])[i % 5 + 1], 'doc ' || i
  FROM generate_series(1, 20) i;
ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON docs USING (owner = current_user);

CREATE TABLE tenants (id int PRIMARY KEY, owner text, body text);
INSERT INTO tenants SELECT i, (ARRAY['red', 'green', 'blue'])[i % 3 + 1], 'row ' || i
  FROM generate_series(1, 20) i;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (owner = current_setting('app.tenant', true));

CREATE TABLE plain (id int PRIMARY KEY, owner text, body text);
INSERT INTO plain SELECT i, 'everybody', 'plain ' || i FROM generate_series(1, 10) i;
CREATE TABLE secret (id int PRIMARY KEY, owner text, body text);
INSERT INTO secret SELECT i, 'postgres', 'secret ' || i FROM generate_series(1, 10) i;

CREATE VIEW v_docs AS SELECT id, owner, body FROM docs;
CREATE VIEW v_docs_invoker WITH (security_invoker = true) AS SELECT id, owner, body FROM docs;
CREATE VIEW v_tenants_invoker WITH (security_invoker = true) AS SELECT id, owner, body FROM tenants;
CREATE VIEW v_nested AS SELECT id, owner, body FROM v_docs_invoker;
CREATE VIEW v_plain AS SELECT id, owner, body FROM plain;
ALTER VIEW v_nested OWNER TO alice;

CREATE SCHEMA a; CREATE SCHEMA b;
CREATE TABLE a.here (id int PRIMARY KEY, owner text);
CREATE TABLE b.here (id int PRIMARY KEY, owner text);
CREATE TABLE public.here (id int PRIMARY KEY, owner text);
INSERT INTO a.here VALUES (1, 'schema a'); INSERT INTO b.here VALUES (1, 'schema b');
INSERT INTO public.here VALUES (1, 'public');
GRANT USAGE ON SCHEMA a TO PUBLIC; GRANT SELECT ON a.here, b.here, public.here TO PUBLIC;
GRANT SELECT ON docs, tenants, plain, v_docs, v_docs_invoker, v_tenants_invoker, v_nested, v_plain
  TO alice, bob, boss, team, auditor;
"""

READS = [
    *(f"SELECT id, owner, body FROM {name} ORDER BY id" for name in (*TABLES, *VIEWS)),
    *(f"SELECT owner, body FROM {name} WHERE id = {key}" for name in TABLES for key in (2, 5)),
    *(f"SELECT count(*), min(owner), max(owner) FROM {name}" for name in (*TABLES, *VIEWS)),
    "SELECT id, owner FROM here ORDER BY id",
    "SELECT h.owner, p.body FROM here h JOIN plain p ON p.id = h.id",
    "SELECT id FROM secret ORDER BY id",
    "SELECT d.owner, p.owner FROM docs d JOIN plain p ON p.id = d.id ORDER BY d.id",
    "SELECT owner FROM plain WHERE EXISTS (SELECT 1 FROM docs WHERE docs.id = plain.id) ORDER BY id",
    "SELECT current_user, session_user, id FROM plain ORDER BY id LIMIT 2",
]
# Without row-level security, of which answers are kept the longest.
OPEN_READS = [sql for sql in READS if not any(name in sql for name in ("docs", "tenants", "nested"))]
PREPARED = {
    "docs": "SELECT id, owner, body FROM docs WHERE id < $1 ORDER BY id",
    "here": "SELECT id, owner FROM here WHERE id < $1",
    "secret": "SELECT id, owner FROM secret WHERE id < $1 ORDER BY id",
    "tenant": "SELECT id, owner FROM v_tenants_invoker WHERE id < $1 ORDER BY id",
}


class Mismatch(Exception):
    pass


class Pair:
    """One client: a session through Mynah and its twin, told the same."""

    def __init__(self, user: str, through: int, direct: int):
        self.user = user
        self.told: list[str] = []
        self.both = [
            PipelinedSession.connect(port, user=user, timeout=30) for port in (through, direct)
        ]
        self.in_block = False
        self.ask([prepare(name, sql, (23,)) for name, sql in PREPARED.items()], list(PREPARED))

    def ask(self, requests: list[bytes], texts: list[str]) -> int:
        """Asks both, and returns how many answers were rows."""
        for session in self.both:
            session.send(b"".join(requests))
        through, direct = (session.replies(len(requests)) for session in self.both)
        answered = 0
        for text, mine, truth in zip(texts, through, direct):
            if is_lost(mine.error):
                raise LinkLost([])
            if (mine.error, mine.rows, mine.tag) != (truth.error, truth.rows, truth.tag):
                raise Mismatch(
                    f"{self.user} after {self.told[-12:]} asks {text}: Mynah answers "
                    f"{mine.error or mine.rows[:6]}, PostgreSQL {truth.error or truth.rows[:6]}"
                )
            answered += truth.error is None
        return answered

    def tell(self, sql: str) -> None:
        self.told.append(sql)
        self.ask([wire.query(sql)], [sql])

    def close(self) -> None:
        for session in self.both:
            session.close()


class Matrix:
    def __init__(self, mynah, server, seed: int):
        self.mynah, self.server = mynah, server
        self.chance = random.Random(seed)
        self.counts: Counter = Counter()
        self.pairs = [self.pair(user) for user in (*USERS, "alice", "boss")]
        self.admin = PipelinedSession.connect(mynah.port, timeout=30)

    def pair(self, user: str) -> Pair:
        return Pair(user, self.mynah.port, self.server.port)

    # What changes

    def change_of_session(self) -> str:
        pick = self.chance.choice
        role, schema, tenant = pick(ROLES), pick(("a", "b", "public")), pick(("red", "green", "blue"))
        return pick((
            f"SET ROLE {role}", f"SET ROLE {role}", "SET ROLE NONE", "RESET ROLE",
            f"SET SESSION AUTHORIZATION {role}", "RESET SESSION AUTHORIZATION",
            f"SET LOCAL ROLE {role}",
            f"SET search_path = {schema}, public", f"SET LOCAL search_path = {schema}",
            f"SET app.tenant = '{tenant}'", f"SET LOCAL app.tenant = '{tenant}'",
            f"SELECT set_config('app.tenant', '{tenant}', false)",
            f"SELECT set_config('role', '{role}', true)",
            "BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s",
            "SET row_security = off", "RESET row_security", "RESET ALL",
        ))

    def change_of_rights(self) -> tuple[str, bool]:
        """A statement of the administrator's, and whether it waits for readers of a table."""
        pick = self.chance.choice
        role, relation = pick(ROLES), pick((*TABLES, *VIEWS, "a.here", "b.here", "public.here"))
        return pick((
            (f"GRANT SELECT ON {relation} TO {role}", False),
            (f"GRANT SELECT ON {relation} TO {role}", False),
            (f"REVOKE SELECT ON {relation} FROM {role}", False),
            (f"REVOKE SELECT ON {relation} FROM PUBLIC", False),
            (f"GRANT SELECT (id) ON secret TO {role}", False),
            (f"REVOKE ALL ON secret FROM {role}", False),
            (f"GRANT {pick(('team', 'alice', 'auditor'))} TO boss", False),
            (f"REVOKE {pick(('team', 'alice', 'auditor'))} FROM boss", False),
            (f"ALTER ROLE {pick(('alice', 'auditor'))} {pick(('BYPASSRLS', 'NOBYPASSRLS'))}", False),
            (f"{pick(('GRANT', 'REVOKE'))} USAGE ON SCHEMA b {{}} {role}", False),
            (f"ALTER TABLE {pick(('docs', 'tenants'))} "
             f"{pick(('ENABLE', 'ENABLE', 'DISABLE', 'FORCE'))} ROW LEVEL SECURITY", True),
            (f"ALTER VIEW {pick(('v_docs', 'v_docs_invoker', 'v_plain'))} SET "
             f"(security_invoker = {pick(('true', 'false'))})", True),
            (f"ALTER VIEW v_nested OWNER TO {pick(('alice', 'bob', 'postgres'))}", True),
            (f"ALTER POLICY own ON docs USING (owner "
             f"{pick(('=', '=', '<>'))} current_user)", True),
            (f"UPDATE docs SET owner = '{role}' WHERE id = {self.chance.randint(1, 20)}", False),
        ))

    def change_rights(self) -> None:
        sql, waits = self.change_of_rights()
        sql = sql.replace("{}", "TO" if sql.startswith("GRANT") else "FROM")
        if waits:
            for pair in self.pairs:
                pair.tell("ROLLBACK")
        for pair in self.pairs:
            pair.told.append(f"({sql})")
        try:
            _, [reply] = self.admin.batch([wire.query(sql)])
        except LinkLost:
            self.admin.close()
            self.admin = PipelinedSession.connect(self.mynah.port, timeout=30)
            return
        assert reply.error is None or is_lost(reply.error), (sql, reply)
        self.counts["changes of rights"] += 1

    # What is asked

    def read(self, pair: Pair) -> None:
        few = self.chance.sample(READS, 2) + self.chance.sample(OPEN_READS, 3)
        texts, requests = [], []
        for sql in self.chance.choices(few, k=self.chance.choice((2, 20, 60))):
            texts.append(sql)
            requests.append(wire.query(sql) if self.chance.random() < 0.8 else wire.extended(sql))
        for name in self.chance.sample(list(PREPARED), 2):
            texts.append(f"prepared {PREPARED[name]}")
            requests.append(prepared(name, (b"6",), wire.TEXT, wire.TEXT))
        self.counts["rows"] += pair.ask(requests, texts)
        self.counts["reads"] += len(requests)

    def terminate(self) -> None:
        found = self.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle%'"
            " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )
        self.counts["sessions terminated"] += len(found)

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            index = self.chance.randrange(len(self.pairs))
            pair = self.pairs[index]
            try:
                dice = self.chance.random()
                if dice < 0.02:
                    self.change_rights()
                elif dice < 0.25:
                    pair.tell(self.change_of_session())
                    self.counts["changes of sessions"] += 1
                elif dice < 0.253:
                    self.terminate()
                else:
                    self.read(pair)
            except LinkLost:
                # One of the twins has been terminated: both begin anew.
                self.counts["sessions begun anew"] += 1
                for number, other in enumerate(self.pairs):
                    other.close()
                    self.pairs[number] = self.pair(other.user)

    def close(self) -> None:
        for pair in self.pairs:
            pair.close()
        self.admin.close()


@pytest.fixture(scope="module")
def server():
    server = PostgresServer()
    try:
        server.start()
        server.run("CREATE DATABASE flights", "postgres")
        server.run(SETUP)
        yield server
    finally:
        server.remove()


@pytest.mark.timeout(history_goal.TIMEOUT)
def test_nobody_sees_what_postgresql_would_not_show_them(server, own_mynah):
    mynah = own_mynah(server.url()).start()
    counts: Counter = Counter()
    with mynah.counting() as delta:
        for seed in history_goal.seeds(counts, "reads", SECONDS):
            matrix = Matrix(mynah, server, seed)
            try:
                matrix.run(SECONDS)
            finally:
                matrix.close()
                counts.update(matrix.counts)
    print(f"\nauthority: {dict(counts)}, {delta}")
    assert counts["reads"] > 5_000 and counts["rows"] > 2_000 and delta.hits > 1_000
    assert counts["changes of rights"] > 5 and counts["changes of sessions"] > 50


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
