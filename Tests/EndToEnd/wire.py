"""A client that speaks the PostgreSQL v3 protocol byte by byte.

It knows just enough to send exact messages and to cut the stream of replies into messages. It does
not interpret values, so what it returns can be compared byte for byte.
"""

import socket
import struct
import time

Message = tuple[bytes, bytes]

TEXT, BINARY = 0, 1


def message(tag: bytes, body: bytes = b"") -> bytes:
    return tag + struct.pack("!I", len(body) + 4) + body


def cstring(text: str) -> bytes:
    return text.encode() + b"\0"


def query(sql: str) -> bytes:
    return message(b"Q", cstring(sql))


def parse(sql: str, name: str = "", types: tuple[int, ...] = ()) -> bytes:
    body = cstring(name) + cstring(sql) + struct.pack("!H", len(types))
    return message(b"P", body + b"".join(struct.pack("!I", oid) for oid in types))


def bind(
    statement: str = "",
    portal: str = "",
    parameters: tuple[bytes | None, ...] = (),
    parameter_formats: tuple[int, ...] = (),
    result_formats: tuple[int, ...] = (),
) -> bytes:
    body = cstring(portal) + cstring(statement)
    body += struct.pack("!H", len(parameter_formats))
    body += b"".join(struct.pack("!h", code) for code in parameter_formats)
    body += struct.pack("!H", len(parameters))
    for value in parameters:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    body += struct.pack("!H", len(result_formats))
    body += b"".join(struct.pack("!h", code) for code in result_formats)
    return message(b"B", body)


def describe_portal(name: str = "") -> bytes:
    return message(b"D", b"P" + cstring(name))


def describe_statement(name: str = "") -> bytes:
    return message(b"D", b"S" + cstring(name))


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", cstring(portal) + struct.pack("!I", rows))


def close_statement(name: str = "") -> bytes:
    return message(b"C", b"S" + cstring(name))


def close_portal(name: str = "") -> bytes:
    return message(b"C", b"P" + cstring(name))


def sync() -> bytes:
    return message(b"S")


def flush() -> bytes:
    return message(b"H")


def terminate() -> bytes:
    return message(b"X")


def startup(parameters: dict[str, str], version: int = 196608) -> bytes:
    body = struct.pack("!I", version)
    for name, value in parameters.items():
        body += cstring(name) + cstring(value)
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel_request(process: int, secret: int) -> bytes:
    return struct.pack("!IIII", 16, 80877102, process, secret)


def extended(sql: str, format: int = TEXT, parameters: tuple[bytes | None, ...] = ()) -> bytes:
    """One unnamed statement from Parse to Sync."""
    return (
        parse(sql)
        + bind(parameters=parameters, result_formats=(format,))
        + describe_portal()
        + execute()
        + sync()
    )


def error_fields(body: bytes) -> dict[str, str]:
    fields = {}
    for field in body.split(b"\0"):
        if field:
            fields[chr(field[0])] = field[1:].decode(errors="replace")
    return fields


def data_rows(replies: list[Message]) -> list[list[bytes | None]]:
    rows = []
    for tag, body in replies:
        if tag != b"D":
            continue
        (count,) = struct.unpack_from("!H", body)
        offset, row = 2, []
        for _ in range(count):
            (length,) = struct.unpack_from("!i", body, offset)
            offset += 4
            if length < 0:
                row.append(None)
            else:
                row.append(body[offset : offset + length])
                offset += length
        rows.append(row)
    return rows


def tags(replies: list[Message]) -> str:
    return b"".join(tag for tag, _ in replies).decode()


def sqlstate(replies: list[Message]) -> str | None:
    for tag, body in replies:
        if tag == b"E":
            return error_fields(body).get("C")
    return None


class ConnectionEnded(Exception):
    """The peer closed the stream; `replies` holds what had come before."""

    def __init__(self, replies: list[Message]):
        super().__init__(f"connection ended after {tags(replies)!r}")
        self.replies = replies


class RawSession:
    """One session over one socket. Every wait has a deadline (`timeout`, in seconds)."""

    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = 20):
        self.timeout = timeout
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.parameters: dict[str, str] = {}
        self.backend_key: tuple[int, int] | None = None

    @classmethod
    def connect(
        cls, port: int, user: str = "postgres", database: str = "flights", timeout: float = 20,
        **parameters: str,
    ) -> "RawSession":
        session = cls(port, timeout=timeout)
        try:
            session.start({"user": user, "database": database, **parameters})
        except BaseException:
            session.close()
            raise
        return session

    def start(self, parameters: dict[str, str]) -> list[Message]:
        self.send(startup(parameters))
        replies = self.until_ready()
        for tag, body in replies:
            if tag == b"S":
                name, value = body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif tag == b"K":
                self.backend_key = struct.unpack("!II", body)
            elif tag == b"E":
                raise AssertionError(f"startup refused: {error_fields(body)}")
        return replies

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _fill(self, deadline: float) -> bool:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError(f"no reply within {self.timeout} s")
        self.socket.settimeout(remaining)
        data = self.socket.recv(1 << 16)
        self.received += data
        return bool(data)

    def receive(self, deadline: float | None = None) -> Message:
        """The next message. Raises ConnectionEnded at the end of the stream."""
        deadline = deadline or time.monotonic() + self.timeout
        while True:
            if len(self.received) >= 5:
                (length,) = struct.unpack_from("!I", self.received, 1)
                if len(self.received) >= length + 1:
                    tag = bytes(self.received[:1])
                    body = bytes(self.received[5 : length + 1])
                    del self.received[: length + 1]
                    return tag, body
            if not self._fill(deadline):
                raise ConnectionEnded([])

    def until_ready(self, count: int = 1) -> list[Message]:
        """All messages up to and with the `count`-th ReadyForQuery."""
        return self.until(b"Z", count)

    def until(self, last: bytes, count: int = 1) -> list[Message]:
        deadline = time.monotonic() + self.timeout
        replies: list[Message] = []
        while count > 0:
            try:
                reply = self.receive(deadline)
            except ConnectionEnded:
                raise ConnectionEnded(replies) from None
            replies.append(reply)
            if reply[0] == last:
                count -= 1
        return replies

    def exchange(self, data: bytes, ready: int = 1) -> list[Message]:
        self.send(data)
        return self.until_ready(ready)

    def query(self, sql: str) -> list[Message]:
        return self.exchange(query(sql))

    def rows(self, sql: str) -> list[list[bytes | None]]:
        replies = self.query(sql)
        assert sqlstate(replies) is None, [error_fields(b) for t, b in replies if t == b"E"]
        return data_rows(replies)

    def run(self, sql: str) -> None:
        """Runs statements that must succeed."""
        self.rows(sql)

    def value(self, sql: str) -> bytes | None:
        return self.rows(sql)[0][0]

    def until_end(self) -> list[Message]:
        """Everything until the peer closes the stream."""
        deadline = time.monotonic() + self.timeout
        replies: list[Message] = []
        while True:
            try:
                replies.append(self.receive(deadline))
            except (ConnectionEnded, ConnectionResetError):
                return replies

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "RawSession":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.send(terminate())
        except OSError:
            pass
        self.close()
