"""Sessions whose replies are raw bytes, and what of two replies has to be equal."""

import struct

import wire
from fuzz_program import PREPARED, Statement
from wire import RawSession


def split(raw: bytes) -> list[wire.Message]:
    messages, offset = [], 0
    while offset < len(raw):
        (length,) = struct.unpack_from("!I", raw, offset + 1)
        messages.append((raw[offset : offset + 1], raw[offset + 5 : offset + 1 + length]))
        offset += length + 1
    return messages


def normalised(raw: bytes, rows_in_order: bool) -> list:
    """What has to be equal. Of errors and notices the SQLSTATE: texts name positions."""
    messages = split(raw)
    kept = [(tag, wire.error_fields(body).get("C") if tag in b"EN" else body)
            for tag, body in messages if tag != b"D"]
    rows = [body for tag, body in messages if tag == b"D"]
    return [kept, rows if rows_in_order else sorted(rows)]


def is_definition(sql: str) -> bool:
    """Whether the statement changes what names mean."""
    return sql.startswith(("ALTER", "CREATE", "DROP"))


def without_rows(raw: bytes) -> bytes:
    return b"".join(wire.message(tag, body) for tag, body in split(raw) if tag != b"D")


def shown(raw: bytes) -> str:
    parts = []
    for tag, body in split(raw):
        if tag == b"D":
            parts.append(str(wire.data_rows([(tag, body)])[0]))
        elif tag == b"E":
            fields = wire.error_fields(body)
            parts.append(f"ERROR {fields.get('C')} {fields.get('M')}")
        elif tag not in b"12":
            parts.append(f"{tag.decode()} {body!r}" if tag in b"CZ" else tag.decode())
    return " | ".join(parts)


def failed_with(raw: bytes) -> str | None:
    return wire.sqlstate(split(raw))


class Peer:
    """A session whose replies are raw bytes, one per ReadyForQuery."""

    def __init__(self, port: int, user: str, database: str):
        self.session = RawSession.connect(port, user=user, database=database, timeout=60)
        self.prepared: set[str] = set()
        self.pending = bytearray()
        # Of each reply to come: the statement that is parsed in it, or none.
        self.awaited: list[str] = []

    def message(self, statement: Statement) -> bytes:
        return statement.messages(statement.mode == PREPARED and statement.name in self.prepared)

    def ask(self, statement: Statement) -> bytes:
        return self.ask_all([statement])[0]

    def ask_all(self, statements: list[Statement]) -> list[bytes]:
        """Asks all at once."""
        self.send(statements)
        return self.replies()

    def send(self, statements: list[Statement]) -> None:
        """Sends statements whose `replies` are fetched later, while others may be at work."""
        sent = bytearray()
        for statement in statements:
            sent += self.message(statement)
            if statement.mode == PREPARED and statement.name not in self.prepared:
                self.prepared.add(statement.name)
                self.awaited.append(statement.name)
            else:
                self.awaited.append("")
        self.session.send(sent)

    def replies(self) -> list[bytes]:
        replies = [self.reply() for _ in self.awaited]
        for name, reply in zip(self.awaited, replies):
            if name and reply[:1] != b"1":
                self.prepared.discard(name)
        self.awaited.clear()
        return replies

    def reply(self) -> bytes:
        pending, offset = self.pending, 0
        while True:
            while len(pending) >= offset + 5:
                (length,) = struct.unpack_from("!I", pending, offset + 1)
                if len(pending) < offset + length + 1:
                    break
                is_last = pending[offset] == 0x5A
                offset += length + 1
                if is_last:
                    reply = bytes(pending[:offset])
                    del pending[:offset]
                    return reply
            data = self.session.socket.recv(1 << 16)
            if not data:
                raise wire.ConnectionEnded(split(bytes(pending)))
            pending += data

    def close(self) -> None:
        self.session.close()
