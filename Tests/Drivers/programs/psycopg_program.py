"""psycopg 3: extended protocol in text and binary, prepared, pipelines; synchronous and asynchronous."""

import asyncio
import logging
import sys
import threading

import psycopg
from say import CREATE, DATE_COLUMNS, RUNNING, TYPE_COLUMNS, VALUES, rows, target, until_running

TARGET = {("dbname" if key == "database" else key): value for key, value in target().items()}

# What the driver notes about a pipeline that ends names an object by its address, and comes or not.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def failing(connection, sql, parameters=None):
    try:
        connection.execute(sql, parameters)
        print("no error:", sql)
    except psycopg.Error as error:
        print(type(error).__name__, error.sqlstate)


def common():
    connection = psycopg.connect(**TARGET)
    connection.execute(CREATE.format("py3_common"))
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO py3_common VALUES (%s, %s, %s)", VALUES)
        print(cursor.rowcount)
    connection.commit()
    for binary in (False, True):
        for prepare in (None, True):
            for _ in range(3):
                found = connection.execute(
                    "SELECT id, name, amount FROM py3_common ORDER BY id", binary=binary, prepare=prepare
                )
                rows(f"all {binary} {prepare}", found.fetchall())
                found = connection.execute(
                    "SELECT name FROM py3_common WHERE id = %s", (2,), binary=binary, prepare=prepare
                )
                rows("one", found.fetchall())
                connection.commit()
    with connection.pipeline():
        first = connection.execute("SELECT name FROM py3_common WHERE id = %s", (1,))
        connection.execute("UPDATE py3_common SET name = %s WHERE id = 1", ("piped",))
        second = connection.execute("SELECT name FROM py3_common WHERE id = %s", (1,))
        rows("pipeline", [first.fetchone(), second.fetchone()])
    connection.commit()
    try:
        with connection.transaction():
            connection.execute("UPDATE py3_common SET name = 'changed' WHERE id = 1")
            with connection.transaction(force_rollback=True):
                connection.execute("DELETE FROM py3_common")
                rows("none left", connection.execute("SELECT count(*) FROM py3_common"))
            rows("changed", connection.execute("SELECT name FROM py3_common ORDER BY id"))
            raise psycopg.Rollback
    except psycopg.Rollback:
        print("left")
    rows("as before", connection.execute("SELECT name FROM py3_common ORDER BY id"))
    connection.commit()
    failing(connection, "SELECT * FROM no_such_table")
    failing(connection, "SELECT 1")
    connection.rollback()
    failing(connection, "INSERT INTO py3_common VALUES (1, 'again', 0)")
    connection.rollback()
    connection.execute("DROP TABLE py3_common")
    connection.commit()
    connection.close()


def full():
    connection = psycopg.connect(**TARGET, autocommit=True)
    connection.add_notice_handler(lambda notice: print("notice", notice.severity, notice.message_primary))
    for binary in (False, True):
        columns = TYPE_COLUMNS.replace("money", "money::numeric") if binary else TYPE_COLUMNS
        for _ in range(2):
            cursor = connection.execute(f"SELECT {columns} FROM every_type ORDER BY id", binary=binary)
            print([(column.name, column.type_code) for column in cursor.description])
            rows(f"types {binary}", cursor)
            rows("dates", connection.execute(f"SELECT {DATE_COLUMNS} FROM every_type WHERE id = 1", binary=binary))
    for value in (1, 2**40, "text", b"\x00\xff", 1.5, None, True, [1, 2, None], ["a"]):
        for _ in range(2):
            rows("parameter", connection.execute("SELECT %s AS v, %b AS b", (value, value), prepare=True))
    with connection.transaction(), connection.cursor("named") as named:
        named.itersize = 6
        named.execute("SELECT id, name FROM parent WHERE id > %s ORDER BY id", (2,))
        rows("server-side cursor", named)
    with psycopg.ServerCursor(connection, "held", withhold=True) as held:
        held.execute("SELECT id FROM parent ORDER BY id")
        rows("held", held.fetchmany(3))
    for size in (0, 3):
        with connection.cursor() as cursor:
            found = cursor.stream("SELECT id FROM parent WHERE id < 8 ORDER BY id")
            rows(f"stream {size}", found)
    connection.execute("CREATE TABLE py3_copied (id integer, v text)")
    with connection.cursor() as cursor:
        with cursor.copy("COPY py3_copied FROM STDIN") as copy:
            copy.write_row((1, "one"))
            copy.write_row((2, None))
        print(cursor.rowcount, cursor.statusmessage)
        with cursor.copy("COPY py3_copied FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((3, "three"))
        with cursor.copy("COPY (SELECT * FROM py3_copied ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            rows("copied", copy.rows())
        try:
            with cursor.copy("COPY py3_copied FROM STDIN") as copy:
                copy.write("x\ty\n")
        except psycopg.Error as error:
            print(error.sqlstate)
        try:
            with cursor.copy("COPY py3_copied FROM STDIN") as copy:
                copy.write("7\ty\n")
                raise RuntimeError("given up")
        except RuntimeError as error:
            print(error)
        rows("kept", connection.execute("SELECT count(*) FROM py3_copied"))
        cursor.execute("INSERT INTO py3_copied VALUES (%s, %s) RETURNING id, v", (9, "nine"))
        rows("returning", cursor)
        cursor.executemany("INSERT INTO py3_copied VALUES (%s, %s) RETURNING id", [(n, "m") for n in range(20, 23)], returning=True)
        while True:
            rows("many", cursor)
            if not cursor.nextset():
                break
        cursor.execute("SELECT 1; SELECT name FROM parent WHERE id = 2; SELECT 3")
        while True:
            rows("several", cursor)
            if not cursor.nextset():
                break
    connection.execute("DROP TABLE py3_copied")
    connection.execute("SELECT say('hello')")
    connection.execute("SELECT say(%s)", ("twice",))
    connection.execute("LISTEN py3")
    with psycopg.connect(**TARGET, autocommit=True) as other:
        other.execute("NOTIFY py3, 'from another'")
        connection.execute("NOTIFY py3, 'own'")
        for notify in connection.notifies(timeout=10, stop_after=2):
            source = {other.info.backend_pid: "other", connection.info.backend_pid: "own"}
            print(notify.channel, notify.payload)
            print("identity", source.get(notify.pid, "unknown"))
        connection.execute("UNLISTEN py3")

        def cancel():
            until_running(lambda: other.execute(RUNNING).fetchone()[0])
            connection.cancel_safe()

        thread = threading.Thread(target=cancel)
        thread.start()
        failing(connection, "SELECT pg_sleep(60)")
        thread.join()
    rows("after the cancel", connection.execute("SELECT 'usable'"))
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT name FROM parent WHERE id = %s", (n,)) for n in range(1, 8)]
        pipeline.sync()
        rows("pipelined", [cursor.fetchone() for cursor in cursors])
    try:
        with connection.pipeline():
            connection.execute("SELECT name FROM parent WHERE id = 1")
            connection.execute("SELECT 1 / 0")
            connection.execute("SELECT name FROM parent WHERE id = 2")
    except psycopg.Error as error:
        print("pipeline", error.sqlstate, connection.info.transaction_status.name)
    rows("after it", connection.execute("SELECT name FROM parent WHERE id = 1"))
    try:
        with connection.pipeline(), connection.transaction():
            connection.execute("UPDATE parent SET note = 'lost' WHERE id = 1")
            connection.execute("SELECT 1 / 0")
    except psycopg.Error as error:
        print("transaction in a pipeline", error.sqlstate)
    rows("unchanged", connection.execute("SELECT note FROM parent WHERE id = 1"))
    connection.execute("SELECT set_config('app.tenant', 'nine', false)")
    rows("setting", connection.execute("SELECT current_setting('app.tenant')"))
    rows("temporary", connection.execute("CREATE TEMPORARY TABLE py3_passing AS SELECT 5 AS v") and connection.execute("SELECT v FROM py3_passing"))
    connection.execute("PREPARE by_sql (integer) AS SELECT name FROM parent WHERE id = $1")
    rows("by SQL", connection.execute("EXECUTE by_sql (3)"))
    print("identity", connection.info.backend_pid == connection.execute("SELECT pg_backend_pid()").fetchone()[0])
    print(connection.info.parameter_status("server_encoding"), connection.info.parameter_status("TimeZone"))
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    print(connection.info.parameter_status("TimeZone"))
    connection.close()


async def asynchronous():
    async with await psycopg.AsyncConnection.connect(**TARGET, autocommit=True) as connection:
        for _ in range(3):
            rows("async", await (await connection.execute("SELECT id, name FROM parent WHERE id < %s ORDER BY id", (4,))).fetchall())
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT name FROM parent WHERE id = %s", (n,)) for n in (1, 2)]
            rows("async pipeline", [await cursor.fetchone() for cursor in cursors])
        async with await psycopg.AsyncConnection.connect(**TARGET, autocommit=True) as other:
            task = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
            while (await (await other.execute(RUNNING)).fetchone())[0] == 0:
                await asyncio.sleep(0.01)
            task.cancel()
            try:
                await task
            except (asyncio.CancelledError, psycopg.errors.QueryCanceled) as error:
                print(type(error).__name__)
        rows("usable", await (await connection.execute("SELECT 1")).fetchall())


if __name__ == "__main__":
    common()
    if sys.argv[1] == "full":
        full()
        asyncio.run(asynchronous())
