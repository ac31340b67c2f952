"""What single drivers can do beyond the common face."""

import asyncio
import io
import threading

import asyncpg
import psycopg
import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest
import sqlalchemy
import sqlalchemy.orm

from caching import assert_hit, warm
from servers import wait_until


def psycopg_connection(server, **options) -> psycopg.Connection:
    options = {"autocommit": True, **options}
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user="postgres", dbname="flights", **options
    )


def psycopg2_connection(server):
    connection = psycopg2.connect(
        host="127.0.0.1", port=server.port, user="postgres", dbname="flights"
    )
    connection.autocommit = True
    return connection


def on_asyncpg(server, work):
    async def run():
        connection = await asyncpg.connect(
            host="127.0.0.1", port=server.port, user="postgres", database="flights"
        )
        try:
            return await asyncio.wait_for(work(connection), 60)
        finally:
            await connection.close(timeout=10)

    return asyncio.run(run())


def test_a_psycopg_pipeline_mixes_reads_and_writes_in_order(mynah, table):
    with psycopg_connection(mynah) as connection:
        connection.execute(f"CREATE TABLE {table} (v integer)")
        count = f"SELECT count(*) FROM {table}"
        warm(mynah, lambda: connection.execute(count).fetchone())
        with connection.pipeline():
            cursors = []
            for number in range(20):
                connection.execute(f"INSERT INTO {table} VALUES ({number})")
                cursors.append(connection.execute(count))
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(1, 21))
        connection.execute(f"DROP TABLE {table}")


def test_a_psycopg_pipeline_of_reads_is_answered_from_memory(mynah):
    with psycopg_connection(mynah) as connection:
        def read():
            with connection.pipeline():
                cursors = [
                    connection.execute("SELECT name FROM airlines WHERE carrier = %s", [carrier])
                    for carrier in ("UA", "AA", "DL")
                ]
                return [cursor.fetchone()[0] for cursor in cursors]

        expected = ["United Air Lines Inc.", "American Airlines Inc.", "Delta Air Lines Inc."]
        assert read() == expected
        assert warm(mynah, read) == expected


def test_an_error_aborts_the_rest_of_a_psycopg_pipeline_and_no_more(mynah):
    with psycopg_connection(mynah) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            with connection.pipeline():
                connection.execute("SELECT count(*) FROM airlines")
                connection.execute("SELECT * FROM no_such_table")
                connection.execute("SELECT count(*) FROM airlines")
        assert connection.execute("SELECT count(*) FROM airlines").fetchone() == (16,)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_psycopg_prepares_a_repeated_statement_and_still_hits(mynah, binary):
    with psycopg_connection(mynah, prepare_threshold=2) as connection:
        def read():
            return connection.execute(
                "SELECT name, alt, lat FROM airports WHERE faa = %s", ["JFK"], binary=binary
            ).fetchone()

        expected = read()
        assert expected[0] == "John F Kennedy Intl"
        for _ in range(8):
            assert read() == expected
        warm(mynah, read)
        assert assert_hit(mynah, read) == expected


def test_psycopg_text_and_binary_results_hold_the_same_values(mynah):
    with psycopg_connection(mynah) as connection:
        for sql in (
            "SELECT * FROM flights WHERE day = 1 AND carrier = 'UA' ORDER BY sched_dep_time, flight",
            "SELECT * FROM weather WHERE day = 1 AND month = 1 ORDER BY origin, hour",
            "SELECT * FROM airports ORDER BY faa LIMIT 50",
            "SELECT * FROM planes ORDER BY tailnum LIMIT 50",
        ):
            text = connection.execute(sql, binary=False).fetchall()
            assert text
            for _ in range(2):
                assert connection.execute(sql, binary=True).fetchall() == text


def test_psycopg_server_side_cursor_reads_in_batches(cached_postgres):
    with psycopg_connection(cached_postgres, autocommit=False) as connection:
        with connection.cursor("batches") as cursor:
            cursor.itersize = 500
            cursor.execute("SELECT flight FROM flights")
            assert sum(1 for _ in cursor) > 20_000


def test_psycopg_copies_in_and_out_and_the_copied_rows_are_read(cached_postgres, table):
    with psycopg_connection(cached_postgres) as connection:
        connection.execute(f"CREATE TABLE {table} (id int, v text)")
        read = lambda: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: E731
        assert warm(cached_postgres, read) == 0
        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for number in range(5000):
                copy.write_row((number, f"row {number}"))
        assert read() == 5000
        with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
            assert len(b"".join(copy).splitlines()) == 5000
        warm(cached_postgres, read)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(b"not a number\tx\n")
        assert read() == 5000
        connection.execute(f"DROP TABLE {table}")


def test_psycopg2_copies_in_and_out(cached_postgres, table):
    connection = psycopg2_connection(cached_postgres)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id int, v text)")
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO("1\ta\n2\tb\n"))
        out = io.StringIO()
        cursor.copy_expert(f"COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT", out)
        assert out.getvalue() == "1\ta\n2\tb\n"
        cursor.execute(f"DROP TABLE {table}")
    connection.close()


def test_psycopg2_inserts_many_values_in_one_statement(mynah, table):
    connection = psycopg2_connection(mynah)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (id integer, v text)")
        rows = [(number, f"r{number}") for number in range(1000)]
        psycopg2.extras.execute_values(cursor, f"INSERT INTO {table} VALUES %s", rows)
        cursor.execute(f"SELECT id, v FROM {table} ORDER BY id")
        assert cursor.fetchall() == rows
        cursor.execute(f"DROP TABLE {table}")
    connection.close()


def test_asyncpg_copies_records_and_the_next_read_sees_them(cached_postgres, table):
    async def work(connection):
        await connection.execute(f"CREATE TABLE {table} (id int, v text)")
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        await connection.copy_records_to_table(table, records=[(n, str(n)) for n in range(300)])
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 300
        await connection.execute(f"DROP TABLE {table}")

    on_asyncpg(cached_postgres, work)


def test_asyncpg_prepared_statements_and_cursors_work(mynah):
    async def work(connection):
        statement = await connection.prepare("SELECT name FROM airlines WHERE carrier = $1")
        assert [a.name for a in statement.get_attributes()] == ["name"]
        for _ in range(3):
            assert await statement.fetchval("UA") == "United Air Lines Inc."
        async with connection.transaction():
            cursor = await connection.cursor("SELECT carrier FROM airlines ORDER BY carrier")
            first = await cursor.fetch(5)
            rest = await cursor.fetch(100)
            assert len(first) == 5 and len(rest) == 11

    on_asyncpg(mynah, work)


def test_asyncpg_prepares_anew_what_a_change_of_columns_made_stale(mynah, session, table):
    other = session(mynah)
    other.run(f"CREATE TABLE {table} (v integer)")
    other.run(f"INSERT INTO {table} VALUES (1)")

    async def work(connection):
        read = f"SELECT * FROM {table}"
        for _ in range(3):
            assert [tuple(row) for row in await connection.fetch(read)] == [(1,)]
        other.run(f"ALTER TABLE {table} ADD COLUMN w integer DEFAULT 2")
        for _ in range(3):
            assert [tuple(row) for row in await connection.fetch(read)] == [(1, 2)]

    on_asyncpg(mynah, work)
    other.run(f"DROP TABLE {table}")


def test_asyncpg_nested_transactions_roll_back_by_savepoint(mynah, table):
    async def work(connection):
        await connection.execute(f"CREATE TABLE {table} (v integer)")
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {table} VALUES (1)")
            try:
                async with connection.transaction():
                    await connection.execute(f"INSERT INTO {table} VALUES (2)")
                    raise LookupError
            except LookupError:
                pass
        assert [r[0] for r in await connection.fetch(f"SELECT v FROM {table}")] == [1]
        await connection.execute(f"DROP TABLE {table}")

    on_asyncpg(mynah, work)


def test_a_notification_reaches_a_listening_asyncpg_client(cached_postgres):
    async def work(connection):
        heard: asyncio.Queue = asyncio.Queue()
        await connection.add_listener("mynah_news", lambda *args: heard.put_nowait(args[2:]))
        with psycopg_connection(cached_postgres) as other:
            other.execute("NOTIFY mynah_news, 'hello'")
        assert await asyncio.wait_for(heard.get(), 10) == ("mynah_news", "hello")
        assert await connection.fetchval("SELECT count(*) FROM airlines") == 16

    on_asyncpg(cached_postgres, work)


def test_a_notification_reaches_an_idle_psycopg_client_between_hits(cached_postgres):
    with psycopg_connection(cached_postgres) as listener, psycopg_connection(cached_postgres) as other:
        listener.execute("LISTEN mynah_other_news")
        warm(cached_postgres, lambda: listener.execute("SELECT count(*) FROM airlines").fetchone())
        other.execute("SELECT pg_notify('mynah_other_news', 'one')")
        found = list(listener.notifies(timeout=10, stop_after=1))
        assert [(n.channel, n.payload) for n in found] == [("mynah_other_news", "one")]


def test_notices_reach_the_client(cached_postgres):
    with psycopg_connection(cached_postgres) as connection:
        heard = []
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        connection.execute("DO $$ BEGIN RAISE NOTICE 'look here'; END $$")
        connection.execute("DROP TABLE IF EXISTS never_was")
        assert heard == ["look here", 'table "never_was" does not exist, skipping']


def test_a_notice_of_a_read_is_raised_each_time(cached_postgres, table):
    with psycopg_connection(cached_postgres) as connection:
        heard = []
        connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        connection.execute(
            f"CREATE FUNCTION {table}_f(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE NOTICE 'seen %', t; RETURN t; END $$"
        )
        for _ in range(3):
            connection.execute(f"SELECT {table}_f(carrier) FROM airlines WHERE carrier = 'UA'")
        assert heard == ["seen UA"] * 3
        connection.execute(f"DROP FUNCTION {table}_f")


def test_cancel_stops_a_running_statement(cached_postgres, postgres):
    with psycopg_connection(cached_postgres) as connection:
        failed = []

        def run():
            try:
                connection.execute("SELECT pg_sleep(60) /* to be cancelled */")
            except psycopg.Error as error:
                failed.append(error.sqlstate)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(
            lambda: postgres.run(
                "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
                " AND query LIKE '%to be cancelled%'"
            ),
            "the statement runs",
        )
        connection.cancel()
        thread.join(20)
        assert failed == ["57014"]
        assert connection.execute("SELECT count(*) FROM airlines").fetchone() == (16,)


def test_cancel_of_an_idle_session_does_nothing(mynah):
    with psycopg_connection(mynah) as connection:
        warm(mynah, lambda: connection.execute("SELECT count(*) FROM airlines").fetchone())
        connection.cancel()
        for _ in range(3):
            assert connection.execute("SELECT count(*) FROM airlines").fetchone() == (16,)


def test_the_sqlalchemy_orm_writes_queries_and_reflects(mynah, table):
    class Base(sqlalchemy.orm.DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = table
        id: sqlalchemy.orm.Mapped[int] = sqlalchemy.orm.mapped_column(
            primary_key=True, autoincrement=False
        )
        name: sqlalchemy.orm.Mapped[str | None]

    engine = sqlalchemy.create_engine(
        f"postgresql+psycopg://postgres@127.0.0.1:{mynah.port}/flights"
    )
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE TABLE {table} (id integer PRIMARY KEY, name text)"))
    with sqlalchemy.orm.Session(engine) as session:
        session.add_all([Item(id=1, name="one"), Item(id=2, name=None)])
        session.commit()
        names = session.scalars(sqlalchemy.select(Item.name).order_by(Item.id)).all()
        assert names == ["one", None]
        session.get(Item, 2).name = "two"
        session.commit()
        names = session.scalars(sqlalchemy.select(Item.name).order_by(Item.id)).all()
        assert names == ["one", "two"]
        session.delete(session.get(Item, 1))
        session.commit()
        assert session.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(Item)) == 1
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"DROP TABLE {table}"))
    engine.dispose()


def test_sqlalchemy_reflects_tables_as_it_does_directly(postgres, cached_postgres):
    def reflected(server):
        engine = sqlalchemy.create_engine(
            f"postgresql+psycopg2://postgres@127.0.0.1:{server.port}/flights"
        )
        metadata = sqlalchemy.MetaData()
        metadata.reflect(engine, only=["airlines", "airports", "flights", "planes", "weather"])
        engine.dispose()
        return {
            table.name: [(c.name, str(c.type), c.nullable, c.primary_key) for c in table.columns]
            for table in metadata.sorted_tables
        }

    assert reflected(cached_postgres) == reflected(postgres)
