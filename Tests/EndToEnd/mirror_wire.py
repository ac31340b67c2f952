"""The mirror protocol byte by byte (Sources/Replication/MirrorFraming.swift, MirrorMessage.swift),
and ends of it that do not behave."""

import os
import socket
import struct
import threading
from collections.abc import Callable

MAGIC, VERSION = b"MYNAHMIR", 1
LONGEST_GREETING = 64


def frame(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


def greeting(magic: bytes = MAGIC, version: int = VERSION, has_key: bool = False) -> bytes:
    return frame(magic + struct.pack("!HB", version, has_key) + os.urandom(32))


def message(tag: bytes, body: bytes = b"") -> bytes:
    return tag + struct.pack("!I", len(body)) + body


def follow(lease: float, is_synchronous: bool = False, node: bytes | None = None) -> bytes:
    """`lease` is seconds."""
    terms = struct.pack("!BQQ", is_synchronous, round(lease * 1e9), 1 << 20)
    return message(b"F", (node or os.urandom(16)) + terms)


def heartbeat(number: int, answered: int | None = None) -> bytes:
    """`answered`: the last question whose answer has come; by default the one before."""
    return message(
        b"h", struct.pack("!QQ", number, max(0, number - 1) if answered is None else answered))


def acknowledge(epoch: int, index: int) -> bytes:
    return message(b"k", struct.pack("!QQ", epoch, index))


def welcome(client_port: int, host: str = "") -> bytes:
    name = host.encode()
    return message(
        b"W", os.urandom(16) + os.urandom(32) + struct.pack("!I", len(name)) + name
        + struct.pack("!H", client_port),
    )


def begin(epoch: int = 1, index: int = 0) -> bytes:
    return message(b"B", struct.pack("!QQI", epoch, index, 0))


def frames(data: bytes) -> list[bytes]:
    """The payloads of the whole frames at the beginning of `data`."""
    found, offset = [], 0
    while offset + 4 <= len(data):
        (length,) = struct.unpack_from("!I", data, offset)
        if offset + 4 + length > len(data):
            break
        found.append(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return found


class Peer:
    """A connection to a mirror port."""

    def __init__(self, port: int, timeout: float = 15):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)

    def send(self, data: bytes) -> "Peer":
        try:
            self.socket.sendall(data)
        except OSError:
            pass
        return self

    def until_end(self, limit: int = 1 << 22) -> bytes:
        """All that comes until the node hangs up; fails after the timeout."""
        said = b""
        try:
            while len(said) < limit and (data := self.socket.recv(1 << 16)):
                said += data
        except ConnectionResetError:
            pass
        return said

    def receive_frames(self, count: int) -> list[bytes]:
        said = b""
        while len(frames(said)) < count:
            data = self.socket.recv(1 << 16)
            assert data, f"the node hung up after {said!r}"
            said += data
        return frames(said)

    def has_ended(self) -> bool:
        self.socket.settimeout(0.01)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self.socket.close()


class FakePrimary:
    """Listens where a replica connects, and says to each connection what `script` sends."""

    def __init__(self, script: Callable[[socket.socket], None]):
        self.script = script
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.served = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        near.settimeout(30)
        try:
            self.script(near)
            # The rest is the replica's to end.
            while near.recv(1 << 16):
                pass
        except OSError:
            pass
        near.close()
        self.served += 1

    def close(self) -> None:
        self.listener.close()
