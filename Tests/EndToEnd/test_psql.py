"""psql, as people use it."""

import os
import subprocess

from caching import warm
from servers import POSTGRESQL_BIN


def psql(server, script: str, *options: str, database: str = "flights") -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(POSTGRESQL_BIN / "psql"), "-X", "-h", "127.0.0.1", "-p", str(server.port),
         "-U", "postgres", "-d", database, *options],
        input=script, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PGCLIENTENCODING": "UTF8"},
    )


def output(server, script: str, *options: str) -> str:
    result = psql(server, script, "-v", "ON_ERROR_STOP=1", *options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_psql_reads_and_the_second_read_is_a_hit(mynah):
    read = lambda: output(mynah, "SELECT name FROM airlines WHERE carrier = 'UA'", "-At")  # noqa: E731
    assert read() == "United Air Lines Inc.\n"
    assert warm(mynah, read) == "United Air Lines Inc.\n"


def test_psql_prints_a_table_with_header_and_row_count(mynah):
    assert output(mynah, "SELECT carrier, name FROM airlines WHERE carrier = 'UA';") == (
        " carrier |         name          \n"
        "---------+-----------------------\n"
        " UA      | United Air Lines Inc.\n"
        "(1 row)\n\n"
    )


def test_psql_runs_a_script_with_a_transaction(mynah, table):
    script = (
        f"CREATE TABLE {table} (v integer);\n"
        "BEGIN;\n"
        f"INSERT INTO {table} VALUES (1), (2);\n"
        "COMMIT;\n"
        f"BEGIN; DELETE FROM {table}; ROLLBACK;\n"
        f"SELECT sum(v) FROM {table};\n"
        f"DROP TABLE {table};\n"
    )
    assert output(mynah, script, "-At") == (
        "CREATE TABLE\nBEGIN\nINSERT 0 2\nCOMMIT\nBEGIN\nDELETE 2\nROLLBACK\n3\nDROP TABLE\n"
    )


def test_psql_runs_several_statements_in_one_message(mynah):
    result = output(
        mynah, "", "-At",
        "-c", "SELECT 1; SELECT carrier FROM airlines WHERE carrier = 'AA'; SELECT 2",
    )
    assert result == "1\nAA\n2\n"


def test_psql_shows_an_error_with_its_sqlstate(mynah):
    result = psql(mynah, "SELECT * FROM no_such_table;", "-v", "VERBOSITY=verbose")
    assert "42P01" in result.stderr and "no_such_table" in result.stderr


def test_psql_lists_tables(mynah):
    listing = output(mynah, "\\dt")
    for name in ("airlines", "airports", "flights", "planes", "weather"):
        assert f" {name} " in listing


def test_psql_lists_relations(mynah):
    assert " flights " in output(mynah, "\\d")


def test_psql_describes_a_table(mynah):
    description = output(mynah, "\\d airlines")
    assert 'Table "public.airlines"' in description
    assert " carrier " in description and " name " in description


def test_psql_says_when_there_is_no_such_table(mynah):
    result = psql(mynah, "\\d no_such_table\n")
    assert 'Did not find any relation named "no_such_table"' in result.stdout + result.stderr


def test_psql_describes_all_as_it_does_directly(postgres, cached_postgres):
    for command in ("\\d flights", "\\d+ flights", "\\dt+ weather", "\\df", "\\dn", "\\du", "\\l", "\\dT+ mood"):
        assert output(cached_postgres, command) == output(postgres, command)


def test_psql_gdesc_gives_column_types(mynah):
    result = output(mynah, "SELECT carrier, name FROM airlines \\gdesc\n", "-At")
    assert [line.split("|")[0] for line in result.splitlines()] == ["carrier", "name"]


def test_psql_copies_out_and_in(postgres, cached_postgres, table):
    script = f"CREATE TABLE {table} (a int, b text);\nCOPY {table} FROM STDIN;\n1\tx\n2\t\\N\n\\.\n"
    output(cached_postgres, script)
    read = f"SELECT a, b FROM {table} ORDER BY a"
    assert output(cached_postgres, read, "-At") == "1|x\n2|\n"
    warm(cached_postgres, lambda: output(cached_postgres, read, "-At"))
    output(cached_postgres, f"COPY {table} FROM STDIN;\n3\ty\n\\.\n")
    assert output(cached_postgres, read, "-At") == "1|x\n2|\n3|y\n"
    assert output(cached_postgres, f"COPY {table} TO STDOUT") == "1\tx\n2\t\\N\n3\ty\n"
    output(cached_postgres, f"DROP TABLE {table}")


def test_psql_fetches_through_a_cursor(postgres, cached_postgres):
    script = "\\set FETCH_COUNT 100\nSELECT carrier, flight FROM flights ORDER BY 1, 2;\n"
    assert output(cached_postgres, script, "-At") == output(postgres, script, "-At")
