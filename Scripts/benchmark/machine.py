"""The machine that is measured: ports, processes and their CPU, and PostgreSQL with the sample."""

import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
POSTGRESQL_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
TICKS = os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen, name: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"bench: {name} ended with status {process.returncode}; see its log")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"bench: {name} does not answer on port {port}")


def tree_seconds(root: int) -> float:
    """CPU seconds of a process and all its descendants, those that have ended included."""
    parents, seconds = {}, {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = pathlib.Path(path).read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended while we looked
        pid = int(path.split("/")[2])
        parents[pid] = int(fields[1])
        # utime, stime, and the same of children that have been waited for
        seconds[pid] = sum(map(int, fields[11:15])) / TICKS
    total = 0.0
    for pid, spent in seconds.items():
        ancestor = pid
        while ancestor not in (root, 0, 1) and ancestor in parents:
            ancestor = parents[ancestor]
        if ancestor == root:
            total += spent
    return total


class Machine:
    """All servers of a run, in one temporary directory, and their end."""

    def __init__(self, stack: contextlib.ExitStack):
        self.stack = stack
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mynah-bench-"))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.as_owner: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self.as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.postgres_port = free_port()

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def spawn(
        self, name: str, command: list, port: int, owned: bool = True,
        stop: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen:
        with open(self.directory / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [*(self.as_owner if owned else []), *map(str, command)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                start_new_session=True,
            )

        def end():
            if process.poll() is None:
                process.send_signal(stop)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)

        self.stack.callback(end)
        try:
            wait_for_port(port, process, name)
        except SystemExit:
            say((self.directory / f"{name}.log").read_text(errors="replace")[-2000:])
            raise
        return process

    def start_postgres(self) -> subprocess.Popen:
        data = self.directory / "data"
        subprocess.run(
            [*self.as_owner, POSTGRESQL_BIN / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd="/",
        )
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.postgres_port, "max_connections": 200,
            "unix_socket_directories": self.directory, "shared_buffers": "256MB", "fsync": "off",
            "autovacuum": "off", "max_parallel_workers_per_gather": 0, "timezone": "UTC",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        process = self.spawn(
            "postgres", [POSTGRESQL_BIN / "postgres", "-D", data, *options], self.postgres_port,
            stop=signal.SIGINT,
        )
        deadline = time.monotonic() + 30
        while self.psql("SELECT 1", database="postgres", check=False) != "1":
            if time.monotonic() > deadline:
                sys.exit("bench: PostgreSQL does not become ready")
            time.sleep(0.05)
        self.psql("CREATE DATABASE flights", database="postgres")
        subprocess.run(
            [ROOT / "Fixtures/load-postgresql",
             f"postgresql://postgres@127.0.0.1:{self.postgres_port}/flights"],
            check=True, stdout=subprocess.DEVNULL,
        )
        self.psql("VACUUM ANALYZE")
        return process

    def psql(
        self, sql: str, port: int | None = None, database: str = "flights", check: bool = True
    ) -> str:
        result = subprocess.run(
            [POSTGRESQL_BIN / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(port or self.postgres_port),
             "-U", "postgres", "-d", database, "-c", sql],
            capture_output=True, text=True,
        )
        if check and result.returncode != 0:
            sys.exit(f"bench: {sql}: {result.stderr}")
        return result.stdout.strip()
