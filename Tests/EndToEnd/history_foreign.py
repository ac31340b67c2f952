"""Another process that writes the SQLite file itself, while Mynah answers from memory."""

import contextlib
import sqlite3
import time

from history_client import LinkLost
from history_monotone import ACKNOWLEDGED, FAILED, Write
from history_reads import Requests
from history_schema import POISON
from history_workers import Worker


class ForeignWriter(Worker):
    """Increments counters in the file, and looks at once what Mynah then answers."""

    def run(self) -> None:
        schema = self.part.schema
        name, last = schema.table(schema.foreign_table), [0] * schema.keys
        self.reads = Requests(schema).by_table[schema.foreign_table]
        with contextlib.closing(self.open()) as file:
            while not self.stop.wait(self.part.pace * self.chance.uniform(1, 5)):
                key = self.chance.randrange(schema.keys)
                last[key] += 1
                self.write(file, name, key, last[key])
                self.look()

    def preparation(self, slot: int) -> list[bytes]:
        return Requests(self.part.schema).preparation

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.part.direct, isolation_level=None, timeout=5)

    def write(self, file: sqlite3.Connection, name: str, key: int, value: int) -> None:
        counter = self.part.schema.counter(self.part.schema.foreign_table, key)
        sent = time.monotonic_ns()
        try:
            file.execute("BEGIN IMMEDIATE")
            if self.chance.random() < 0.2:
                file.execute(f"UPDATE {name} SET v = {POISON}")
                file.execute("ROLLBACK")
                file.execute("BEGIN IMMEDIATE")
            file.execute(f"UPDATE {name} SET v = {value} WHERE id = {key}")
            sent = time.monotonic_ns()
            file.execute("COMMIT")
        except sqlite3.OperationalError:
            # Busy, for longer than it waits.
            if file.in_transaction:
                file.execute("ROLLBACK")
            outcome = FAILED
        else:
            outcome = ACKNOWLEDGED
        self.recorder.writes.append(Write(counter, value, sent, outcome, time.monotonic_ns()))
        self.recorder.counts[f"foreign writes {outcome}"] += 1

    def look(self) -> None:
        """Twice each: the second answer may come from memory, and there it stays."""
        requests = self.chance.sample(self.reads, 4)
        requests += requests
        try:
            start, replies = self.session(0).batch([request.data for request in requests])
        except LinkLost as lost:
            self.recorder.counts["abandoned"] += len(requests) - len(lost.replies)
            self.lost(0)
            return
        for request, reply in zip(requests, replies):
            if reply.error:
                self.note(reply.error)
            else:
                self.recorder.counts["reads"] += 1
                number = self.session(0).number
                self.recorder.saw(start, reply.end, request.values(reply.rows), number)
