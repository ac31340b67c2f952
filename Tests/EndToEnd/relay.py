"""TCP relays on a thread of their own, and one that makes a link deaf, slow or narrow."""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from dataclasses import dataclass

# Bytes that one direction holds back before it stops reading: a bad link must make its sender wait.
LONGEST_BACKLOG = 64 << 10


class Relay:
    """Listens on a port of its own; what becomes of a connection is `conversation`'s to say."""

    def __init__(self, target: int):
        self.target = target
        self.refuses = False
        self.conversations: set = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def conversation(self, near, far):
        """What talks to both ends, each a reader and a writer: with `run` and `cut`."""
        raise NotImplementedError

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.target)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _serve(self, reader, writer) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            far = await self.connect()
        except OSError:
            writer.transport.abort()
            return
        for end in (writer, far[1]):
            raw = end.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conversation = self.conversation((reader, writer), far)
        self.conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self.conversations.discard(conversation)

    def cut_all(self) -> int:
        """Cuts every connection there is, control connections included."""

        async def cut() -> int:
            conversations = list(self.conversations)
            for conversation in conversations:
                conversation.cut()
            return len(conversations)

        return self._call(cut())

    def close(self) -> None:
        async def end() -> None:
            self.server.close()
            for conversation in list(self.conversations):
                conversation.cut()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self._call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@dataclass
class Way:
    """One direction of a link. Set from the test's thread, read on the relay's."""

    passes: bool = True          # False: a black hole, which does not even tell of an end
    delay: float = 0             # seconds
    rate: float | None = None    # bytes per second
    record: bytearray | None = None  # what has passed, where somebody wants to know

    def heal(self) -> None:
        self.passes, self.delay, self.rate = True, 0, None


class LinkRelay(Relay):
    """A link between two nodes, good until `up` or `down` say otherwise.

    `up` leads from who connects to who listens. What a black hole has swallowed is delivered when
    it heals, as TCP would deliver it.
    """

    def __init__(self, target: int):
        self.up, self.down = Way(), Way()
        super().__init__(target)

    def conversation(self, near, far):
        return Link(self, near, far)

    async def connect(self):
        # Small, so that little is on its way where little is read.
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LONGEST_BACKLOG)
        raw.setblocking(False)
        try:
            await self.loop.sock_connect(raw, ("127.0.0.1", self.target))
        except OSError:
            raw.close()
            raise
        return await asyncio.open_connection(sock=raw, limit=LONGEST_BACKLOG)

    @property
    def ways(self) -> tuple[Way, Way]:
        return self.up, self.down

    def heal(self) -> None:
        self.refuses = False
        for way in self.ways:
            way.heal()


class Link:
    """One connection over a LinkRelay."""

    def __init__(self, relay: LinkRelay, near, far):
        self.relay, self.near, self.far = relay, near, far

    async def run(self) -> None:
        ways = (
            (self.near[0], self.far[1], self.relay.up),
            (self.far[0], self.near[1], self.relay.down),
        )
        tasks = [asyncio.ensure_future(carry(*way)) for way in ways]
        try:
            # An end in one direction is one of the whole link.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.cut()

    def cut(self) -> None:
        for _, writer in (self.near, self.far):
            writer.transport.abort()


async def carry(reader, writer, way: Way) -> None:
    """Passes on what comes, when it is due, until the end or a failure."""
    loop = asyncio.get_running_loop()
    backlog: deque[tuple[float, bytes]] = deque()
    arrived = asyncio.Event()

    async def receive() -> None:
        data = b"?"
        while data:
            while sum(len(waiting) for _, waiting in backlog) > LONGEST_BACKLOG:
                await asyncio.sleep(0.002)
            try:
                data = await reader.read(1 << 14)
            except OSError:
                data = b""
            backlog.append((loop.time(), data))
            arrived.set()

    receiving = asyncio.ensure_future(receive())
    try:
        with contextlib.suppress(OSError):
            while True:
                await arrived.wait()
                came, data = backlog[0]
                while not way.passes or loop.time() < came + way.delay:
                    await asyncio.sleep(0.002)
                if way.rate:
                    await asyncio.sleep(len(data) / way.rate)
                if not data:
                    return
                writer.write(data)
                if way.record is not None:
                    way.record += data
                await writer.drain()
                backlog.popleft()
                if not backlog:
                    arrived.clear()
    finally:
        receiving.cancel()
