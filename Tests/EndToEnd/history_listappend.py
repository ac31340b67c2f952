"""A checker for transactions that append to lists, after Elle (Kingsbury, Alvaro 2020).

Every element is appended once, so a list shows the order of its versions, and what a transaction
read shows which transactions it must follow and which it must precede. A cycle of such edges is an
anomaly, named after Adya (1999) by the edges that it needs:

- G0: writes alone. G1a: a read of what was rolled back. G1b: a read of what its transaction wrote
  over. G1c: writes and reads of writes. No isolation level of PostgreSQL allows these.
- G-single: one read that missed a later write. REPEATABLE READ and SERIALIZABLE forbid it.
- G2: several of those. Forbidden among SERIALIZABLE transactions alone.

Besides, every read outside of REPEATABLE READ and SERIALIZABLE is linearizable, and commits are
points in time: reads, commits and the order of real time between them must have no cycle either.
"""

import heapq
from collections import defaultdict

from history_graph import Graph, add_real_time
from history_monotone import ACKNOWLEDGED, FAILED, UNKNOWN
from history_transactions import SERIALIZABLE, SNAPSHOTS, Append, Transaction


class ListHistory:
    """Transactions and the lists as they were in the end, read from the database itself."""

    def __init__(self, transactions: list[Transaction], final: dict[int, tuple[int, ...]]):
        self.transactions = transactions
        self.final = final
        self.anomalies: list[str] = []
        self.writer: dict[tuple[int, int], int] = {}
        self.order: dict[int, tuple[int, ...]] = {}
        self.place: dict[tuple[int, int], int] = {}

    def check(self) -> list[str]:
        """What is wrong, each beginning with the anomaly's name; [] if nothing is."""
        self._find_writers()
        self._settle_unknown()
        self._recover_order()
        if not self.anomalies:
            # Edges mean nothing where the order of versions is not known.
            self._check_reads()
            self._check_cycles()
            self._check_real_time()
        return self.anomalies

    def _report(self, name: str, text: str) -> None:
        self.anomalies.append(f"{name}: {text}")

    def _find_writers(self) -> None:
        for number, transaction in enumerate(self.transactions):
            for step in transaction.steps:
                if isinstance(step, Append):
                    assert (step.key, step.element) not in self.writer, "elements are appended once"
                    self.writer[step.key, step.element] = number

    def _settle_unknown(self) -> None:
        """An unknown outcome is what the final lists show; nothing runs any more by then."""
        for number, transaction in enumerate(self.transactions):
            shown = {
                step.element in self.final.get(step.key, ())
                for step in transaction.steps if isinstance(step, Append)
            }
            if transaction.outcome == UNKNOWN:
                transaction.outcome = ACKNOWLEDGED if True in shown else FAILED
                transaction.end = 1 << 62
            if transaction.outcome == ACKNOWLEDGED and False in shown:
                self._report("lost", f"appends of transaction {number} are not in the final lists")
            if transaction.outcome == FAILED and True in shown:
                self._report("G1a", f"failed transaction {number} is in the final lists")

    def _reads(self):
        """Each read with its transaction, without what the transaction itself had appended."""
        for number, transaction in enumerate(self.transactions):
            own: dict[int, list[int]] = defaultdict(list)
            for step in transaction.steps:
                if isinstance(step, Append):
                    own[step.key].append(step.element)
                    continue
                elements, mine = step.elements, tuple(own[step.key])
                if mine:
                    if elements[-len(mine):] != mine:
                        text = f"transaction {number} does not see its own appends"
                        self._report("internal", text)
                        continue
                    elements = elements[: -len(mine)]
                yield number, transaction, step, elements

    def _recover_order(self) -> None:
        self.order = dict(self.final)
        for number, _, step, elements in self._reads():
            longest = self.order.get(step.key, ())
            if len(set(elements)) != len(elements):
                self._report("duplicate", f"transaction {number} reads an element twice")
            shared = min(len(longest), len(elements))
            if elements[:shared] != longest[:shared]:
                for element in elements:
                    by = self.transactions[self.writer[step.key, element]]
                    if by.outcome == FAILED:
                        self._report("G1a", f"transaction {number} reads what was rolled back")
                        break
                else:
                    self._report("order", f"list {step.key} had two orders: transaction {number}")
            elif len(elements) > len(longest):
                self._report("lost", f"list {step.key} was longer for transaction {number}")
        self.place = {
            (key, element): index
            for key, elements in self.order.items() for index, element in enumerate(elements)
        }

    def _check_reads(self) -> None:
        for number, _, step, elements in self._reads():
            if not elements:
                continue
            by = self.writer[step.key, elements[-1]]
            if by != number and self.transactions[by].appends(step.key)[-1] != elements[-1]:
                self._report("G1b", f"transaction {number} reads an intermediate list of {by}")

    def _neighbours(self, key: int, elements: tuple[int, ...]) -> tuple[int | None, int | None]:
        """Who wrote the version that was read, and who wrote the next one."""
        order = self.order.get(key, ())
        before = self.writer[key, elements[-1]] if elements else None
        after = self.writer[key, order[len(elements)]] if len(elements) < len(order) else None
        return before, after

    def _check_cycles(self) -> None:
        writes, dependencies, among_serializable = Graph(), Graph(), Graph()
        missed: list[tuple[int, int]] = []
        level = [transaction.level for transaction in self.transactions]

        def depend(tail: int, head: int) -> None:
            dependencies.add(tail, head)
            if level[tail] == level[head] == SERIALIZABLE:
                among_serializable.add(tail, head)

        for key, elements in self.order.items():
            for earlier, later in zip(elements, elements[1:]):
                tail, head = self.writer[key, earlier], self.writer[key, later]
                writes.add(tail, head)
                depend(tail, head)
        for number, transaction, step, elements in self._reads():
            if transaction.outcome == FAILED:
                continue
            before, after = self._neighbours(step.key, elements)
            if before is not None:
                depend(before, number)
            if after is not None and after != number:
                if transaction.level in SNAPSHOTS:
                    missed.append((number, after))
                if level[number] == level[after] == SERIALIZABLE:
                    among_serializable.add(number, after)
        for name, graph in (("G0", writes), ("G1c", dependencies)):
            for cycle in graph.cycles():
                self._report(name, f"among transactions {sorted(cycle)[:8]}")
                return
        single = self._single(dependencies, missed)
        for tail, head in single:
            self._report("G-single", f"transaction {tail} missed {head}, which it depends on")
        if not single:
            for cycle in among_serializable.cycles():
                self._report("G2", f"among serializable transactions {sorted(cycle)[:8]}")

    def _single(self, graph: Graph, missed: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those reads that missed a write on which their transaction depends otherwise."""
        rank = self._ranks(graph)
        found = []
        for reader, writer in set(missed):
            limit, pending, visited = rank[reader], [writer], {writer}
            while pending:
                node = pending.pop()
                if node == reader:
                    found.append((reader, writer))
                    break
                for head in graph.edges.get(node, ()):
                    # Edges lead to higher ranks alone: beyond the reader's is no way back.
                    if rank[head] <= limit and head not in visited:
                        visited.add(head)
                        pending.append(head)
        return found

    def _ranks(self, graph: Graph) -> list[int]:
        """A topological order of an acyclic graph, as close to that of commits as can be."""
        count = len(self.transactions)
        incoming = [0] * count
        for heads in list(graph.edges.values()):
            for head in heads:
                incoming[head] += 1
        ready = [(self.transactions[n].end, n) for n in range(count) if incoming[n] == 0]
        heapq.heapify(ready)
        rank, position = [0] * count, 0
        while ready:
            _, node = heapq.heappop(ready)
            rank[node] = position
            position += 1
            for head in graph.edges.get(node, ()):
                incoming[head] -= 1
                if incoming[head] == 0:
                    heapq.heappush(ready, (self.transactions[head].end, head))
        return rank

    def _check_real_time(self) -> None:
        """Commits and linearizable reads as points in time: one order must explain them all."""
        graph = Graph()
        spans: list[tuple[int, int]] = []
        commit: dict[int, int] = {}
        for number, transaction in enumerate(self.transactions):
            if transaction.outcome == ACKNOWLEDGED and transaction.writes:
                commit[number] = len(spans)
                spans.append((transaction.sent, transaction.end))
        for key, elements in self.order.items():
            for earlier, later in zip(elements, elements[1:]):
                graph.add(commit[self.writer[key, earlier]], commit[self.writer[key, later]])
        for number, transaction, step, elements in self._reads():
            if transaction.level in SNAPSHOTS:
                continue
            node = len(spans)
            spans.append((step.start, step.end))
            before, after = self._neighbours(step.key, elements)
            if before is not None:
                graph.add(commit[before], node)
            if after is not None and after != number:
                graph.add(node, commit[after])
        add_real_time(graph, spans)
        for cycle in graph.cycles():
            nodes = sorted(node for node in cycle if node >= 0)
            self._report("real time", f"no order explains the {len(nodes)} events {nodes[:8]}")
