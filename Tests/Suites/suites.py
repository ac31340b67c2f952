"""The outside suites: where each comes from, how it is run, and how its outcomes are read."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree

from servers import PostgresServer

Outcomes = dict[str, str]
"""`passed`, `failed` or `skipped` by the name of the test."""

PACKAGES = pathlib.Path(sys.prefix) / "sources"


def source(package: str) -> pathlib.Path:
    """The source distribution from PyPI, of the version that is installed."""
    found = sorted(PACKAGES.glob(f"{package}-*.tar.gz"))
    assert len(found) == 1, f"{package}'s source distribution is missing in {PACKAGES}"
    return found[0]


def environment(port: int, **others: str) -> dict[str, str]:
    return {
        **os.environ,
        "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres",
        "PYTHONDONTWRITEBYTECODE": "1", **others,
    }


def run_bounded(command: list, seconds: float, log: pathlib.Path, **options) -> int | None:
    """Runs a suite to its end or to the deadline; what it has reported by then counts.

    Returns the exit status, nothing after the deadline.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, **options,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)
            return None


class Suite:
    name: str
    settings: dict[str, str] = {}
    direct_runs = 1
    least = 1
    """So many tests there are at least: fewer mean that the suite could not be loaded."""
    seconds = 2400

    def prepare(self, postgres: PostgresServer) -> None:
        """Makes the roles and databases that the suite expects."""

    def lay_out(self, workplace: pathlib.Path) -> None:
        """Puts the suite's files where they can be run from."""

    def run(self, port: int, workplace: pathlib.Path) -> Outcomes:
        raise NotImplementedError


class PytestSuite(Suite):
    """Tests of a package on PyPI, away from its sources, against the installed package."""

    package: str
    tests: str
    arguments: list[str] = []

    def lay_out(self, workplace):
        with tarfile.open(source(self.package)) as archive:
            archive.extractall(workplace, filter="data")
        (root,) = [path for path in workplace.iterdir() if path.is_dir()]
        shutil.move(root / self.tests, workplace / self.tests)
        for extra in ("README.md",):
            if (root / extra).exists():
                shutil.copy(root / extra, workplace / extra)
        shutil.rmtree(root)

    def run(self, port, workplace):
        report = workplace / "report.xml"
        run_bounded(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60", "--tb=native",
             f"--junitxml={report}", *self.arguments, self.tests],
            self.seconds, workplace / "log", cwd=workplace, env=environment(port),
        )
        return junit(report) if report.exists() else {}


def junit(report: pathlib.Path) -> Outcomes:
    outcomes: Outcomes = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = (
            "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        )
        name = f"{case.get('classname')}.{case.get('name')}"
        if outcomes.get(name) != "failed":
            outcomes[name] = outcome
    return outcomes


class Asyncpg(PytestSuite):
    name = package = "asyncpg"
    least = 300
    tests = "tests"


class Pg8000(PytestSuite):
    name = package = "pg8000"
    least = 500
    tests = "test"

    def prepare(self, postgres):
        postgres.run("CREATE EXTENSION hstore", "postgres")


class Django(Suite):
    """Those of Django's own tests that are about the database."""

    name = "django"
    least = 2000
    modules = [
        "aggregation", "annotations", "backends", "basic", "bulk_create", "constraints", "custom_pk",
        "datatypes", "dates", "datetimes", "db_functions", "defer", "delete", "distinct_on_fields",
        "expressions", "expressions_case", "expressions_window", "foreign_object",
        "get_or_create", "indexes", "inspectdb", "introspection", "lookup", "m2m_through",
        "many_to_many", "many_to_one", "migrations", "model_fields", "multiple_database", "null_fk",
        "ordering", "postgres_tests", "prefetch_related", "queries", "raw_query", "schema",
        "select_for_update", "select_related", "serializers", "timezones", "transaction_hooks",
        "transactions", "update",
    ]
    settings_text = """\
import os
DATABASES = {
    name: {
        "ENGINE": "django.db.backends.postgresql", "NAME": name, "USER": "postgres",
        "HOST": "127.0.0.1", "PORT": os.environ["PGPORT"],
    }
    for name in ("default", "other")
}
SECRET_KEY = "tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
"""

    def prepare(self, postgres):
        for name in ("default", "other"):
            postgres.run(f'CREATE DATABASE "{name}"', "postgres")

    def lay_out(self, workplace):
        with tarfile.open(source("django")) as archive:
            archive.extractall(workplace, filter="data")
        (root,) = [path for path in workplace.iterdir() if path.is_dir()]
        shutil.move(root / "tests", workplace / "tests")
        shutil.rmtree(root)
        (workplace / "tests" / "mynah_settings.py").write_text(self.settings_text)

    def run(self, port, workplace):
        log = workplace / "log"
        run_bounded(
            [sys.executable, "runtests.py", "--settings=mynah_settings", "--parallel=1",
             "--noinput", "--verbosity=2", *self.modules],
            self.seconds, log, cwd=workplace / "tests", env=environment(port),
        )
        return unittest_lines(log.read_text(errors="replace"))


def unittest_lines(text: str) -> Outcomes:
    """Outcomes from what unittest prints with verbosity 2, and from its list of failures."""
    outcomes: Outcomes = {}
    started = re.compile(r"^(\w+) \(([\w.]+)\)")
    current: str | None = None
    for line in text.splitlines():
        if match := started.match(line):
            current = f"{match[2]}.{match[1]}" if not match[2].endswith(match[1]) else match[2]
        if current and (match := re.search(r" \.\.\. (ok|FAIL|ERROR|skipped|expected failure)", line)):
            word = match[1]
            outcomes[current] = (
                "skipped" if word == "skipped" else "failed" if word.isupper() else "passed"
            )
            current = None
    for match in re.finditer(r"^(?:FAIL|ERROR): (\w+) \(([\w.]+)", text, re.MULTILINE):
        name = f"{match[2]}.{match[1]}" if not match[2].endswith(match[1]) else match[2]
        outcomes[name] = "failed"
    return outcomes


class GoSuite(Suite):
    """Tests of a Go library as Debian packages it, run from its sources without modules."""

    path = pathlib.Path("/usr/share/gocode")
    packages: list[str]
    aliases: dict[str, str] = {}
    """Import paths that Debian has under another one."""

    def lay_out(self, workplace):
        for alias, package in self.aliases.items():
            link = workplace / "go/src" / alias
            link.parent.mkdir(parents=True)
            link.symlink_to(self.path / "src" / package)

    def variables(self, port: int) -> dict[str, str]:
        raise NotImplementedError

    def run(self, port, workplace):
        log = workplace / "log"
        go = {
            "GO111MODULE": "off", "GOPATH": f"{workplace / 'go'}:{self.path}", "GOFLAGS": "-p=1",
            "GOCACHE": os.environ.get("GOCACHE", str(pathlib.Path.home() / ".cache/go-build")),
        }
        run_bounded(
            ["go", "test", "-count=1", "-json", "-vet=off", "-timeout", "1800s", *self.packages],
            self.seconds, log, cwd=workplace,
            env=environment(port, **go, **self.variables(port)),
        )
        return go_events(log.read_text(errors="replace"))


def go_events(text: str) -> Outcomes:
    outcomes: Outcomes = {}
    words = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("Test") and event.get("Action") in words:
            outcomes[f"{event['Package']}.{event['Test']}"] = words[event["Action"]]
    return outcomes


class Pgx(GoSuite):
    """pgx with what it is built on; the tests of pgtype need a package that Debian leaves out."""

    name = "pgx"
    least = 250
    aliases = {"github.com/Masterminds/semver/v3": "github.com/Masterminds/semver"}
    packages = [
        f"github.com/jackc/{package}"
        for package in ("pgx/v4", "pgx/v4/pgxpool", "pgx/v4/stdlib", "pgconn", "pgconn/stmtcache")
    ]

    def prepare(self, postgres):
        postgres.run("CREATE DATABASE pgx_test", "postgres")
        postgres.run(
            "CREATE EXTENSION hstore; CREATE DOMAIN uint64 AS numeric(20, 0)", "pgx_test"
        )

    def variables(self, port):
        dsn = f"host=127.0.0.1 port={port} user=postgres dbname=pgx_test sslmode=disable"
        return {
            "PGX_TEST_DATABASE": dsn, "PGX_TEST_CONN_STRING": dsn, "PGX_TEST_TCP_CONN_STRING": dsn,
            "PGDATABASE": "pgx_test", "PGSSLMODE": "disable",
        }


class LibPq(GoSuite):
    name = "libpq-go"
    least = 100
    packages = ["github.com/lib/pq", "github.com/lib/pq/hstore"]

    def prepare(self, postgres):
        postgres.run("CREATE DATABASE pqgotest", "postgres")
        postgres.run("CREATE EXTENSION hstore", "pqgotest")

    def variables(self, port):
        return {"PGDATABASE": "pqgotest", "PGSSLMODE": "disable"}


class LibpqPipeline(Suite):
    """PostgreSQL's own program for libpq's pipeline mode; its message traces are compared, too."""

    name = "libpq_pipeline"
    least = 11
    directory = pathlib.Path(sys.prefix) / "libpq_pipeline"
    rows = 700
    """What PostgreSQL's own run of the program asks for."""

    def run(self, port, workplace):
        program = self.directory / "libpq_pipeline"
        connection = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        names = subprocess.run([program, "tests"], capture_output=True, check=True, text=True)
        outcomes: Outcomes = {}
        for name in names.stdout.split():
            expected = self.directory / f"traces/{name}.trace"
            trace = workplace / f"{name}.trace"
            arguments = ["-r", str(self.rows)] + (["-t", str(trace)] if expected.exists() else [])
            log = workplace / f"{name}.log"
            status = run_bounded([program, *arguments, name, connection], 300, log)
            outcomes[name] = "passed" if status == 0 else "failed"
            if expected.exists():
                same = trace.exists() and trace.read_bytes() == expected.read_bytes()
                outcomes[f"{name} trace"] = "passed" if same else "failed"
        return outcomes


ALL: dict[str, Suite] = {
    suite.name: suite
    for suite in (Asyncpg(), Pg8000(), Django(), Pgx(), LibPq(), LibpqPipeline())
}
