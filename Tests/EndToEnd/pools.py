"""Mynahs that pool by transaction, their clients, and what can be asked of both."""

import psycopg
import pytest

from servers import MynahServer
from wire import bind, execute, parse


def bind_and_run(sql: str) -> bytes:
    return parse(sql) + bind() + execute()


@pytest.fixture
def pooled(own_mynah, postgres):
    """Makes a Mynah that pools by transaction, with connections of its own on the server."""

    def make(**pool) -> MynahServer:
        settings = {"mode": "transaction", "size": 2, "checkout_timeout": "10s", **pool}
        return own_mynah(postgres.url(), pool=settings).start()

    return make


@pytest.fixture
def client():
    """Opens psycopg connections in autocommit mode; they end with the test."""
    opened = []

    def connect(server, **options) -> psycopg.Connection:
        options = {"user": "postgres", "dbname": "flights", "autocommit": True, **options}
        connection = psycopg.connect(host="127.0.0.1", port=server.port, **options)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def value(connection, sql, parameters=None):
    return connection.execute(sql, parameters).fetchone()[0]


def pinned(server, reason: str) -> int:
    return int(server.metrics().total("mynah_pool_pinned_sessions", reason=reason))


def busy(server) -> int:
    return int(server.metrics().total("mynah_pool_connections", state="busy"))


def backend(connection) -> int:
    return value(connection, "SELECT pg_backend_pid()")
