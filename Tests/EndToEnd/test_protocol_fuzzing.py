"""Random sequences of messages, valid and not, against the proxy's two state machines.

Towards clients: the same programs go to PostgreSQL directly and through Mynah; every answer, every
error, the state of the transaction and whether the session lives must be the same, and so must what
the tables hold in the end. `MYNAH_FUZZ_PROTOCOL_PROGRAMS` is how many programs are run, from
`MYNAH_FUZZ_SEED` on; a program that differs is told with its seed and cut down first.
"""

import os

import pytest

import wire
from protocol_pair import DIRECT, PROXIED, Difference, Pair, drop_databases, make_databases
from protocol_programs import PREAMBLE, ProgramMaker
from servers import wait_until
from wire import RawSession

PROGRAMS = int(os.environ.get("MYNAH_FUZZ_PROTOCOL_PROGRAMS", "200"))
SEED = int(os.environ.get("MYNAH_FUZZ_SEED", "20130101"))
MEBIBYTE = 1 << 20
CONTENTS = [
    "TABLE birds ORDER BY id", "TABLE sightings ORDER BY id, place", "TABLE notes ORDER BY line",
    "SELECT count(*) FROM pg_class WHERE relname = 'nest'",
]


@pytest.fixture(scope="module", autouse=True)
def databases(postgres):
    make_databases(postgres)
    yield
    drop_databases(postgres)


def run(pair: Pair, steps: list[bytes], warms: bool) -> None:
    """Runs a program; raises Difference."""
    if warms:
        pair.send(PREAMBLE * 2)
    for step in steps:
        _, lives = pair.send(step)
        if not lives:
            return


def fails(postgres, mynah, steps: list[bytes], warms: bool) -> Difference | None:
    pair = Pair(postgres, mynah)
    try:
        run(pair, steps, warms)
        return None
    except Difference as difference:
        return None if difference.is_known else difference
    finally:
        pair.close()


def hits(mynah) -> int:
    return int(mynah.metrics().total("mynah_cache_hits_total"))


def warm_up(mynah) -> None:
    """Reads what programs begin with until that comes from memory: the catalog that the program
    before has changed is read anew first."""
    session = RawSession.connect(mynah.port, database=PROXIED)

    def is_answered_from_memory() -> bool:
        before = hits(mynah)
        session.exchange(PREAMBLE, PREAMBLE.count(wire.sync()))
        return hits(mynah) > before

    wait_until(is_answered_from_memory, "the reads are in memory")
    session.close()


def cut_down(postgres, mynah, steps: list[bytes], warms: bool) -> list[bytes]:
    """Leaves out every step without which the program still differs."""
    place = 0
    while place < len(steps):
        shorter = steps[:place] + steps[place + 1 :]
        if fails(postgres, mynah, shorter, warms):
            steps = shorter
        else:
            place += 1
    return steps


@pytest.mark.timeout(60 + PROGRAMS * 2)
@pytest.mark.parametrize("server", ["cached_postgres", "uncached_postgres"])
def test_programs_are_answered_as_directly(request, postgres, server):
    mynah = request.getfixturevalue(server)
    programs = PROGRAMS if server == "cached_postgres" else PROGRAMS // 4
    witness = RawSession.connect(mynah.port)
    witness.run("BEGIN")
    expected = witness.rows("SELECT * FROM airlines")
    hits_in_programs = 0
    resident, process = mynah.resident_bytes(), mynah.process.pid
    for seed in range(SEED, SEED + programs):
        steps = ProgramMaker(seed).make()
        # Step by step, or in one go; with the reads in memory, or not.
        if seed % 2:
            steps = [b"".join(steps)]
        warms = seed % 3 > 0
        if warms and server == "cached_postgres":
            warm_up(mynah)
        before = hits(mynah)
        if fails(postgres, mynah, steps, warms):
            shortest = cut_down(postgres, mynah, steps, warms)
            difference = fails(postgres, mynah, shortest, warms) or fails(postgres, mynah, steps, warms)
            pytest.fail(f"seed {seed}, warm {warms}, steps {shortest}: {difference}")
        hits_in_programs += hits(mynah) - before
    for sql in CONTENTS:
        assert postgres.run(sql, DIRECT) == postgres.run(sql, PROXIED), sql
    assert mynah.process.poll() is None and mynah.process.pid == process
    assert witness.rows("SELECT * FROM airlines") == expected
    witness.close()
    assert mynah.resident_bytes() - resident < 128 * MEBIBYTE
    if server == "cached_postgres":
        assert hits_in_programs > programs
