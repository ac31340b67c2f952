"""The servers that the matrix runs against, and the table that it ends with."""

import os
import subprocess

import pytest

import matrix
from servers import ROOT, MynahServer, PostgresServer

# What libpq takes from the environment must not reach the servers under test.
for variable in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[variable]

POOL_MODES = os.environ.get("MYNAH_POOL_MODES", "session,transaction").split(",")


@pytest.fixture(scope="session")
def postgres():
    server = PostgresServer()
    try:
        server.start()
        server.run("CREATE ROLE reader LOGIN", "postgres")
        # Copies of one: the programs print object identifiers of its types.
        server.run("CREATE DATABASE matrix", "postgres")
        server.run((matrix.PROGRAMS / "schema.sql").read_text(), "matrix")
        server.run("VACUUM ANALYZE", "matrix")
        for database in matrix.DATABASES.values():
            server.run(f"CREATE DATABASE {database} TEMPLATE matrix", "postgres")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def mynah(postgres):
    """Gives the caching Mynah for a pool mode."""
    servers: dict[str, MynahServer] = {}

    def for_mode(mode: str) -> MynahServer:
        if mode not in servers:
            servers[mode] = MynahServer(postgres.url(), pool={"mode": mode})
            servers[mode].start()
        return servers[mode]

    yield for_mode
    for server in servers.values():
        server.remove()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "drivers_s.db"
    subprocess.run([str(ROOT / "Fixtures/load-sqlite"), str(path)], check=True, stdout=subprocess.DEVNULL)
    server = MynahServer(f"sqlite:{path}")
    try:
        yield server.start()
    finally:
        server.remove()


class Table:
    """The README's table: what each driver did, by pool mode."""

    def __init__(self):
        self.rows: dict[str, dict[str, str]] = {}

    def note(self, driver: matrix.Driver, version: str, where: str, what: str) -> None:
        row = self.rows.setdefault(driver.name, {"version": version, "styles": driver.styles})
        row[where] = what

    def text(self) -> str:
        columns = [*(f"PostgreSQL, {mode} pool" for mode in POOL_MODES), "SQLite"]
        lines = [
            f"| driver | version | exercised | {' | '.join(columns)} |",
            f"| --- | --- | --- | {' | '.join('---' for _ in columns)} |",
        ]
        for name, row in self.rows.items():
            cells = [row.get(where, "–") for where in [*POOL_MODES, "sqlite"]]
            lines.append(f"| {name} | {row['version']} | {row['styles']} | {' | '.join(cells)} |")
        return "\n".join(lines)


TABLE = Table()


@pytest.fixture(scope="session")
def table() -> Table:
    return TABLE


def pytest_terminal_summary(terminalreporter):
    if TABLE.rows:
        terminalreporter.write_line("\n" + TABLE.text() + "\n")


def pytest_runtest_logreport(report):
    """Nothing is skipped: what a test needs and is missing is a failure."""
    assert not report.skipped or hasattr(report, "wasxfail"), f"{report.nodeid} was skipped"
