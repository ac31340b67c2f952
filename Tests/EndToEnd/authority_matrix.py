"""Random sessions in lockstep with the same sessions on PostgreSQL itself: who may see which row.

Each client has two sessions, one through Mynah and one directly, that are told the same. Between
two changes of anybody's rights or of a session's identity both are asked the same questions, and
every answer must be equal: rows (each names its owner), or the SQLSTATE of the refusal.
"""

import random
import time
from collections import Counter

import wire
from authority_pair import Pair, Questions
from authority_schema import (
    OPEN_READS, PATH_READS, PREPARED, READS, ROLE_READS, ROLES, TABLES, USERS, VIEWS,
)
from history_client import LinkLost, PipelinedSession, is_lost, prepared

# Replies in flight from several clients at a time, of which each waits for its own.
AT_ONCE = 3


class Matrix:
    # How often is asked again what is likely to be in memory.
    repeats = (4, 20, 80)

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
        role, schema = pick(ROLES), pick(("a", "b", "public"))
        tenant = pick(("red", "green", "blue"))
        return pick((
            f"SET ROLE {role}", f"SET ROLE {role}", "SET ROLE NONE", "RESET ROLE",
            f"SET SESSION AUTHORIZATION {role}", "RESET SESSION AUTHORIZATION",
            f"SET LOCAL ROLE {role}",
            f"SET search_path = {schema}, public", f"SET search_path = {schema}, public",
            f"SET search_path = {schema}", f"SET LOCAL search_path = {schema}",
            "RESET SESSION AUTHORIZATION", "RESET ROLE",
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
            (f"ALTER ROLE {pick(('alice', 'auditor'))} "
             f"{pick(('BYPASSRLS', 'NOBYPASSRLS'))}", False),
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
        if " ROLE " in sql or " TO boss" in sql or " FROM boss" in sql:
            for pair in self.pairs:
                pair.has_old_plans = True
        self.counts["changes of rights"] += 1

    # What is asked

    def questions(self) -> Questions:
        found = Questions()
        # Whatever changes shows in some of these most of the time.
        few = [self.chance.choice(PATH_READS), self.chance.choice(ROLE_READS)]
        for sql in few + self.chance.sample(READS, 3) + self.chance.sample(OPEN_READS, 2):
            make = wire.query if self.chance.random() < 0.6 else wire.extended
            found.add(make(sql), sql)
        for name in self.chance.sample(list(PREPARED), 2):
            request = prepared(name, (b"6",), wire.TEXT, wire.TEXT)
            found.add(request, f"prepared {PREPARED[name]}")
        return found

    def read(self, pairs: list[Pair]) -> None:
        """Several clients ask at the same time; then again, and often, what was not refused."""
        answered = self.ask([(pair, self.questions()) for pair in pairs])
        again = []
        for pair, questions, found in answered:
            known = [number for number, is_answered in enumerate(found) if is_answered]
            if known and (pair.is_idle or all(found)):
                repeated = Questions()
                for number in self.chance.choices(known, k=self.chance.choice(self.repeats)):
                    repeated.add(questions.requests[number], questions.texts[number])
                again.append((pair, repeated))
        self.ask(again)

    def ask(
        self, under_way: list[tuple[Pair, Questions]]
    ) -> list[tuple[Pair, Questions, list[bool]]]:
        for pair, questions in under_way:
            pair.send(questions)
        found = []
        for pair, questions in under_way:
            answered = pair.compare(questions)
            self.counts["rows"] += sum(answered)
            self.counts["reads"] += len(answered)
            found.append((pair, questions, answered))
        return found

    def terminate(self) -> None:
        found = self.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle%'"
            " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )
        self.counts["sessions terminated"] += len(found)

    def step(self) -> None:
        dice = self.chance.random()
        if dice < 0.05:
            self.change_rights()
        elif dice < 0.25:
            self.chance.choice(self.pairs).tell(self.change_of_session())
            self.counts["changes of sessions"] += 1
        elif dice < 0.253:
            self.terminate()
        else:
            self.read(self.chance.sample(self.pairs, AT_ONCE))

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.step()
            except LinkLost:
                # One of the twins has been terminated: all begin anew.
                self.counts["sessions begun anew"] += 1
                for number, other in enumerate(self.pairs):
                    other.close()
                    self.pairs[number] = self.pair(other.user)

    def close(self) -> None:
        for pair in self.pairs:
            pair.close()
        self.admin.close()
