"""psqlODBC through pyodbc: its statement modes, cursors by Declare/Fetch, catalog functions."""

import os
import sys

import pyodbc
from say import CREATE, VALUES, rows

pyodbc.pooling = False
DRIVER = "DRIVER=/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so;"


def opened(options="", **more):
    where = "SERVER={PGHOST};PORT={PGPORT};DATABASE={PGDATABASE};UID={PGUSER};".format(**os.environ)
    return pyodbc.connect(DRIVER + where + options, **more)


def failing(cursor, sql):
    try:
        cursor.execute(sql)
        print("no error")
    except pyodbc.Error as error:
        print(type(error).__name__, error.args[0])


def common(options):
    print("==", options)
    connection = opened(options)
    cursor = connection.cursor()
    cursor.execute(CREATE.format("odbc_common"))
    cursor.executemany("INSERT INTO odbc_common VALUES (?, ?, ?)", VALUES)
    connection.commit()
    for _ in range(3):
        rows("all", cursor.execute("SELECT id, name, amount FROM odbc_common ORDER BY id").fetchall())
        rows("one", cursor.execute("SELECT name FROM odbc_common WHERE id = ?", 2).fetchall())
        connection.commit()
    cursor.execute("UPDATE odbc_common SET name = ? WHERE id = 1", "changed")
    print(cursor.rowcount)
    rows("changed", cursor.execute("SELECT name FROM odbc_common ORDER BY id").fetchall())
    connection.rollback()
    rows("as before", cursor.execute("SELECT name FROM odbc_common ORDER BY id").fetchall())
    connection.commit()
    failing(cursor, "SELECT * FROM no_such_table")
    connection.rollback()
    failing(cursor, "INSERT INTO odbc_common VALUES (1, 'again', 0)")
    connection.rollback()
    cursor.execute("DROP TABLE odbc_common")
    connection.commit()
    connection.close()


def full(options):
    connection = opened(options, autocommit=True)
    cursor = connection.cursor()
    columns = "id, small, big, exact, single, double, flag, fixed, varying, words, day, moment, stamp, key, doc, docb, address, bits, numbers, names, feeling, place, range, spot"
    for _ in range(2):
        cursor.execute(f"SELECT {columns} FROM every_type WHERE id <> 2 ORDER BY id")
        print([(column[0], column[1].__name__, column[3]) for column in cursor.description])
        rows("types", cursor.fetchall())
        rows("parent", cursor.execute("SELECT id, name FROM parent ORDER BY id").fetchall())
    cursor.execute("SELECT 1; SELECT name FROM parent WHERE id = 2; SELECT 3")
    rows("several", cursor.fetchall())
    while cursor.nextset():
        rows("several", cursor.fetchall())
    rows("tables", [(row.table_schem, row.table_name, row.table_type) for row in cursor.tables(table="p%", schema="public")])
    rows("columns", [(row.column_name, row.type_name, row.nullable) for row in cursor.columns(table="child")])
    rows("keys", [(row.column_name,) for row in cursor.primaryKeys(table="parent")])
    rows("foreign", [(row.pkcolumn_name, row.fkcolumn_name) for row in cursor.foreignKeys(foreignTable="child")])
    rows("statistics", [(row.index_name, row.column_name) for row in cursor.statistics(table="child")])
    print(connection.getinfo(pyodbc.SQL_DBMS_NAME), connection.getinfo(pyodbc.SQL_DBMS_VER)[:3])
    connection.close()


if __name__ == "__main__":
    # SQLite has no SQL cursors.
    cursors = ("UseDeclareFetch=1;Fetch=5;",) if sys.argv[1] == "full" else ()
    for way in ("", "UseServerSidePrepare=0;", "Protocol=7.4-0;", "Protocol=7.4-2;", *cursors):
        common(way)
        if sys.argv[1] == "full":
            full(way)
