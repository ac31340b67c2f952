"""Sessions that stay for a moment: they know of the nodes what one answer has told them."""

import wire
from history_client import LinkLost
from history_workers import Worker


class Visitor(Worker):
    """Reads a table past every cache, then from memory where there is one, and goes."""

    def run(self) -> None:
        slot = 0
        while not self.stop.is_set():
            slot = (slot + 1) % len(self.part.ports)
            try:
                self.visit(slot)
            except LinkLost:
                self.lost(slot)
            if slot in self.sessions:
                self.sessions[slot].send(wire.terminate())
                self.lose(slot)

    def visit(self, slot: int) -> None:
        schema = self.part.schema
        table = self.chance.randrange(schema.tables)
        sql = f"SELECT id, v FROM {schema.table(table)} ORDER BY id"
        session = self.session(slot)
        batches = [wire.query(f"{sql} FOR KEY SHARE")], [wire.query(sql)] * 2
        for batch in batches * 10:
            start, replies = session.batch(batch)
            for reply in replies:
                if reply.error:
                    self.note(reply.error)
                    return
                seen = [(schema.counter(table, int(key)), int(value)) for key, value in reply.rows]
                self.recorder.saw(start, reply.end, seen, session.number)
            self.recorder.counts["reads"] += len(replies)
            self.recorder.counts["visits"] += 1
