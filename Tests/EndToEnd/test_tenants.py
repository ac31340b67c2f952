"""Answers that depend on settings of the application's own: row-level security by tenant."""

import random

import pytest

import wire
from caching import assert_hit, assert_no_hit, warm
from servers import MynahServer

READ = "SELECT id, note FROM {t} ORDER BY id"


@pytest.fixture
def tenants(cached_postgres, session, table) -> str:
    """A table whose rows a role sees by `app.tenant`, and another by who asks."""
    session(cached_postgres).run(f"""
        CREATE TABLE {table} (id integer PRIMARY KEY, tenant text, note text);
        INSERT INTO {table} VALUES (1, 'a', 'of a'), (2, 'b', 'of b'), (3, '', 'of none');
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON {table} USING (tenant = current_setting('app.tenant', true));
        GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO alice, bob;
        CREATE TABLE {table}_owned (id integer PRIMARY KEY, owner text, note text);
        INSERT INTO {table}_owned VALUES (1, 'alice', 'hers'), (2, 'bob', 'his');
        ALTER TABLE {table}_owned ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON {table}_owned USING (owner = current_user);
        GRANT SELECT ON {table}_owned TO alice, bob;
    """)
    return table


class Tenant:
    """A client of Mynah's, and the answers it must get."""

    def __init__(self, server: MynahServer, session, table: str, user: str = "alice"):
        self.server = server
        self.client = session(server, user=user)
        self.read = READ.format(t=table)
        self.is_extended = False

    def run(self, *statements: str) -> "Tenant":
        for statement in statements:
            self.client.run(statement)
        return self

    def notes(self) -> list[bytes]:
        if self.is_extended:
            replies = self.client.exchange(wire.extended(self.read))
            assert wire.sqlstate(replies) is None
            return [row[1] for row in wire.data_rows(replies)]
        return [row[1] for row in self.client.rows(self.read)]


@pytest.fixture
def tenant(cached_postgres, session, tenants):
    def connect(*statements: str, user: str = "alice") -> Tenant:
        return Tenant(cached_postgres, session, tenants, user).run(*statements)

    return connect


@pytest.mark.parametrize("is_extended", [False, True], ids=["simple", "extended"])
def test_tenants_share_answers_with_their_own_alone(cached_postgres, tenant, is_extended):
    first = tenant("SET app.tenant = 'a'")
    first.is_extended = is_extended
    assert warm(cached_postgres, first.notes) == [b"of a"]
    same, other = tenant("SET app.tenant TO 'a'"), tenant("SET app.tenant = 'b'")
    same.is_extended = other.is_extended = is_extended
    assert same.notes() == [b"of a"]
    assert assert_hit(cached_postgres, same.notes) == [b"of a"]
    assert assert_no_hit(cached_postgres, other.notes) == [b"of b"]
    assert assert_hit(cached_postgres, other.notes) == [b"of b"]
    other.run("SET app.tenant = 'a'")
    assert assert_hit(cached_postgres, other.notes) == [b"of a"]
    other.run("SELECT set_config('app.tenant', 'b', false)")
    assert assert_hit(cached_postgres, other.notes) == [b"of b"]
    other.run("RESET app.tenant")
    assert other.notes() == [b"of none"]
    assert other.run("SET app.tenant = 'b'", "DISCARD ALL").notes() == [b"of none"]


@pytest.mark.parametrize("is_extended", [False, True], ids=["simple", "extended"])
def test_set_local_holds_for_its_transaction(cached_postgres, tenant, is_extended):
    client = tenant()
    client.is_extended = is_extended
    assert client.notes() == []
    for value, change in (
        (b"of a", "SET LOCAL app.tenant = 'a'"),
        (b"of b", "SET LOCAL app.tenant = 'b'"),
        (b"of a", "SELECT set_config('app.tenant', 'a', true)"),
    ):
        for end in ("COMMIT", "ROLLBACK"):
            client.run("BEGIN", change)
            assert client.notes() == [value]
            client.run(end)
            # Undone, the setting is not NULL but ''.
            assert client.notes() == [b"of none"]
    client.run("BEGIN", "SET LOCAL app.tenant = 'b'")
    assert assert_hit(cached_postgres, client.notes) == [b"of b"]
    client.run("COMMIT")


def test_rollback_and_savepoints_undo_the_tenant(cached_postgres, tenant):
    client = tenant("SET app.tenant = 'a'")
    warm(cached_postgres, client.notes)
    client.run("BEGIN", "SET app.tenant = 'b'")
    assert client.notes() == [b"of b"]
    client.run("ROLLBACK")
    assert assert_hit(cached_postgres, client.notes) == [b"of a"]
    client.run("BEGIN", "SAVEPOINT s", "SET LOCAL app.tenant = 'b'", "ROLLBACK TO SAVEPOINT s")
    assert client.notes() == [b"of a"]
    client.run("COMMIT")
    assert client.notes() == [b"of a"]
    client.run("BEGIN", "SAVEPOINT s", "SET app.tenant = 'b'", "RELEASE SAVEPOINT s", "COMMIT")
    assert client.notes() == [b"of b"]
    failed = client.client.query("SELECT set_config('app.tenant', 'a', false), 1 / 0")
    assert wire.sqlstate(failed) == "22012"
    assert client.notes() == [b"of b"]


def test_a_value_at_login_is_the_role_s(cached_postgres, tenant, postgres, session):
    postgres.run("CREATE ROLE carol LOGIN; GRANT alice TO carol; ALTER ROLE carol SET app.tenant = 'b'")
    try:
        alice = tenant("SET app.tenant = 'a'")
        assert warm(cached_postgres, alice.notes) == [b"of a"]
        carol = tenant(user="carol")
        assert carol.notes() == [b"of b"]
        assert carol.run("SET app.tenant = 'a'").notes() == [b"of a"]
        assert carol.run("RESET app.tenant").notes() == [b"of b"]
        assert carol.run("SET app.tenant = 'a'", "RESET ALL").notes() == [b"of b"]
        session(cached_postgres).run("ALTER ROLE carol SET app.tenant = 'a'")
        assert tenant(user="carol").notes() == [b"of a"]
        assert carol.notes() == [b"of b"]
    finally:
        postgres.run("DROP OWNED BY carol; DROP ROLE carol")


def test_null_is_not_the_empty_tenant(cached_postgres, tenant):
    never = tenant()
    assert warm(cached_postgres, never.notes) == []
    assert tenant("SET app.tenant = ''").notes() == [b"of none"]
    assert assert_hit(cached_postgres, never.notes) == []


def test_functions_and_do_blocks_cannot_change_the_tenant_unseen(cached_postgres, tenant):
    client = tenant("SET app.tenant = 'a'")
    warm(cached_postgres, client.notes)
    client.run("DO $$ BEGIN PERFORM set_config('app.' || 'tenant', 'b', false); END $$")
    assert client.notes() == [b"of b"]
    client.run("BEGIN", "DO $$ BEGIN PERFORM set_config('app.tenant', 'a', true); END $$")
    assert client.notes() == [b"of a"]
    client.run("COMMIT")
    assert client.notes() == [b"of b"]


def test_parameters_of_set_config_are_not_guessed(tenant):
    client = tenant("SET app.tenant = 'b'")
    assert client.notes() == [b"of b"]
    client.run("BEGIN")
    for local in (b"t", b"f"):
        replies = client.client.exchange(
            wire.parse(f"SELECT set_config('app.tenant', $1, {'true' if local == b't' else 'false'})")
            + wire.bind(parameters=(b"a",)) + wire.execute() + wire.sync()
        )
        assert wire.sqlstate(replies) is None
        assert client.notes() == [b"of a"]
        if local == b"t":
            client.run("COMMIT")
            assert client.notes() == [b"of b"]
    assert client.notes() == [b"of a"]


def test_rows_by_who_asks(cached_postgres, session, tenants):
    read = f"SELECT note FROM {tenants}_owned"
    alice, bob = session(cached_postgres, user="alice"), session(cached_postgres, user="bob")
    assert warm(cached_postgres, lambda: alice.rows(read)) == [[b"hers"]]
    assert assert_no_hit(cached_postgres, lambda: bob.rows(read)) == [[b"his"]]
    root = session(cached_postgres)
    assert len(root.rows(read)) == 2
    root.run("SET ROLE bob")
    assert root.rows(read) == [[b"his"]]
    root.run("RESET ROLE")
    root.run("BEGIN")
    root.run("SET LOCAL ROLE alice")
    assert root.rows(read) == [[b"hers"]]
    root.run("COMMIT")
    assert len(root.rows(read)) == 2


def test_clients_that_switch_tenants_per_transaction(cached_postgres, tenant, tenants):
    """As behind a pool: each transaction is another tenant's, and so are the writes in it."""
    generator = random.Random(24)
    clients = [tenant() for _ in range(4)]
    for index, client in enumerate(clients):
        client.is_extended = index % 2 == 1
    expected = {"a": b"of a", "b": b"of b"}
    with cached_postgres.counting() as delta:
        for round in range(120):
            client = generator.choice(clients)
            which = generator.choice("ab")
            client.run("BEGIN", f"SET LOCAL app.tenant = '{which}'")
            assert client.notes() == [expected[which]]
            if round % 10 == 9:
                expected[which] = f"{which} {round}".encode()
                client.run(f"UPDATE {tenants} SET note = '{expected[which].decode()}'")
                assert client.notes() == [expected[which]]
            client.run("COMMIT")
    assert delta.hits >= 40, str(delta)


def test_explain_names_the_setting(cached_postgres, tenant):
    client = tenant("SET app.tenant = 'a'")
    warm(cached_postgres, client.notes)
    rows = dict(client.client.rows("EXPLAIN CACHE " + client.read))
    assert rows[b"cacheable"] == b"yes" and rows[b"settings"] == b"app.tenant"
    assert rows[b"entry"].startswith(b"cached ")
