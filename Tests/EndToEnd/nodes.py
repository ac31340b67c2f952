"""Several Mynahs, of which all but one follow another."""

from servers import MynahServer, free_port, wait_until


class Node(MynahServer):
    """A Mynah that can be followed at `mirror_port`."""

    def __init__(self, upstream: str, follow: int | None = None, **options):
        self.mirror_port = free_port()
        replication = {
            "listen": f"127.0.0.1:{self.mirror_port}", **options.pop("replication", {}),
        }
        if follow:
            replication["follow"] = f"127.0.0.1:{follow}"
        super().__init__(upstream, replication=replication, **options)

    def figure(self, name: str, **labels: str) -> float:
        return self.metrics().total(f"mynah_replication_{name}", **labels)

    def wait_for_lease(self, timeout: float = 20) -> "Node":
        wait_until(lambda: self.figure("lease_held") == 1, "the replica has a lease", timeout)
        return self


class Nodes:
    """A primary and its replicas; ended with `remove`."""

    def __init__(self, upstream: str, replicas: int = 1, **options):
        self.all = [Node(upstream, **options)]
        for _ in range(replicas):
            self.all.append(Node(upstream, follow=self.all[0].mirror_port, **options))

    @property
    def primary(self) -> Node:
        return self.all[0]

    @property
    def replicas(self) -> list[Node]:
        return self.all[1:]

    def start(self) -> "Nodes":
        for node in self.all:
            node.start()
        for replica in self.replicas:
            replica.wait_for_lease()
        return self

    def remove(self) -> None:
        for node in self.all:
            node.remove()
