"""Graphs of what must precede what, and the cycles in them."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Graph:
    edges: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, tail: int, head: int) -> None:
        if tail != head:
            self.edges[tail].add(head)

    def cycles(self) -> list[list[int]]:
        """The strongly connected components of more than one node (Tarjan 1972)."""
        index: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        found = []
        for root in list(self.edges):
            if root in index:
                continue
            work = [(root, iter(self.edges.get(root, ())))]
            index[root] = low[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            while work:
                node, heads = work[-1]
                for head in heads:
                    if head not in index:
                        index[head] = low[head] = len(index)
                        stack.append(head)
                        on_stack.add(head)
                        work.append((head, iter(self.edges.get(head, ()))))
                        break
                    if head in on_stack:
                        low[node] = min(low[node], index[head])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        component = []
                        while True:
                            component.append(stack.pop())
                            on_stack.discard(component[-1])
                            if component[-1] == node:
                                break
                        if len(component) > 1:
                            found.append(component)
        return found


def add_real_time(graph: Graph, spans: list[tuple[int, int]]) -> None:
    """Adds an edge from all that ended before another began, by way of one node for each ending.

    The nodes of endings are negative and form a chain, so that edges grow with the events, not with
    their square.
    """
    endings = sorted((end, node) for node, (_, end) in enumerate(spans))
    beginnings = sorted((start, node) for node, (start, _) in enumerate(spans))
    passed = 0
    for start, node in beginnings:
        while passed < len(endings) and endings[passed][0] < start:
            graph.add(endings[passed][1], -1 - passed)
            if passed:
                graph.add(-passed, -1 - passed)
            passed += 1
        if passed:
            graph.add(-passed, node)
