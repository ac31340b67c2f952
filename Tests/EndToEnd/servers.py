"""Starts and stops what the tests talk to: PostgreSQL and Mynah, each on free loopback ports."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[2]
POSTGRESQL_BIN = pathlib.Path(os.environ.get("POSTGRESQL_BIN", "/usr/lib/postgresql/15/bin"))
MYNAH_BINARY = pathlib.Path(os.environ.get("MYNAH_BINARY", ROOT / ".build/debug/mynah")).absolute()


given_ports: set[int] = set()


def free_port() -> int:
    """A port that is free, and that nobody in this process was given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in given_ports:
            given_ports.add(port)
            return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20) -> object:
    """Waits for a condition to hold and returns its value; fails after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


class PostgresServer:
    """A PostgreSQL cluster of its own in a temporary directory; a hot standby of `primary` if given."""

    def __init__(
        self, settings: dict[str, str] | None = None, primary: "PostgresServer | None" = None
    ):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mynah-e2e-pg-"))
        self.data = self.directory / "data"
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.settings = {
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{self.directory}'",
            "max_connections": "200",
            "max_prepared_transactions": "8",
            "wal_level": "logical",
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "'64MB'",
            "max_wal_size": "'256MB'",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
            **(settings or {}),
        }
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self._as_owner = [
                "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
            ]
        else:
            self._as_owner = []
        if primary:
            self._run("pg_basebackup", "-D", str(self.data), "-R", "-c", "fast", "-d", primary.dsn("postgres"))
        else:
            self._run(
                "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "--no-sync",
            )
        with open(self.data / "postgresql.conf", "a") as file:
            for name, value in self.settings.items():
                file.write(f"{name} = {value}\n")
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\n"
            "host replication all 127.0.0.1/32 trust\n"
            "host all scram_user 127.0.0.1/32 scram-sha-256\n"
            "host all md5_user 127.0.0.1/32 md5\n"
            "host all cleartext_user 127.0.0.1/32 password\n"
            "host all all 127.0.0.1/32 trust\n"
        )

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_owner, str(POSTGRESQL_BIN / program), *arguments],
            check=True, stdout=subprocess.DEVNULL, cwd="/",
        )

    def copy_data(self, name: str) -> pathlib.Path:
        """Copies the data directory of the stopped server, as its owner."""
        copy = self.directory / name
        subprocess.run(
            [*self._as_owner, "cp", "-a", str(self.data), str(copy)], check=True, cwd="/"
        )
        return copy

    def start(self) -> "PostgresServer":
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*self._as_owner, str(POSTGRESQL_BIN / "postgres"), "-D", str(self.data),
                 "-p", str(self.port)],
                stdout=log, stderr=log, cwd="/", start_new_session=True,
            )
        wait_until(self.answers, "PostgreSQL accepts connections", 60)
        return self

    def answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.log()
        try:
            psycopg2.connect(self.dsn("postgres")).close()
            return True
        except psycopg2.OperationalError:
            return False

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def dsn(self, database: str = "flights", user: str = "postgres") -> str:
        return f"host=127.0.0.1 port={self.port} user={user} dbname={database}"

    def url(self, user: str | None = None, password: str | None = None) -> str:
        who = f"{user}:{password}@" if password else f"{user}@" if user else ""
        return f"postgresql://{who}127.0.0.1:{self.port}"

    def connect(self, database: str = "flights", user: str = "postgres"):
        connection = psycopg2.connect(self.dsn(database, user))
        connection.autocommit = True
        return connection

    def run(self, sql: str, database: str = "flights") -> list[tuple]:
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def promote(self) -> None:
        """Makes a standby a primary."""
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)


class MynahServer:
    """One `mynah serve` process with a configuration file of its own."""

    def __init__(
        self,
        upstream: str,
        cache: dict[str, object] | None = None,
        rules: list[dict[str, object]] | None = None,
        listen: dict[str, object] | None = None,
        sqlite: dict[str, object] | None = None,
        pool: dict[str, object] | None = None,
        limits: dict[str, object] | None = None,
        log: dict[str, object] | None = None,
        tls: dict[str, object] | None = None,
        environment: dict[str, str] | None = None,
        auth: dict[str, object] | None = None,
        replication: dict[str, object] | None = None,
        snapshot: dict[str, object] | None = None,
    ):
        self.replication = replication or {}
        self.snapshot = snapshot or {}
        self.environment = environment or {}
        # The keys of [auth], and under "rule", "user" and "jwt" the tables below it.
        self.auth = auth or {}
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mynah-e2e-"))
        self.port = free_port()
        self.metrics_port = free_port()
        self.upstream = upstream
        self.cache = {"enabled": True, "memory": "64MB", "ttl": "5m", "max_entry": "4MB"}
        self.cache.update(cache or {})
        self.rules = rules or []
        self.sqlite = sqlite or {}
        self.pool = pool or {}
        self.limits = limits or {}
        self.listen = {
            "address": f"127.0.0.1:{self.port}",
            "metrics": f"127.0.0.1:{self.metrics_port}",
            **(listen or {}),
        }
        self.log_settings = log or {}
        self.tls = tls or {}
        self.process: subprocess.Popen | None = None

    @property
    def configuration(self) -> pathlib.Path:
        return self.directory / "proxy.conf"

    @property
    def is_sqlite(self) -> bool:
        return self.upstream.startswith("sqlite:")

    def write_configuration(self, text: str | None = None) -> None:
        self.configuration.write_text(text if text is not None else self.configuration_text())

    def configuration_text(self) -> str:
        lines = ["[listen]", *toml(self.listen), "", "[upstream]", *toml({"url": self.upstream})]
        sections = {
            "tls": self.tls, "pool": self.pool, "sqlite": self.sqlite, "limits": self.limits,
            "replication": self.replication,
            "snapshot": self.snapshot,
        }
        for name, section in sections.items():
            if section:
                lines += ["", f"[{name}]", *toml(section)]
        lines += ["", "[cache]", *toml(self.cache)]
        below = {name: self.auth[name] for name in ("jwt", "user", "rule") if name in self.auth}
        if self.auth:
            lines += ["", "[auth]", *toml({k: v for k, v in self.auth.items() if k not in below})]
        if "jwt" in below:
            lines += ["", "[auth.jwt]", *toml(below["jwt"])]
        for name in ("user", "rule"):
            for table in below.get(name, []):
                lines += ["", f"[[auth.{name}]]", *toml(table)]
        if self.log_settings:
            lines += ["", "[log]", *toml(self.log_settings)]
        for rule in self.rules:
            lines += ["", "[[rule]]", *toml(rule)]
        return "\n".join(lines) + "\n"

    def spawn(self) -> "MynahServer":
        if not self.configuration.exists():
            self.write_configuration()
        assert MYNAH_BINARY.exists(), f"{MYNAH_BINARY} is missing: build it, or set MYNAH_BINARY"
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(MYNAH_BINARY), "serve", "--config", str(self.configuration)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                start_new_session=True, env={**os.environ, **self.environment},
            )
        return self

    def start(self) -> "MynahServer":
        self.spawn()
        wait_until(self.is_ready, "/readyz answers 200", 30)
        return self

    def is_ready(self) -> bool:
        assert self.process and self.process.poll() is None, (
            f"mynah ended with {self.process and self.process.returncode}:\n{self.log()}"
        )
        return self.http_status("/readyz") == 200

    def http_status(self, path: str) -> int | None:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5
            ) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text(errors="replace")[-8000:] if path.exists() else ""

    def metrics(self) -> "Metrics":
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10
        ) as reply:
            return Metrics(reply.read().decode())

    @contextlib.contextmanager
    def counting(self):
        """Yields a Delta that is filled in when the block ends."""
        delta = Delta(self.metrics())
        yield delta
        delta.after = self.metrics()

    def resident_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def signal(self, signal_number: signal.Signals) -> None:
        self.process.send_signal(signal_number)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(10)

    def remove(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)


def running(server: "PostgresServer | MynahServer"):
    """For a fixture to yield from: `server`, started, until it is no longer used."""
    try:
        yield server.start()
    finally:
        server.remove()


def with_flights(server: PostgresServer, *statements: str):
    """As `running`, with a database `flights` that holds what `statements` make."""
    try:
        server.start()
        server.run("CREATE DATABASE flights", "postgres")
        for sql in statements:
            server.run(sql)
        yield server
    finally:
        server.remove()


def toml(table: dict[str, object]) -> list[str]:
    def literal(value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            return "[" + ", ".join(literal(item) for item in value) + "]"
        if isinstance(value, (int, float)):
            return str(value)
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{literal(k)} = {literal(v)}" for k, v in value.items()) + " }"
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'

    return [f"{name} = {literal(value)}" for name, value in table.items()]


class Metrics:
    """One scrape of /metrics, by sample name and labels."""

    def __init__(self, text: str):
        self.text = text
        self.samples: dict[tuple[str, frozenset], float] = {}
        self.types: dict[str, str] = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(None, 3)
                self.types[name] = kind
            elif line and not line.startswith("#"):
                match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
                assert match, f"not a Prometheus sample: {line!r}"
                labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")
                self.samples[match[1], frozenset(labels)] = float(match[3])

    def total(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(
            value for (sample, has), value in self.samples.items()
            if sample == name and wanted <= has
        )

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


class Delta:
    """What counters have gained between two scrapes."""

    def __init__(self, before: Metrics, after: Metrics | None = None):
        self.before = before
        self.after = after

    def of(self, name: str, **labels: str) -> int:
        return int(self.after.total(name, **labels) - self.before.total(name, **labels))

    @property
    def hits(self) -> int:
        return self.of("mynah_cache_hits_total")

    @property
    def misses(self) -> int:
        return self.of("mynah_cache_misses_total")

    @property
    def bypasses(self) -> int:
        return self.of("mynah_cache_bypass_total")

    @property
    def upstream(self) -> int:
        return self.of("mynah_upstream_queries_total")

    def reasons(self) -> dict[str, int]:
        found = {}
        for (name, labels), value in self.after.samples.items():
            if name == "mynah_cache_bypass_total":
                gained = int(value - self.before.samples.get((name, labels), 0))
                if gained:
                    found[dict(labels).get("reason", "?")] = gained
        return found

    def __str__(self) -> str:
        return (
            f"hits {self.hits}, misses {self.misses}, upstream {self.upstream}, "
            f"bypasses {self.reasons()}"
        )
