"""What is measured: PostgreSQL itself, and what can stand in front of it."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

from benchmark import pgbouncer
from benchmark.machine import ROOT, Machine, free_port, say

TITLES = {
    "direct": "direct", "pgbouncer": "PgBouncer", "pgpool": "Pgpool-II, cached",
    "mynah-hit": "Mynah, hit", "mynah-miss": "Mynah, miss", "mynah-off": "Mynah, cache off",
    "mynah": "Mynah", "redis": "Redis GET",
}
PACKAGES = {
    "direct": ["postgresql-15", "postgresql-client-15"], "pgbouncer": pgbouncer.NEEDED,
    "pgpool": ["pgpool2"], "redis": ["redis-server", "redis-tools"],
}


def install(servers: list[str]) -> None:
    wanted = ["direct", *servers]
    packages = [package for server in wanted for package in PACKAGES.get(server, [])]
    missing = [
        package for package in dict.fromkeys(packages)
        if "install ok installed" not in subprocess.run(
            ["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True
        ).stdout
    ]
    if not missing:
        return
    if os.geteuid() != 0:
        sys.exit(f"bench: needs root to install: apt-get install {' '.join(missing)}")
    say(f"Installing {' '.join(missing)}")
    policy = pathlib.Path("/usr/sbin/policy-rc.d")  # no package may start a server of its own
    made = not policy.exists()
    if made:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
            check=True, stdout=subprocess.DEVNULL, env=environment,
        )
    finally:
        if made:
            policy.unlink()


class Direct:
    def __init__(self, machine: Machine, postgres: subprocess.Popen):
        self.machine, self.postgres = machine, postgres
        self.port, self.process = machine.postgres_port, postgres

    def database(self, mode: str) -> str:
        return "flights"

    def hits(self) -> float | None:
        """Answers from memory so far, where the server has a cache."""
        return None


class PgBouncer(Direct):
    """Transaction pooling, prepared statements included."""

    def __init__(self, machine, postgres):
        super().__init__(machine, postgres)
        self.port = free_port()
        server = f"host=127.0.0.1 port={machine.postgres_port} dbname=flights user=postgres"
        configuration = machine.write("pgbouncer.ini", (
            "[databases]\n"
            f"flights = {server}\n"
            "[pgbouncer]\npool_mode = transaction\nmax_prepared_statements = 200\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\nmax_client_conn = 6000\ndefault_pool_size = 40\n"
            "log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n"
        ))
        self.process = machine.spawn(
            "pgbouncer", [pgbouncer.build(), configuration], self.port, stop=signal.SIGINT
        )


class Pgpool(Direct):
    def __init__(self, machine, postgres):
        super().__init__(machine, postgres)
        self.port = free_port()
        oids = machine.directory / "oids"
        oids.mkdir()
        if machine.as_owner:
            shutil.chown(oids, "postgres", "postgres")
        settings = {
            "backend_clustering_mode": "'streaming_replication'", "listen_addresses": "'127.0.0.1'",
            "port": self.port, "pcp_listen_addresses": "'127.0.0.1'", "pcp_port": free_port(),
            "socket_dir": f"'{machine.directory}'", "pcp_socket_dir": f"'{machine.directory}'",
            "backend_hostname0": "'127.0.0.1'", "backend_port0": machine.postgres_port,
            "backend_weight0": 1, "backend_flag0": "'ALWAYS_PRIMARY'", "num_init_children": 40,
            "max_pool": 1, "pid_file_name": f"'{machine.directory}/pgpool.pid'",
            "logdir": f"'{machine.directory}'",
            "sr_check_period": 0, "health_check_period": 0, "load_balance_mode": "off",
            "memory_cache_enabled": "on", "memqcache_method": "'shmem'",
            "memqcache_total_size": "256MB", "memqcache_expire": 0,
            "memqcache_auto_cache_invalidation": "on", "memqcache_maxcache": "400kB",
            "memqcache_oiddir": f"'{oids}'", "log_min_messages": "error",
        }
        configuration = machine.write(
            "pgpool.conf", "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        hba = machine.write("pool_hba.conf", "host all all 127.0.0.1/32 trust\n")
        pcp = machine.write("pcp.conf", "")
        self.process = machine.spawn(
            "pgpool", ["/usr/sbin/pgpool", "-n", "-f", configuration, "-a", hba, "-F", pcp],
            self.port, stop=signal.SIGINT,
        )

    def hits(self):
        # The first column is num_cache_hits.
        return float(self.machine.psql("SHOW pool_cache", self.port).split("|")[0])


class Mynah(Direct):
    # What follows memory in the [cache] table.
    CACHE = {
        "mynah-hit": 'enabled = true\nttl = "0"\n',
        "mynah-miss": 'enabled = true\nttl = "1ms"\nsingle_flight = false\n',
        "mynah-off": "enabled = false\n",
    }

    def __init__(self, machine, postgres, name: str):
        super().__init__(machine, postgres)
        self.port, self.metrics_port, self.cached = free_port(), free_port(), name != "mynah-off"
        configuration = machine.write(f"{name}.conf", (
            f'[listen]\naddress = "127.0.0.1:{self.port}"\nmetrics = "127.0.0.1:{self.metrics_port}"\n'
            f'[upstream]\nurl = "postgresql://127.0.0.1:{machine.postgres_port}"\n'
            f'[limits]\nmax_client_connections = 6000\n'
            f'[cache]\nmemory = "256MB"\n{self.CACHE[name]}'
        ))
        self.process = machine.spawn(
            name, [binary(), "serve", "--config", configuration], self.port, owned=False,
        )
        deadline = time.monotonic() + 30
        while not self.ready():
            if time.monotonic() > deadline:
                sys.exit(f"bench: {name} does not become ready")
            time.sleep(0.05)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.metrics_port}{path}", timeout=10
        ) as reply:
            return reply.read().decode()

    def ready(self) -> bool:
        try:
            return bool(self.get("/readyz")) or True
        except OSError:
            return False

    def hits(self):
        samples = re.findall(
            r"^mynah_cache_hits_total(?:{[^}]*})? (\S+)$", self.get("/metrics"), re.MULTILINE
        )
        return sum(map(float, samples))


def binary() -> pathlib.Path:
    path = pathlib.Path(os.environ.get("MYNAH_BINARY", ROOT / ".build/release/mynah"))
    if not path.exists():
        say("Building .build/release/mynah")
        subprocess.run(
            ["swift", "build", "-c", "release", "--product", "mynah"], cwd=ROOT, check=True,
            stdout=sys.stderr,
        )
    return path
