"""pg8000: extended protocol in text, both of its interfaces; COPY, notices, notifications."""

import io
import sys

import pg8000.dbapi
import pg8000.native
from say import (
    CREATE, DATE_COLUMNS, TYPE_COLUMNS, VALUES, change_and_undo, read_repeatedly, rows, target,
)


def failing(work, *arguments, **named):
    try:
        work(*arguments, **named)
        print("no error")
    except (pg8000.dbapi.DatabaseError, pg8000.native.DatabaseError) as error:
        print(error.args[0].get("C"), "|", error.args[0].get("S"))


def common():
    connection = pg8000.dbapi.connect(**target())
    cursor = connection.cursor()
    cursor.execute(CREATE.format("pg8000_common"))
    cursor.executemany("INSERT INTO pg8000_common VALUES (%s, %s, %s)", VALUES)
    connection.commit()
    read_repeatedly(connection, cursor, "pg8000_common")
    change_and_undo(connection, cursor, "pg8000_common")
    failing(cursor.execute, "SELECT * FROM no_such_table")
    failing(cursor.execute, "SELECT 1")
    connection.rollback()
    failing(cursor.execute, "INSERT INTO pg8000_common VALUES (1, 'again', 0)")
    connection.rollback()
    cursor.execute("DROP TABLE pg8000_common")
    connection.commit()
    connection.close()
    connection = pg8000.native.Connection(**target())
    connection.run(CREATE.format("pg8000_native"))
    by_id = connection.prepare("INSERT INTO pg8000_native VALUES (:id, :name, :amount)")
    for number, name, amount in VALUES:
        by_id.run(id=number, name=name, amount=amount)
    select = connection.prepare("SELECT name FROM pg8000_native WHERE id = :id")
    for _ in range(3):
        rows("prepared", select.run(id=1))
        rows("run", connection.run("SELECT id FROM pg8000_native WHERE name = :name", name="one"))
        print(connection.row_count, [column["name"] for column in connection.columns])
    select.close()
    failing(connection.run, "SELECT * FROM no_such_table")
    connection.run("DROP TABLE pg8000_native")
    connection.close()


def full():
    connection = pg8000.native.Connection(**target())
    for _ in range(2):
        rows("types", connection.run(f"SELECT {TYPE_COLUMNS} FROM every_type ORDER BY id"))
        print([(column["name"], column["type_oid"]) for column in connection.columns][:23])
        rows("dates", connection.run(f"SELECT {DATE_COLUMNS} FROM every_type WHERE id = 1"))
    for value in (1, 2**40, "é", b"\x00\xff", 1.5, None, True, [1, 2], ["a"]):
        rows("parameter", connection.run("SELECT :v", v=value))
    connection.run("CREATE TABLE pg8000_copied (id integer, v text)")
    connection.run("COPY pg8000_copied FROM STDIN", stream=io.BytesIO(b"1\tone\n2\t\\N\n"))
    print(connection.row_count)
    output = io.BytesIO()
    connection.run("COPY (SELECT * FROM pg8000_copied ORDER BY id) TO STDOUT (FORMAT csv)", stream=output)
    print(output.getvalue())
    failing(connection.run, "COPY pg8000_copied FROM STDIN", stream=io.BytesIO(b"x\tone\n"))
    rows("copied", connection.run("SELECT count(*) FROM pg8000_copied"))
    connection.run("DROP TABLE pg8000_copied")
    connection.run("SELECT say('hello')")
    print([(notice[b"S"], notice[b"M"]) for notice in connection.notices])
    connection.run("LISTEN pg8000")
    connection.run("NOTIFY pg8000, 'payload'")
    rows("several", connection.run("SELECT 1"))
    print([(channel, payload) for _, channel, payload in connection.notifications])
    own = connection.run("SELECT pg_backend_pid()")[0][0]
    print("identity", [pid == own for pid, _, _ in connection.notifications])
    connection.run("BEGIN")
    failing(connection.run, "SELECT 1 / 0")
    failing(connection.run, "SELECT 1")
    connection.run("ROLLBACK")
    print(connection.parameter_statuses.get("server_encoding"), connection.parameter_statuses.get("TimeZone"))
    connection.run("SET TimeZone = 'Asia/Tokyo'")
    rows("zone", connection.run("SELECT stamp_zone::text FROM every_type WHERE id = 1"))
    rows("zone", connection.run("SELECT stamp_zone::text FROM every_type WHERE id = 1"))
    connection.close()
    connection = pg8000.dbapi.connect(**target())
    transaction = connection.xid(1, "pg8000", "branch")
    connection.tpc_begin(transaction)
    cursor = connection.cursor()
    cursor.execute("UPDATE parent SET note = 'lost' WHERE id = 1")
    connection.tpc_prepare()
    # Its tpc_rollback does not recognise a prepared transaction.
    connection.autocommit = True
    cursor.execute("ROLLBACK PREPARED 'pg8000'")
    cursor.execute("SELECT note FROM parent WHERE id = 1")
    rows("rolled back", cursor.fetchall())
    connection.close()


if __name__ == "__main__":
    common()
    if sys.argv[1] == "full":
        full()
