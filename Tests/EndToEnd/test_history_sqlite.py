"""Recorded histories through Mynah in front of SQLite, undisturbed and under faults."""

import random

import pytest

import history_goal
from history_campaign import Campaign, Outcome
from history_faults import MynahFaults, SQLiteFaults


@pytest.mark.timeout(history_goal.TIMEOUT)
def test_histories_are_linearizable_while_processes_race(own_mynah, tmp_path):
    path = tmp_path / "flights.db"
    path.touch()
    mynah = own_mynah(f"sqlite:{path}").start()
    outcome = Outcome()
    for number in history_goal.rounds("SQLite", outcome):
        campaign = Campaign(mynah, str(path), f"q{number}_", seed=200 + number)
        campaign.create()
        faults = MynahFaults(mynah, campaign.schema, random.Random(number))
        outcome.add(history_goal.counted(campaign.record(10, faults, None), faults))
        campaign.assert_every_table_is_cached_again()
        campaign.remove()
    print(f"\nSQLite, undisturbed: {outcome}")
    history_goal.assert_sound("SQLite", outcome)
    assert outcome.counts["writes unknown"] == 0
    assert outcome.counts["foreign writes acknowledged"] > 20


@pytest.mark.timeout(history_goal.TIMEOUT)
def test_histories_are_linearizable_under_faults(own_mynah, tmp_path):
    path = tmp_path / "flights.db"
    path.touch()
    mynah = own_mynah(f"sqlite:{path}").start()
    outcome = Outcome()
    for number in history_goal.rounds("SQLite under faults", outcome):
        campaign = Campaign(mynah, str(path), f"f{number}_", seed=300 + number)
        campaign.create()
        faults = SQLiteFaults(mynah, campaign.schema, random.Random(number), str(path))
        outcome.add(history_goal.counted(campaign.record(20, faults, 0.3), faults))
        campaign.assert_every_table_is_cached_again()
        campaign.remove()
    print(f"\nSQLite, under faults: {outcome}")
    history_goal.assert_sound("SQLite under faults", outcome)
    missing = {
        name for name in (
            "locked by another process", "written by another process", "client gone in a block",
            "proxy killed and restarted", "client closed mid-statement", "cancelled by the client",
        ) if outcome.faults[name] < 3
    }
    assert not missing, f"too few of {missing}"
    assert outcome.counts["writes unknown"] >= 5
