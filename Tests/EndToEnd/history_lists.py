"""Transactions that append to lists and read them, at every isolation level."""

import random
import threading
import time
from dataclasses import replace

import wire
from history_client import LinkLost, Reply, is_lost
from history_monotone import ACKNOWLEDGED, FAILED, UNKNOWN
from history_recorder import Recorder
from history_transactions import (
    AUTOCOMMIT, READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, Append, ListRead, Transaction,
)
from history_workers import Hang, Part, Worker

SESSIONS = 4
LONGEST = 60  # appends after which a list is left alone and a new one begun: reads stay short
LEVELS = (AUTOCOMMIT,) * 6 + (READ_COMMITTED,) * 4 + (REPEATABLE_READ,) * 2 + (SERIALIZABLE,) * 3


class Numbers:
    """Elements and lists for all sessions of a process; no two processes have lists in common."""

    def __init__(self, lists: int):
        self.lock = threading.Lock()
        self.element = 0
        self.keys = list(range(lists))
        self.appended = dict.fromkeys(self.keys, 0)

    def append(self, chance: random.Random) -> tuple[int, int]:
        with self.lock:
            place = chance.randrange(len(self.keys))
            key = self.keys[place]
            self.element += 1
            self.appended[key] += 1
            if self.appended[key] >= LONGEST:
                self.keys[place] = max(self.appended) + 1
                self.appended[self.keys[place]] = 0
            return key, self.element

    def key(self, chance: random.Random) -> int:
        with self.lock:
            return chance.choice(self.keys)


class ListWorkers:
    """Several sessions of one process, each on a thread: they wait for one another's locks."""

    def __init__(self, part: Part, stop):
        numbers = Numbers(part.schema.lists)
        self.recorder = Recorder()
        self.workers = [
            ListWorker(
                replace(
                    part, seed=part.seed * SESSIONS + index, first_node=part.first_node + index
                ),
                stop, Recorder(),
            )
            for index in range(SESSIONS)
        ]
        for worker in self.workers:
            worker.numbers = numbers

    def run(self) -> None:
        threads = [threading.Thread(target=worker.guarded) for worker in self.workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker in self.workers:
            self.recorder.merge(worker.recorder)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


class ListWorker(Worker):
    numbers: Numbers

    def guarded(self) -> None:
        try:
            self.run()
        except Hang as hang:
            self.recorder.failures.append(f"lists: {hang}")
        except BaseException as error:
            self.recorder.failures.append(f"lists: {error!r}")

    def run(self) -> None:
        while not self.stop.is_set():
            level = self.chance.choice(LEVELS)
            if level == AUTOCOMMIT:
                self.autocommit()
            else:
                self.block(level)
            if self.chance.random() < 0.5:
                self.stop.wait(self.part.pace * self.chance.random())

    def statement(self, write: bool, key: int, element: int, lock: bool) -> bytes:
        """One append or read. The first append to a list inserts its row."""
        name = self.part.schema.list_table(key)
        if write:
            sql = (
                f"INSERT INTO {name} AS t VALUES ({key}, '{element}')"
                f" ON CONFLICT (id) DO UPDATE SET l = t.l || ',{element}'"
            )
        else:
            sql = f"SELECT l FROM {name} WHERE id = {key}" + (" FOR UPDATE" if lock else "")
        return self.chance.choice((wire.query, wire.extended))(sql)

    def step(self, level: str) -> tuple[Append | ListRead, bytes]:
        # Half of what autocommit does are reads repeated often enough to be answered from memory.
        write = self.chance.random() < (0.15 if level == AUTOCOMMIT else 0.4)
        if write:
            key, element = self.numbers.append(self.chance)
            return Append(key, element), self.statement(True, key, element, False)
        key = self.numbers.key(self.chance)
        lock = not self.part.schema.is_sqlite and self.chance.random() < 0.1
        return ListRead(key, (), 0, 0), self.statement(False, key, 0, lock)

    def read(self, step: ListRead, start: int, reply: Reply) -> None:
        text = reply.rows[0][0] if reply.rows else b""
        step.elements = tuple(map(int, text.split(b","))) if text else ()
        step.start, step.end = start, reply.end
        self.recorder.counts["reads"] += 1

    def autocommit(self) -> None:
        """Statements in a pipeline, each a transaction."""
        session = self.session(0)
        steps = [self.step(AUTOCOMMIT) for _ in range(self.chance.choice((1, 2, 6)))]
        if len(steps) > 2:
            steps += [(replace(step), data) for step, data in steps if isinstance(step, ListRead)]
        start = time.monotonic_ns()
        try:
            session.send(b"".join(data for _, data in steps))
            replies = session.replies(len(steps))
        except LinkLost as lost:
            replies = lost.replies
            self.lost(0)
        except OSError:
            replies = []
            self.lost(0)
        for (step, _), reply in zip(steps, [*replies, *[None] * (len(steps) - len(replies))]):
            if reply is None:
                self.recorder.counts["abandoned"] += isinstance(step, ListRead)
                outcome, end = UNKNOWN, 0
            elif reply.error:
                self.note(reply.error)
                outcome, end = (UNKNOWN if is_lost(reply.error) else FAILED), reply.end
            else:
                outcome, end = ACKNOWLEDGED, reply.end
                if isinstance(step, ListRead):
                    self.read(step, start, reply)
            if isinstance(step, Append) or outcome == ACKNOWLEDGED:
                self.finish(
                    Transaction(AUTOCOMMIT, [step], outcome, start, end, session.number)
                )

    def block(self, level: str) -> None:
        """One round trip for each statement, as an application does it."""
        session, steps = self.session(0), []
        transaction = Transaction(level, steps, FAILED, session=session.number)
        try:
            _, [reply] = session.batch([wire.query(f"BEGIN ISOLATION LEVEL {level.upper()}")])
            for _ in range(self.chance.randint(1, 4)):
                if reply.error:
                    break
                step, data = self.step(level)
                if isinstance(step, Append):
                    steps.append(step)
                start, [reply] = session.batch([data])
                if isinstance(step, ListRead) and not reply.error:
                    self.read(step, start, reply)
                    steps.append(step)
            if reply.error or self.chance.random() < 0.1:
                if reply.error:
                    self.note(reply.error)
                session.batch([wire.query("ROLLBACK")])
            else:
                transaction.outcome = UNKNOWN  # until COMMIT's reply
                transaction.sent = time.monotonic_ns()
                _, [reply] = session.batch([wire.query("COMMIT")])
                transaction.end = reply.end
                if reply.error:
                    self.note(reply.error)
                    if not is_lost(reply.error):
                        transaction.outcome = FAILED
                else:
                    transaction.outcome = ACKNOWLEDGED if reply.tag == b"COMMIT" else FAILED
        except LinkLost:
            self.lost(0)
        self.finish(transaction)

    def finish(self, transaction: Transaction) -> None:
        if transaction.steps:
            self.recorder.transactions.append(transaction)
            if transaction.writes:
                self.recorder.counts[f"writes {transaction.outcome}"] += 1
