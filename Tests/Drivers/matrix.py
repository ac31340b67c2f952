"""The drivers of the matrix: the program of each, how it is run, and what it exercises."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

from servers import POSTGRESQL_BIN

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
BUILT = HERE.parents[1] / ".venv-drivers"
NODE_MODULES = BUILT / "node/usr/share/nodejs"
GO_PATH = pathlib.Path("/usr/share/gocode")

# The programs run against databases with names of one length, so that tables of text are aligned alike.
DATABASES = {"direct": "drivers_d", "session": "drivers_s", "transaction": "drivers_t"}
SECONDS = 240


@dataclasses.dataclass
class Driver:
    """A program that exercises one driver and prints what it saw, the same at each run.

    It is run as `command… full`, or `command… common` for what SQLite can do as well, with libpq's
    environment variables saying where to.
    """

    name: str
    command: list[str]
    version: list[str]
    styles: str
    common: bool = True
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    options: list[str] = dataclasses.field(default_factory=list)
    build: list[str] | None = None
    """Builds the program, where that takes a step of its own."""
    hits: bool = True
    """Whether it reads what it has read before: it then fails without a hit."""

    def run(self, port: int, database: str, part: str, directory: pathlib.Path) -> str:
        """Runs the program to its end and returns its transcript."""
        if self.build:
            subprocess.run(self.build, check=True, timeout=SECONDS, cwd=directory)
        process = subprocess.run(
            [*self.command, part, *self.options], cwd=directory, stdin=subprocess.DEVNULL, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=environment(port, database, directory, **self.environment),
        )
        text = canonical(process.stdout)
        assert process.returncode == 0, f"{self.name} ended with {process.returncode}:\n{text[-4000:]}"
        return text

    def version_text(self, directory: pathlib.Path) -> str:
        output = subprocess.run(
            self.version, check=True, stdout=subprocess.PIPE, text=True, cwd=directory,
            env=environment(0, "", directory, **self.environment),
        ).stdout
        return re.search(r"(?:\d:)?(\d+(\.\w+)*)", output)[1]


def environment(port: int, database: str, directory: pathlib.Path, **others: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "JAVA_HOME") if name in os.environ}
    return {
        **kept,
        "HOME": str(directory), "TMPDIR": str(directory), "LC_ALL": "C.UTF-8", "TZ": "UTC",
        "PATH": f"{POSTGRESQL_BIN}:{kept.get('PATH', '/usr/bin:/bin')}",
        "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": database,
        "PGSSLMODE": "disable", "PGCLIENTENCODING": "UTF8", "PYTHONDONTWRITEBYTECODE": "1",
        **others,
    }


def canonical(text: str) -> str:
    """The transcript without what differs between two direct runs, too."""
    text = re.sub(r"(drivers|restored)_[dst]\b", r"\1_x", text)
    numbered = r"(port|PORT =|object =|large object|lo_import|lo_unlink|Time:) ?[\"']?\d+(\.\d+)?[\"']?"
    text = re.sub(numbered, r"\1 N", text)
    text = re.sub(r"^ \d+ (?=\| postgres \| a comment)", " N ", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=server process with PID )\d+", "N", text)
    text = re.sub(r"^\w{3} \w{3} .\d [\d:]{8} \d{4}(?= \(every)", "NOW", text, flags=re.MULTILINE)
    return text


def python(program: str) -> list[str]:
    return [sys.executable, str(PROGRAMS / program)]


def package_version(package: str) -> list[str]:
    return ["dpkg-query", "-W", "-f", "${Version}", package]


def go_binary(name: str) -> pathlib.Path:
    return BUILT / "go" / name


def go_build(name: str) -> list[str]:
    return [
        "env", "GO111MODULE=off", f"GOPATH={GO_PATH}", f"GOCACHE={BUILT / 'go-cache'}",
        "go", "build", "-o", str(go_binary(name)), str(PROGRAMS / f"go_{name}/main.go"),
    ]


def python_driver(name: str, program: str, package: str, styles: str, **more) -> Driver:
    """A driver for Python, of a package from PyPI."""
    version = f"import importlib.metadata as m; print(m.version('{package}'))"
    return Driver(name, python(program), [sys.executable, "-c", version], styles, **more)


DRIVERS = [
    Driver(
        "psql", ["bash", str(PROGRAMS / "psql_program.sh")], ["psql", "--version"],
        "simple; all backslash commands",
    ),
    Driver(
        "pgbench", ["bash", str(PROGRAMS / "pgbench_program.sh")], ["pgbench", "--version"],
        "simple, extended, prepared, pipelines; built-in scripts", common=False,
    ),
    Driver(
        "pg_dump and the other clients", ["bash", str(PROGRAMS / "dump_program.sh")],
        ["pg_dump", "--version"],
        "simple, COPY; plain, custom, directory, tar; parallel; restored", common=False,
    ),
    python_driver(
        "psycopg2", "psycopg2_program.py", "psycopg2-binary",
        "simple; server-side cursors, COPY, large objects, two-phase commit",
    ),
    python_driver(
        "psycopg 3", "psycopg_program.py", "psycopg",
        "simple, extended, prepared; text and binary; pipelines; sync and async; COPY",
    ),
    python_driver(
        "asyncpg", "asyncpg_program.py", "asyncpg",
        "extended, prepared; binary; cursors, COPY, notifications, pool",
    ),
    python_driver(
        "pg8000", "pg8000_program.py", "pg8000",
        "extended, prepared; text; COPY, notices, two-phase commit",
    ),
    python_driver(
        "SQLAlchemy", "sqlalchemy_program.py", "SQLAlchemy",
        "Core, ORM and reflection over psycopg2, psycopg 3, pg8000, asyncpg",
    ),
    python_driver(
        "Django", "django_program.py", "Django",
        "ORM, schema editor, introspection; client-side binding", common=False,
    ),
    python_driver(
        "Django, server-side binding", "django_program.py", "Django",
        "the same over the extended protocol", common=False, options=["server"],
    ),
    Driver(
        "pgjdbc", ["java", "-cp", "/usr/share/java/postgresql.jar", str(PROGRAMS / "Jdbc.java")],
        package_version("libpostgresql-jdbc-java"),
        "simple, extended, prepared; text and binary; portals, batches, COPY, metadata",
    ),
    Driver(
        "node-pg", ["node", str(PROGRAMS / "node_program.js")],
        ["node", "-p", "require('pg/package.json').version"],
        "simple, extended, prepared; text and binary; cursors, streams, pool",
        environment={"NODE_PATH": str(NODE_MODULES)},
    ),
    Driver(
        "DBD::Pg", ["perl", str(PROGRAMS / "perl_program.pl")], package_version("libdbd-pg-perl"),
        "simple, extended, prepared; asynchronous; COPY, large objects, metadata",
    ),
    Driver(
        "Ruby pg", ["ruby", str(PROGRAMS / "ruby_program.rb")], package_version("ruby-pg"),
        "simple, extended, prepared; text and binary; single rows, pipelines, COPY",
    ),
    Driver(
        "PHP PDO and pgsql", ["php", str(PROGRAMS / "php_program.php")],
        ["php", "-r", "echo PHP_VERSION;"],
        "simple, extended, prepared; emulated; scrolling cursors, COPY, large objects",
    ),
    Driver(
        "Go lib/pq", [str(go_binary("pq"))], package_version("golang-github-lib-pq-dev"),
        "simple, extended, prepared; text and binary; COPY, listener",
        build=go_build("pq"),
    ),
    Driver(
        "Go pgx v4", [str(go_binary("pgx"))], package_version("golang-github-jackc-pgx-v4-dev"),
        "simple, extended, prepared, described; binary; batches, COPY, large objects, pool",
        build=go_build("pgx"),
    ),
    Driver(
        "psqlODBC", python("odbc_program.py"), package_version("odbc-postgresql"),
        "simple, extended, prepared; Declare/Fetch; savepoint per statement; metadata",
    ),
]
