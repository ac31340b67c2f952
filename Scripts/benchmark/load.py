"""The load: pgbench and redis-benchmark, and what they measure."""

import glob
import os
import re
import subprocess
import sys

from benchmark.machine import POSTGRESQL_BIN, Machine, free_port, tree_seconds
from benchmark.report import progress
from benchmark.servers import Direct
from benchmark.workloads import KEYS


def pgbench(
    machine: Machine, server: Direct, mode: str, scripts: list[str], *arguments: str
) -> str:
    """Runs pgbench; `scripts` are files, each with `@weight` behind it where there are several."""
    result = subprocess.run(
        [POSTGRESQL_BIN / "pgbench", "-n", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres",
         "-M", mode, "-j", "1", *(word for script in scripts for word in ("-f", script)), *arguments,
         server.database(mode)],
        capture_output=True, text=True, cwd=machine.directory, timeout=300,
    )
    if result.returncode != 0 or "aborted" in result.stderr:
        sys.exit(f"bench: pgbench failed: {result.stdout}{result.stderr}")
    return result.stdout


def percentile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def measure(
    machine: Machine, name: str, server: Direct, workload: str, mode: str, clients: int, seconds: int
) -> dict:
    script = machine.directory / f"{workload}.sql"
    prefix = machine.directory / "transactions"
    for old in glob.glob(f"{prefix}.*"):
        os.unlink(old)
    hits_before, cpu_before = server.hits(), tree_seconds(server.process.pid)
    upstream_before = tree_seconds(server.postgres.pid)
    out = pgbench(
        machine, server, mode, [str(script)], "-c", str(clients), "-T", str(seconds), "-l",
        f"--log-prefix={prefix}", "--sampling-rate=0.1",
    )
    cpu = tree_seconds(server.process.pid) - cpu_before
    upstream = tree_seconds(server.postgres.pid) - upstream_before
    hits_after = server.hits()
    operations = int(re.search(r"transactions actually processed: (\d+)", out)[1])
    latencies = sorted(
        float(line.split()[2]) for path in glob.glob(f"{prefix}.*")
        for line in open(path) if line.strip()
    )
    hit_ratio = None if hits_before is None else min(1.0, (hits_after - hits_before) / operations)
    return {
        "server": name, "workload": workload, "mode": mode, "clients": clients,
        "operations": operations,
        "per_second": float(re.search(r"tps = ([\d.]+)", out)[1]),
        "mean_ms": float(re.search(r"latency average = ([\d.]+) ms", out)[1]),
        "p50_ms": milliseconds(percentile(latencies, 0.50)),
        "p99_ms": milliseconds(percentile(latencies, 0.99)),
        "cpu_us": cpu / operations * 1e6,
        "postgresql_cpu_us": upstream / operations * 1e6,
        "hit_ratio": hit_ratio,
    }


def milliseconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def measure_redis(machine: Machine, clients_list: list[int], seconds: float) -> list[dict]:
    port = free_port()
    process = machine.spawn(
        "redis", ["/usr/bin/redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                  "--appendonly", "no", "--dir", machine.directory, "--daemonize", "no"], port,
    )
    run = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-r", str(KEYS), "-d", "200", "--csv"]
    subprocess.run([*run, "-t", "set", "-n", str(KEYS * 20)], check=True, capture_output=True)
    results = []
    for clients in clients_list:
        count = int((20_000 if clients == 1 else 60_000) * seconds)
        before = tree_seconds(process.pid)
        out = subprocess.run(
            [*run, "-t", "get", "-n", str(count), "-c", str(clients)],
            check=True, capture_output=True, text=True,
        ).stdout
        cpu = tree_seconds(process.pid) - before
        header, values = (
            [field.strip('"') for field in line.split(",")] for line in out.strip().splitlines()[-2:]
        )
        row = dict(zip(header, values))
        results.append({
            "server": "redis", "workload": "get", "mode": "RESP", "clients": clients,
            "operations": count, "per_second": float(row["rps"]),
            "mean_ms": float(row["avg_latency_ms"]), "p50_ms": float(row["p50_latency_ms"]),
            "p99_ms": float(row["p99_latency_ms"]), "cpu_us": cpu / count * 1e6,
            "postgresql_cpu_us": 0.0, "hit_ratio": None,
        })
        progress(results[-1])
    return results
