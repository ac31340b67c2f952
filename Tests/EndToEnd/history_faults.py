"""What is done to PostgreSQL, to the connections and to Mynah while histories are recorded."""

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable

import psycopg2

import fault_relay
import wire
from fault_relay import STEPS, Fault, FaultRelay
from history_client import PipelinedSession
from history_schema import POISON, Schema
from servers import MynahServer, PostgresServer, wait_until


class Incarnations:
    """Counters of a Mynah that is killed and started anew: the sum over all its processes."""

    NAMES = ("mynah_cache_hits_total", "mynah_unknown_outcomes_total", "mynah_write_windows_total",
             "mynah_cache_misses_total")

    def __init__(self, mynah: MynahServer):
        self.mynah = mynah
        self.past: Counter = Counter()
        self.start = self._scrape()

    def _scrape(self) -> Counter:
        metrics = self.mynah.metrics()
        return Counter({name: int(metrics.total(name)) for name in self.NAMES})

    def total(self, name: str) -> int:
        return self.past[name] + self._scrape()[name] - self.start[name]

    def kill(self) -> None:
        """What was counted after the last look is lost: totals are never too high."""
        for name, value in self._scrape().items():
            self.past[name] += value - self.start[name]
        self.mynah.process.kill()
        self.mynah.process.wait(10)
        self.mynah.spawn()
        self.start = Counter()
        wait_until(self.mynah.is_ready, "the proxy has come back", 30)


class MynahFaults:
    """What can befall Mynah itself, whatever is behind it."""

    def __init__(self, mynah: MynahServer, schema: Schema, chance: random.Random):
        self.mynah, self.schema, self.chance = mynah, schema, chance
        self.incarnations = Incarnations(mynah)
        self.done: Counter = Counter()

    @property
    def all_incarnations(self) -> list[Incarnations]:
        return [self.incarnations]

    def proxy_killed(self) -> bool:
        self.incarnations.kill()
        return True

    def configuration_reloaded(self) -> bool:
        self.mynah.signal(signal.SIGHUP)
        return True

    def definition_changed(self) -> bool:
        """DDL forgets every answer; nothing that it changes can be seen in the rows."""
        name = self.schema.table(self.chance.randrange(self.schema.tables))
        try:
            with PipelinedSession.connect(self.mynah.port, timeout=20) as session:
                if not self.schema.is_sqlite:
                    session.batch([wire.query("SET lock_timeout = 300")])
                requests = [f"CREATE INDEX {name}_v ON {name} (v)", f"DROP INDEX {name}_v"]
                _, replies = session.batch([wire.query(sql) for sql in requests])
                return replies[1].error is None
        except Exception:  # whatever a fault before has left behind
            return False

    def plan(self) -> list[tuple[str, Callable[[], bool]]]:
        """The faults of one campaign, in the order in which they happen."""
        found = [
            *[("proxy killed and restarted", self.proxy_killed)] * 3,
            *[("configuration reloaded", self.configuration_reloaded)] * 3,
            *[("definition changed", self.definition_changed)] * 3,
        ]
        self.chance.shuffle(found)
        return found

    def run(self, deadline: float, pause: float) -> None:
        """Goes through the plan once at least, then on until the deadline."""
        first = True
        while first or time.monotonic() < deadline:
            for name, fault in self.plan():
                if not first and time.monotonic() > deadline:
                    return
                if fault():
                    self.done[name] += 1
                time.sleep(pause * self.chance.uniform(0.5, 1.5))
            first = False


class SQLiteFaults(MynahFaults):
    """What befalls an SQLite database and those who use it."""

    def __init__(self, mynah: MynahServer, schema: Schema, chance: random.Random, path: str):
        super().__init__(mynah, schema, chance)
        self.path = path

    def locked_by_another(self) -> bool:
        """Another process holds the write lock for a while, and gives up."""
        try:
            with contextlib.closing(self.open()) as other:
                other.execute("BEGIN IMMEDIATE")
                time.sleep(self.chance.uniform(0.05, 0.3))
                other.execute("ROLLBACK")
            return True
        except sqlite3.OperationalError:
            return False

    def written_by_another(self) -> bool:
        """Another process commits: Mynah must notice, and forget no more than it must."""
        try:
            with contextlib.closing(self.open()) as other:
                other.execute("CREATE TABLE IF NOT EXISTS foreign_log (at real)")
                other.execute("INSERT INTO foreign_log VALUES (1)")
            return True
        except sqlite3.OperationalError:
            return False

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=2, isolation_level=None)

    def client_gone_in_block(self) -> bool:
        """A client that has written and not committed disappears."""
        name = self.schema.table(self.chance.randrange(self.schema.tables))
        try:
            session = PipelinedSession.connect(self.mynah.port, timeout=20)
            session.batch([wire.query("BEGIN"), wire.query(f"UPDATE {name} SET v = {POISON}")])
            session.close()
            return True
        except Exception:  # whatever a fault before has left behind
            return False

    def plan(self) -> list[tuple[str, Callable[[], bool]]]:
        found = [
            *[("locked by another process", self.locked_by_another)] * 5,
            *[("written by another process", self.written_by_another)] * 5,
            *[("client gone in a block", self.client_gone_in_block)] * 5,
            *super().plan(),
            *[("proxy killed and restarted", self.proxy_killed)] * 3,
        ]
        self.chance.shuffle(found)
        return found


class PostgresFaults(MynahFaults):
    """What befalls a server and the way to it."""

    # Of the server: it survives its faults, and soon.
    settings = {"restart_after_crash": "on", "deadlock_timeout": "'100ms'"}
    # Seconds for which replies are held back, from and to.
    delays = (0.005, 0.25)

    def __init__(
        self, mynah: MynahServer, schema: Schema, chance: random.Random,
        server: PostgresServer, relay: FaultRelay,
    ):
        super().__init__(mynah, schema, chance)
        self.server, self.relay = server, relay

    def query(self, sql: str) -> list[tuple]:
        return self.server.run(sql)

    def backends(self, condition: str = "state = 'active'") -> list[int]:
        """Mynah's sessions; those of the test itself are known by their application."""
        rows = self.query(
            "SELECT pid FROM pg_stat_activity WHERE datname = 'flights' AND pid <> pg_backend_pid()"
            f" AND backend_type = 'client backend' AND {condition}"
        )
        return [pid for pid, in rows]

    def some_backend(self, condition: str = "state = 'active'") -> int | None:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            found = self.backends(condition)
            if found:
                return self.chance.choice(found)
        return None

    def on_the_way(self, kind: str, step: str) -> Callable[[], bool]:
        def inflict() -> bool:
            return self.relay.inflict(Fault(
                kind, step, after=self.chance.randrange(200),
                seconds=self.chance.uniform(*self.delays),
            ))

        return inflict

    def everything_cut(self) -> bool:
        return self.relay.cut_all() > 0

    def terminated(self) -> bool:
        pid = self.some_backend(self.chance.choice(("state = 'active'", "state <> 'active'")))
        return pid is not None and self.query(f"SELECT pg_terminate_backend({pid})")[0][0]

    def cancelled(self) -> bool:
        pid = self.some_backend()
        return pid is not None and self.query(f"SELECT pg_cancel_backend({pid})")[0][0]

    def row_locked(self) -> bool:
        """Writers wait for a row until they time out, or the lock goes."""
        table = self.schema.table(self.chance.randrange(self.schema.tables))
        with psycopg2.connect(self.server.dsn()) as connection:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT 1 FROM {table} FOR UPDATE")
                time.sleep(0.4)
            connection.rollback()
        connection.close()
        return True

    def stopped(self) -> bool:
        """A server process that does not move, with its link cut meanwhile or not."""
        pid = self.some_backend("query LIKE 'COMMIT%' AND state = 'active'") or self.some_backend()
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self.chance.uniform(0.05, 0.3))
            if self.chance.random() < 0.5:
                self.relay.cut_all()
                time.sleep(0.1)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return False
        return True

    def stalled_commits(self) -> bool:
        """Commits wait for a standby that is not there; their links die; then they take effect."""
        self.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        self.query("SELECT pg_reload_conf()")
        try:
            waiting = self.some_backend("wait_event = 'SyncRep'")
            time.sleep(self.chance.uniform(0, 0.1))
            self.relay.cut_all()
            time.sleep(self.chance.uniform(0.1, 0.5))
        finally:
            self.query("ALTER SYSTEM RESET synchronous_standby_names")
            self.query("SELECT pg_reload_conf()")
        return waiting is not None

    def restarted(self, how: signal.Signals) -> Callable[[], bool]:
        def restart() -> bool:
            self.server.stop(how)
            self.server.start()
            return True

        return restart

    def plan(self) -> list[tuple[str, Callable[[], bool]]]:
        found = [
            (kind, self.on_the_way(kind, step)) for kind in fault_relay.KINDS for step in STEPS
        ]
        found += [
            *[("all links cut", self.everything_cut)] * 3,
            *[("backend terminated", self.terminated)] * 6,
            *[("statement cancelled", self.cancelled)] * 6,
            *[("row locked until timeouts", self.row_locked)] * 3,
            *[("backend stopped", self.stopped)] * 4,
            *[("commits stalled, links cut", self.stalled_commits)] * 5,
            *[("fast restart", self.restarted(signal.SIGINT))] * 3,
            *[("immediate restart", self.restarted(signal.SIGQUIT))] * 3,
        ]
        found += super().plan()
        self.chance.shuffle(found)
        return found
