"""95 % reads and 5 % updates of single rows, by a Zipf distribution over 100,000 keys.

A perfect cache would take out of itself, at each update, the one row that it changes: what such a
cache would hit is computed from the same distribution. Each run has a table of its own, so it
starts with nothing in memory.
"""

import itertools
import random
import re

from benchmark.load import pgbench
from benchmark.machine import Machine, say, tree_seconds
from benchmark.servers import TITLES, Direct

KEYS = 100_000
OPERATIONS = 120_000
EXPONENT = 1.1
UPDATES = 0.05
SERVERS = {"direct": "direct", "pgpool": "pgpool", "mynah-hit": "mynah"}

numbers = itertools.count(1)


def perfect_hit_ratio(seed: int = 1) -> float:
    """The share of reads whose row has been read before, and not been updated since."""
    chance = random.Random(seed)
    weights = list(itertools.accumulate(key**-EXPONENT for key in range(1, KEYS + 1)))
    cached, hits, reads = set(), 0, 0
    for key in chance.choices(range(KEYS), cum_weights=weights, k=OPERATIONS):
        if chance.random() < UPDATES:
            cached.discard(key)
            continue
        reads += 1
        if key in cached:
            hits += 1
        cached.add(key)
    return hits / reads


def measure_mixed(machine: Machine, name: str, server: Direct, mode: str, clients: int) -> dict:
    table = f"accounts_{next(numbers)}"
    machine.psql(f"CREATE TABLE {table} (id int PRIMARY KEY, balance int, owner text)", server.port)
    machine.psql(
        f"INSERT INTO {table} SELECT i, 0, repeat('x', 60) FROM generate_series(1, {KEYS}) i", server.port)
    machine.psql(f"VACUUM ANALYZE {table}")
    key = f"\\set id random_zipfian(1, {KEYS}, {EXPONENT})\n"
    read = machine.write("mixed-read.sql", f"{key}SELECT balance, owner FROM {table} WHERE id = :id;\n")
    update = machine.write(
        "mixed-update.sql", f"{key}UPDATE {table} SET balance = balance + 1 WHERE id = :id;\n")
    hits, cpu = server.hits(), tree_seconds(server.process.pid)
    share = round(UPDATES * 100)
    out = pgbench(
        machine, server, mode, [f"{read}@{100 - share}", f"{update}@{share}"],
        "-c", str(clients), "-t", str(OPERATIONS // clients))
    cpu = tree_seconds(server.process.pid) - cpu
    operations = int(re.search(r"transactions actually processed: (\d+)", out)[1])
    reads = int(re.search(r"- (\d+) transactions", out)[1])
    result = {
        "server": SERVERS[name], "mode": mode, "clients": clients,
        "per_second": float(re.search(r"tps = ([\d.]+)", out)[1]),
        "cpu_us": cpu / operations * 1e6,
        "hit_ratio": None if hits is None else (server.hits() - hits) / reads,
    }
    ratio = "" if result["hit_ratio"] is None else f"  hits {result['hit_ratio']:.1%} of reads"
    say(f"  {TITLES[result['server']]:18} mixed      {mode:9} {clients:3} clients"
        f"  {result['per_second']:9,.0f}/s  {result['cpu_us']:.1f} µs CPU{ratio}")
    return result


def mixed_table(results: list[dict]) -> str:
    if not results:
        return ""
    perfect = perfect_hit_ratio()
    lines = [
        f"**95 % reads, 5 % updates by key**, Zipf {EXPONENT} over {KEYS:,} keys, {OPERATIONS:,} operations from"
        f" an empty cache; a cache that forgets exactly the updated rows would hit {perfect:.1%} of the reads", "",
        "| server | protocol | clients | operations per second | over direct | server CPU per operation, µs"
        " | hits | of the perfect hits |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    direct = {(r["mode"], r["clients"]): r["per_second"] for r in results if r["server"] == "direct"}
    for r in results:
        over = direct.get((r["mode"], r["clients"]))
        over = "–" if over is None else f"{r['per_second'] / over:.2f}"
        hits = ("–", "–") if r["hit_ratio"] is None else (
            f"{r['hit_ratio']:.1%}", f"{r['hit_ratio'] / perfect:.1%}")
        lines.append(
            f"| {TITLES[r['server']]} | {r['mode']} | {r['clients']} | {r['per_second']:,.0f} | {over}"
            f" | {r['cpu_us']:.1f} | {hits[0]} | {hits[1]} |")
    return "\n".join([*lines, ""])
