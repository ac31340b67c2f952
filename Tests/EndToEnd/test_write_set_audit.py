"""No transaction changes a table that Mynah did not expect it to change.

The random programs of test_differential_fuzzing.py are audited too, while they run.
"""

import dataclasses

import pytest

import corpus
import test_invalidation
import wire
from servers import MynahServer, PostgresServer
from wire import RawSession
from write_set_audit import Findings, WriteSetAudit

DATABASE = "audited"


@dataclasses.dataclass
class AuditedServers:
    """One PostgreSQL whose database is written through Mynah alone, from `begin` to `findings`."""

    postgres: PostgresServer
    mynahs: list[MynahServer] = dataclasses.field(default_factory=list)

    def begin(self, environment: dict[str, str] | None = None) -> MynahServer:
        self.postgres.run(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", "postgres")
        self.postgres.run(f"CREATE DATABASE {DATABASE}", "postgres")
        self.audit = WriteSetAudit(self.postgres.port)
        self.audit.begin(DATABASE)
        self.mynah = MynahServer(
            self.postgres.url(), log={"level": "trace"}, environment=environment).start()
        self.mynahs.append(self.mynah)
        return self.mynah

    def findings(self) -> Findings:
        self.audit.end(DATABASE)
        # The last lines are in the log when the process has ended.
        self.mynah.stop()
        return self.audit.findings(self.mynah.directory / "log")


@pytest.fixture
def audited():
    servers = AuditedServers(PostgresServer())
    try:
        servers.postgres.start()
        servers.postgres.run(corpus.ROLES, "postgres")
        yield servers
    finally:
        for mynah in servers.mynahs:
            mynah.remove()
        servers.postgres.remove()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_every_way_to_change_data_changes_what_mynah_expected(audited, protocol):
    mynah = audited.begin()
    changes = test_invalidation.ANYWHERE + test_invalidation.ON_POSTGRESQL
    for number, change in enumerate(changes):
        table = f"scratch_{number}"
        with RawSession.connect(mynah.port, database=DATABASE) as writer:
            for statement in test_invalidation.split(test_invalidation.TABLE + change.setup):
                audited.audit.decode(DATABASE)
                writer.run(statement.replace("{t}", table))
            for write in change.writes:
                audited.audit.decode(DATABASE)
                writer.exchange(test_invalidation.requests(write, table, protocol))
        for (gid,) in audited.postgres.run("SELECT gid FROM pg_prepared_xacts", DATABASE):
            audited.postgres.run(f"ROLLBACK PREPARED '{gid}'", DATABASE)
    findings = audited.findings()
    print(f"\n{protocol}: {findings}")
    assert not findings.unexplained, findings
    assert findings.explained > len(changes) * 3 // 2 and findings.by_name > len(changes), findings


def test_names_that_imitate_a_line_of_the_log_are_told_apart(audited):
    mynah = audited.begin()
    name = '"x: DELETE: y, public.""other"": INSERT"'
    with RawSession.connect(mynah.port, database=DATABASE) as writer:
        writer.run('CREATE SCHEMA "a.b"')
        writer.run(f'CREATE TABLE "a.b".{name} (id int PRIMARY KEY)')
        writer.run(f'INSERT INTO "a.b".{name} VALUES (1)')
        writer.run(f'TRUNCATE "a.b".{name}')
    findings = audited.findings()
    assert [list(t.families) for t in audited.audit.transactions] == [[f'"a.b".{name}']] * 2
    assert not findings.unexplained and findings.by_name == 2, findings


# What goes unnoticed with the mutant: statements that make tables, then the write.
MUTANTS = {
    "cascades_ignored": (
        ["CREATE TABLE p (id int PRIMARY KEY)", "INSERT INTO p VALUES (1)",
         "CREATE TABLE c (id int REFERENCES p ON DELETE CASCADE)", "INSERT INTO c VALUES (1)"],
        "DELETE FROM p WHERE id = 1"),
    "partitions_ignored": (
        ["CREATE TABLE p (id int) PARTITION BY RANGE (id)",
         "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)"],
        "INSERT INTO p1 VALUES (1)"),
    "triggers_ignored": (
        ["CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE l (id int)",
         "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
         " $$ BEGIN INSERT INTO l VALUES (NEW.id); RETURN NEW; END $$",
         "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"],
        "INSERT INTO t VALUES (1)"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_that_overlooks_a_table_is_noticed(audited, mutant):
    definitions, write = MUTANTS[mutant]
    for environment, is_noticed in (({}, False), ({"MYNAH_MUTANT": mutant}, True)):
        mynah = audited.begin(environment)
        with RawSession.connect(mynah.port, database=DATABASE) as writer:
            for statement in definitions:
                writer.run(statement)
            # The catalog with these definitions first: without one, everything is covered.
            writer.run("SELECT 1")
            assert wire.sqlstate(writer.query(write)) is None
        findings = audited.findings()
        assert findings.explained >= 1 or is_noticed, findings
        assert bool(findings.unexplained) == is_noticed, f"{environment}: {findings}"
