"""Random programs, one after the other, and what is left of the one that fails.

    python fuzz_rounds.py --port PORT --seed 7 --statements 100000

runs against the PostgreSQL on that loopback port; `--label 7:3` runs one round alone.
"""

import argparse
import dataclasses
import random
import sys
import time

from fuzz_maker import ProgramMaker
from fuzz_program import Program, Statement
from fuzz_run import Mismatch, Run, Tally
from fuzz_session import Peer
from servers import MynahServer

OPERATIONS = 200


class Fuzzer:
    """Rounds against one PostgreSQL through one Mynah. `worker` tells concurrent fuzzers apart;
    a failing program is made smaller for at most so many `seconds`."""

    def __init__(
        self, postgres_port: int, worker: int = 0, audit=None, seconds: float = 90, **mynah
    ):
        self.postgres_port = postgres_port
        self.roles = [f"fuzz{worker}_a", f"fuzz{worker}_b"]
        self.worker = worker
        self.databases = 0
        self.seconds = seconds
        self.tally = Tally()
        self.audit = audit
        log = {"level": "trace"} if audit else None
        self.mynah = MynahServer(
            f"postgresql://127.0.0.1:{postgres_port}", log=log, **mynah).start()
        admin = Peer(postgres_port, "postgres", "postgres")
        admin.ask_all([Statement(f"CREATE ROLE {role} LOGIN") for role in self.roles])
        admin.close()

    def close(self) -> None:
        self.mynah.remove()

    def program(self, label: str) -> Program:
        return ProgramMaker(label, self.roles, OPERATIONS).program

    def run(self, program: Program, tally: Tally | None = None) -> None:
        self.databases += 1
        database = f"fuzz{self.worker}_{self.databases}"
        with Run(
            program, self.postgres_port, self.mynah, database, tally or self.tally, self.audit
        ) as run:
            run.run()

    def rounds(self, seed: str, statements: int) -> Tally:
        """Rounds until so many statements went through Mynah."""
        with self.mynah.counting() as delta:
            number = 0
            while self.tally.statements < statements:
                program = self.program(f"{seed}:{number}")
                try:
                    self.run(program)
                except Mismatch as mismatch:
                    raise AssertionError(self.report(program, mismatch)) from None
                number += 1
        self.tally.counts["rounds"] = number
        self.tally.counts["hits"], self.tally.counts["misses"] = delta.hits, delta.misses
        self.tally.reasons.update(delta.reasons())
        return self.tally

    def findings(self):
        """What the audit says of all rounds. Ends Mynah, whose log is complete only then."""
        self.mynah.stop()
        return self.audit.findings(self.mynah.directory / "log")

    # Reports

    def fails(self, program: Program) -> Mismatch | None:
        try:
            self.run(program, Tally())
        except Mismatch as mismatch:
            return mismatch
        return None

    def report(self, program: Program, mismatch: Mismatch) -> str:
        smaller, last = self.minimised(program, mismatch, self.seconds)
        return (
            f"label {program.label} of worker {self.worker} (replay:"
            f" python fuzz_rounds.py --port PORT --worker {self.worker} --label {program.label})\n"
            f"first seen {mismatch}\n\n-- minimised to {len(smaller.schema)} statements that make"
            f" the schema and {len(smaller.operations)} operations\n{smaller.script()}"
            f"\n\nfails {last}"
        )

    def minimised(
        self, program: Program, mismatch: Mismatch, seconds: float
    ) -> tuple[Program, Mismatch]:
        """Delta debugging: first of the operations, then of the schema, until the time is up."""
        deadline = time.monotonic() + seconds
        best = dataclasses.replace(program, operations=program.operations[: mismatch.operation + 1])
        for part in ("operations", "schema", "operations"):
            size = max(1, len(getattr(best, part)) // 2)
            while True:
                position = 0
                while position < len(getattr(best, part)):
                    if time.monotonic() > deadline:
                        return best, mismatch
                    items = getattr(best, part)
                    candidate = dataclasses.replace(
                        best, **{part: items[:position] + items[position + size :]})
                    found = self.fails(candidate)
                    if found:
                        best, mismatch = candidate, found
                        best.operations = best.operations[: found.operation + 1]
                    else:
                        position += size
                if size == 1:
                    break
                size //= 2
        return best, mismatch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--statements", type=int, default=100_000)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--label", help="run this round alone")
    parser.add_argument("--seconds", type=float, default=90, help="for making a failure smaller")
    options = parser.parse_args()
    fuzzer = Fuzzer(options.port, options.worker, seconds=options.seconds)
    started = time.monotonic()
    try:
        if options.label:
            program = fuzzer.program(options.label)
            mismatch = fuzzer.fails(program)
            print(fuzzer.report(program, mismatch) if mismatch else "no difference")
            return 1 if mismatch else 0
        tally = fuzzer.rounds(options.seed, options.statements)
        print(f"seed {options.seed}: {tally.statements} statements,"
              f" {time.monotonic() - started:.1f} s, {dict(tally.counts)}, {dict(tally.reasons)}")
        return 0
    except AssertionError as failure:
        print(failure)
        return 1
    finally:
        fuzzer.close()


if __name__ == "__main__":
    sys.exit(main())
