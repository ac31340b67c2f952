"""What a client costs that is connected and does nothing: thousands of them on a pool of twenty."""

import pathlib
import re
import resource
import socket
import struct

from benchmark.machine import say
from benchmark.servers import TITLES, Direct

SERVERS = ["pgbouncer", "mynah-hit"]
CLIENTS = 5000
# Counted from here on: what the first ones make a server allocate serves all.
FIRST = 500


def startup(database: str) -> bytes:
    body = struct.pack("!I", 196608)
    for name, value in {"user": "postgres", "database": database}.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def connect(port: int, database: str) -> socket.socket:
    """A session that has been greeted: its ReadyForQuery has come."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(startup(database))
    received = b""
    while not received.endswith(b"Z\0\0\0\x05I"):
        data = client.recv(4096)
        if not data:
            raise ConnectionError(f"refused: {received[:200]!r}")
        received += data
    return client


def resident(process: int) -> int:
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def measure_idle(name: str, server: Direct) -> dict:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * CLIENTS)), hard))
    clients = []
    try:
        for _ in range(FIRST):
            clients.append(connect(server.port, server.database("simple")))
        before = resident(server.process.pid)
        while len(clients) < CLIENTS:
            clients.append(connect(server.port, server.database("simple")))
        each = (resident(server.process.pid) - before) / (CLIENTS - FIRST)
    finally:
        for client in clients:
            client.close()
    say(f"  {TITLES[name]:18} {each:,.0f} bytes for each idle client")
    return {"server": name, "clients": CLIENTS, "bytes": each}


def idle_table(results: list[dict]) -> str:
    if not results:
        return ""
    lines = [
        f"**Idle clients** ({CLIENTS:,} connections, without TLS)", "",
        "| server | resident memory per client, bytes |", "| --- | ---: |",
    ]
    lines += [f"| {TITLES[cell['server']]} | {cell['bytes']:,.0f} |" for cell in results]
    return "\n".join(lines) + "\n"
