"""Several Mynahs, of which all but one follow another."""

from relay import LinkRelay
from servers import MynahServer, free_port, wait_until


class Node(MynahServer):
    """A Mynah that can be followed at `mirror_port`."""

    def __init__(
        self, upstream: str, follow: int | list[int] | None = None,
        mirror_port: int | None = None, **options,
    ):
        self.mirror_port = mirror_port or free_port()
        replication = {
            "listen": f"127.0.0.1:{self.mirror_port}", **options.pop("replication", {}),
        }
        if follow:
            ports = follow if isinstance(follow, list) else [follow]
            replication["follow"] = [f"127.0.0.1:{port}" for port in ports]
        super().__init__(upstream, replication=replication, **options)

    def figure(self, name: str, **labels: str) -> float:
        return self.metrics().total(f"mynah_replication_{name}", **labels)

    @property
    def leads(self) -> bool:
        return self.figure("role", role="primary") == 1

    def wait_for_lease(self, timeout: float = 20) -> "Node":
        wait_until(lambda: self.figure("lease_held") == 1, "the replica has a lease", timeout)
        return self

    def wait_for_log(self, *parts: str, timeout: float = 20) -> str:
        """The first line of the log that contains all of `parts`."""

        def found() -> str | None:
            lines = self.log().splitlines()
            return next((line for line in lines if all(part in line for part in parts)), None)

        try:
            return wait_until(found, f"a line with {parts}", timeout)
        except AssertionError as never:
            raise AssertionError(f"{never}; the log:\n{self.log()}") from None


class Nodes:
    """A primary and its replicas; ended with `remove`.

    `chained`: the last replica follows the one before it. `relayed`: each replica follows through a
    relay of its own (`relays`, in the order of the replicas).
    """

    def __init__(
        self, upstream: str, replicas: int = 1, chained: bool = False, relayed: bool = False,
        **options,
    ):
        self.all = [Node(upstream, **options)]
        # A SQLite file has one node; the others know nothing but that.
        own = "primary" if upstream.startswith("sqlite:") else upstream
        self.relays: list[LinkRelay] = []
        for number in range(replicas):
            leader = self.all[-1] if chained and number == replicas - 1 else self.all[0]
            port = leader.mirror_port
            if relayed:
                self.relays.append(LinkRelay(port))
                port = self.relays[-1].port
            self.all.append(Node(own, follow=port, **options))

    @property
    def primary(self) -> Node:
        return self.all[0]

    @property
    def replicas(self) -> list[Node]:
        return self.all[1:]

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(node.port for node in self.all)

    def start(self) -> "Nodes":
        for node in self.all:
            node.start()
        self.wait_for_leases()
        return self

    def wait_for_leases(self) -> None:
        for replica in self.replicas:
            replica.wait_for_lease()

    def remove(self) -> None:
        for node in self.all:
            node.remove()
        while self.relays:
            self.relays.pop().close()


class Peers(Nodes):
    """Nodes of which the database decides which one leads."""

    def __init__(self, server, count: int = 3, **options):
        replication = {
            "failover": True, "arbiter": server.url("postgres") + "/postgres",
            **options.pop("replication", {}),
        }
        ports = [free_port() for _ in range(count)]
        self.relays = []
        self.all = [
            Node(
                server.url(), follow=[other for other in ports if other != port],
                mirror_port=port, replication=replication, **options,
            )
            for port in ports
        ]

    def start(self) -> "Peers":
        for node in self.all:
            node.start()
        self.wait()
        return self

    def wait_for_leases(self) -> None:
        self.wait(60)

    def wait(self, timeout: float = 20) -> None:
        """Until one leads, and all others that run have a lease."""
        running = [node for node in self.all if node.process and node.process.poll() is None]

        def is_settled() -> bool:
            leaders = [node for node in running if node.leads]
            return len(leaders) == 1 and all(
                node.figure("lease_held") == 1 for node in running if node not in leaders
            )

        wait_until(is_settled, "one node leads, and the others follow", timeout)

    @property
    def primary(self) -> Node:
        [leader] = [
            node for node in self.all if node.process and node.process.poll() is None and node.leads
        ]
        return leader

    @property
    def replicas(self) -> list[Node]:
        leader = self.primary
        return [
            node for node in self.all
            if node is not leader and node.process and node.process.poll() is None
        ]
