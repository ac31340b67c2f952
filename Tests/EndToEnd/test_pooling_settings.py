"""Settings move with their client from connection to connection, and reach nobody else."""

import psycopg
import pytest

from pools import backend, client, pooled, value  # noqa: F401 (fixtures among them)
from wire import query as wire_query


def test_settings_follow_the_client_and_nobody_else_sees_them(pooled, client):
    server = pooled(size=1)
    zones = ["Asia/Tokyo", "America/New_York", "Europe/Vienna"]
    clients = [client(server) for _ in zones]
    plain = client(server)
    for each, zone in zip(clients, zones):
        each.execute(f"SET TimeZone TO '{zone}'")
        each.execute("SET search_path TO pg_catalog, public")
    for _ in range(3):
        for each, zone in zip(clients, zones):
            assert value(each, "SELECT current_setting('TimeZone')") == zone
            assert value(each, "SHOW search_path") == "pg_catalog, public"
        assert value(plain, "SELECT current_setting('TimeZone')") == "UTC"
        assert value(plain, "SHOW search_path") == '"$user", public'


@pytest.mark.parametrize(
    "name, spelled, shown",
    [
        ("datestyle", "SQL, DMY", "SQL, DMY"),
        ("extra_float_digits", "-3", "-3"),
        ("work_mem", "'7MB'", "7MB"),
        ("statement_timeout", "12345", "12345ms"),
        ("enable_seqscan", "off", "off"),
        ("application_name", "'it''s \\ odd'", "it's \\ odd"),
        ("search_path", '"Odd ""name""", public', '"Odd ""name""", public'),
        ("bytea_output", "escape", "escape"),
        ("default_transaction_isolation", "'repeatable read'", "repeatable read"),
        ("app.tenant", "'seven'", "seven"),
    ],
)
def test_a_setting_is_made_again_on_another_connection(pooled, client, name, spelled, shown):
    server = pooled(size=6)
    one, third = client(server), client(server)
    before = backend(one)
    one.execute(f"SET {name} TO {spelled}")
    default = value(third, "SELECT current_setting(%s, true)", [name])
    # Whichever connection it had is taken by another client now (there are two event loops, each
    # with connections of its own).
    holders = [client(server) for _ in range(4)]
    for holder in holders:
        holder.execute("BEGIN")
    others = {backend(holder) for holder in holders}
    assert value(one, f"SHOW {name}") == shown
    if "." in name:
        # A connection on which such a name exists serves only those for whom it exists.
        assert before not in others
    else:
        assert before in others and backend(one) != before
    for holder in holders:
        holder.execute("ROLLBACK")
    assert value(third, "SELECT current_setting(%s, true)", [name]) == default
    one.execute(f"RESET {name}")
    expected = default if default is not None else ""
    assert value(one, "SELECT current_setting(%s, true)", [name]) == expected


def test_a_rolled_back_setting_is_not_taken_along(pooled, client):
    server = pooled(size=1)
    one, other = client(server), client(server)
    one.execute("SET work_mem TO '5MB'")
    one.execute("BEGIN")
    one.execute("SET work_mem TO '6MB'")
    one.execute("SET LOCAL work_mem TO '7MB'")
    one.execute("ROLLBACK")
    assert value(other, "SHOW work_mem") == "4MB"
    assert value(one, "SHOW work_mem") == "5MB"
    one.execute("BEGIN")
    one.execute("SET LOCAL work_mem TO '8MB'")
    one.execute("COMMIT")
    assert value(other, "SHOW work_mem") == "4MB"
    assert value(one, "SHOW work_mem") == "5MB"


def test_a_role_follows_the_client(pooled, client, postgres):
    server = pooled(size=1)
    postgres.run("DROP ROLE IF EXISTS pool_reader")
    postgres.run("CREATE ROLE pool_reader")
    one, other = client(server), client(server)
    one.execute("SET ROLE pool_reader")
    for _ in range(3):
        assert value(one, "SELECT current_user::text") == "pool_reader"
        assert value(other, "SELECT current_user::text") == "postgres"
    postgres.run("DROP ROLE pool_reader")
    with pytest.raises(psycopg.Error) as error:
        for _ in range(2):
            value(one, "SELECT current_user::text")
            value(other, "SELECT 1")
    assert error.value.sqlstate == "55000"
    assert value(other, "SELECT current_user::text") == "postgres"


def test_settings_that_cannot_be_made_again_are_not_left_to_the_next(pooled, client, postgres):
    """The connection on which they could not be made keeps those of whoever had it before."""
    server = pooled(size=1)
    for role in ("pool_gone", "pool_kept"):
        postgres.run(f"DROP ROLE IF EXISTS {role}")
        postgres.run(f"CREATE ROLE {role}")
    kept, gone, plain = client(server), client(server), client(server)
    gone.execute("SET ROLE pool_gone")
    kept.execute("SET ROLE pool_kept")
    kept.execute("SET search_path TO pool_secret")
    postgres.run("DROP ROLE pool_gone")
    assert value(kept, "SELECT current_user::text") == "pool_kept"
    with pytest.raises(psycopg.Error) as error:
        value(gone, "SELECT current_user::text")
    assert error.value.sqlstate == "55000"
    assert value(plain, "SELECT current_user::text") == "postgres"
    assert value(plain, "SHOW search_path") == '"$user", public'
    assert value(kept, "SELECT current_user::text || current_setting('search_path')") == (
        "pool_keptpool_secret")
    kept.close()
    postgres.run("DROP ROLE pool_kept")


def test_what_is_taken_while_the_server_is_asked_is_not_forgotten(pooled, session):
    server = pooled(size=1)
    one, other = session(server), session(server)
    for _ in range(20):
        one.run("SELECT pg_advisory_lock(1)")
        # All at once: the second lock is taken before it is known that the first one is gone.
        one.send(wire_query("SELECT pg_advisory_unlock(1)") + wire_query("BEGIN")
                 + wire_query("SELECT pg_advisory_lock(2)") + wire_query("ROLLBACK"))
        one.until_ready(4)
        one.run("SELECT 1 FROM pg_sleep(0)")
        assert one.value("SELECT pg_advisory_unlock(2)") == b"t"
        assert other.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == b"0"


def test_settings_of_tenants_never_reach_another_client(pooled, client):
    server = pooled(size=1)
    tenants = [client(server) for _ in range(3)]
    for number, each in enumerate(tenants):
        with each.transaction():
            each.execute(f"SET LOCAL app.tenant TO 't{number}'")
            assert value(each, "SELECT current_setting('app.tenant')") == f"t{number}"
    for each in tenants:
        assert value(each, "SELECT current_setting('app.tenant', true)") == ""
    # For one who never named it the setting does not exist.
    assert value(client(server), "SELECT current_setting('app.tenant', true)") is None
