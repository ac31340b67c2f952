"""Random schemas and random statements: directly, through Mynah cold, warm, and after every write.

`MYNAH_FUZZ_STATEMENTS` is how many statements go through Mynah (100,000 unless set), and
`MYNAH_FUZZ_SEED` what they are (`random` picks a seed). A failure prints the label of its round,
which `fuzz_rounds.py --label` repeats, and a script that was cut down to what is needed.
"""

import concurrent.futures
import multiprocessing
import os
import random

import pytest

import fuzz_rounds
import fuzz_run
import sqlite_fuzz
from servers import PostgresServer
from write_set_audit import WriteSetAudit

STATEMENTS = int(os.environ.get("MYNAH_FUZZ_STATEMENTS", "100000"))
SEED = os.environ.get("MYNAH_FUZZ_SEED", "2013")
WORKERS = 2
DEADLINE = 300 + STATEMENTS // 100


def seed() -> str:
    return str(random.randrange(1 << 32)) if SEED == "random" else SEED


def fuzzed(port: int, seed: str, worker: int, statements: int):
    """Runs in a process of its own."""
    fuzzer = fuzz_rounds.Fuzzer(port, worker, audit=WriteSetAudit(port))
    try:
        tally = fuzzer.rounds(f"{seed}.{worker}", statements)
        return tally, fuzzer.findings()
    finally:
        fuzzer.close()


@pytest.mark.timeout(DEADLINE)
def test_postgresql_through_mynah_answers_what_it_answers_directly(record_property):
    # Autovacuum would change plans, and with them the order of rows that nothing orders.
    postgres = PostgresServer({"autovacuum": "off", "jit": "off"})
    chosen = seed()
    print(f"\nseed {chosen}")
    total = fuzz_run.Tally()
    explained = by_name = 0
    try:
        postgres.start()
        with concurrent.futures.ProcessPoolExecutor(
            WORKERS, mp_context=multiprocessing.get_context("spawn")
        ) as pool:
            runs = [pool.submit(fuzzed, postgres.port, chosen, worker, STATEMENTS // WORKERS)
                    for worker in range(WORKERS)]
            for run in runs:
                tally, findings = run.result()
                total.add(tally)
                assert not findings.unexplained, f"seed {chosen}: {findings}"
                explained += findings.explained
                by_name += findings.by_name
    finally:
        postgres.remove()
    counts = total.counts
    print(f"{total.statements} statements through Mynah in {counts['rounds']} schemas:"
          f" {counts['cold']} cold, {counts['warm']} warm, {counts['again']} again,"
          f" {counts['write']} in writes; {counts['hits']} hits, {counts['misses']} misses;"
          f" bypassed {dict(total.reasons.most_common())};"
          f" audited {explained} transactions, {by_name} of them covered by relations")
    # A run without hits, or without writes that change what was cached, would prove nothing.
    assert counts["hits"] > total.statements // 4, counts
    assert counts["misses"] > total.statements // 50, counts
    assert counts["done write"] > total.statements // 400, counts
    assert explained > total.statements // 400 and by_name > explained // 3, (explained, by_name)


@pytest.mark.timeout(DEADLINE)
def test_sqlite_through_mynah_answers_what_the_library_answers(tmp_path):
    tally = sqlite_fuzz.Fuzzer(tmp_path).rounds(seed(), max(STATEMENTS // 10, 1000))
    print(f"\n{tally}")
    assert tally.counts["hits"] > tally.statements // 4, tally
    assert tally.counts["foreign"] > tally.statements // 400, tally
