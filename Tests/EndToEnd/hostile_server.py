"""A server that speaks the protocol to Mynah as it should, until it is told to do something else.

It knows as much as Mynah needs of a server: it authenticates, tells settings, and answers every
statement with one row. A `Misdeed` says where it goes wrong and with which bytes.
"""

import random
import socket
import struct
import threading
from dataclasses import dataclass

import wire
from wire import message

STATUSES = {
    "server_version": "15.0", "client_encoding": "UTF8", "server_encoding": "UTF8",
    "DateStyle": "ISO, MDY", "TimeZone": "UTC", "integer_datetimes": "on",
    "standard_conforming_strings": "on", "session_authorization": "postgres",
    "is_superuser": "on", "IntervalStyle": "postgres", "application_name": "",
    "in_hot_standby": "off", "default_transaction_read_only": "off",
}
READY = message(b"Z", b"I")
ROW = message(b"D", struct.pack("!Hi", 1, 1) + b"1")
DESCRIPTION = message(b"T", b"\0\1" + b"one\0" + struct.pack("!IhIhih", 0, 0, 23, 4, -1, 0))
COMPLETE = message(b"C", b"SELECT 1\0")
ANSWER = DESCRIPTION + ROW + COMPLETE + READY

# What Mynah asks of every connection: rows of name and value.
SETTINGS = DESCRIPTION + b"".join(
    message(b"D", b"\0\2" + b"".join(struct.pack("!I", len(text)) + text for text in row))
    for row in ((b"search_path", b"public"), (b"session_user", b"postgres"),
                (b"mynah.temporary_objects", b"f"))
) + COMPLETE + READY

PLACES = ("authentication", "greeting", "probe", "reply", "extended reply", "idle")


@dataclass
class Misdeed:
    """`bytes_sent` take the place of the right answer at `place`; then the server goes on, falls
    silent, or closes."""

    place: str
    bytes_sent: bytes
    then: str = "silent"
    repeats: int = 1


class HostileServer:
    """Listens on a port of its own; every connection gets a thread."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.misdeed: Misdeed | None = None
        self.user_at_fault = "victim"
        self.connections: list[socket.socket] = []
        self.misdeeds_done = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            Conversation(self, connection).run()
        except (OSError, EOFError, struct.error):
            pass
        finally:
            connection.close()


class Conversation:
    def __init__(self, server: HostileServer, connection: socket.socket):
        self.server, self.connection = server, connection
        self.stream = connection.makefile("rb")
        self.misdeed: Misdeed | None = None

    def _read(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _say(self, place: str, right: bytes) -> None:
        misdeed = self.misdeed
        if misdeed is None or misdeed.place != place:
            self.connection.sendall(right)
            return
        self.server.misdeeds_done += 1
        for _ in range(misdeed.repeats):
            self.connection.sendall(misdeed.bytes_sent)
        if misdeed.then == "close":
            raise EOFError
        if misdeed.then == "silent":
            self.stream.read()  # until Mynah gives up
            raise EOFError

    def run(self) -> None:
        (length,) = struct.unpack("!I", self._read(4))
        packet = self._read(length - 4)
        if struct.unpack_from("!I", packet)[0] != 196608:
            return  # A request to cancel.
        if f"user\0{self.server.user_at_fault}\0".encode() in packet:
            self.misdeed = self.server.misdeed
        self._say("authentication", message(b"R", struct.pack("!I", 0)))
        statuses = b"".join(
            message(b"S", wire.cstring(name) + wire.cstring(value)) for name, value in STATUSES.items()
        )
        self._say("greeting", statuses + message(b"K", struct.pack("!II", 1, 2)) + READY)
        batch = b""
        while True:
            tag = self._read(1)
            (length,) = struct.unpack("!I", self._read(4))
            body = self._read(length - 4)
            if tag == b"X":
                return
            if tag == b"Q":
                if b"current_setting" in body:
                    self._say("probe", SETTINGS)
                    continue
                self._say("reply", ANSWER)
                self._say("idle", b"")
            elif tag == b"S":
                self._say("extended reply", batch + READY)
                batch = b""
            else:
                batch += {
                    b"P": message(b"1"), b"B": message(b"2"), b"D": DESCRIPTION, b"E": ROW + COMPLETE,
                    b"C": message(b"3"),
                }.get(tag, b"")


def mutated(right: bytes, chance: random.Random) -> bytes:
    """An answer of the server's, changed a little: the stream may end up out of step."""
    data = bytearray(right)
    for _ in range(chance.choice([1, 1, 2, 5])):
        kind = chance.randrange(5)
        place = chance.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[place] = chance.getrandbits(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = chance.randbytes(chance.randint(1, 9))
        elif kind == 3:
            data[place:place] = chance.choice(
                [READY, ROW, COMPLETE, DESCRIPTION, message(b"1"), message(b"G", b"\0\0\0"),
                 message(b"W", b"\0\0\0"), message(b"E", b"SERROR\0C42000\0Mno\0\0"),
                 message(b"N", b"SNOTICE\0Mhm\0\0"), message(b"A", b"\0\0\0\1c\0\0"), message(b"c"),
                 message(b"d", b"x"), message(b"V", b"\xff\xff\xff\xff"), message(b"s"), message(b"I"),
                 message(b"R", struct.pack("!I", 3)), message(b"K", b"12345678")]
            )
        elif data:
            del data[place : place + chance.randint(1, 9)]
    return bytes(data)
