"""A client for recorded histories: many requests in one round trip, each reply with its arrival.

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import struct
import time
from typing import NamedTuple

import wire
from wire import RawSession

# The outcome of these is not known: the connection, the server or the proxy went away.
CONNECTION_LOST = ("08", "57P")


class Reply(NamedTuple):
    """What one request got, from its first message to ReadyForQuery."""

    end: int
    rows: list[tuple[bytes | None, ...]]
    error: str | None
    tag: bytes


class LinkLost(Exception):
    """The session ended; `replies` are those that had arrived, whole, before."""

    def __init__(self, replies: list[Reply]):
        super().__init__(f"connection lost after {len(replies)} replies")
        self.replies = replies


class PipelinedSession(RawSession):
    """Sends batches of requests that end with one ReadyForQuery each."""

    number = 0  # unlike any other's of the same history

    def batch(self, requests: list[bytes]) -> tuple[int, list[Reply]]:
        """Returns when the batch was sent, and the reply to each request."""
        start = time.monotonic_ns()
        try:
            self.send(b"".join(requests))
        except OSError:
            raise LinkLost([]) from None
        return start, self.replies(len(requests))

    def replies(self, count: int) -> list[Reply]:
        deadline = time.monotonic() + self.timeout
        done: list[Reply] = []
        rows: list[tuple[bytes | None, ...]] = []
        error, tag = None, b""
        data, offset = bytes(self.received), 0
        end = time.monotonic_ns()
        unpack = struct.unpack_from
        while True:
            available = len(data)
            while available - offset >= 5:
                kind = data[offset]
                following = offset + 1 + unpack("!I", data, offset + 1)[0]
                if following > available:
                    break
                if kind == 0x44:  # DataRow
                    rows.append(columns(data, offset + 5))
                elif kind == 0x5A:  # ReadyForQuery
                    done.append(Reply(end, rows, error, tag))
                    rows, error, tag = [], None, b""
                elif kind == 0x43:  # CommandComplete
                    tag = data[offset + 5 : following - 1]
                elif kind == 0x45:  # ErrorResponse
                    error = wire.error_fields(data[offset + 5 : following]).get("C", "?????")
                offset = following
                if len(done) == count:
                    self.received = bytearray(data[offset:])
                    return done
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                more = self.socket.recv(1 << 18)
            except TimeoutError:
                missing = f"{count - len(done)} of {count} replies missing"
                raise Hang(f"{missing} after {self.timeout} s") from None
            except OSError:
                more = b""
            end = time.monotonic_ns()
            if not more:
                raise LinkLost(done)
            data, offset = data[offset:] + more, 0


class Hang(Exception):
    """A request that is neither answered nor refused within the session's timeout."""


def columns(data: bytes, offset: int) -> tuple[bytes | None, ...]:
    (count,) = struct.unpack_from("!H", data, offset)
    offset += 2
    row = []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", data, offset)
        offset += 4
        if length < 0:
            row.append(None)
        else:
            row.append(data[offset : offset + length])
            offset += length
    return tuple(row)


def prepared(name: str, parameters: tuple[bytes, ...], format: int, parameter_format: int) -> bytes:
    """One execution of a prepared statement, from Bind to Sync."""
    return (
        wire.bind(name, "", parameters, (parameter_format,), (format,))
        + wire.describe_portal()
        + wire.execute()
        + wire.sync()
    )


def prepare(name: str, sql: str, types: tuple[int, ...] = ()) -> bytes:
    return wire.parse(sql, name, types) + wire.sync()


def is_lost(error: str | None) -> bool:
    return error is not None and error.startswith(CONNECTION_LOST)


def connect(port: int, database: str, patience: float, timeout: float) -> PipelinedSession:
    """Connects, again and again while the proxy or the server is away, for `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return PipelinedSession.connect(port, database=database, timeout=timeout)
        except (AssertionError, OSError, wire.ConnectionEnded) as refused:
            if time.monotonic() > deadline:
                raise Hang(f"no session within {patience} s: {refused!r}") from refused
            time.sleep(0.05)
