"""The processes of a recorded history: they read and write until told to stop, and note all."""

import pathlib
import random
import socket
import sqlite3
import time
import traceback
from dataclasses import dataclass

import psycopg2

import wire
from history_client import Hang, LinkLost, PipelinedSession, Reply, connect, is_lost
from history_keyed_reads import Torn, whole_tables
from history_reads import Request, Requests
from history_recorder import Recorder
from history_schema import Schema

# What faults may make of a statement: cancelled or timed out, deadlock and serialization failure, a
# failed block, no lock in time, no connection left. Lost connections come besides (`is_lost`).
EXPECTED = {"57014", "40P01", "40001", "25P02", "55P03", "53300"}
PATIENCE = 40  # seconds within which whatever was stopped or cut must be back
TIMEOUT = 25   # seconds within which a request must be answered or refused


@dataclass(frozen=True)
class Part:
    """What a process needs to know; it travels by pickle."""

    role: str
    schema: Schema
    ports: tuple[int, ...]  # of all nodes, the primary's first
    seed: int
    path: str           # where its record goes
    faulty: bool = False
    owner: int = 0      # writers share the counters: this one's
    owners: int = 1
    pace: float = 0.02  # seconds between two writes
    direct: str = ""    # the database itself: a libpq connection string, or an SQLite file
    database: str = "flights"
    first_node: int = 0     # that of the first session; the others take turns


class Worker:
    """Sessions that come back after faults, and the record of what they saw."""

    def __init__(self, part: Part, stop, recorder: Recorder | None = None):
        self.part, self.stop = part, stop
        self.chance = random.Random(part.seed)
        self.recorder = recorder or Recorder()
        self.sessions: dict[int, PipelinedSession] = {}
        self.made = 0

    def preparation(self, slot: int) -> list[bytes]:
        return []

    def session(self, slot: int) -> PipelinedSession:
        """The session of a slot, made anew if the one before was lost."""
        deadline = time.monotonic() + PATIENCE
        while slot not in self.sessions:
            node = (self.part.first_node + slot) % len(self.part.ports)
            session = connect(self.part.ports[node], self.part.database, PATIENCE, TIMEOUT)
            self.made += 1
            session.number = (self.part.seed << 24) + self.made
            self.recorder.nodes[session.number] = node
            self.recorder.counts["sessions"] += 1
            try:
                requests = self.preparation(slot)
                errors = [reply.error for reply in session.batch(requests)[1]] if requests else []
                if not any(errors):
                    self.sessions[slot] = session
                    break
                self.note(next(error for error in errors if error))
            except LinkLost:
                pass
            session.close()
            if time.monotonic() > deadline:
                raise Hang(f"no session could be prepared within {PATIENCE} s")
            time.sleep(0.02)
        return self.sessions[slot]

    def lose(self, slot: int) -> None:
        session = self.sessions.pop(slot, None)
        if session is not None:
            session.close()

    def note(self, error: str) -> None:
        """Counts an error; one that no fault explains is a failure."""
        self.recorder.counts[f"error {error}"] += 1
        if not (self.part.faulty and (is_lost(error) or error in EXPECTED)):
            if error not in ("40001", "40P01"):
                self.recorder.failures.append(f"{self.part.role}: unexpected error {error}")

    def lost(self, slot: int) -> None:
        self.recorder.counts["links lost"] += 1
        if not self.part.faulty:
            self.recorder.failures.append(f"{self.part.role}: the connection ended")
        self.lose(slot)

    def cancel(self, session: PipelinedSession) -> None:
        """Asks for the session's running statement to be cancelled, as libpq's PQcancel does."""
        try:
            with socket.create_connection(session.socket.getpeername(), timeout=5) as request:
                request.sendall(wire.cancel_request(*session.backend_key))
        except OSError:
            pass
        self.recorder.counts["fault: cancelled by the client"] += 1

    def close(self) -> None:
        for slot in list(self.sessions):
            try:
                self.sessions[slot].send(wire.terminate())
            except OSError:
                pass
            self.lose(slot)


class Reader(Worker):
    """Two sessions whose batches are always in flight at the same time, and one for snapshots."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.requests = Requests(self.part.schema)
        self.few: list[Request] = []

    def preparation(self, slot: int) -> list[bytes]:
        return self.requests.preparation

    def run(self) -> None:
        while not self.stop.is_set():
            if self.chance.random() < 0.05:
                self.snapshot()
            under_way = [(slot, *self.begin(slot)) for slot in (0, 1)]
            for slot, start, batch in under_way:
                self.finish(slot, start, batch)

    def begin(self, slot: int) -> tuple[int, list[Request | None]]:
        # Readers stay at one place for a while, or they would hardly ever meet their own answers.
        if not self.few or self.chance.random() < 0.1:
            self.few = self.requests.few(self.chance)
        batch: list[Request | None] = self.chance.choices(
            self.few, k=self.chance.choice((1, 8, 32, 64, 128))
        )
        if self.chance.random() < 0.05:
            batch.append(self.requests.locking(self.chance))
        if self.chance.random() < 0.2:
            batch = [None, *batch, None]
        edges = [wire.query("BEGIN"), wire.query("COMMIT")]
        data = [request.data if request else edges[i > 0] for i, request in enumerate(batch)]
        session = self.session(slot)
        start = time.monotonic_ns()
        try:
            session.send(b"".join(data))
        except OSError:
            self.recorder.counts["abandoned"] += len(batch)
            self.lost(slot)
            return start, []
        if self.part.faulty:
            mishap = self.chance.random()
            if mishap < 0.002:
                self.cancel(session)
            elif mishap < 0.004:
                self.recorder.counts["fault: client closed mid-statement"] += 1
                self.recorder.counts["abandoned"] += len(batch)
                self.lose(slot)
                return start, []
        return start, batch

    def finish(self, slot: int, start: int, batch: list[Request | None]) -> None:
        if not batch:
            return
        session = self.sessions[slot]
        try:
            replies = session.replies(len(batch))
        except LinkLost as lost:
            replies = lost.replies
            self.recorder.counts["abandoned"] += len(batch) - len(replies)
            self.lost(slot)
        for request, reply in zip(batch, replies):
            if reply.error:
                self.note(reply.error)
            elif request:
                self.take(request, start, reply, session)
        if replies and replies[-1].error and slot in self.sessions:
            # A block that failed is left, whatever became of its COMMIT.
            self.lose(slot)

    def take(
        self, request: Request, start: int, reply: Reply, session: PipelinedSession
    ) -> list[tuple[int, int]]:
        """Records what a reply says."""
        self.recorder.counts["reads"] += 1
        try:
            values = list(request.values(reply.rows))
        except Torn as torn:
            self.recorder.anomalies.append(f"torn: {torn}")
        except (ValueError, TypeError, IndexError):
            # Not what was asked for: another request's answer, or another format's.
            self.recorder.anomalies.append(
                f"foreign: {request.data!r} was answered with {reply.rows!r}"
            )
        else:
            self.recorder.saw(start, reply.end, values, session.number)
            return values
        return []

    def snapshot(self) -> None:
        """Reads again and again in one REPEATABLE READ transaction: nothing may change."""
        requests, seen = self.requests.few(self.chance) + self.requests.few(self.chance), {}
        begin = wire.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session = self.session(2)
        start = time.monotonic_ns()
        try:
            _, [begun] = session.batch([begin])
            for _ in range(4):
                _, replies = session.batch([request.data for request in requests])
                if error := begun.error or next((r.error for r in replies if r.error), None):
                    self.note(error)
                    self.lose(2)
                    return
                for request, reply in zip(requests, replies):
                    for counter, value in self.take(request, start, reply, session):
                        if value >= 0 and seen.setdefault(counter, value) != value:
                            self.recorder.anomalies.append(
                                f"snapshot: counter {counter} read as {seen[counter]}, then {value}"
                            )
                self.stop.wait(0.03 * self.chance.random())
            session.batch([wire.query("COMMIT")])
            self.recorder.counts["snapshots"] += 1
        except LinkLost:
            self.lost(2)


class DirectReader(Worker):
    """Reads the database itself: what it shows has happened, so nothing older may be answered."""

    def run(self) -> None:
        connection, keyed = None, whole_tables(self.part.schema)
        while not self.stop.wait(0.01):
            try:
                if connection is None:
                    connection = self.open()
                cursor = connection.cursor()
                for sql, values in (self.of_table(), self.of_group(), self.chance.choice(keyed)):
                    start = time.monotonic_ns()
                    cursor.execute(sql)
                    rows = cursor.fetchall()
                    end = time.monotonic_ns()
                    self.recorder.counts["direct reads"] += 1
                    self.recorder.saw(start, end, values(rows))
            except (psycopg2.Error, sqlite3.OperationalError):
                if not self.part.faulty:
                    raise
                connection = None
                time.sleep(0.05)

    def of_table(self):
        schema = self.part.schema
        table = self.chance.randrange(schema.tables)
        return f"SELECT id, v FROM {schema.table(table)}", lambda rows: [
            (schema.counter(table, key), value) for key, value in rows
        ]

    def of_group(self):
        schema = self.part.schema
        return f"SELECT id, v FROM {self.chance.choice(schema.group_tables)}", lambda rows: [
            (schema.group_counter(key), value) for key, value in rows
        ]

    def open(self):
        if self.part.schema.is_sqlite:
            # A reader that ends must not be the last one, who would do away with the WAL.
            return sqlite3.connect(f"file:{self.part.direct}?mode=ro", uri=True, timeout=5)
        connection = psycopg2.connect(self.part.direct)
        connection.autocommit = True
        return connection


def run(part: Part, stop) -> None:
    """A process's whole life."""
    from history_foreign import ForeignWriter
    from history_keyed_writes import KeyedWriter
    from history_lists import ListWorkers
    from history_visitors import Visitor

    roles = {
        "reader": Reader, "writer": KeyedWriter, "lists": ListWorkers, "direct": DirectReader,
        "foreign": ForeignWriter, "visitor": Visitor,
    }
    worker = roles[part.role](part, stop)
    try:
        worker.run()
    except Hang as hang:
        worker.recorder.failures.append(f"{part.role}: {hang}")
    except BaseException:
        worker.recorder.failures.append(f"{part.role}: {traceback.format_exc()}")
    worker.close()
    worker.recorder.save(pathlib.Path(part.path))
