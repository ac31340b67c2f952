"""One face for all drivers, so that each test is written once.

Statements carry PostgreSQL's own `$1` placeholders; each driver gets its own style. Connections are
in autocommit mode until `begin`.
"""

import asyncio
import re
from collections.abc import Sequence

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import psycopg2.extensions
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine


def replaced(sql: str, style: str) -> str:
    """`sql` with `$n` in another style, in which `{}` stands for the number."""
    return re.sub(r"\$(\d+)", lambda match: style.format(match[1]), sql)


def escaped(sql: str, style: str) -> str:
    return replaced(sql.replace("%", "%%"), style)


def named(parameters: Sequence) -> dict[str, object]:
    """By names, for a style that has `p{}` for `$n`."""
    return {f"p{n}": value for n, value in enumerate(parameters, 1)}


class Connection:
    """A connection through one driver. `rows` are tuples."""

    def rows(self, sql: str, parameters: Sequence = ()) -> list[tuple]:
        raise NotImplementedError

    def run(self, sql: str, parameters: Sequence = ()) -> None:
        raise NotImplementedError

    def run_many(self, sql: str, rows: Sequence[Sequence]) -> None:
        for row in rows:
            self.run(sql, row)

    def value(self, sql: str, parameters: Sequence = ()):
        return self.rows(sql, parameters)[0][0]

    def begin(self) -> None:
        raise NotImplementedError

    def commit(self) -> None:
        raise NotImplementedError

    def rollback(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def sqlstate(self, error: Exception) -> str | None:
        """The SQLSTATE in an exception that the driver has raised."""
        while error is not None:
            for name in ("sqlstate", "pgcode"):
                if getattr(error, name, None):
                    return getattr(error, name)
            if isinstance(error, pg8000.dbapi.DatabaseError) and error.args:
                if isinstance(error.args[0], dict):
                    return error.args[0].get("C")
            error = getattr(error, "orig", None) or error.__cause__
        return None


class Driver:
    def __init__(self, name: str, connection, **options):
        self.name = name
        self.connection = connection
        self.options = options

    def connect(
        self, port: int, user: str = "postgres", database: str = "flights"
    ) -> Connection:
        return self.connection(port, user, database, **self.options)


class Switched(Connection):
    """A driver whose `raw` connection begins transactions by itself outside autocommit mode."""

    def begin(self):
        self.raw.autocommit = False

    def commit(self):
        self.raw.commit()
        self.raw.autocommit = True

    def rollback(self):
        self.raw.rollback()
        self.raw.autocommit = True

    def close(self):
        self.raw.close()


class Psycopg2(Switched):
    def __init__(self, port, user, database):
        self.raw = psycopg2.connect(host="127.0.0.1", port=port, user=user, dbname=database)
        self.raw.autocommit = True

    def rows(self, sql, parameters=()):
        with self.raw.cursor() as cursor:
            self._execute(cursor, sql, parameters)
            return cursor.fetchall()

    def run(self, sql, parameters=()):
        with self.raw.cursor() as cursor:
            self._execute(cursor, sql, parameters)

    def _execute(self, cursor, sql, parameters):
        if parameters:
            cursor.execute(escaped(sql, "%(p{})s"), named(parameters))
        else:
            cursor.execute(sql)

    def run_many(self, sql, rows):
        with self.raw.cursor() as cursor:
            cursor.executemany(escaped(sql, "%s"), rows)


class Psycopg(Switched):
    def __init__(self, port, user, database, binary=False, prepare_threshold=5):
        self.binary = binary
        self.raw = psycopg.connect(
            host="127.0.0.1", port=port, user=user, dbname=database, autocommit=True,
            prepare_threshold=prepare_threshold,
        )

    def _execute(self, sql, parameters):
        if parameters:
            return self.raw.execute(escaped(sql, "%(p{})s"), named(parameters), binary=self.binary)
        return self.raw.execute(sql, binary=self.binary)

    def rows(self, sql, parameters=()):
        return self._execute(sql, parameters).fetchall()

    def run(self, sql, parameters=()):
        self._execute(sql, parameters)

    def run_many(self, sql, rows):
        with self.raw.cursor(binary=self.binary) as cursor:
            cursor.executemany(escaped(sql, "%s"), rows)


class OnLoop(Connection):
    """A driver for asyncio: each connection has an event loop of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def wait(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, 60))


class PsycopgAsync(OnLoop):
    def __init__(self, port, user, database):
        super().__init__()
        self.raw = self.wait(
            psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=port, user=user, dbname=database, autocommit=True
            )
        )

    async def _execute(self, sql, parameters):
        if parameters:
            return await self.raw.execute(escaped(sql, "%(p{})s"), named(parameters))
        return await self.raw.execute(sql)

    async def _rows(self, sql, parameters):
        return await (await self._execute(sql, parameters)).fetchall()

    def rows(self, sql, parameters=()):
        return self.wait(self._rows(sql, parameters))

    def run(self, sql, parameters=()):
        self.wait(self._execute(sql, parameters))

    def begin(self):
        self.wait(self.raw.set_autocommit(False))

    def commit(self):
        self.wait(self.raw.commit())
        self.wait(self.raw.set_autocommit(True))

    def rollback(self):
        self.wait(self.raw.rollback())
        self.wait(self.raw.set_autocommit(True))

    def close(self):
        self.wait(self.raw.close())
        self.loop.close()


class Asyncpg(OnLoop):
    def __init__(self, port, user, database):
        super().__init__()
        self.raw = self.wait(
            asyncpg.connect(host="127.0.0.1", port=port, user=user, database=database)
        )
        self.transaction = None

    def rows(self, sql, parameters=()):
        return [tuple(row) for row in self.wait(self.raw.fetch(sql, *parameters))]

    def run(self, sql, parameters=()):
        self.wait(self.raw.execute(sql, *parameters))

    def run_many(self, sql, rows):
        self.wait(self.raw.executemany(sql, rows))

    def begin(self):
        self.transaction = self.raw.transaction()
        self.wait(self.transaction.start())

    def commit(self):
        self.wait(self.transaction.commit())

    def rollback(self):
        self.wait(self.transaction.rollback())

    def close(self):
        self.wait(self.raw.close(timeout=10))
        self.loop.close()


class Pg8000(Switched):
    def __init__(self, port, user, database):
        self.raw = pg8000.dbapi.connect(
            user=user, host="127.0.0.1", port=port, database=database, timeout=60
        )
        self.raw.autocommit = True

    def _execute(self, sql, parameters):
        cursor = self.raw.cursor()
        numbers = [int(number) for number in re.findall(r"\$(\d+)", sql)]
        if parameters:
            cursor.execute(escaped(sql, "%s"), tuple(parameters[n - 1] for n in numbers))
        else:
            cursor.execute(sql.replace("%", "%%"))
        return cursor

    def rows(self, sql, parameters=()):
        return [tuple(row) for row in self._execute(sql, parameters).fetchall()]

    def run(self, sql, parameters=()):
        self._execute(sql, parameters)

    def run_many(self, sql, rows):
        self.raw.cursor().executemany(escaped(sql, "%s"), rows)


class SQLAlchemy(Connection):
    def __init__(self, port, user, database, dialect):
        self.engine = sqlalchemy.create_engine(
            f"postgresql+{dialect}://{user}@127.0.0.1:{port}/{database}"
        )
        self.raw = self.engine.connect()
        self.open = False

    def _execute(self, sql, parameters):
        result = self.raw.execute(sqlalchemy.text(replaced(sql, ":p{}")), named(parameters))
        rows = [tuple(row) for row in result.fetchall()] if result.returns_rows else []
        if not self.open:
            self.raw.commit()
        return rows

    def _guarded(self, sql, parameters):
        try:
            return self._execute(sql, parameters)
        except Exception:
            if not self.open:
                self.raw.rollback()
            raise

    def rows(self, sql, parameters=()):
        return self._guarded(sql, parameters)

    def run(self, sql, parameters=()):
        self._guarded(sql, parameters)

    def run_many(self, sql, rows):
        self.raw.execute(sqlalchemy.text(replaced(sql, ":p{}")), [named(row) for row in rows])
        if not self.open:
            self.raw.commit()

    def begin(self):
        self.open = True

    def commit(self):
        self.open = False
        self.raw.commit()

    def rollback(self):
        self.open = False
        self.raw.rollback()

    def close(self):
        self.raw.close()
        self.engine.dispose()


class SQLAlchemyAsync(OnLoop):
    def __init__(self, port, user, database, dialect):
        super().__init__()
        self.engine = create_async_engine(
            f"postgresql+{dialect}://{user}@127.0.0.1:{port}/{database}"
        )
        self.raw = self.wait(self._connect())
        self.open = False

    async def _connect(self):
        return await self.engine.connect()

    async def _execute(self, sql, parameters):
        try:
            text = sqlalchemy.text(replaced(sql, ":p{}"))
            result = await self.raw.execute(text, named(parameters))
            rows = [tuple(row) for row in result.fetchall()] if result.returns_rows else []
            if not self.open:
                await self.raw.commit()
            return rows
        except Exception:
            if not self.open:
                await self.raw.rollback()
            raise

    def rows(self, sql, parameters=()):
        return self.wait(self._execute(sql, parameters))

    def run(self, sql, parameters=()):
        self.wait(self._execute(sql, parameters))

    def begin(self):
        self.open = True

    def commit(self):
        self.open = False
        self.wait(self.raw.commit())

    def rollback(self):
        self.open = False
        self.wait(self.raw.rollback())

    def close(self):
        self.wait(self.raw.close())
        self.wait(self.engine.dispose())
        self.loop.close()


ALL = [
    Driver("psycopg2", Psycopg2),
    Driver("psycopg-text", Psycopg),
    Driver("psycopg-binary", Psycopg, binary=True),
    Driver("psycopg-prepared", Psycopg, prepare_threshold=0),
    Driver("psycopg-async", PsycopgAsync),
    Driver("asyncpg", Asyncpg),
    Driver("pg8000", Pg8000),
    Driver("sqlalchemy-psycopg2", SQLAlchemy, dialect="psycopg2"),
    Driver("sqlalchemy-psycopg", SQLAlchemy, dialect="psycopg"),
    Driver("sqlalchemy-pg8000", SQLAlchemy, dialect="pg8000"),
    Driver("sqlalchemy-asyncpg", SQLAlchemyAsync, dialect="asyncpg"),
]
