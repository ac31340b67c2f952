"""TLS from Mynah to PostgreSQL, with libpq's meaning of each parameter, and hostile servers."""

import os
import pathlib
import shutil
import signal
import socket
import socketserver
import struct
import threading
import time
import urllib.parse

import psycopg
import pytest

import wire
from caching import warm
from certificates import Authority, authority, files, from_nowhere, good  # noqa: F401 (fixtures)
from servers import MynahServer, PostgresServer, wait_until, with_flights
from wire import RawSession

SSL_REQUEST = struct.pack("!II", 8, 80877103)
MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
HBA = """
local all all trust
host replication all 127.0.0.1/32 trust
hostssl all cert_user 127.0.0.1/32 cert
hostssl all only_tls 127.0.0.1/32 trust
host all only_tls 127.0.0.1/32 reject
hostnossl all only_plain 127.0.0.1/32 trust
host all only_plain 127.0.0.1/32 reject
host all scram_user 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


class TLSServer(PostgresServer):
    """PostgreSQL with ssl = on, whose certificate can be exchanged."""

    def __init__(self, authority: Authority, certificate):
        super().__init__({"ssl": "on", "ssl_ca_file": "'root.crt'"})
        (self.data / "pg_hba.conf").write_text(HBA)
        self.place(authority.file, "root.crt")
        self.show(certificate)

    def place(self, source: pathlib.Path, name: str) -> None:
        made = self.data / f"{name}.new"
        shutil.copy(source, made)
        os.chmod(made, 0o600)
        owner = self.data.stat()
        os.chown(made, owner.st_uid, owner.st_gid)
        made.rename(self.data / name)

    def show(self, certificate) -> None:
        """Puts a certificate into force."""
        self.place(certificate.certificate, "server.crt")
        self.place(certificate.key, "server.key")
        if self.process:
            loaded = self.run("SELECT pg_conf_load_time()", "postgres")
            self.run("SELECT pg_reload_conf()", "postgres")
            wait_until(
                lambda: self.run("SELECT pg_conf_load_time()", "postgres") != loaded,
                "the configuration is loaded")


@pytest.fixture(scope="module")
def server(authority, good):
    yield from with_flights(
        TLSServer(authority, good),
        "CREATE ROLE only_tls LOGIN; CREATE ROLE only_plain LOGIN; CREATE ROLE cert_user LOGIN",
        "CREATE ROLE scram_user LOGIN PASSWORD 'pencil'",
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10)",
        "GRANT ALL ON t TO PUBLIC",
    )


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No certificates of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))


def url(server, host: str = "localhost", user: str = "postgres", password: str = "", **parameters) -> str:
    who = f"{user}:{password}" if password else user
    given = urllib.parse.urlencode({name: str(value) for name, value in parameters.items()})
    port = server if isinstance(server, int) else server.port
    return f"postgresql://{who}@{host}:{port}/?{given}"


@pytest.fixture
def through(own_mynah):
    """Starts a Mynah that listens, whether or not it reaches its upstream."""

    def start(upstream: str) -> MynahServer:
        mynah = own_mynah(upstream).spawn()
        wait_until(lambda: mynah.http_status("/healthz") == 200, "it listens")
        return mynah

    return start


def is_encrypted(mynah: MynahServer) -> bool:
    """Whether the upstream connection of a new session is; raises where there is none."""
    with psycopg.connect(
        host="127.0.0.1", port=mynah.port, user="postgres", dbname="flights", connect_timeout=20
    ) as connection:
        return connection.execute(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0]


class TestModes:
    """Every sslmode, against servers whose certificate is good, unknown, another host's, expired."""

    ACCEPTED = {
        "good": set(MODES),
        "elsewhere": set(MODES) - {"verify-full"},
        "unknown": {"disable", "allow", "prefer", "require"},
        "expired": {"disable", "allow", "prefer", "require"},
    }

    @pytest.mark.parametrize("kind", list(ACCEPTED))
    def test_what_each_mode_takes(self, server, authority, good, files, through, kind):
        server.show({
            "good": lambda: good,
            "elsewhere": lambda: authority.issue("elsewhere", ["db.example"]),
            "unknown": lambda: from_nowhere(files, "unknown", ["localhost"]),
            "expired": lambda: authority.issue("expired", ["localhost"], expired=True),
        }[kind]())
        try:
            for mode in MODES:
                root = {"sslrootcert": authority.file} if mode.startswith("verify") else {}
                mynah = through(url(server, sslmode=mode, **root))
                if mode in self.ACCEPTED[kind]:
                    assert is_encrypted(mynah) == (mode not in ("disable", "allow")), mode
                else:
                    with pytest.raises(psycopg.OperationalError, match="TLS handshake failed"):
                        is_encrypted(mynah)
                    assert mynah.http_status("/readyz") != 200
                mynah.remove()
        finally:
            server.show(good)

    def test_a_root_certificate_makes_require_verify(self, server, files, through):
        stranger = Authority(files, "stranger")
        mynah = through(url(server, sslmode="require", sslrootcert=stranger.file))
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            is_encrypted(mynah)

    def test_an_address_is_verified_as_an_address(self, server, authority, good, through):
        parameters = {"sslmode": "verify-full", "sslrootcert": authority.file}
        assert is_encrypted(through(url(server, host="127.0.0.1", **parameters)))
        server.show(authority.issue("named", ["localhost"]))
        try:
            with pytest.raises(psycopg.OperationalError, match="does not match the host name"):
                is_encrypted(through(url(server, host="127.0.0.1", **parameters)))
            # hostaddr says where, host says who.
            both = through(url(server, hostaddr="127.0.0.1", **parameters))
            assert is_encrypted(both)
        finally:
            server.show(good)

    def test_sessions_are_cached_over_tls(self, server, authority, through):
        mynah = through(url(server, sslmode="verify-full", sslrootcert=authority.file))
        session = RawSession.connect(mynah.port)
        assert warm(mynah, lambda: session.value("SELECT v FROM t WHERE id = 1")) == b"10"
        session.run("UPDATE t SET v = 11 WHERE id = 1")
        assert session.value("SELECT v FROM t WHERE id = 1") == b"11"
        session.run("UPDATE t SET v = 10 WHERE id = 1")
        large = session.value("SELECT repeat('x', 20000000)")
        assert len(large) == 20_000_000
        session.close()

    def test_a_unix_socket_is_never_encrypted(self, server, through):
        directory = urllib.parse.quote(str(server.directory), safe="")
        mynah = through(f"postgresql://postgres@/?host={directory}&port={server.port}&sslmode=require")
        assert not is_encrypted(mynah)

    def test_a_broken_file_is_an_error_at_the_start(self, own_mynah, server, files):
        text = files / "no-certificate"
        text.write_text("nothing")
        for parameters, words in [
            ({"sslmode": "verify-ca", "sslrootcert": text}, "sslrootcert cannot be used"),
            ({"sslmode": "verify-full", "sslrootcert": files / "absent"}, "does not exist"),
            ({"sslmode": "require", "sslcert": text, "sslkey": files / "absent"}, "sslkey"),
            ({"sslmode": "sometimes"}, "sslmode"),
        ]:
            mynah = own_mynah(url(server, **parameters)).spawn()
            assert mynah.process.wait(20) == 1
            assert "upstream.url" in mynah.log() and words in mynah.log(), mynah.log()


class TestAuthorization:
    """pg_hba.conf may want TLS, or not want it."""

    def test_allow_goes_on_with_tls_where_plain_text_is_refused(self, server, through):
        assert is_encrypted(through(url(server, user="only_tls", sslmode="allow")))

    def test_prefer_goes_on_without_where_tls_is_refused(self, server, through):
        assert not is_encrypted(through(url(server, user="only_plain", sslmode="prefer")))

    def test_require_does_not(self, server, through):
        with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects connection"):
            is_encrypted(through(url(server, user="only_plain", sslmode="require")))

    def test_a_client_certificate_logs_in(self, server, authority, files, through):
        own = authority.issue("cert_user", common_name="cert_user")
        parameters = {"sslmode": "require", "sslcert": own.certificate, "sslkey": own.key}
        assert is_encrypted(through(url(server, user="cert_user", **parameters)))
        other = authority.issue("somebody", common_name="somebody")
        parameters = {"sslmode": "require", "sslcert": other.certificate, "sslkey": other.key}
        with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
            is_encrypted(through(url(server, user="cert_user", **parameters)))


class TestChannelBinding:
    def test_require_binds_whatever_signed_the_certificate(self, server, authority, good, through):
        from cryptography.hazmat.primitives import hashes

        for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
            server.show(authority.issue("bound", ["localhost"], algorithm=algorithm))
            mynah = through(url(
                server, user="scram_user", password="pencil", sslmode="require",
                channel_binding="require"))
            assert is_encrypted(mynah), algorithm.name
            mynah.remove()
        server.show(good)

    @pytest.mark.parametrize("policy", ["disable", "prefer"])
    @pytest.mark.parametrize("mode", ["disable", "require"])
    def test_the_other_policies_log_in_too(self, server, through, policy, mode):
        mynah = through(url(
            server, user="scram_user", password="pencil", sslmode=mode, channel_binding=policy))
        assert is_encrypted(mynah) == (mode == "require")

    @pytest.mark.parametrize("user,mode", [("scram_user", "disable"), ("postgres", "require")])
    def test_require_takes_nothing_less(self, server, through, user, mode):
        mynah = through(url(
            server, user=user, password="pencil", sslmode=mode, channel_binding="require"))
        with pytest.raises(psycopg.OperationalError, match="channel binding is required"):
            is_encrypted(mynah)


class Scripted:
    """A server on loopback that says fixed bytes to each connection's first packet, and its second."""

    def __init__(self, answer: bytes, then: bytes = b""):
        outer = self
        self.heard: list[bytes] = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.settimeout(20)
                try:
                    outer.heard.append(self.request.recv(4096))
                    self.request.sendall(answer)
                    while data := self.request.recv(4096):
                        outer.heard.append(data)
                        self.request.sendall(then)
                except OSError:
                    pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class TestHostileServers:
    @pytest.mark.parametrize("answer,words", [
        # CVE-2021-23222: what follows the answer in clear is not the server's.
        (b"S" + wire.message(b"R", struct.pack("!I", 0)), "unencrypted data"),
        # CVE-2024-10977: nobody has proven yet who writes this.
        (wire.message(b"E", b"SFATAL\0C28000\0Mcall 555-0199 with your password\0\0"),
         "error response during SSL exchange"),
        (b"N", "does not support SSL"),
        (b"?", "invalid response"),
        (b"S\x15", "unencrypted data"),
    ])
    def test_what_is_said_before_tls_goes_no_further(self, through, answer, words):
        with Scripted(answer) as hostile:
            mynah = through(url(hostile.port, sslmode="require"))
            with pytest.raises(psycopg.OperationalError) as refusal:
                is_encrypted(mynah)
            assert words in str(refusal.value)
            assert "555-0199" not in str(refusal.value) + mynah.log()
            assert not any(b"flights" in heard for heard in hostile.heard)

    @pytest.mark.parametrize("garbage", [
        b"\0" * 100, b"\x16\x03\x03\xff\xff" + b"\xff" * 300, b"\x15\x03\x03\x00\x02\x02\x28",
        wire.message(b"R", struct.pack("!I", 0)) + wire.message(b"Z", b"I"),
    ])
    def test_garbage_in_the_handshake_is_an_error(self, through, garbage):
        with Scripted(b"S", then=garbage) as hostile:
            for mode in ("prefer", "require"):
                mynah = through(url(hostile.port, sslmode=mode))
                with pytest.raises(psycopg.OperationalError, match="TLS handshake failed"):
                    is_encrypted(mynah)
            # Nothing was tried in plain text instead.
            assert not any(b"flights" in heard for heard in hostile.heard)

    def test_a_server_that_stops_in_the_handshake_is_given_up(self, through):
        with Scripted(b"S") as silent:
            mynah = through(url(silent.port, sslmode="require", connect_timeout=2))
            began = time.monotonic()
            with pytest.raises(psycopg.OperationalError, match="timeout expired"):
                is_encrypted(mynah)
            assert time.monotonic() - began < 15


class Relay:
    """Passes connections on and keeps what each client has said."""

    def __init__(self, port: int):
        self.heard: list[bytearray] = []
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            said = bytearray()
            self.heard.append(said)
            threading.Thread(target=self._copy, args=(client, server, said), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, None), daemon=True).start()

    def _copy(self, source, target, said):
        try:
            while data := source.recv(1 << 16):
                if said is not None:
                    said += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def test_cancel_requests_are_as_encrypted_as_the_session(server, through):
    relay = Relay(server.port)
    try:
        mynah = through(url(relay.port, host="127.0.0.1", sslmode="require"))
        session = RawSession.connect(mynah.port)
        session.send(wire.query("SELECT pg_sleep(60), 'cancelled upstream'"))
        wait_until(
            lambda: server.run(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                "AND query LIKE '%cancelled' || ' upstream%'")[0][0] == 1, "the statement runs")
        before = len(relay.heard)
        with socket.create_connection(("127.0.0.1", mynah.port)) as cancelling:
            cancelling.sendall(wire.cancel_request(*session.backend_key))
        assert wire.sqlstate(session.until_ready()) == "57014"
        said = [bytes(connection) for connection in relay.heard[before:]]
        assert said and all(bytes(one).startswith(SSL_REQUEST) for one in said)
        assert not any(struct.pack("!I", 80877102) in one for one in said)
        session.close()
    finally:
        relay.close()


def test_certificates_are_read_anew_on_sighup(server, authority, good, files, through):
    root = files / "trusted.crt"
    shutil.copy(authority.file, root)
    mynah = through(url(server, sslmode="verify-full", sslrootcert=root))
    lasting = RawSession.connect(mynah.port)
    assert lasting.value("SELECT v + pg_backend_pid() * 0 FROM t") == b"10"
    successor = Authority(files, "successor")
    server.show(successor.issue("succeeding", ["localhost"]))
    try:
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            is_encrypted(mynah)
        root.write_text("broken")
        mynah.signal(signal.SIGHUP)
        wait_until(
            lambda: "certificates of the upstream connection not reloaded" in mynah.log(), "an error")
        shutil.copy(successor.file, root)
        mynah.signal(signal.SIGHUP)

        def is_served():
            try:
                return is_encrypted(mynah)
            except psycopg.OperationalError:
                return False

        wait_until(is_served, "the new root is trusted")
        assert lasting.value("SELECT v + pg_backend_pid() * 0 FROM t") == b"10"
    finally:
        server.show(good)
        lasting.close()
