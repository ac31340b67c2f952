"""The servers that the tests share, and small things built on them."""

import itertools
import pathlib
import subprocess

import pytest

import corpus
import drivers
from servers import ROOT, MynahServer, PostgresServer, running
from wire import RawSession

names = itertools.count(1)


@pytest.fixture(scope="session")
def postgres():
    """PostgreSQL with the flights in database `flights`, and a table with every built-in type."""
    server = PostgresServer()
    try:
        server.start()
        server.run("CREATE DATABASE flights", "postgres")
        subprocess.run(
            [str(ROOT / "Fixtures/load-postgresql"), server.dsn("flights")],
            check=True, stdout=subprocess.DEVNULL,
        )
        server.run(corpus.ROLES)
        server.run(corpus.TYPES)
        server.run("VACUUM ANALYZE")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory) -> pathlib.Path:
    """A copy of the flights as an SQLite database."""
    path = tmp_path_factory.mktemp("sqlite") / "flights.db"
    subprocess.run(
        [str(ROOT / "Fixtures/load-sqlite"), str(path)], check=True, stdout=subprocess.DEVNULL
    )
    return path


@pytest.fixture(scope="session")
def cached_postgres(postgres):
    yield from running(MynahServer(postgres.url()))


@pytest.fixture(scope="session")
def uncached_postgres(postgres):
    yield from running(MynahServer(postgres.url(), cache={"enabled": False}))


@pytest.fixture(scope="session")
def cached_sqlite(sqlite_file):
    yield from running(MynahServer(f"sqlite:{sqlite_file}"))


@pytest.fixture(scope="session")
def uncached_sqlite(sqlite_file):
    yield from running(MynahServer(f"sqlite:{sqlite_file}", cache={"enabled": False}))


@pytest.fixture(params=["postgresql", "sqlite"])
def mynah(request) -> MynahServer:
    """A caching Mynah: the test runs once in front of PostgreSQL and once in front of SQLite."""
    suffix = "postgres" if request.param == "postgresql" else "sqlite"
    return request.getfixturevalue(f"cached_{suffix}")


@pytest.fixture
def own_mynah():
    """Makes Mynah processes that belong to one test; they end with it."""
    servers = []

    def make(upstream: str, **options) -> MynahServer:
        server = MynahServer(upstream, **options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def session():
    """Opens raw sessions that end with the test."""
    sessions = []

    def open_session(server, **options) -> RawSession:
        opened = RawSession.connect(server.port, **options)
        sessions.append(opened)
        return opened

    yield open_session
    for opened in sessions:
        opened.close()


@pytest.fixture
def table() -> str:
    """A table name that nothing else uses."""
    return f"scratch_{next(names)}"


@pytest.fixture(params=drivers.ALL, ids=lambda driver: driver.name)
def driver(request) -> drivers.Driver:
    return request.param


@pytest.fixture
def connect(driver):
    """Opens connections through the driver under test; they end with the test."""
    connections = []

    def open_connection(server, **options) -> drivers.Connection:
        opened = driver.connect(server.port, **options)
        connections.append(opened)
        return opened

    yield open_connection
    for opened in connections:
        opened.close()


def pytest_runtest_logreport(report):
    """Nothing is skipped: what a test needs and is missing is a failure."""
    assert not report.skipped or hasattr(report, "wasxfail"), f"{report.nodeid} was skipped"
