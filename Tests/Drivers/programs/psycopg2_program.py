"""psycopg2: simple protocol; server-side cursors, COPY, notices, notifications, cancel, large objects."""

import io
import sys
import threading

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from say import (
    CREATE, DATE_COLUMNS, RUNNING, TYPE_COLUMNS, VALUES, change_and_undo, read_repeatedly, rows, target,
    until_running,
)


def connect(**options):
    return psycopg2.connect(**target(), **options)


def failing(cursor, sql, parameters=None):
    try:
        cursor.execute(sql, parameters)
        print("no error:", sql)
    except psycopg2.Error as error:
        print(type(error).__name__, error.pgcode, "|", (error.diag.message_primary or "").strip())


def common(connection):
    cursor = connection.cursor()
    cursor.execute(CREATE.format("py2_common"))
    cursor.executemany("INSERT INTO py2_common VALUES (%s, %s, %s)", VALUES)
    print(cursor.rowcount, cursor.statusmessage)
    connection.commit()
    read_repeatedly(connection, cursor, "py2_common")
    change_and_undo(connection, cursor, "py2_common")
    failing(cursor, "SELECT * FROM no_such_table")
    failing(cursor, "SELECT 1")
    connection.rollback()
    try:
        cursor.execute("INSERT INTO py2_common VALUES (1, 'again', 0)")
    except psycopg2.errors.UniqueViolation as error:
        print(error.pgcode)
    connection.rollback()
    cursor.execute("DROP TABLE py2_common")
    connection.commit()


def full(connection):
    cursor = connection.cursor()
    for _ in range(2):
        cursor.execute(f"SELECT {TYPE_COLUMNS} FROM every_type ORDER BY id")
        print([(column.name, column.type_code, column.internal_size) for column in cursor.description][:24])
        rows("types", cursor.fetchall())
        cursor.execute(f"SELECT {DATE_COLUMNS} FROM every_type WHERE id = 1")
        rows("dates", cursor.fetchall())
        connection.commit()
    with connection.cursor("named") as named:
        named.itersize = 7
        named.execute("SELECT id, name FROM parent ORDER BY id")
        rows("server-side cursor", named)
    connection.commit()
    with connection.cursor("held", withhold=True, scrollable=True) as held:
        held.execute("SELECT id FROM parent ORDER BY id")
        connection.commit()
        rows("held", held.fetchmany(3))
        held.scroll(-2)
        rows("scrolled", held.fetchmany(1))
    connection.commit()
    connection.autocommit = True
    cursor.execute("CREATE TABLE py2_copied (id integer, v text)")
    cursor.copy_expert("COPY py2_copied FROM STDIN", io.StringIO("1\tone\n2\t\\N\n"))
    print(cursor.rowcount)
    output = io.StringIO()
    cursor.copy_expert("COPY (SELECT * FROM py2_copied ORDER BY id) TO STDOUT CSV HEADER", output)
    print(output.getvalue())
    try:
        cursor.copy_expert("COPY py2_copied FROM STDIN", io.StringIO("x\tone\n"))
    except psycopg2.Error as error:
        print(error.pgcode, error.diag.context)
    cursor.execute("SELECT count(*) FROM py2_copied")
    rows("copied", cursor.fetchall())
    psycopg2.extras.execute_values(cursor, "INSERT INTO py2_copied VALUES %s", [(n, str(n)) for n in range(50)])
    psycopg2.extras.execute_batch(cursor, "UPDATE py2_copied SET v = %s WHERE id = %s", [("b", n) for n in range(9)])
    cursor.execute("SELECT count(*), count(DISTINCT v) FROM py2_copied")
    rows("values", cursor.fetchall())
    cursor.execute("DROP TABLE py2_copied")
    cursor.execute("SELECT say('hello')")
    print(connection.notices)
    cursor.execute("LISTEN py2")
    cursor.execute("NOTIFY py2, 'payload'")
    connection.poll()
    print([(n.channel, n.payload) for n in connection.notifies])
    print("identity", [n.pid == connection.info.backend_pid for n in connection.notifies])
    other = connect()
    other.autocommit = True
    with other.cursor() as sender:
        sender.execute("NOTIFY py2, 'from another'")
        del connection.notifies[:]
        cursor.execute("SELECT 1")
        print([(n.channel, n.payload) for n in connection.notifies])
        print("identity", [n.pid == other.info.backend_pid for n in connection.notifies])
    cursor.execute("UNLISTEN *")

    def cancel():
        def count():
            with other.cursor() as watcher:
                watcher.execute(RUNNING)
                return watcher.fetchone()[0]

        until_running(count)
        connection.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    failing(cursor, "SELECT pg_sleep(60)")
    thread.join()
    cursor.execute("SELECT 'usable'")
    rows("after the cancel", cursor.fetchall())
    other.close()
    cursor.execute("SELECT pg_backend_pid()")
    print("identity", cursor.fetchone()[0] == connection.info.backend_pid)
    print(connection.info.server_version >= 150000, connection.encoding, connection.info.protocol_version)
    connection.set_client_encoding("LATIN1")
    cursor.execute("SELECT 'é', current_setting('client_encoding')")
    rows("latin1", cursor.fetchall())
    connection.set_client_encoding("UTF8")
    connection.autocommit = False
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True)
    failing(cursor, "UPDATE parent SET name = 'x'")
    connection.rollback()
    cursor.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    rows("session", cursor.fetchall())
    connection.rollback()
    connection.set_session(isolation_level="DEFAULT", readonly=False)
    large = connection.lobject(0, "wb")
    large.write(b"0123456789" * 1000)
    large.seek(5)
    large.truncate(20)
    number = large.oid
    connection.commit()
    large = connection.lobject(number, "rb")
    print(large.read(), large.tell())
    large.unlink()
    connection.commit()
    psycopg2.extras.register_hstore(connection)
    cursor.execute("SELECT 'a=>1, b=>NULL'::hstore, ROW(1, 'x'), ARRAY[[1,2],[3,4]]")
    rows("extras", cursor.fetchall())
    connection.commit()
    transaction = connection.xid(1, "py2", "branch")
    connection.tpc_begin(transaction)
    cursor.execute("SELECT name FROM parent WHERE id = 1")
    connection.tpc_prepare()
    connection.tpc_rollback()
    print(connection.tpc_recover())
    with connect(options="-c work_mem=1MB -c search_path=apart") as tuned, tuned.cursor() as other:
        other.execute("SELECT current_setting('work_mem'), current_schema()")
        rows("options", other.fetchall())


if __name__ == "__main__":
    opened = connect()
    common(opened)
    if sys.argv[1] == "full":
        full(opened)
    opened.close()
