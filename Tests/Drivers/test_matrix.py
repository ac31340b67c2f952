"""Each driver's program sees through Mynah what it sees directly, from memory as well."""

import difflib
import functools
import pathlib

import pytest

import matrix
from conftest import POOL_MODES
from servers import MynahServer


@functools.cache
def direct(driver_name: str, part: str, port: int, directory: pathlib.Path) -> str:
    driver = next(driver for driver in matrix.DRIVERS if driver.name == driver_name)
    return driver.run(port, matrix.DATABASES["direct"], part, directory)


@pytest.fixture(scope="session")
def transcript(postgres, tmp_path_factory):
    """What a driver's program prints directly: run once for all that compare with it."""

    def of(driver: matrix.Driver, part: str) -> str:
        return direct(driver.name, part, postgres.port, tmp_path_factory.getbasetemp())

    return of


def without_identity(text: str) -> str:
    """Without the lines on process ids: between transactions a client has no backend of its own."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("identity"))


def assert_same(found: str, expected: str, what: str) -> None:
    if found != expected:
        difference = list(
            difflib.unified_diff(
                expected.splitlines(), found.splitlines(), "directly", what, lineterm="", n=2
            )
        )
        pytest.fail("\n".join(difference[:120]), pytrace=False)


def run_through(
    mynah: MynahServer, driver: matrix.Driver, database: str, part: str, expected: str, directory,
    identity: bool = True,
) -> str:
    """Runs the program twice, so that the second finds what the first has left; returns the hits."""
    hits = 0
    for temperature in ("cold", "warm"):
        with mynah.counting() as delta:
            found = driver.run(mynah.port, database, part, directory)
        if not identity:
            found = without_identity(found)
        assert_same(found, expected, f"through Mynah, {temperature}")
        hits += delta.hits
    assert hits > 0 or not driver.hits, "not a single hit"
    return f"{hits:,} hits" if driver.hits else "same"


@pytest.mark.parametrize("mode", POOL_MODES)
@pytest.mark.parametrize("driver", matrix.DRIVERS, ids=lambda driver: driver.name)
def test_a_driver_sees_what_it_sees_directly(
    postgres, mynah, transcript, table, tmp_path, driver, mode
):
    expected = transcript(driver, "full")
    if mode == "transaction":
        expected = without_identity(expected)
    assert expected.count("\n") > 5, f"the program says next to nothing:\n{expected}"
    result = run_through(
        mynah(mode), driver, matrix.DATABASES[mode], "full", expected, tmp_path,
        identity=mode != "transaction",
    )
    table.note(driver, driver.version_text(tmp_path), mode, result)


@pytest.mark.parametrize(
    "driver", [driver for driver in matrix.DRIVERS if driver.common], ids=lambda driver: driver.name
)
def test_a_driver_sees_in_front_of_sqlite_what_it_sees_in_postgresql(
    postgres, sqlite, transcript, table, tmp_path, driver
):
    expected = transcript(driver, "common")
    assert expected.count("\n") > 5, f"the program says next to nothing:\n{expected}"
    result = run_through(sqlite, driver, matrix.DATABASES["session"], "common", expected, tmp_path)
    table.note(driver, driver.version_text(tmp_path), "sqlite", result)
