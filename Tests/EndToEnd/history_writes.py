"""Every way in which a counter is incremented, each noted with its outcome."""

import time

import wire
from history_client import LinkLost, Reply, is_lost, prepare, prepared
from history_monotone import ACKNOWLEDGED, FAILED, UNKNOWN, Write
from history_schema import POISON
from history_workers import Worker


class Writer(Worker):
    """The only one who writes its counters, through three sessions in turn."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        schema = self.part.schema
        mine = lambda number: number % self.part.owners == self.part.owner  # noqa: E731
        self.counters = [
            (table, key) for table in range(schema.tables)
            if mine(table) and table != schema.foreign_table for key in range(schema.keys)
        ]
        self.groups = [group for group in range(schema.groups) if mine(group)]
        self.tables = sorted({table for table, _ in self.counters})
        self.last: dict[int, int] = {}
        self.integer = 20 if schema.is_sqlite else 23
        self.shapes = [
            self.one, self.one, self.one, self.pipeline, self.block, self.block, self.block_at_once,
            self.several_statements, self.implicit_transaction, self.rollback, self.savepoint,
            self.failing, self.upsert, self.group, self.group, self.group, self.read_back,
        ]
        if not schema.is_sqlite:
            self.shapes.append(self.common_table_expression)

    def preparation(self, slot: int) -> list[bytes]:
        found = [
            prepare(
                f"set{table}",
                f"UPDATE {self.part.schema.table(table)} SET v = $1 WHERE id = $2 AND v < $1",
                (self.integer, self.integer),
            )
            for table in self.tables
        ]
        if slot == 2 and self.part.faulty:
            found.append(wire.query("SET statement_timeout = 150"))
        return found

    def run(self) -> None:
        while not self.stop.is_set():
            self.slot = self.chance.randrange(3)
            self.current = self.session(self.slot)
            shape = self.chance.choice(self.shapes)
            self.recorder.counts[f"wrote: {shape.__name__}"] += 1
            try:
                shape()
            except LinkLost:
                self.lost(self.slot)
            self.stop.wait(self.part.pace * self.chance.random() * 2)

    # What is written

    def next(self, counter: int) -> int:
        self.last[counter] = self.last.get(counter, 0) + 1
        return self.last[counter]

    def update(self, table: int, key: int, value: int) -> str:
        # A straggler, whose link was cut before the server had read it, must not undo a later one.
        return (
            f"UPDATE {self.part.schema.table(table)} SET v = {value}"
            f" WHERE id = {key} AND v < {value}"
        )

    def some(self, count: int) -> list[tuple[int, int, str]]:
        """Increments of different counters: counter, value, statement; in order of their keys."""
        found = []
        for table, key in sorted(self.chance.sample(self.counters, count)):
            counter = self.part.schema.counter(table, key)
            value = self.next(counter)
            found.append((counter, value, self.update(table, key, value)))
        return found

    def of_group(self) -> list[tuple[int, int, str]]:
        group = self.chance.choice(self.groups)
        counter = self.part.schema.group_counter(group)
        value = self.next(counter)
        return [
            (counter, value, f"UPDATE {name} SET v = {value} WHERE id = {group} AND v < {value}")
            for name in self.part.schema.group_tables
        ]

    # What became of it

    def record(self, writes, sent: int, outcome: str, end: int = 0) -> None:
        for counter, value in dict.fromkeys((counter, value) for counter, value, *_ in writes):
            self.recorder.writes.append(
                Write(counter, value, sent, outcome, end, self.current.number)
            )
            self.recorder.counts[f"writes {outcome}"] += 1

    def judge(self, writes, sent: int, reply: Reply, done: tuple[bytes, ...]) -> None:
        """Notes writes whose transaction ended with `reply`; `done` are the tags that say so."""
        if reply.error is None and reply.tag in done:
            self.record(writes, sent, ACKNOWLEDGED, reply.end)
        elif reply.error is not None and is_lost(reply.error):
            self.record(writes, sent, UNKNOWN)
            self.note(reply.error)
        elif reply.error is not None or reply.tag == b"ROLLBACK":
            self.record(writes, sent, FAILED)
            if reply.error:
                self.note(reply.error)
        else:
            self.recorder.failures.append(f"writer: an increment ended with {reply.tag!r}")

    def send(self, writes, requests: list[bytes], done: tuple[bytes, ...]) -> list[Reply]:
        """Sends requests of which the last decides, with the mishaps that clients have."""
        sent = time.monotonic_ns()
        try:
            self.current.send(b"".join(requests))
            mishap = self.chance.random() if self.part.faulty else 1
            if mishap < 0.01:
                self.recorder.counts["fault: client closed mid-statement"] += 1
                self.record(writes, sent, UNKNOWN)
                self.lose(self.slot)
                return []
            if mishap < 0.02:
                self.cancel(self.current)
            replies = self.current.replies(len(requests))
        except (LinkLost, OSError):
            self.record(writes, sent, UNKNOWN)
            self.lost(self.slot)
            return []
        self.judge(writes, sent, replies[-1], done)
        return replies

    def reset(self) -> None:
        """Leaves a block that an error may have left open."""
        if self.slot in self.sessions:
            self.current.batch([wire.query("ROLLBACK")])

    # Ways of writing

    def one(self) -> None:
        [(counter, value, sql)] = self.some(1)
        schema = self.part.schema
        table, key = divmod(counter, schema.keys)
        form = self.chance.randrange(3)
        if form == 0:
            request = wire.query(sql)
        elif form == 1:
            request = wire.extended(sql)
        else:
            width = 8 if schema.is_sqlite else 4
            raw = (value.to_bytes(width, "big"), key.to_bytes(width, "big"))
            request = prepared(f"set{table}", raw, wire.TEXT, wire.BINARY)
        self.send([(counter, value)], [request], (b"UPDATE 1",))

    def read_back(self) -> None:
        """Whoever has written reads, from memory where that knows of the write."""
        [(counter, value, sql)] = self.some(1)
        if not self.send([(counter, value)], [wire.query(sql)], (b"UPDATE 1",)):
            return
        table, key = divmod(counter, self.part.schema.keys)
        read = wire.query(f"SELECT id, v FROM {self.part.schema.table(table)} WHERE id = {key}")
        for _ in range(4):
            start, [reply] = self.current.batch([read])
            if reply.error:
                self.note(reply.error)
                return
            self.recorder.counts["reads"] += 1
            seen = [(counter, int(version)) for _, version in reply.rows]
            self.recorder.saw(start, reply.end, seen, self.current.number)

    def pipeline(self) -> None:
        """Several transactions in flight, two of them on one counter."""
        writes = self.some(self.chance.randint(2, 5))
        table, key = divmod(writes[0][0], self.part.schema.keys)
        value = self.next(writes[0][0])
        writes.append((writes[0][0], value, self.update(table, key, value)))
        make = self.chance.choice((wire.query, wire.extended))
        sent = time.monotonic_ns()
        try:
            self.current.send(b"".join(make(sql) for _, _, sql in writes))
            replies = self.current.replies(len(writes))
        except OSError:
            replies = []
            self.lost(self.slot)
        except LinkLost as lost:
            replies = lost.replies
            self.lost(self.slot)
        for write, reply in zip(writes, replies):
            self.judge([write], sent, reply, (b"UPDATE 1",))
        self.record(writes[len(replies):], sent, UNKNOWN)

    def in_block(self, writes, before: list[str] = []) -> None:
        """One round trip for each statement: COMMIT alone can make anything visible."""
        make = self.chance.choice((wire.query, wire.extended))
        try:
            for sql in ["BEGIN", *before, *(sql for _, _, sql in writes)]:
                _, [reply] = self.current.batch([make(sql)])
                if reply.error:
                    self.record(writes, time.monotonic_ns(), FAILED)
                    self.note(reply.error)
                    self.reset()
                    return
        except LinkLost:
            self.record(writes, time.monotonic_ns(), FAILED)
            raise
        self.send(writes, [make(self.chance.choice(("COMMIT", "END")))], (b"COMMIT",))

    def block(self) -> None:
        self.in_block(self.some(self.chance.randint(1, 4)))

    def savepoint(self) -> None:
        writes = self.some(2)
        poison = self.update(*divmod(writes[0][0], self.part.schema.keys), POISON)
        self.in_block(writes, ["SAVEPOINT s", poison, "ROLLBACK TO SAVEPOINT s"])

    def block_at_once(self) -> None:
        writes = self.some(self.chance.randint(1, 4))
        statements = ["BEGIN", *(sql for _, _, sql in writes), "COMMIT"]
        self.send(writes, [wire.query(sql) for sql in statements], (b"COMMIT",))

    def several_statements(self) -> None:
        """One Query message; its statements are one transaction, by itself or by its own words."""
        writes = self.some(self.chance.randint(2, 4))
        text = "; ".join(sql for _, _, sql in writes)
        if self.chance.random() < 0.5:
            self.send(writes, [wire.query(text)], (b"UPDATE 1",))
        else:
            replies = self.send(writes, [wire.query(f"BEGIN; {text}; COMMIT")], (b"COMMIT",))
            if replies and replies[-1].error:
                self.reset()

    def implicit_transaction(self) -> None:
        """Several Executes up to one Sync."""
        writes = self.some(self.chance.randint(2, 4))
        self.send(writes, [self.segment(writes)], (b"UPDATE 1",))

    def segment(self, writes) -> bytes:
        executions = [wire.parse(sql) + wire.bind() + wire.execute() for _, _, sql in writes]
        return b"".join(executions) + wire.sync()

    def rollback(self) -> None:
        """Never to be seen by anybody."""
        table, key = self.chance.choice(self.counters)
        for sql in ("BEGIN", self.update(table, key, POISON), "ROLLBACK"):
            _, [reply] = self.current.batch([wire.query(sql)])
            if reply.error:
                self.note(reply.error)
                self.reset()
                return
        self.recorder.counts["writes rolled back"] += 1

    def failing(self) -> None:
        """NULL where none may be: the statement fails, having written a row."""
        table, key = self.chance.choice(self.counters)
        name = self.part.schema.table(table)
        sql = f"UPDATE {name} SET v = CASE id WHEN {key} THEN NULL ELSE {POISON} END"
        _, [reply] = self.current.batch([wire.query(sql)])
        if reply.error != "23502":
            self.note(reply.error or "none, where 23502 was due")
        self.recorder.counts["writes refused"] += 1

    def upsert(self) -> None:
        [(counter, value, _)] = self.some(1)
        table, key = divmod(counter, self.part.schema.keys)
        sql = (
            f"INSERT INTO {self.part.schema.table(table)} AS t VALUES ({key}, {value})"
            " ON CONFLICT (id) DO UPDATE SET v = excluded.v WHERE t.v < excluded.v"
        )
        self.send([(counter, value)], [wire.query(sql)], (b"INSERT 0 1",))

    def common_table_expression(self) -> None:
        [(counter, value, sql)] = self.some(1)
        text = f"WITH w AS ({sql} RETURNING id) SELECT id FROM w"
        self.send([(counter, value)], [wire.extended(text)], (b"SELECT 1",))

    def group(self) -> None:
        writes = self.of_group()
        form = self.chance.randrange(4)
        if form == 0:
            self.in_block(writes)
        elif form == 1:
            text = "; ".join(sql for _, _, sql in writes)
            self.send(writes, [wire.query(text)], (b"UPDATE 1",))
        elif form == 2:
            self.send(writes, [self.segment(writes)], (b"UPDATE 1",))
        else:
            statements = ["BEGIN", *(sql for _, _, sql in writes), "COMMIT"]
            self.send(writes, [wire.query(sql) for sql in statements], (b"COMMIT",))
