"""Runs other projects' test suites directly and through Mynah, and compares their outcomes.

Usage: four_ways.py [--pool MODE] [--keep] [SUITE…]

Each suite runs (1) directly, (2) through Mynah with the cache off, (3) with everything cacheable
cached until it is invalidated, and (4) the same with every hit verified. A test that fails through
Mynah and not directly, a verified hit that differed, or a run of (3) or (4) without a single hit, is
a failure. A suite whose tests are not deterministic runs directly twice; what fails in either run
counts as failing directly.
"""

import argparse
import dataclasses
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "EndToEnd"))

from servers import MynahServer, PostgresServer  # noqa: E402

import suites  # noqa: E402

CACHED = {"ttl": "0", "memory": "1GB", "max_entry": "16MB"}
WAYS: dict[str, dict[str, object] | None] = {
    "direct": None,
    "cache off": {"enabled": False},
    "cached": CACHED,
    "verify": {**CACHED, "verify": 1},
}


@dataclasses.dataclass
class Run:
    """What one suite gave one way."""

    outcomes: suites.Outcomes
    seconds: float
    hits: int = 0
    fills: int = 0
    windows: int = 0
    verified: int = 0
    mismatches: int = 0

    @property
    def failed(self) -> set[str]:
        return {name for name, outcome in self.outcomes.items() if outcome == "failed"}


def run_way(suite: suites.Suite, cache: dict | None, pool: dict | None, keep: bool) -> Run:
    """Runs the suite against a server of its own, so that no way finds what another has left."""
    workplace = pathlib.Path(tempfile.mkdtemp(prefix=f"mynah-suite-{suite.name}-"))
    postgres = PostgresServer(suite.settings)
    mynah: MynahServer | None = None
    try:
        postgres.start()
        suite.prepare(postgres)
        suite.lay_out(workplace)
        began = time.monotonic()
        if cache is None:
            outcomes = suite.run(postgres.port, workplace)
            return Run(outcomes, time.monotonic() - began)
        mynah = MynahServer(postgres.url(), cache=cache, pool=pool).start()
        outcomes = suite.run(mynah.port, workplace)
        seconds = time.monotonic() - began
        metrics = mynah.metrics()
        return Run(
            outcomes, seconds,
            hits=int(metrics.total("mynah_cache_hits_total")),
            fills=int(metrics.total("mynah_cache_fills_total")),
            windows=int(metrics.total("mynah_write_windows_total")),
            verified=int(metrics.total("mynah_cache_verified_total")),
            mismatches=int(metrics.total("mynah_cache_verify_mismatch_total")),
        )
    finally:
        if keep:
            print(f"  kept: {workplace} {mynah.directory if mynah else ''}", flush=True)
        else:
            shutil.rmtree(workplace, ignore_errors=True)
        if mynah:
            mynah.stop()
            if keep:
                shutil.copy(mynah.directory / "log", workplace / "mynah.log")
            mynah.remove()
        postgres.remove()


def faults(way: str, run: Run, direct_failed: set[str], direct: suites.Outcomes) -> list[str]:
    found = [f"{name} fails only through Mynah" for name in sorted(run.failed - direct_failed)]
    missing = set(direct) - set(run.outcomes)
    if missing:
        found.append(f"{len(missing)} tests did not run: {', '.join(sorted(missing)[:5])} …")
    if way == "cached" and run.hits == 0 or way == "verify" and run.verified == 0:
        found.append("not a single hit")
    if run.mismatches:
        found.append(f"{run.mismatches} verified hits differed")
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(suites.ALL))
    parser.add_argument("--pool", metavar="MODE", help="session or transaction")
    parser.add_argument("--ways", help="comma between; always with direct", default=",".join(WAYS))
    parser.add_argument("--keep", action="store_true", help="keep each run's files and logs")
    options = parser.parse_args()
    unknown = set(options.suites) - set(suites.ALL)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    pool = {"mode": options.pool} if options.pool else None
    header = (
        "| suite | way | tests | failed | skipped | hits | fills | windows | verified | mismatches | s |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    rows: list[str] = []
    problems: list[str] = []
    passed = 0
    for name in options.suites or suites.ALL:
        suite = suites.ALL[name]
        direct: suites.Outcomes = {}
        direct_failed: set[str] = set()
        for way in WAYS:
            if way != "direct" and way not in options.ways.split(","):
                continue
            for _ in range(suite.direct_runs if way == "direct" else 1):
                run = run_way(suite, WAYS[way], pool, options.keep)
                if way == "direct":
                    direct |= run.outcomes
                    direct_failed |= run.failed
            counts = [
                len(run.outcomes), len(run.failed),
                sum(outcome == "skipped" for outcome in run.outcomes.values()),
            ]
            if way != "direct":
                counts += [run.hits, run.fills, run.windows, run.verified, run.mismatches]
            cells = [f"{count:,}" for count in counts] + ["–"] * (8 - len(counts))
            rows.append(f"| {suite.name} | {way} | {' | '.join(cells)} | {run.seconds:.0f} |")
            print(rows[-1], flush=True)
            found = faults(way, run, direct_failed, direct) if way != "direct" else []
            if len(run.outcomes) < suite.least:
                found.append(f"{len(run.outcomes)} tests ran instead of {suite.least} or more")
            for fault in found:
                print(f"  {fault}", flush=True)
            problems += [f"{suite.name}, {way}: {fault}" for fault in found]
            passed += not found
    print("\n" + header + "\n" + "\n".join(rows) + "\n")
    for problem in problems:
        print(problem)
    print(f"{passed} passed, {len(rows) - passed} failed" if problems else f"{passed} passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
