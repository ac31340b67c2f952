"""What the Python programs share: how they print, and waiting for a statement to run."""

import os
import time


def show(value: object) -> str:
    """A value with its type, the same for equal values."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}[{', '.join(show(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    return f"{value!r}:{type(value).__name__}"


def rows(title: str, found) -> None:
    print(f"-- {title}")
    for row in found:
        print(show(tuple(row)))


def target() -> dict[str, object]:
    """Where to connect to, as keyword arguments."""
    return {
        "host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]),
        "user": os.environ["PGUSER"], "database": os.environ["PGDATABASE"],
    }


RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
    " AND query LIKE 'SELECT pg_sleep(6%' AND datname = current_database()"
)


def until_running(count) -> None:
    """Waits until the server runs the statement that is to be cancelled; `count` asks RUNNING."""
    deadline = time.monotonic() + 20
    while count() == 0:
        assert time.monotonic() < deadline, "the statement never ran"
        time.sleep(0.01)


TYPE_COLUMNS = (
    "id, small, big, exact, single, double, flag, fixed, varying, words, bytes, moment, key, doc,"
    " docb, address, network, bits, numbers, names, feeling, money, place, range, spot"
)
DATE_COLUMNS = "day, stamp, stamp_zone, span, moment_zone"

CREATE = "CREATE TABLE {} (id bigint PRIMARY KEY, name text, amount double precision)"
VALUES = [(1, "one", 1.5), (2, "héllo 日本語 ✈", None), (3, None, -2.25)]
