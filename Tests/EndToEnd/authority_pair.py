"""One client of the authority matrix: a session through Mynah and its twin, told the same."""

import wire
from authority_schema import PREPARED
from history_client import LinkLost, PipelinedSession, is_lost, prepare

IDLE = b"Z\0\0\0\5I"
FAILED = b"Z\0\0\0\5E"


class Mismatch(Exception):
    pass


class Questions:
    """What one client asks in one pipeline."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.texts: list[str] = []

    def add(self, request: bytes, text: str) -> None:
        self.requests.append(request)
        self.texts.append(text)


class Pair:
    """One client: a session through Mynah and its twin, told the same."""

    def __init__(self, user: str, through: int, direct: int):
        self.user = user
        self.told: list[str] = []
        self.mine, self.twin = (
            PipelinedSession.connect(port, user=user, timeout=60) for port in (through, direct)
        )
        self.is_idle = True  # outside a transaction block
        self.has_failed = False  # in a block that has
        # Plans know the roles of when they were made, and how long a session goes on with them is not
        # the same through Mynah: who has asked before asks to prepare anew.
        self.has_old_plans = True

    def ask(self, questions: Questions) -> list[bool]:
        self.send(questions)
        return self.compare(questions)

    def send(self, questions: Questions) -> None:
        """Asks both. Outside a block the twin is asked each question once: nothing changes."""
        if self.has_old_plans:
            self.has_old_plans = False
            preparation = Questions()
            for name, sql in PREPARED.items():
                preparation.add(wire.close_statement(name) + prepare(name, sql, (23,)), name)
            self.ask(preparation)
            # In a failed block it is refused, as is everything else.
            self.has_old_plans = self.has_failed
        self.mine.send(b"".join(questions.requests))
        self.once = list(dict.fromkeys(questions.requests)) if self.is_idle else questions.requests
        self.twin.send(b"".join(self.once))

    def compare(self, questions: Questions) -> list[bool]:
        """Compares all answers, and returns which of them were rows."""
        replies = whole_replies(self.twin, len(self.once))
        truth = dict(zip(self.once, replies)) if self.is_idle else {}
        expected = [truth[data] for data in questions.requests] if self.is_idle else replies
        self.is_idle = expected[-1].endswith(IDLE)
        self.has_failed = expected[-1].endswith(FAILED)
        if arrives(self.mine, b"".join(expected)):
            return [not is_refusal(reply) for reply in expected]
        return self.explain(questions, expected)

    def explain(self, questions: Questions, expected: list[bytes]) -> list[bool]:
        """What differs in the bytes need not differ in what they say: a backend's own notices."""
        answered = []
        self.twin.received = bytearray(b"".join(expected)) + self.twin.received
        both = (session.replies(len(questions.requests)) for session in (self.mine, self.twin))
        for text, mine, truth in zip(questions.texts, *both):
            if is_lost(mine.error):
                raise LinkLost([])
            if (mine.error, mine.rows, mine.tag) != (truth.error, truth.rows, truth.tag):
                raise Mismatch(
                    f"{self.user} after {self.told[-12:]} asks {text}: Mynah answers "
                    f"{mine.error or mine.rows[:6]}, PostgreSQL {truth.error or truth.rows[:6]}"
                )
            answered.append(truth.error is None)
        return answered

    def tell(self, sql: str) -> None:
        self.told.append(sql)
        command = Questions()
        command.add(wire.query(sql), sql)
        self.ask(command)

    def close(self) -> None:
        self.mine.close()
        self.twin.close()


def whole_replies(session: PipelinedSession, count: int) -> list[bytes]:
    """The bytes of `count` replies, each up to its ReadyForQuery."""
    found: list[bytes] = []
    data, offset, start = session.received, 0, 0
    while len(found) < count:
        while len(data) - offset < 5 or len(data) - offset <= length_at(data, offset):
            receive(session)
        is_last = data[offset] == 0x5A  # ReadyForQuery
        offset += 1 + length_at(data, offset)
        if is_last:
            found.append(bytes(data[start:offset]))
            start = offset
    del data[:offset]
    return found


def length_at(data: bytearray, offset: int) -> int:
    return int.from_bytes(data[offset + 1 : offset + 5], "big")


def arrives(session: PipelinedSession, expected: bytes) -> bool:
    """Takes exactly these bytes from the session, or none at the first that differs."""
    data = session.received
    while len(data) < len(expected):
        if not expected.startswith(bytes(data)):
            return False
        receive(session)
    if data[: len(expected)] != expected:
        return False
    del data[: len(expected)]
    return True


def receive(session: PipelinedSession) -> None:
    session.socket.settimeout(session.timeout)
    try:
        more = session.socket.recv(1 << 18)
    except ConnectionError:
        more = b""
    if not more:
        raise LinkLost([])
    session.received += more


def is_refusal(reply: bytes) -> bool:
    """Whether an error is all there is after ParseComplete and BindComplete."""
    offset = 0
    while reply[offset] in b"12":
        offset += 5
    return reply[offset] == 0x45
