"""What the Python programs share: how they print, what they do alike, and waiting for a statement."""

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


def read_repeatedly(connection, cursor, table: str) -> None:
    """The same two reads in three transactions, by a driver with the Python database API."""
    for _ in range(3):
        cursor.execute(f"SELECT id, name, amount FROM {table} ORDER BY id")
        print(cursor.rowcount, [column[0] for column in cursor.description])
        rows("all", cursor.fetchall())
        cursor.execute(f"SELECT name FROM {table} WHERE id = %s", (2,))
        rows("one", cursor.fetchall())
        connection.commit()


def change_and_undo(connection, cursor, table: str) -> None:
    """A change that is undone up to a savepoint, then as a whole, and what is seen of it."""
    cursor.execute(f"UPDATE {table} SET name = %s WHERE id = 1", ("changed",))
    cursor.execute("SAVEPOINT s")
    cursor.execute(f"DELETE FROM {table}")
    cursor.execute(f"SELECT count(*) FROM {table}")
    rows("none left", cursor.fetchall())
    cursor.execute("ROLLBACK TO SAVEPOINT s")
    cursor.execute(f"SELECT name FROM {table} ORDER BY id")
    rows("changed", cursor.fetchall())
    connection.rollback()
    cursor.execute(f"SELECT name FROM {table} ORDER BY id")
    rows("as before", cursor.fetchall())
    connection.commit()
