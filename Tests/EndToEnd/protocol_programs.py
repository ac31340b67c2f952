"""Random programs of frontend messages, legal at first and then mutated, made from a seed."""

import random
import struct

import wire
from wire import message

READS = [
    "SELECT name FROM birds WHERE id = $1",
    "SELECT id, weight FROM birds WHERE id < $1 ORDER BY id",
    "SELECT count(*) FROM birds",
    "SELECT name FROM birds WHERE id = 3",
    "SELECT id FROM birds ORDER BY id",
    "SELECT count(*), max(place) FROM sightings",
    "SELECT line FROM notes ORDER BY line",
]
WRITES = [
    "INSERT INTO sightings VALUES ($1, 'here') RETURNING id",
    "INSERT INTO sightings VALUES (1, 'a'), (2, 'b')",
    "UPDATE birds SET weight = weight + 1 WHERE id = $1",
    "DELETE FROM sightings",
    "INSERT INTO notes VALUES ('line')",
    "DELETE FROM notes",
    "TRUNCATE notes",
]
CONTROL = [
    "BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO SAVEPOINT a",
    "RELEASE SAVEPOINT a", "BEGIN ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY",
    "COMMIT AND CHAIN", "ABORT", "END", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
]
OTHERS = [
    "", " ", "-- nothing", ";", "SELECT 1/0", "SELECT 1 / (n - 3) FROM generate_series(1, 5) n",
    "SELECT * FROM nowhere", "SELEC", "SET search_path = public", "SET search_path = nowhere",
    "RESET ALL", "SET LOCAL extra_float_digits = 0", "SHOW search_path", "DISCARD ALL",
    "DEALLOCATE ALL", "DEALLOCATE s1", "PREPARE s1 AS SELECT name FROM birds WHERE id = 3",
    "EXECUTE s1", "DECLARE p1 CURSOR FOR SELECT id FROM birds ORDER BY id",
    "DECLARE p2 CURSOR WITH HOLD FOR SELECT id FROM birds ORDER BY id", "FETCH 2 FROM p1",
    "CLOSE p2", "CLOSE ALL", "COPY (SELECT * FROM birds ORDER BY id) TO STDOUT", "LOCK TABLE notes", "LISTEN songs",
    "CREATE TEMPORARY TABLE birds (id int, name text, weight numeric)", "DROP TABLE pg_temp.birds",
    "DO $$ BEGIN RAISE NOTICE 'heard'; END $$", "SELECT set_config('my.bird', 'x', false)",
    "SELECT current_setting('my.bird', true) FROM birds WHERE id = 1",
    "SELECT name FROM birds WHERE id = 4 FOR UPDATE", "VACUUM notes", "CREATE TABLE nest (id int)",
    "DROP TABLE nest", "SET ROLE nobody_at_all", "SET extra_float_digits = 3",
]
COPY_IN = [
    "COPY notes FROM STDIN", "COPY sightings FROM STDIN", "COPY notes FROM STDIN; SELECT 1",
]
STATEMENTS = ["", "", "", "s1", "s2"]
PORTALS = ["", "", "", "p1", "p2"]
PREAMBLE = b"".join(wire.extended(sql) for sql in READS[2:5])


def certain(messages: list[bytes]) -> list[bytes]:
    """Without what comes between the data of a COPY. Where a COPY fails, whether the server answers
    a Sync in there depends on when it failed; Mynah ends such a session."""
    kept, copies, has_data = [], False, False
    for one in messages:
        tag = one[:1]
        if b"FROM STDIN" in one and tag in (b"Q", b"P"):
            copies, has_data = True, False
        elif tag in (b"c", b"f"):
            copies = False
        elif copies and tag == b"d":
            has_data = True
        elif copies and has_data:
            if tag in (b"S", b"H"):
                continue
            kept.append(wire.message(b"c"))
            copies = False
        kept.append(one)
    if copies and has_data:
        kept.append(wire.message(b"c"))
    return kept


class ProgramMaker:
    """One program: a list of steps, each the bytes up to where an answer can be waited for."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)

    def make(self) -> list[bytes]:
        steps = [self._step() for _ in range(self.chance.randint(2, 7))]
        return [
            b"".join(certain(self._mutated(step) if self.chance.random() < 0.3 else step))
            for step in steps
        ]

    def _sql(self) -> str:
        kind = self.chance.random()
        pool = READS if kind < 0.5 else WRITES if kind < 0.65 else CONTROL if kind < 0.82 else OTHERS
        return self.chance.choice(pool)

    def _step(self) -> list[bytes]:
        kind = self.chance.random()
        if kind < 0.22:
            return [wire.query(self._text())]
        if kind < 0.30:
            return self._copy()
        if kind < 0.34:
            return [self._function_call(), wire.sync()]
        found: list[bytes] = []
        for _ in range(self.chance.randint(1, 3)):
            found += self._segment()
            if self.chance.random() < 0.3:
                found.append(wire.sync())
            elif self.chance.random() < 0.15:
                found.append(wire.flush())
        if self.chance.random() < 0.1:
            found.append(wire.query(self._text()))
        elif self.chance.random() < 0.8:
            found.append(wire.sync())
        return found

    def _text(self) -> str:
        """For a simple Query: parameters are constants there."""
        parts = [self._sql() for _ in range(self.chance.choice([1, 1, 1, 1, 2, 3]))]
        return "; ".join(parts).replace("$1", str(self.chance.randint(1, 5)))

    def _segment(self) -> list[bytes]:
        statement, portal = self.chance.choice(STATEMENTS), self.chance.choice(PORTALS)
        sql = self._sql()
        parameters = (str(self.chance.randint(1, 5)).encode(),) if "$1" in sql else ()
        if self.chance.random() < 0.05:
            parameters += (None,)
        formats = self.chance.choice([(), (), (0,), (1,), (0, 1), (0, 0, 0)])
        found = []
        if self.chance.random() < 0.85:
            if statement and self.chance.random() < 0.6:
                found.append(wire.close_statement(statement))
            found.append(wire.parse(sql, statement))
        if self.chance.random() < 0.15:
            found.append(wire.describe_statement(statement))
        found.append(wire.bind(statement, portal, parameters, result_formats=formats))
        if self.chance.random() < 0.6:
            found.append(wire.describe_portal(portal))
        for _ in range(self.chance.choice([1, 1, 1, 1, 0, 2, 3])):
            found.append(wire.execute(portal, self.chance.choice([0, 0, 0, 0, 1, 2, 100])))
        if self.chance.random() < 0.1:
            found.append(wire.close_portal(portal))
        return found

    def _copy(self) -> list[bytes]:
        sql = self.chance.choice(COPY_IN)
        extended = self.chance.random() < 0.4 and ";" not in sql
        found = [wire.parse(sql), wire.bind(), wire.execute()] if extended else [wire.query(sql)]
        row = b"7\there\n" if "sightings" in sql else b"sung\n"
        for _ in range(self.chance.randint(0, 3)):
            found.append(message(b"d", self.chance.choice([row, row * 3, row[:3], b"bad\tbad\tbad\n"])))
            if self.chance.random() < 0.1:
                found.append(self.chance.choice([wire.flush(), wire.sync()]))
        found.append(message(b"f", b"enough\0") if self.chance.random() < 0.25 else message(b"c"))
        return found + [wire.sync()] if extended else found

    def _function_call(self) -> bytes:
        # int4pl(1, n), in binary; or too few arguments; or no such function.
        whole = struct.pack("!IHHHIIIIH", 177, 1, 1, 2, 4, 1, 4, self.chance.randint(1, 9), 1)
        broken = struct.pack("!IHHH", self.chance.choice([177, 999_999_999]), 0, 0, 0)
        return message(b"F", self.chance.choice([whole, whole, broken]))

    def _mutated(self, messages: list[bytes]) -> list[bytes]:
        messages = list(messages)
        for _ in range(self.chance.choice([1, 1, 2])):
            if not messages:
                break
            place = self.chance.randrange(len(messages))
            changed = self._mutation(messages[place])
            kind = self.chance.randrange(9)
            if kind == 0:
                del messages[place]
            elif kind == 1:
                messages.insert(place, messages[place])
            elif kind == 2:
                other = self.chance.randrange(len(messages))
                messages[place], messages[other] = messages[other], messages[place]
            elif kind == 3:
                messages.insert(place, self._stray())
            else:
                messages[place] = changed
        return messages

    def _stray(self) -> bytes:
        return self.chance.choice([
            wire.sync(), wire.flush(), message(b"d", b"stray"), message(b"c"), message(b"f", b"no\0"),
            wire.execute(), wire.execute("p1"), wire.describe_portal(), wire.describe_portal("p1"),
            wire.describe_statement("s1"), wire.close_portal(), wire.close_statement("s1"),
            wire.close_statement(), wire.query("SELECT count(*) FROM birds"), wire.bind(),
            message(b"S", b"x"), message(b"H", b"x"), message(b"P"), message(b"B"), message(b"D"),
        ])

    def _mutation(self, whole: bytes) -> bytes:
        """Another body under the same type, or another type; the length is always right, so that
        both sides see where the next message begins."""
        tag, body = whole[:1], bytearray(whole[5:])
        kind = self.chance.randrange(5)
        if kind == 0 and body:
            body[self.chance.randrange(len(body))] = self.chance.choice([0, 1, 0x53, 0x7F, 0xFF])
        elif kind == 1 and body:
            del body[self.chance.randrange(len(body)):]
        elif kind == 2:
            body += self.chance.randbytes(self.chance.randint(1, 4))
        elif kind == 3:
            tag = self.chance.choice([b"Q", b"P", b"B", b"D", b"E", b"C", b"S", b"H", b"F", b"d", b"c", b"f"])
            if self.chance.random() < 0.05:
                tag = self.chance.choice([b"p", b"@", b"\0", b"T"])
        elif body:
            del body[self.chance.randrange(len(body))]
        return message(tag, bytes(body))
