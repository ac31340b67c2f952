"""A TCP relay to PostgreSQL that does harm at chosen places of the conversation.

A fault is armed with what it waits for; the first conversation that gets there suffers it. The
relay does not parse: a chunk from Mynah is taken for the step whose bytes it contains, which is exact
enough because Mynah sends a segment in one write.
"""

import asyncio
import socket
import struct
import threading
from dataclasses import dataclass, field

from relay import Relay

CUT_REQUEST = "link cut within a request"
CUT_BEFORE_REPLY = "link cut between request and reply"
CUT_REPLY = "link cut within a reply"
RESET = "link reset between request and reply"
DELAY = "reply delayed"
DRIP = "reply dripped"
HALF_CLOSE_SERVER = "half-closed towards the server"
HALF_CLOSE_MYNAH = "half-closed towards Mynah"
KINDS = (
    CUT_REQUEST, CUT_BEFORE_REPLY, CUT_REPLY, RESET, DELAY, DRIP, HALF_CLOSE_SERVER,
    HALF_CLOSE_MYNAH,
)

# What a chunk of requests contains at each step of the protocol. The startup packet is known by the
# name of a parameter, the parts of an extended-protocol segment by what Mynah puts next to them.
STEPS = {
    "startup": b"database\0",
    "BEGIN": b"BEGIN",
    "read": b"SELECT",
    "write": b"UPDATE",
    "COMMIT": b"COMMIT",
    "Execute and Sync": b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04",
}


@dataclass
class Fault:
    kind: str
    step: str
    after: int = 0          # bytes of the chunk that pass before a cut
    seconds: float = 0.1    # how long a delay or a drip lasts
    happened: threading.Event = field(default_factory=threading.Event)


class Conversation:
    """One connection of Mynah's and its counterpart to the server."""

    def __init__(self, relay: "FaultRelay", near, far):
        self.relay = relay
        self.near_reader, self.near = near
        self.far_reader, self.far = far
        self.reply_fault: Fault | None = None

    async def run(self) -> None:
        try:
            await asyncio.gather(self._requests(), self._replies())
        except (OSError, asyncio.CancelledError, Cut):
            # Cancellation is the relay's own end: StreamReader would log it as an error.
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()

    def reset(self) -> None:
        """Ends both sides with RST instead of FIN."""
        for end in (self.near, self.far):
            raw = end.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    async def _requests(self) -> None:
        while data := await self.near_reader.read(1 << 16):
            fault = self.relay.take(data)
            if fault is None:
                self.far.write(data)
            elif fault.kind == CUT_REQUEST:
                self.far.write(data[: fault.after % len(data)])
                # What passed is delivered: an orderly end, so that the server reads it all.
                self.far.write_eof()
                fault.happened.set()
                raise Cut
            elif fault.kind == HALF_CLOSE_SERVER:
                self.far.write(data)
                self.far.write_eof()
                fault.happened.set()
                return
            else:
                # The reply is harmed before the request is on its way: it cannot slip through.
                self.reply_fault = fault
                self.far.write(data)
            await self.far.drain()
        self.far.write_eof()

    async def _replies(self) -> None:
        while data := await self.far_reader.read(1 << 16):
            fault, self.reply_fault = self.reply_fault, None
            if fault is not None:
                fault.happened.set()
            if fault is None:
                self.near.write(data)
            elif fault.kind == CUT_BEFORE_REPLY:
                raise Cut
            elif fault.kind == RESET:
                self.reset()
                raise Cut
            elif fault.kind == CUT_REPLY:
                self.near.write(data[: fault.after % len(data)])
                self.near.write_eof()
                raise Cut
            elif fault.kind == DELAY:
                await asyncio.sleep(fault.seconds)
                self.near.write(data)
            elif fault.kind == DRIP:
                for index in range(len(data)):
                    self.near.write(data[index : index + 1])
                    if index < 100:
                        await asyncio.sleep(fault.seconds / 100)
            elif fault.kind == HALF_CLOSE_MYNAH:
                self.near.write_eof()
                return
            await self.near.drain()
        self.near.write_eof()


class Cut(Exception):
    """Ends a conversation on purpose."""


class FaultRelay(Relay):
    """Does the harm it is armed with."""

    def __init__(self, target: int):
        self.armed: list[Fault] = []
        super().__init__(target)

    def conversation(self, near, far) -> Conversation:
        return Conversation(self, near, far)

    def take(self, data: bytes) -> Fault | None:
        """The fault that this chunk of requests meets, if one waits for it."""
        for fault in self.armed:
            if STEPS[fault.step] in data:
                self.armed.remove(fault)
                return fault
        return None

    def inflict(self, fault: Fault, patience: float = 1.5) -> bool:
        """Arms a fault and waits for it to happen; disarms it if it does not."""
        self.loop.call_soon_threadsafe(self.armed.append, fault)
        happened = fault.happened.wait(patience)

        def disarm():
            if fault in self.armed:
                self.armed.remove(fault)

        self.loop.call_soon_threadsafe(disarm)
        return happened
