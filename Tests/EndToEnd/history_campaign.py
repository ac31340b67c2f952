"""Records a history with many processes at once and checks it."""

import multiprocessing
import pathlib
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field

import history_workers
from caching import warm
from history_faults import MynahFaults
from history_listappend import ListHistory
from history_monotone import Bounds, Read, bounds_of, sum_of, violations
from history_recorder import Recorder
from history_schema import Schema
from history_workers import Part
from servers import MynahServer, wait_until
from wire import RawSession

# Nothing of the parent's is inherited: it has threads, and a fork would copy their locks.
processes = multiprocessing.get_context("spawn")


@dataclass
class Outcome:
    """What came of one history, and of several when added up."""

    anomalies: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)

    def add(self, other: "Outcome") -> None:
        self.anomalies += other.anomalies
        self.failures += other.failures
        self.counts += other.counts
        self.faults += other.faults

    @property
    def hits(self) -> int:
        return self.counts["checked hits"]

    def __str__(self) -> str:
        of = self.counts
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"{of['reads']} reads ({of['values']} values, {of['direct reads']} directly), "
            f"{self.hits} checked hits, "
            f"{of['writes acknowledged']} writes, {of['writes failed']} failed, "
            f"{of['writes unknown']} unknown outcomes ({of['settled']} settled by Mynah), "
            f"{of['transactions']} list transactions, {of['snapshots']} snapshots, "
            f"{of['foreign writes acknowledged']} foreign writes, {of['copies']} copies, "
            f"{of['prepared, then COMMIT']} prepared commits; faults: {faults or 'none'}"
        )


class Campaign:
    """One history on tables of its own: processes, faults meanwhile, and the verdict."""

    def __init__(
        self, mynah: MynahServer, direct: str, prefix: str, seed: int, *, readers: int = 2,
        writers: int = 1, lists: int = 1, pace: float = 0.02, tables: int = 12,
        ports: tuple[int, ...] = (),
    ):
        self.mynah = mynah
        self.ports = ports or (mynah.port,)
        self.schema = Schema(prefix, mynah.is_sqlite, tables=tables)
        self.direct = direct
        self.seed = seed
        self.roles = (
            [("reader", index, readers) for index in range(readers)]
            + [("writer", index, writers) for index in range(writers)]
            + [("lists", index, lists) for index in range(lists)]
            + [("direct", 0, 1)]
            + ([("foreign", 0, 1)] if mynah.is_sqlite else [])
        )
        self.pace = pace

    def create(self) -> None:
        with RawSession.connect(self.mynah.port) as session:
            for statement in self.schema.creation():
                session.run(statement)

    def remove(self) -> None:
        with RawSession.connect(self.mynah.port) as session:
            for statement in self.schema.removal():
                session.run(statement)

    def record(self, seconds: float, faults: MynahFaults, pause: float | None) -> Outcome:
        """Runs for `seconds`, with faults that are `pause` seconds apart, or without any."""
        outcome = Outcome()
        with tempfile.TemporaryDirectory(prefix="mynah-history-") as directory:
            stop = processes.Event()
            parts = [
                Part(
                    role, self.schema, self.ports, self.seed * 1000 + number,
                    f"{directory}/{number}", pause is not None, owner, owners, self.pace,
                    self.direct, first_node=number,
                )
                for number, (role, owner, owners) in enumerate(self.roles)
            ]
            running = [
                processes.Process(target=history_workers.run, args=(part, stop)) for part in parts
            ]
            for process in running:
                process.start()
            try:
                if pause is None:
                    wait_for_end(running, seconds)
                else:
                    faults.run(time.monotonic() + seconds, pause)
                    self.wait_for_hits(faults, outcome)
                stop.set()
                deadline = time.monotonic() + 2 * history_workers.PATIENCE
                for process in running:
                    process.join(max(0, deadline - time.monotonic()))
                for process, part in zip(running, parts):
                    if process.is_alive():
                        outcome.failures.append(f"{part.role} never came to its end")
            finally:
                for process in running:
                    process.kill()
            recorder = Recorder()
            for part in parts:
                if pathlib.Path(part.path).exists():
                    recorder.merge(Recorder.load(pathlib.Path(part.path)))
                else:
                    outcome.failures.append(f"{part.role} left no record")
        self.judge(recorder, outcome, faults)
        return outcome

    def wait_for_hits(self, faults: MynahFaults, outcome: Outcome, hits: int = 1000) -> None:
        """Answers come from memory again once the faults are over, while all still run."""
        name = "mynah_cache_hits_total"
        for number, node in enumerate(faults.all_incarnations):
            before = node.total(name)
            try:
                with node.mynah.counting() as delta:
                    wait_until(lambda: node.total(name) > before + hits, "hits", 30)
            except AssertionError:
                delta.after = node.mynah.metrics()
                outcome.failures.append(
                    f"hits do not resume at node {number} after the faults: {delta}"
                )

    def assert_every_table_is_cached_again(self) -> None:
        """A window that was never closed would keep its tables out of the cache for ever."""
        open_windows = "mynah_write_windows_open"
        wait_until(
            lambda: self.mynah.metrics().total(open_windows) == 0, "every write window is closed", 40
        )
        with RawSession.connect(self.mynah.port) as session:
            for name in self.schema.all_tables:
                try:
                    warm(self.mynah, lambda: session.query(f"SELECT * FROM {name}"), 20)
                except AssertionError as never:
                    raise AssertionError(f"{name}: {never}; {self.mynah.log()}") from None

    def final_lists(self, rows: list[tuple[int, str]]) -> dict[int, tuple[int, ...]]:
        return {key: tuple(map(int, text.split(","))) for key, text in rows}

    def judge(self, recorder: Recorder, outcome: Outcome, faults: MynahFaults) -> None:
        self.judge_counters(recorder, outcome)
        self.judge_lists(recorder, outcome)
        outcome.failures += recorder.failures
        outcome.counts += recorder.counts
        outcome.counts["values"] = len(recorder.values) // len(Read._fields)
        outcome.counts["transactions"] = len(recorder.transactions)
        for name, count in recorder.counts.items():
            if name.startswith("fault: "):
                outcome.faults[name.removeprefix("fault: ")] += count
        outcome.faults += faults.done

    def judge_counters(self, recorder: Recorder, outcome: Outcome) -> None:
        bounds = bounds_of(recorder.writes)
        for table in range(self.schema.tables):
            own = [self.schema.counter(table, key) for key in range(self.schema.keys)]
            bounds[self.schema.sum_counter(table)] = sum_of(
                [bounds[counter] for counter in own if counter in bounds]
            )
        outcome.anomalies += recorder.anomalies
        outcome.anomalies += self.judge_reads(bounds, recorder)

    def judge_reads(self, bounds: dict[int, Bounds], recorder: Recorder) -> list[str]:
        return violations(bounds, list(recorder.reads()))

    def judge_lists(self, recorder: Recorder, outcome: Outcome) -> None:
        final: dict[int, tuple[int, ...]] = {}
        with RawSession.connect(self.mynah.port) as session:
            for half in range(2):
                # Read twice: from the database, past the cache, and the way everybody reads.
                name = self.schema.list_table(half)
                volatile = f"SELECT id, l FROM {name} WHERE random() IS NOT NULL ORDER BY id"
                rows = session.rows(volatile)
                for _ in range(3):
                    if session.rows(f"SELECT id, l FROM {name} ORDER BY id") != rows:
                        outcome.anomalies.append(f"{name} ends differently in the cache")
                final.update(self.final_lists([(int(key), text.decode()) for key, text in rows]))
        outcome.anomalies += self.judge_transactions(final, recorder)

    def judge_transactions(
        self, final: dict[int, tuple[int, ...]], recorder: Recorder
    ) -> list[str]:
        return ListHistory(recorder.transactions, final).check()


def wait_for_end(running, seconds: float) -> None:
    """Waits, but not for long where a process has failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and all(process.is_alive() for process in running):
        time.sleep(0.05)
