"""asyncpg: extended protocol in binary; prepared statements, cursors, COPY, notifications, cancel, pools."""

import asyncio
import io
import sys

import asyncpg
from say import CREATE, DATE_COLUMNS, RUNNING, TYPE_COLUMNS, VALUES, rows, target


async def failing(work):
    try:
        await work
        print("no error")
    except asyncpg.PostgresError as error:
        print(type(error).__name__, error.sqlstate)


async def common():
    connection = await asyncpg.connect(**target())
    await connection.execute(CREATE.format("asyncpg_common"))
    await connection.executemany("INSERT INTO asyncpg_common VALUES ($1, $2, $3)", VALUES)
    by_id = await connection.prepare("SELECT name FROM asyncpg_common WHERE id = $1")
    for _ in range(3):
        rows("all", await connection.fetch("SELECT id, name, amount FROM asyncpg_common ORDER BY id"))
        rows("one", await connection.fetch("SELECT name FROM asyncpg_common WHERE id = $1", 2))
        rows("prepared", await by_id.fetch(1))
    print(await connection.execute("UPDATE asyncpg_common SET amount = 7 WHERE id = 3"))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE asyncpg_common SET name = $1 WHERE id = 1", "changed")
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM asyncpg_common")
            rows("none left", await connection.fetch("SELECT count(*) FROM asyncpg_common"))
            raise LookupError
    except LookupError:
        pass
    rows("changed", await connection.fetch("SELECT name FROM asyncpg_common ORDER BY id"))
    await transaction.rollback()
    rows("as before", await connection.fetch("SELECT name FROM asyncpg_common ORDER BY id"))
    await failing(connection.fetch("SELECT * FROM no_such_table"))
    await failing(connection.execute("INSERT INTO asyncpg_common VALUES (1, 'again', 0)"))
    transaction = connection.transaction()
    await transaction.start()
    await failing(connection.fetch("SELECT * FROM no_such_table"))
    await failing(connection.fetch("SELECT count(*) FROM asyncpg_common"))
    await transaction.rollback()
    await connection.execute("DROP TABLE asyncpg_common")
    await connection.close()


async def full():
    connection = await asyncpg.connect(**target())
    other = await asyncpg.connect(**target())
    connection.add_log_listener(lambda _, message: print("notice", message.severity, message.message))
    for _ in range(2):
        statement = await connection.prepare(f"SELECT {TYPE_COLUMNS} FROM every_type ORDER BY id")
        print([(column.name, column.type.name) for column in statement.get_attributes()])
        rows("types", await statement.fetch())
        rows("dates", await connection.fetch(f"SELECT {DATE_COLUMNS} FROM every_type WHERE id = 1"))
    for kind, value in (
        ("integer", 1), ("bigint", 2**40), ("text", "é"), ("bytea", b"\x00\xff"), ("float8", 1.5), ("boolean", None),
        ("integer[]", [1, None]), ("jsonb", '{"a": 1}'), ("mood", "happy"), ("point3", (1, None, "x")),
    ):
        for _ in range(2):
            rows(kind, await connection.fetch(f"SELECT $1::{kind} AS v", value))
    async with connection.transaction():
        found = []
        async for record in connection.cursor("SELECT id FROM parent WHERE id > $1 ORDER BY id", 3, prefetch=4):
            found.append(record)
        rows("cursor", found)
        cursor = await connection.cursor("SELECT id FROM parent ORDER BY id")
        rows("fetched", await cursor.fetch(2))
        print(await cursor.forward(3))
        rows("fetched", await cursor.fetch(2))
    await connection.execute("CREATE TABLE asyncpg_copied (id integer, v text)")
    print(await connection.copy_records_to_table("asyncpg_copied", records=[(n, str(n)) for n in range(500)]))
    print(await connection.copy_to_table("asyncpg_copied", source=io.BytesIO(b"900,x\n"), format="csv"))
    output = io.BytesIO()
    print(await connection.copy_from_query("SELECT * FROM asyncpg_copied WHERE id > $1 ORDER BY id", 497, output=output))
    print(output.getvalue())
    await failing(connection.copy_to_table("asyncpg_copied", source=io.BytesIO(b"x,y\n"), format="csv"))
    rows("copied", await connection.fetch("SELECT count(*) FROM asyncpg_copied"))
    await connection.execute("DROP TABLE asyncpg_copied")
    await connection.execute("SELECT say('hello'); SELECT say('again')")
    heard: asyncio.Queue = asyncio.Queue()
    await connection.add_listener("asyncpg", lambda _, pid, channel, payload: heard.put_nowait((pid, channel, payload)))
    await other.execute("NOTIFY asyncpg, 'from another'")
    await connection.execute("NOTIFY asyncpg, 'own'")
    source = {other.get_server_pid(): "other", connection.get_server_pid(): "own"}
    for _ in range(2):
        pid, channel, payload = await asyncio.wait_for(heard.get(), 10)
        print(channel, payload)
        print("identity", source.get(pid, "unknown"))
    await connection.reset()
    print("identity", connection.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()"))
    task = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
    while await other.fetchval(RUNNING) == 0:
        await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled")
    rows("usable", await connection.fetch("SELECT 'usable'"))
    try:
        await connection.execute("SELECT pg_sleep(60)", timeout=0.2)
    except asyncio.TimeoutError:
        print("timed out")
    rows("usable", await connection.fetch("SELECT 'usable'"))
    async with connection.transaction(isolation="serializable", readonly=True):
        await failing(connection.execute("UPDATE parent SET name = 'x'"))
    await connection.close()
    await other.close()
    async with asyncpg.create_pool(**target(), min_size=2, max_size=4) as pool:
        async def read(number):
            async with pool.acquire() as pooled:
                return await pooled.fetchval("SELECT name FROM parent WHERE id = $1", 1 + number % 5)

        print(sorted(await asyncio.gather(*(read(number) for number in range(40)))))


if __name__ == "__main__":
    asyncio.run(common())
    if sys.argv[1] == "full":
        asyncio.run(full())
