"""TLS between clients and Mynah: every sslmode, every driver, hostile bytes, certificates in rotation."""

import asyncio
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import pytest

import wire
from caching import assert_hit, warm
from certificates import authority, files, from_nowhere, good  # noqa: F401 (fixtures)
from servers import MYNAH_BINARY, MynahServer, running, wait_until
from wire import RawSession

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)
MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


def options(issued, **more) -> dict:
    files = {"certificate": str(issued.certificate), "key": str(issued.key)}
    return files | {name: str(value) for name, value in more.items()}


@pytest.fixture(scope="module")
def allowing(postgres, authority, good):
    yield from running(MynahServer(postgres.url(), tls=options(good, client_ca=authority.file)))


@pytest.fixture(scope="module")
def requiring(postgres, good):
    yield from running(MynahServer(postgres.url(), tls=options(good, mode="require")))


@pytest.fixture(scope="module")
def by_kind(postgres, authority, files, good, allowing):
    """A proxy for each kind of certificate that a server may show."""
    kinds = {
        "unknown": from_nowhere(files, "unknown", ["localhost"]),
        "elsewhere": authority.issue("elsewhere", ["db.example"], common_name="db.example"),
        "expired": authority.issue("expired", ["localhost"], expired=True),
    }
    servers = {"good": allowing}
    try:
        for kind, certificate in kinds.items():
            servers[kind] = MynahServer(postgres.url(), tls=options(certificate)).start()
        yield servers
    finally:
        for kind in kinds:
            if kind in servers:
                servers[kind].remove()


# What each certificate is good enough for.
ACCEPTED = {
    "good": set(MODES),
    "elsewhere": set(MODES) - {"verify-full"},
    "unknown": {"disable", "allow", "prefer", "require"},
    "expired": {"disable", "allow", "prefer", "require"},
}
ENCRYPTED = {"prefer", "require", "verify-ca", "verify-full"}


def is_encrypted(server: MynahServer, connect) -> bool:
    with server.counting() as delta:
        connect()
    return delta.of("mynah_tls_handshakes_total") > 0


class Libpq:
    """psycopg 2 and 3, and psql: one library's meaning of sslmode."""

    @staticmethod
    def psycopg2(port, mode, root):
        connection = psycopg2.connect(
            host="localhost", port=port, user="postgres", dbname="flights", sslmode=mode,
            **({"sslrootcert": str(root)} if root else {}),
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'over ' || 1")
            assert cursor.fetchone() == ("over 1",)
        connection.close()

    @staticmethod
    def psycopg3(port, mode, root):
        with psycopg.connect(
            host="localhost", port=port, user="postgres", dbname="flights", sslmode=mode,
            **({"sslrootcert": str(root)} if root else {}),
        ) as connection:
            assert connection.execute("SELECT 'over ' || 1").fetchone() == ("over 1",)

    @staticmethod
    def psql(port, mode, root):
        text = f"host=localhost port={port} user=postgres dbname=flights sslmode={mode}"
        text += f" sslrootcert={root}" if root else ""
        done = subprocess.run(
            ["psql", "-XAt", text, "-c", "SELECT 'over ' || 1"], capture_output=True, text=True,
            timeout=30,
        )
        if done.returncode:
            raise psycopg.OperationalError(done.stderr)
        assert done.stdout == "over 1\n"


def client_context(mode: str, root) -> ssl.SSLContext | bool:
    if mode == "disable":
        return False
    context = ssl.create_default_context(cafile=str(root) if root else None)
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("verify") else ssl.CERT_NONE
    return context


def with_asyncpg(port, mode, root):
    async def run():
        connection = await asyncpg.connect(
            host="localhost", port=port, user="postgres", database="flights",
            ssl=mode if mode in ("allow", "prefer") else client_context(mode, root),
        )
        assert await connection.fetchval("SELECT 'over ' || 1") == "over 1"
        await connection.close()

    asyncio.run(run())


def with_pg8000(port, mode, root):
    connection = pg8000.dbapi.connect(
        host="localhost", port=port, user="postgres", database="flights",
        ssl_context=client_context(mode, root),
    )
    cursor = connection.cursor()
    cursor.execute("SELECT 'over ' || 1")
    assert cursor.fetchone()[0] == "over 1"
    connection.close()


CLIENTS = {
    "psycopg2": Libpq.psycopg2, "psycopg3": Libpq.psycopg3, "psql": Libpq.psql,
    "asyncpg": with_asyncpg, "pg8000": with_pg8000,
}
REFUSALS = (
    psycopg.OperationalError, psycopg2.OperationalError, ssl.SSLError, pg8000.dbapi.Error,
    ConnectionError,
)


@pytest.mark.parametrize("kind", list(ACCEPTED))
@pytest.mark.parametrize("client", list(CLIENTS))
def test_every_sslmode_takes_the_certificates_that_it_should(by_kind, authority, client, kind):
    server = by_kind[kind]
    for mode in MODES:
        if client == "pg8000" and mode in ("allow", "prefer"):
            continue  # It has no such modes: it is told to use TLS, or not to.
        root = authority.file if mode.startswith("verify") else None

        def connect():
            CLIENTS[client](server.port, mode, root)

        if mode in ACCEPTED[kind]:
            assert is_encrypted(server, connect) == (mode in ENCRYPTED), mode
        else:
            with pytest.raises(REFUSALS):
                connect()


def test_a_handshake_that_the_client_gives_up_is_counted(by_kind, authority):
    server = by_kind["expired"]
    with server.counting() as delta:
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            Libpq.psycopg2(server.port, "verify-ca", authority.file)
        wait_until(
            lambda: server.metrics().total("mynah_tls_handshake_failures_total")
            > delta.before.total("mynah_tls_handshake_failures_total"),
            "the failure is counted",
        )
    assert "TLS handshake with a client failed" in server.log()


class TestRequired:
    """mode = "require"."""

    def test_plain_text_is_refused_by_name_of_the_key(self, requiring):
        with pytest.raises(psycopg.OperationalError) as refusal:
            psycopg.connect(
                host="127.0.0.1", port=requiring.port, user="postgres", dbname="flights",
                sslmode="disable",
            )
        assert "connections in plain text are not accepted" in str(refusal.value)
        assert "tls.mode" in str(refusal.value)
        session = RawSession(requiring.port)
        session.send(wire.startup({"user": "postgres", "database": "flights"}))
        replies = session.until_end()
        assert wire.tags(replies) == "E" and wire.sqlstate(replies) == "28000"

    def test_tls_is_served(self, requiring):
        Libpq.psycopg3(requiring.port, "require", None)
        Libpq.psycopg3(requiring.port, "allow", None)

    def test_a_unix_socket_needs_none(self, postgres, good, tmp_path):
        path = tmp_path / ".s.PGSQL.6543"
        server = MynahServer(
            postgres.url(), tls=options(good, mode="require"),
            listen={"address": f"unix:{path}"},
        )
        try:
            server.start()
            with psycopg.connect(
                host=str(tmp_path), port=6543, user="postgres", dbname="flights"
            ) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(path))
                raw.sendall(SSL_REQUEST)
                assert raw.recv(10) == b"N"
        finally:
            server.remove()

    def test_the_oldest_version_is_what_is_configured(self, postgres, good):
        server = MynahServer(postgres.url(), tls=options(good, min_version="1.3"))
        try:
            server.start()
            old = client_context("require", None)
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError):
                encrypted(server.port, old)
            encrypted(server.port, client_context("require", None)).close()
        finally:
            server.remove()


def encrypted(port: int, context: ssl.SSLContext, direct: bool = False) -> RawSession:
    """A raw session whose socket has been through the TLS handshake, nothing sent yet."""
    session = RawSession(port)
    try:
        if not direct:
            session.send(SSL_REQUEST)
            assert session.socket.recv(1) == b"S"
        session.socket = context.wrap_socket(session.socket, server_hostname="localhost")
    except BaseException:
        session.close()
        raise
    return session


@pytest.fixture
def context(authority) -> ssl.SSLContext:
    return client_context("verify-full", authority.file)


class TestHits:
    """Answers from memory over TLS are what they are in plain text."""

    def test_the_same_bytes_as_in_plain_text(self, allowing, context):
        sql = "SELECT * FROM airports ORDER BY 1 LIMIT 200"
        plain = RawSession.connect(allowing.port)
        tls = encrypted(allowing.port, context)
        tls.start({"user": "postgres", "database": "flights"})
        warm(allowing, lambda: plain.query(sql))
        for request in (wire.query(sql), wire.extended(sql), wire.extended(sql, wire.BINARY)):
            expected = warm(allowing, lambda: plain.exchange(request))
            assert assert_hit(allowing, lambda: tls.exchange(request)) == expected
        plain.close()
        tls.close()

    def test_large_answers_and_pipelines(self, allowing, context):
        tls = encrypted(allowing.port, context)
        tls.start({"user": "postgres", "database": "flights"})
        sql = "SELECT repeat('x', 3000000) || count(*) FROM airports"
        first = warm(allowing, lambda: tls.value(sql))
        assert len(first) > 3_000_000
        replies = tls.exchange(wire.query(sql) * 20, ready=20)
        assert [row[0] for row in wire.data_rows(replies)] == [first] * 20
        tls.close()

    def test_a_write_in_plain_text_is_seen_over_tls(self, allowing, context, table):
        plain = RawSession.connect(allowing.port)
        tls = encrypted(allowing.port, context)
        tls.start({"user": "postgres", "database": "flights"})
        plain.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v int); INSERT INTO {table} VALUES (1, 1)")
        read = f"SELECT v FROM {table} WHERE id = 1"
        assert warm(allowing, lambda: tls.value(read)) == b"1"
        plain.run(f"UPDATE {table} SET v = 2")
        assert tls.value(read) == b"2"
        plain.run(f"DROP TABLE {table}")


class TestNegotiation:
    """What may come before, and instead of, the handshake."""

    def test_bytes_behind_ssl_request_are_nobodys(self, allowing):
        """CVE-2021-23214: a startup packet injected in clear must not become the session's."""
        session = RawSession(allowing.port)
        session.send(SSL_REQUEST + wire.startup({"user": "postgres", "database": "flights"}))
        replies = session.until_end()
        assert wire.tags(replies) == "E" and wire.sqlstate(replies) == "08P01"

    def test_bytes_in_clear_instead_of_the_handshake(self, allowing):
        session = RawSession(allowing.port)
        session.send(SSL_REQUEST)
        assert session.socket.recv(1) == b"S"
        session.send(wire.startup({"user": "postgres", "database": "flights"}))
        assert b"Z" not in wire.tags(session.until_end()).encode()

    @pytest.mark.parametrize("garbage", [b"\x16\x03\x01", b"\x16" + b"\xff" * 300, b"\0" * 64])
    def test_garbage_and_truncated_handshakes_end_the_connection_alone(self, allowing, context, garbage):
        other = encrypted(allowing.port, context)
        other.start({"user": "postgres", "database": "flights"})
        for begin in (b"", SSL_REQUEST):
            session = RawSession(allowing.port)
            if begin:
                session.send(begin)
                assert session.socket.recv(1) == b"S"
            session.send(garbage)
            session.socket.shutdown(socket.SHUT_WR)
            session.until_end()
            session.close()
        assert other.value("SELECT 1") == b"1"
        other.close()

    def test_a_handshake_has_the_startup_deadline(self, postgres, good):
        server = MynahServer(postgres.url(), tls=options(good))
        try:
            server.write_configuration(
                server.configuration_text() + '\n[limits]\nstartup_timeout = "300ms"\n')
            server.start()
            for begin in (SSL_REQUEST, b"\x16\x03\x01\x02\x00\x01"):
                session = RawSession(server.port)
                began = time.monotonic()
                session.send(begin)
                data = session.socket.recv(100)
                assert data == (b"S" if begin == SSL_REQUEST else b"")
                while data:
                    data = session.socket.recv(100)
                assert time.monotonic() - began < 5
            wait_until(
                lambda: server.metrics().total("mynah_client_connections") == 0, "all are closed")
        finally:
            server.remove()

    def test_a_second_request_inside_tls_is_refused(self, allowing, context):
        for request in (SSL_REQUEST, GSS_REQUEST):
            session = encrypted(allowing.port, context)
            session.send(request)
            replies = session.until_end()
            assert wire.tags(replies) == "E" and wire.sqlstate(replies) == "08P01"

    def test_gss_is_declined_and_tls_follows(self, allowing, context):
        session = RawSession(allowing.port)
        session.send(GSS_REQUEST)
        assert session.socket.recv(1) == b"N"
        session.send(SSL_REQUEST)
        assert session.socket.recv(1) == b"S"
        session.socket = context.wrap_socket(session.socket, server_hostname="localhost")
        session.start({"user": "postgres", "database": "flights"})
        assert session.value("SELECT 1") == b"1"
        session.close()

    def test_direct_tls_names_the_protocol(self, allowing, context):
        """libpq 17's sslnegotiation=direct."""
        context.set_alpn_protocols(["postgresql"])
        session = encrypted(allowing.port, context, direct=True)
        assert session.socket.selected_alpn_protocol() == "postgresql"
        session.start({"user": "postgres", "database": "flights"})
        assert session.value("SELECT 1") == b"1"
        session.close()

    @pytest.mark.parametrize("protocols", [[], ["http/1.1"]])
    def test_direct_tls_for_something_else_is_refused(self, allowing, context, protocols):
        if protocols:
            context.set_alpn_protocols(protocols)
        session = encrypted(allowing.port, context, direct=True)
        session.send(wire.startup({"user": "postgres", "database": "flights"}))
        replies = session.until_end()
        assert wire.tags(replies) == "E" and wire.sqlstate(replies) == "08P01"

    def test_without_tls_the_answer_is_no(self, cached_postgres):
        session = RawSession(cached_postgres.port)
        session.send(SSL_REQUEST)
        assert session.socket.recv(10) == b"N"
        session.start({"user": "postgres", "database": "flights"})
        session.close()
        direct = RawSession(cached_postgres.port)
        direct.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert wire.tags(direct.until_end()) == "E"


def test_libpq_begins_with_tls_and_cancels_over_it(allowing, authority):
    """sslnegotiation=direct and PQcancelStart, which libpq has from version 17 on."""
    assert psycopg.pq.version() >= 170000, "psycopg-binary comes with a newer libpq"
    with allowing.counting() as delta:
        with psycopg.connect(
            host="localhost", port=allowing.port, user="postgres", dbname="flights",
            sslmode="verify-full", sslrootcert=str(authority.file), sslnegotiation="direct",
        ) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            outcome = []

            def sleep():
                try:
                    connection.execute("SELECT pg_sleep(60), 'cancelled by libpq'")
                except psycopg.Error as error:
                    outcome.append(error.sqlstate)

            thread = threading.Thread(target=sleep)
            thread.start()
            with RawSession.connect(allowing.port) as watcher:
                wait_until(
                    lambda: watcher.value(
                        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                        "AND query LIKE '%cancelled by' || ' libpq%'") == b"1",
                    "the statement runs",
                )
            connection.cancel_safe(timeout=20)
            thread.join(20)
            assert outcome == ["57014"]
    assert delta.of("mynah_tls_handshakes_total") == 2


def test_a_slow_reader_is_waited_for_in_bounded_memory(allowing, context):
    session = encrypted(allowing.port, context)
    session.start({"user": "postgres", "database": "flights"})
    before = allowing.resident_bytes()
    rows, width = 3000, 100_000
    session.send(wire.query(f"SELECT repeat('y', {width}), n FROM generate_series(1, {rows}) n"))
    with RawSession.connect(allowing.port) as watcher:
        # The server cannot send on: everything between it and the reader is full.
        wait_until(
            lambda: watcher.value(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'") == b"1",
            "the server waits for the reader")
    assert allowing.resident_bytes() - before < 64 << 20
    replies = session.until_ready()
    assert sum(len(row[0]) for row in wire.data_rows(replies)) == rows * width
    session.close()


def test_a_stream_cut_without_goodbye_ends_the_session_alone(allowing, context):
    before = allowing.metrics().total("mynah_client_connections")
    for _ in range(20):
        session = encrypted(allowing.port, context)
        session.start({"user": "postgres", "database": "flights"})
        session.socket.shutdown(socket.SHUT_RDWR)
        session.close()
    wait_until(
        lambda: allowing.metrics().total("mynah_client_connections") <= before, "all are closed")


def test_cancel_requests_over_tls(allowing, context):
    session = encrypted(allowing.port, context)
    session.start({"user": "postgres", "database": "flights"})
    session.send(wire.query("SELECT pg_sleep(60), 'cancelled over TLS'"))
    with RawSession.connect(allowing.port) as watcher:
        wait_until(
            lambda: watcher.value(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                "AND query LIKE '%cancelled over' || ' TLS%'") == b"1",
            "the statement runs",
        )
    cancelling = encrypted(allowing.port, context)
    cancelling.send(wire.cancel_request(*session.backend_key))
    assert cancelling.until_end() == []
    assert wire.sqlstate(session.until_ready()) == "57014"
    session.close()


class TestClientCertificates:
    """client_ca: shown certificates have to be good, none is no error."""

    def present(self, server, authority, certificate):
        with psycopg.connect(
            host="localhost", port=server.port, user="postgres", dbname="flights",
            sslmode="verify-full", sslrootcert=str(authority.file),
            sslcert=str(certificate.certificate), sslkey=str(certificate.key),
        ) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_a_good_one_and_none(self, allowing, authority):
        self.present(allowing, authority, authority.issue("client", common_name="postgres"))
        Libpq.psycopg3(allowing.port, "verify-full", authority.file)

    def test_expired_and_foreign_ones_are_refused(self, allowing, authority, files):
        for bad in (
            authority.issue("late", common_name="postgres", expired=True),
            from_nowhere(files, "foreign", ["postgres"]),
        ):
            with pytest.raises(psycopg.OperationalError):
                self.present(allowing, authority, bad)


class TestReload:
    """SIGHUP reads certificates anew."""

    @pytest.fixture
    def server(self, postgres, authority):
        certificate = authority.issue("rotated", ["localhost"])
        server = MynahServer(postgres.url(), tls=options(certificate))
        try:
            yield server.start()
        finally:
            server.remove()

    def serial(self, server, context) -> str:
        session = encrypted(server.port, context)
        try:
            return session.socket.getpeercert()["serialNumber"]
        finally:
            session.close()

    def test_rotation_under_load(self, server, authority, context):
        seen, failures, stop = set(), [], threading.Event()

        def load():
            try:
                lasting = encrypted(server.port, context)
                lasting.start({"user": "postgres", "database": "flights"})
                while not stop.is_set():
                    session = encrypted(server.port, context)
                    seen.add(session.socket.getpeercert()["serialNumber"])
                    session.start({"user": "postgres", "database": "flights"})
                    assert session.value("SELECT count(*) > 0 FROM airports") == b"t"
                    assert lasting.value("SELECT count(*) > 0 FROM airports") == b"t"
                    session.close()
                lasting.close()
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: failures or seen, "the load runs")
            for _ in range(5):
                before = self.serial(server, context)
                authority.issue("rotated", ["localhost"])
                server.signal(signal.SIGHUP)
                wait_until(lambda: self.serial(server, context) != before, "the new certificate")
                current = self.serial(server, context)
                wait_until(lambda: failures or current in seen, "the load sees it too")
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert failures == []
        assert len(seen) == 6

    def test_a_broken_certificate_keeps_the_old_one(self, server, authority, context):
        before = self.serial(server, context)
        path = pathlib.Path(server.tls["certificate"])
        path.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "certificates for clients not reloaded" in server.log(), "an error")
        assert "tls.certificate" in server.log()
        assert self.serial(server, context) == before
        authority.issue("rotated", ["localhost"])
        server.signal(signal.SIGHUP)
        wait_until(lambda: self.serial(server, context) != before, "the new certificate")


class TestCheck:
    """`mynah check` says in one line what is wrong with the files."""

    def check(self, server) -> subprocess.CompletedProcess:
        server.write_configuration()
        return subprocess.run(
            [str(MYNAH_BINARY), "check", "--file-only", "--config", str(server.configuration)],
            capture_output=True, text=True, timeout=60,
        )

    @pytest.fixture
    def check_with(self, own_mynah, sqlite_file):
        return lambda **tls: self.check(own_mynah(f"sqlite:{sqlite_file}", tls=tls))

    def test_good_files(self, check_with, good):
        done = check_with(**options(good))
        assert done.returncode == 0, done.stderr
        assert 'mode = "allow"' in done.stdout

    def test_what_is_wrong(self, check_with, authority, good, files):
        other = authority.issue("other", ["localhost"])
        exposed = authority.issue("exposed", ["localhost"])
        exposed.key.chmod(0o644)
        text = files / "text"
        text.write_text("no certificate")
        cases = [
            (options(good, key=str(other.key)), "tls.key", "is not the key of tls.certificate"),
            (options(good, certificate=str(text)), "tls.certificate", "not a certificate in PEM"),
            (options(good, key=str(text)), "tls.key", "not a private key in PEM"),
            (options(good, key="absent.key"), "tls.key", "no such file"),
            (options(good, client_ca=str(text)), "tls.client_ca", "not a certificate in PEM"),
            (options(exposed), "tls.key", "can be read by others"),
            (options(good, mode="maybe"), "tls.mode", '"off", "allow", "require"'),
            (options(good, min_version="1.1"), "tls.min_version", '"1.2", "1.3"'),
            ({"mode": "require"}, "tls.certificate", "missing"),
            ({"certificate": str(good.certificate)}, "tls.key", "missing"),
            ({"client_ca": str(authority.file)}, "tls.client_ca", "has no effect"),
        ]
        for tls, key, problem in cases:
            done = check_with(**tls)
            assert done.returncode == 1, tls
            assert len(done.stderr.splitlines()) == 1
            assert f"{key}: " in done.stderr and problem in done.stderr, done.stderr
