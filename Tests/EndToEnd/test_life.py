"""Start, reload, drain, and every way in which a start is refused."""

import re
import signal
import socket
import subprocess
import time

import pytest

import wire
from caching import warm
from servers import MYNAH_BINARY, free_port, wait_until
from wire import RawSession

COUNT = "SELECT count(*) FROM airlines"


@pytest.fixture(params=["postgresql", "sqlite"])
def upstream(request) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").url()
    return f"sqlite:{request.getfixturevalue('sqlite_file')}"


def test_sigterm_ends_an_idle_server_with_status_zero(own_mynah, upstream):
    server = own_mynah(upstream).start()
    idle = RawSession.connect(server.port)
    idle.value(COUNT)
    assert server.stop() == 0
    replies = idle.until_end()
    assert wire.sqlstate(replies) in (None, "57P01")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_sigterm_lets_a_running_statement_finish(own_mynah, postgres):
    server = own_mynah(postgres.url()).start()
    busy = RawSession.connect(server.port)
    busy.send(wire.query("SELECT pg_sleep(2), 'finished' /* drain */"))
    wait_until(
        lambda: postgres.run(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%/* drain */%'"
        ),
        "the statement runs",
    )
    server.signal(signal.SIGTERM)

    def refused():
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as late:
                late.sendall(wire.startup({"user": "postgres", "database": "flights"}))
                reply = late.recv(1)
                return reply in (b"", b"E")
        except OSError:
            return True

    wait_until(refused, "new sessions are refused")
    assert server.process.poll() is None
    replies = busy.until(b"Z")
    assert wire.data_rows(replies) == [[b"", b"finished"]]
    assert server.process.wait(30) == 0


def test_sigterm_lets_a_running_sqlite_statement_finish(own_mynah, sqlite_file):
    server = own_mynah(f"sqlite:{sqlite_file}").start()
    busy = RawSession.connect(server.port, timeout=60)
    busy.send(wire.query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n"
    ))
    server.signal(signal.SIGTERM)
    try:
        assert wire.data_rows(busy.until(b"Z")) == [[b"3000000"]]
    except wire.ConnectionEnded as ended:  # the signal came before the statement had arrived
        assert wire.sqlstate(ended.replies) == "57P01"
    assert server.process.wait(60) == 0


def test_sigint_ends_the_server_too(own_mynah, upstream):
    server = own_mynah(upstream).start()
    server.signal(signal.SIGINT)
    assert server.process.wait(30) == 0


def test_a_reload_changes_what_is_cached(own_mynah, upstream):
    server = own_mynah(upstream).start()
    client = RawSession.connect(server.port)
    warm(server, lambda: client.value(COUNT))
    server.rules = [{"tables": ["airlines"], "cache": False}]
    server.write_configuration()
    server.signal(signal.SIGHUP)

    def bypassed():
        with server.counting() as delta:
            assert client.value(COUNT) == b"16"
        return delta.hits == 0 and "rule" in delta.reasons()

    wait_until(bypassed, "the rule takes effect")
    assert client.value("SELECT count(*) FROM airports") == client.value("SELECT count(*) FROM airports")
    server.rules = []
    server.write_configuration()
    server.signal(signal.SIGHUP)
    warm(server, lambda: client.value(COUNT))
    server.cache["enabled"] = False
    server.write_configuration()
    server.signal(signal.SIGHUP)

    def disabled():
        with server.counting() as delta:
            client.value(COUNT)
        return delta.hits == 0 and "cache_disabled" in delta.reasons()

    wait_until(disabled, "the cache is off")
    client.close()


def test_a_reload_changes_the_time_to_live(own_mynah, upstream):
    server = own_mynah(upstream, cache={"ttl": "0"}).start()
    client = RawSession.connect(server.port)
    warm(server, lambda: client.value(COUNT))
    server.cache["ttl"] = "50ms"
    server.write_configuration()
    server.signal(signal.SIGHUP)

    def expires():
        client.value(COUNT)
        with server.counting() as delta:
            time.sleep(0.06)  # longer than the time to live, which is what is tested
            client.value(COUNT)
        return delta.misses > 0

    wait_until(expires, "answers expire")
    client.close()


def test_a_reload_names_what_cannot_change_at_run_time(own_mynah, upstream):
    server = own_mynah(upstream).start()
    old = server.listen["address"]
    server.listen["address"] = f"127.0.0.1:{free_port()}"
    server.write_configuration()
    server.signal(signal.SIGHUP)
    wait_until(lambda: "address" in server.log(), "the log names listen.address")
    with RawSession.connect(int(old.rsplit(":")[-1])) as client:
        assert client.value(COUNT) == b"16"


def test_a_reload_of_a_bad_file_changes_nothing_and_says_why(own_mynah, upstream):
    server = own_mynah(upstream).start()
    client = RawSession.connect(server.port)
    warm(server, lambda: client.value(COUNT))
    server.write_configuration(server.configuration_text().replace("enabled", "enbaled"))
    server.signal(signal.SIGHUP)
    wait_until(lambda: "enbaled" in server.log(), "the log names the key")
    warm(server, lambda: client.value(COUNT))
    client.close()


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(MYNAH_BINARY), *arguments], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )


MISTAKES = {
    "an unknown key": ("enabled = true", "enbaled = true", r"enbaled"),
    "an unknown section": ("[cache]", "[cash]", r"cash"),
    "a wrong type": ("enabled = true", 'enabled = "yes"', r"enabled"),
    "an unknown unit of size": ('memory = "64MB"', 'memory = "64 bananas"', r"memory"),
    "a size without unit": ('memory = "64MB"', 'memory = "sixty"', r"memory"),
    "an unknown unit of time": ('ttl = "5m"', 'ttl = "5 fortnights"', r"ttl"),
    "a negative time": ('ttl = "5m"', 'ttl = "-5m"', r"ttl"),
    "an unknown kind of upstream": ('url = "', 'url = "mysql://x/y?', r"url"),
    "a syntax error": ("[cache]", "[cache", r""),
    "a rule with a bad regular expression": ("[cache]", '[[rule]]\nquery = "("\n[cache]', r"query"),
    "a rule with an unknown key": ("[cache]", '[[rule]]\ntabels = ["a"]\n[cache]', r"tabels"),
    "a rule with a bad time": ("[cache]", '[[rule]]\ntables = ["a"]\nttl = "1 x"\n[cache]', r"ttl"),
    "an address without port": ("[listen]\naddress = ", '[listen]\naddress = "127.0.0.1" #', r"address"),
    "a port out of range": ("[listen]\naddress = ", '[listen]\naddress = "127.0.0.1:99999" #', r"address"),
    "an address open to the world": ("[listen]\naddress = ", '[listen]\naddress = "0.0.0.0:6432" #', r"address"),
    "an IPv6 address open to the world": ("[listen]\naddress = ", '[listen]\naddress = "[::]:6432" #', r"address"),
}


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_the_file_is_named_with_file_line_and_key(own_mynah, sqlite_file, what, command):
    old, new, key = MISTAKES[what]
    server = own_mynah(f"sqlite:{sqlite_file}")
    text = server.configuration_text()
    assert old in text
    server.write_configuration(text.replace(old, new, 1))
    result = run(command, "--config", str(server.configuration))
    said = result.stdout + result.stderr
    assert result.returncode != 0, said
    assert "proxy.conf" in said and key in said
    line = next(
        number for number, (a, b) in enumerate(
            zip(text.splitlines() + [""] * 3, server.configuration.read_text().splitlines()), 1
        ) if a != b
    )
    if key:
        named = {int(found) for found in re.findall(r"proxy\.conf:(\d+)|line (\d+)", said) for found in found if found}
        assert named and min(abs(line - found) for found in named) <= 2, said


def test_check_prints_the_effective_settings(own_mynah, upstream):
    server = own_mynah(upstream, cache={"memory": "96MB"})
    server.write_configuration()
    result = run("check", "--config", str(server.configuration))
    assert result.returncode == 0, result.stderr
    assert "96" in result.stdout and "ttl" in result.stdout and "max_entry" in result.stdout


def test_check_does_not_print_the_password(own_mynah, postgres):
    server = own_mynah(postgres.url("scram_user", "hunter2"))
    server.write_configuration()
    result = run("check", "--config", str(server.configuration))
    assert "hunter2" not in result.stdout + result.stderr


def test_a_missing_file_is_named(tmp_path):
    result = run("serve", "--config", str(tmp_path / "nowhere.conf"))
    assert result.returncode != 0 and "nowhere.conf" in result.stdout + result.stderr


@pytest.mark.parametrize("key", ["address", "metrics"])
def test_a_port_in_use_stops_the_start_with_one_clear_error(own_mynah, sqlite_file, key):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = own_mynah(f"sqlite:{sqlite_file}", listen={key: f"127.0.0.1:{port}"})
        server.write_configuration()
        result = run("serve", "--config", str(server.configuration))
    said = result.stdout + result.stderr
    assert result.returncode != 0 and str(port) in said and "use" in said.lower(), said
    assert key in said and "proxy.conf" in said, said


def test_a_missing_sqlite_file_stops_the_start(own_mynah, tmp_path):
    server = own_mynah(f"sqlite:{tmp_path}/no/such/directory/x.db")
    server.write_configuration()
    result = run("serve", "--config", str(server.configuration))
    assert result.returncode != 0 and "x.db" in result.stdout + result.stderr


def test_it_listens_on_a_unix_socket(own_mynah, upstream, tmp_path):
    path = tmp_path / "m.sock"
    server = own_mynah(upstream, listen={"address": f"unix:{path}"}).start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(wire.startup({"user": "postgres", "database": "flights"}) + wire.query(COUNT))
        received = b""
        while b"SELECT 1\0" not in received:
            data = client.recv(65536)
            assert data
            received += data
    assert server.stop() == 0
    assert not path.exists()


def test_it_listens_on_ipv6_loopback(own_mynah, upstream):
    port = free_port()
    own_mynah(upstream, listen={"address": f"[::1]:{port}"}).start()
    client = RawSession(port, host="::1")
    client.start({"user": "postgres", "database": "flights"})
    assert client.value(COUNT) == b"16"
    client.close()


def test_the_memory_limit_holds(own_mynah, upstream):
    server = own_mynah(upstream, cache={"memory": "1MB", "max_entry": "64kB"}).start()
    with RawSession.connect(server.port) as client:
        for flight in range(1, 1500):
            client.query(f"SELECT carrier, flight, tailnum, dest FROM flights WHERE flight = {flight}")
    metrics = server.metrics()
    assert 0 < metrics.total("mynah_cache_bytes") <= 1 << 20
    assert metrics.total("mynah_cache_evictions_total") > 0
    with RawSession.connect(server.port) as client:
        with server.counting() as delta:
            for _ in range(3):
                client.query("SELECT * FROM flights")
    assert delta.hits == 0 and "entry_too_large" in delta.reasons()


def test_a_rule_that_forbids_caching_is_obeyed_and_first_match_wins(own_mynah, upstream):
    server = own_mynah(upstream, rules=[
        {"query": "(?i)from weather .*jfk", "ttl": "1h"},
        {"tables": ["weather"], "cache": False},
        {"tables": ["airports", "planes"], "ttl": "1h"},
    ]).start()
    with RawSession.connect(server.port) as client:
        warm(server, lambda: client.query("SELECT count(*) FROM weather WHERE origin = 'JFK'"))
        warm(server, lambda: client.query("SELECT count(*) FROM planes"))
        with server.counting() as delta:
            for _ in range(3):
                client.query("SELECT count(*) FROM weather WHERE origin = 'LGA'")
                client.query("SELECT count(*) FROM weather w, planes p WHERE p.year = w.year")
        assert delta.hits == 0 and delta.reasons().get("rule", 0) >= 3
