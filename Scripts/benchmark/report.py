"""What is printed: progress, tables, and ratios."""

import os
import pathlib
import platform
import re
import subprocess

from benchmark import pgbouncer
from benchmark.machine import say
from benchmark.servers import TITLES
from benchmark.workloads import WORKLOADS


def progress(cell: dict) -> None:
    ratio = "" if cell["hit_ratio"] is None else f"  hits {cell['hit_ratio']:.1%}"
    say(
        f"  {TITLES[cell['server']]:18} {cell['workload']:10} {cell['mode']:9}"
        f" {cell['clients']:3} clients  {cell['per_second']:9,.0f}/s"
        f"  {cell['mean_ms']:.3f} ms  {cell['cpu_us']:.1f} µs CPU{ratio}"
    )


def figure(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}f}"


def tables(results: list[dict], clients_list: list[int]) -> str:
    """One Markdown table per workload; cells hold the figures for each number of clients."""
    lines = []
    counts = " / ".join(map(str, clients_list))
    titles = {name: title for name, (title, *_) in WORKLOADS.items()} | {"get": "Redis GET, for scale"}
    for workload in dict.fromkeys(cell["workload"] for cell in results):
        lines += [
            f"**{titles[workload]}** ({counts} clients)", "",
            "| server | protocol | operations per second | mean latency, ms | p99, ms"
            " | server CPU per operation, µs | hits |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        cells = [cell for cell in results if cell["workload"] == workload]
        for server, mode in dict.fromkeys((cell["server"], cell["mode"]) for cell in cells):
            row = [c for c in cells if (c["server"], c["mode"]) == (server, mode)]
            pick = lambda key, digits: " / ".join(figure(c[key], digits) for c in row)  # noqa: E731
            ratios = [c["hit_ratio"] for c in row if c["hit_ratio"] is not None]
            hits = f"{min(ratios):.1%}" if ratios else "–"
            lines.append(
                f"| {TITLES[server]} | {mode} | {pick('per_second', 0)} | {pick('mean_ms', 3)}"
                f" | {pick('p99_ms', 3)} | {pick('cpu_us', 1)} | {hits} |"
            )
        lines.append("")
    return "\n".join(lines)


def comparisons(results: list[dict]) -> list[str]:
    """How the figures stand to what Mynah promises."""
    by = {(c["server"], c["workload"], c["mode"], c["clients"]): c for c in results}
    lines = []
    for (server, workload, mode, clients), cell in by.items():
        if server == "mynah-hit" and ("pgpool", workload, mode, clients) in by:
            peer = by["pgpool", workload, mode, clients]
            lines.append((cell["per_second"] / peer["per_second"], "hit: throughput over Pgpool-II's", cell))
        if server in ("mynah-miss", "mynah-off") and ("pgbouncer", workload, mode, clients) in by and workload == "key":
            peer = by["pgbouncer", workload, mode, clients]
            if peer["cpu_us"]:
                name = "miss" if server == "mynah-miss" else "cache off"
                lines.append((cell["cpu_us"] / peer["cpu_us"], f"{name}: CPU over PgBouncer's", cell))
    summary = []
    for title in (
        "hit: throughput over Pgpool-II's", "miss: CPU over PgBouncer's",
        "cache off: CPU over PgBouncer's",
    ):
        ratios = [(ratio, cell) for ratio, name, cell in lines if name == title]
        if ratios:
            low, high = min(ratios, key=lambda x: x[0]), max(ratios, key=lambda x: x[0])
            at = lambda item: (  # noqa: E731
                f"{item[0]:.2f} ({item[1]['workload']}, {item[1]['mode']}, {item[1]['clients']} clients)"
            )
            summary.append(f"{title}: from {at(low)} to {at(high)}")
    return summary


def machine_description() -> dict:
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    version = lambda *command: (  # noqa: E731
        subprocess.run(command, capture_output=True, text=True).stdout.strip().splitlines() or [""]
    )[0]
    installed = lambda package: version("dpkg-query", "-W", "-f", "${Version}", package)  # noqa: E731
    return {
        "cores": os.cpu_count(), "cpu": model[1] if model else platform.machine(),
        "kernel": platform.release(),
        "postgresql": installed("postgresql-15"), "pgbouncer": pgbouncer.version(),
        "pgpool2": installed("pgpool2"), "redis": installed("redis-server"),
    }
