"""A tour of several nodes: three Mynahs in front of one PostgreSQL, of which the leading one is killed.

`Scripts/nodes` runs it for people, `test_tour.py` as a test.
"""

import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

import psycopg2

from nodes import Peers
from servers import ROOT, PostgresServer, wait_until

READ = "SELECT name, lat, lon FROM airports WHERE faa = %s"
WRITE = "UPDATE airports SET alt = alt + 1 WHERE faa = %s"


@dataclass
class Load:
    """Clients that know all nodes, each beginning with another; 19 reads for each write."""

    nodes: Peers
    keys: list[str]
    ends: threading.Event = field(default_factory=threading.Event)
    # When each began and ended; those that failed are not among them.
    reads: list[tuple[float, float]] = field(default_factory=list)
    writes: list[tuple[float, float]] = field(default_factory=list)
    errors: int = 0
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int = 6) -> "Load":
        for number in range(clients):
            thread = threading.Thread(target=self.run, args=(number,), daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def stop(self) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join(30)

    def run(self, number: int) -> None:
        chance = random.Random(number)
        connection = None
        while not self.ends.is_set():
            try:
                connection = connection or self.connect(number)
                with connection.cursor() as cursor:
                    key = chance.choice(self.keys)
                    began = time.monotonic()
                    if chance.random() < 0.05:
                        cursor.execute(WRITE, (key,))
                        self.writes.append((began, time.monotonic()))
                    else:
                        cursor.execute(READ, (key,))
                        cursor.fetchall()
                        self.reads.append((began, time.monotonic()))
            except psycopg2.Error:
                self.errors += 1
                if connection and not connection.closed:
                    connection.close()
                connection = None
                time.sleep(0.01)
        if connection:
            connection.close()

    def connect(self, number: int):
        nodes = self.nodes.all
        ports = [nodes[(number + offset) % len(nodes)].port for offset in range(len(nodes))]
        connection = psycopg2.connect(
            host=",".join("127.0.0.1" for _ in ports), port=",".join(map(str, ports)),
            user="postgres", dbname="flights", connect_timeout=5,
            target_session_attrs="read-write",
        )
        connection.autocommit = True
        return connection


def tour(say=print, seconds: float = 4) -> dict[str, float]:
    """Returns the figures: seconds from the kill, and hit ratios in per cent."""
    server = PostgresServer()
    nodes = load = None
    try:
        say("Starting PostgreSQL, and three Mynahs in front of it ...")
        server.start()
        server.run("CREATE DATABASE flights", "postgres")
        subprocess.run(
            [str(ROOT / "Fixtures/load-postgresql"), server.dsn("flights")],
            check=True, stdout=subprocess.DEVNULL)
        keys = [row[0] for row in server.run("SELECT faa FROM airports ORDER BY faa LIMIT 200")]
        nodes = Peers(server, 3, replication={"mode": "sync"}).start()
        leader = nodes.primary
        for number, node in enumerate(nodes.all, 1):
            say(f"  node {number}  port {node.port}  {'leads' if node is leader else 'follows'}")
        load = Load(nodes, keys).start()
        time.sleep(seconds)
        before = hit_ratio(nodes, seconds / 2)
        say("\nSix clients read by key, and write once in twenty. Answered from memory:")
        for node, ratio in before.items():
            say(f"  port {node.port}  {ratio:5.1f} %")
        say(f"\nKilling the node that leads (SIGKILL, port {leader.port}) ...")
        killed = time.monotonic()
        leader.signal(signal.SIGKILL)
        leader.process.wait(10)
        gone = time.monotonic()
        wait_until(lambda: has_leader(nodes), "another node leads", 30)
        led = time.monotonic() - killed
        wait_until(lambda: any(began > gone for began, _ in load.writes), "a write was served", 30)
        nodes.wait()
        after = hit_ratio(nodes, seconds / 2)
        new = nodes.primary
        kept = new.figure("takeovers_total", mirror="kept") == 1
        figures = {
            "first read": first_begun_after(gone, load.reads) - killed,
            "first write": first_begun_after(gone, load.writes) - killed,
            "longest pause of reads": longest_gap(load.reads, killed),
            "hits before": ratio_of(before), "hits after": ratio_of(after), "leads": led,
            "mirror kept": float(kept),
        }
        say(f"  first read served after   {figures['first read']:.2f} s")
        say(f"  first write served after  {figures['first write']:.2f} s")
        say(f"  no read at all for        {figures['longest pause of reads']:.2f} s at most")
        say(f"  port {new.port} leads, its mirror {'kept' if kept else 'dropped'}")
        say("\nAnswered from memory since:")
        for node, ratio in after.items():
            say(f"  port {node.port}  {ratio:5.1f} %")
        leader.start()
        nodes.wait()
        say(f"\nThe node on port {leader.port} was started again, and follows.")
        load.stop()
        wrong = [
            key for key in keys
            if alt(server.port, key) != alt(nodes.replicas[0].port, key)
        ]
        say(f"Answers of a replica that differ from PostgreSQL's: {len(wrong)} of {len(keys)}")
        figures["wrong"] = float(len(wrong))
        return figures
    finally:
        if load:
            load.stop()
        if nodes:
            nodes.remove()
        server.remove()


def has_leader(nodes: Peers) -> bool:
    return any(node.leads for node in nodes.all if node.process.poll() is None)


def hit_ratio(nodes: Peers, seconds: float) -> dict:
    """Per cent of the statements of each node that were answered from memory, over a while."""
    running = [node for node in nodes.all if node.process.poll() is None]
    before = [counts(node) for node in running]
    time.sleep(seconds)
    ratios = {}
    for node, (hits, others) in zip(running, before):
        new_hits, new_others = counts(node)
        total = new_hits - hits + new_others - others
        ratios[node] = 100 * (new_hits - hits) / total if total else 0.0
    return ratios


def counts(node) -> tuple[float, float]:
    metrics = node.metrics()
    return metrics.total("mynah_cache_hits_total"), metrics.total("mynah_upstream_queries_total")


def ratio_of(ratios: dict) -> float:
    return sum(ratios.values()) / len(ratios)


def first_begun_after(moment: float, served: list[tuple[float, float]]) -> float:
    """When the first of them ended: what was under way when the node died says nothing."""
    return min(ended for began, ended in list(served) if began > moment)


def longest_gap(served: list[tuple[float, float]], moment: float) -> float:
    around = sorted(ended for _, ended in list(served) if ended > moment - 1)
    return max(later - earlier for earlier, later in zip(around, around[1:]))


def alt(port: int, key: str):
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="flights")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT alt FROM airports WHERE faa = %s", (key,))
            return cursor.fetchone()
    finally:
        connection.close()


if __name__ == "__main__":
    tour()
