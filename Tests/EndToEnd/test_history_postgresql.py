"""Recorded histories through Mynah in front of PostgreSQL, undisturbed and under faults."""

import random

import pytest

import history_goal
from fault_relay import KINDS, FaultRelay
from history_campaign import Campaign, Outcome
from history_faults import MynahFaults, PostgresFaults
from servers import PostgresServer, wait_until, with_flights


@pytest.fixture(scope="module")
def server():
    yield from with_flights(PostgresServer(PostgresFaults.settings))


@pytest.mark.timeout(history_goal.TIMEOUT)
def test_histories_are_linearizable_while_processes_race(server, own_mynah):
    mynah = own_mynah(server.url()).start()
    outcome = Outcome()
    for number in history_goal.rounds("PostgreSQL", outcome):
        campaign = Campaign(mynah, server.dsn(), f"q{number}_", seed=number)
        campaign.create()
        faults = MynahFaults(mynah, campaign.schema, random.Random(number))
        outcome.add(history_goal.counted(campaign.record(12, faults, None), faults))
        campaign.assert_every_table_is_cached_again()
        campaign.remove()
    print(f"\nPostgreSQL, undisturbed: {outcome}")
    history_goal.assert_sound("PostgreSQL", outcome)
    assert outcome.counts["writes unknown"] == 0
    assert outcome.counts["copies"] > 1 and outcome.counts["prepared, then COMMIT"] > 1


@pytest.mark.timeout(history_goal.TIMEOUT)
def test_histories_are_linearizable_under_faults(server, own_mynah):
    relay = FaultRelay(server.port)
    outcome = Outcome()
    try:
        mynah = own_mynah(f"postgresql://127.0.0.1:{relay.port}").start()
        for number in history_goal.rounds("PostgreSQL under faults", outcome):
            campaign = Campaign(mynah, server.dsn(), f"f{number}_", seed=100 + number)
            campaign.create()
            chance = random.Random(number)
            faults = PostgresFaults(mynah, campaign.schema, chance, server, relay)
            outcome.add(history_goal.counted(campaign.record(45, faults, 0.2), faults))
            wait_until(lambda: not faults.backends("state <> 'idle'"), "the server is at rest")
            campaign.assert_every_table_is_cached_again()
            campaign.remove()
    finally:
        relay.close()
    print(f"\nPostgreSQL, under faults: {outcome}")
    history_goal.assert_sound("PostgreSQL under faults", outcome)
    missing = {name for name in KINDS if outcome.faults[name] < 3}
    missing |= {
        name for name in (
            "all links cut", "backend terminated", "statement cancelled",
            "row locked until timeouts",
            "backend stopped", "commits stalled, links cut", "fast restart", "immediate restart",
            "proxy killed and restarted", "client closed mid-statement", "cancelled by the client",
        ) if outcome.faults[name] < 2
    }
    assert not missing, f"too few of {missing}"
    assert outcome.counts["writes unknown"] >= 20 and outcome.counts["settled"] >= 5
