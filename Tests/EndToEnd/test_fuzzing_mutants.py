"""The random programs of test_differential_fuzzing.py notice faults that Mynah is started with."""

import pytest

from fuzz_rounds import Fuzzer
from servers import PostgresServer, running

# Of each, how many rounds may pass before one of them has to differ.
ROUNDS = 12
MUTANTS = [
    "cascades_ignored", "partitions_ignored", "triggers_ignored", "moved_key_ignored",
    "key_without_role", "key_without_search_path", "no_bump_at_close",
]


@pytest.fixture(scope="module")
def quiet_postgres():
    yield from running(PostgresServer({"autovacuum": "off", "jit": "off"}))


@pytest.fixture(scope="module")
def sound(quiet_postgres):
    """A fuzzer of Mynah as it is."""
    fuzzer = Fuzzer(quiet_postgres.port, worker=100)
    yield fuzzer
    fuzzer.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_random_programs_notice_a_mutant(quiet_postgres, sound, mutant):
    fuzzer = Fuzzer(quiet_postgres.port, worker=101 + MUTANTS.index(mutant),
                    environment={"MYNAH_MUTANT": mutant})
    try:
        for number in range(ROUNDS):
            label = f"2013:{number}"
            mismatch = fuzzer.fails(fuzzer.program(label))
            if mismatch:
                break
        else:
            pytest.fail(f"{ROUNDS} rounds and no difference")
    finally:
        fuzzer.close()
    print(f"\nround {label}, operation {mismatch.operation}: {mismatch.statement.sql}")
    # It was the mutant: without it, nothing differs.
    assert not (found := sound.fails(sound.program(label))), str(found)
