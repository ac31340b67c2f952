"""The metrics and health endpoints."""

import re
import urllib.error
import urllib.request

import pytest

import wire
from caching import warm

COUNTERS = [
    "mynah_cache_hits_total", "mynah_cache_misses_total", "mynah_cache_bypass_total",
    "mynah_cache_verified_total", "mynah_cache_verify_mismatch_total",
    "mynah_cache_verify_inconclusive_total", "mynah_cache_evictions_total",
    "mynah_cache_invalidations_total", "mynah_upstream_queries_total",
]
GAUGES = ["mynah_cache_entries", "mynah_cache_bytes", "mynah_client_connections"]


def test_every_metric_is_there_with_its_type(mynah):
    metrics = mynah.metrics()
    for name in COUNTERS:
        assert metrics.types.get(name) == "counter", name
    for name in GAUGES:
        assert metrics.types.get(name) == "gauge", name
    assert {name for name, _ in metrics.samples if name in COUNTERS + GAUGES} == set(COUNTERS + GAUGES)


def test_every_bypass_reason_is_a_label_from_the_start(own_mynah, sqlite_file):
    metrics = own_mynah(f"sqlite:{sqlite_file}").start().metrics()
    reasons = {
        dict(labels)["reason"] for name, labels in metrics.samples if name == "mynah_cache_bypass_total"
    }
    assert {"not_a_read", "volatile_function", "locking_clause", "system_catalog", "rule",
            "cache_disabled", "isolation_level", "transaction_wrote", "session_state"} <= reasons
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in reasons)


def test_latencies_of_hits_and_upstream_queries_are_histograms(mynah, session):
    client = session(mynah)
    warm(mynah, lambda: client.query("SELECT count(*) FROM airlines"))
    metrics = mynah.metrics()
    histograms = [name for name, kind in metrics.types.items() if kind == "histogram"]
    assert any("hit" in name for name in histograms) and any("upstream" in name for name in histograms)
    for name in histograms:
        groups = {}
        for (sample, labels), value in metrics.samples.items():
            if sample == name + "_bucket":
                bound = dict(labels)["le"]
                rest = labels - {("le", bound)}
                groups.setdefault(rest, []).append((float(bound.replace("+Inf", "inf")), value))
        assert groups, name
        for rest, buckets in groups.items():
            buckets.sort()
            counts = [count for _, count in buckets]
            assert counts == sorted(counts) and buckets[-1][0] == float("inf")
            assert counts[-1] == metrics.samples[name + "_count", rest]


def test_hits_misses_and_invalidations_are_counted(mynah, session, table):
    client = session(mynah)
    client.run(f"CREATE TABLE {table} (v integer)")
    read = lambda: client.query(f"SELECT v FROM {table}")  # noqa: E731
    warm(mynah, read)
    with mynah.counting() as delta:
        for _ in range(10):
            read()
    assert (delta.hits, delta.misses, delta.upstream) == (10, 0, 0)
    with mynah.counting() as delta:
        client.run(f"INSERT INTO {table} VALUES (1)")
        read()
    assert delta.misses == 1 and delta.upstream == 2
    assert delta.of("mynah_cache_invalidations_total") >= 1


def test_connections_are_counted_while_they_last(mynah, session):
    before = mynah.metrics().total("mynah_client_connections")
    clients = [session(mynah) for _ in range(5)]
    assert mynah.metrics().total("mynah_client_connections") >= before + 5 - 1
    for client in clients:
        client.send(wire.terminate())
        assert client.until_end() == []


BYPASSES = {
    "SELECT random() FROM airlines": "volatile_function",
    "SELECT now() FROM airlines": "current_time_or_user",
    "SELECT current_catalog FROM airlines": "current_time_or_user",
    "SELECT carrier FROM airlines FOR UPDATE": "locking_clause",
    "SELECT carrier FROM airlines TABLESAMPLE SYSTEM (10)": "table_sample",
    "SELECT relname FROM pg_class LIMIT 1": "system_catalog",
    "SELECT ctid FROM airlines": "system_column",
    "SELECT 1": "no_relation",
    "SELECT 'now'::timestamp FROM airlines": "relative_time_literal",
    "INSERT INTO airlines SELECT * FROM airlines WHERE false": "not_a_read",
    "SELECT 1 FROM airlines; SELECT 2 FROM airlines": "multiple_statements",
}


@pytest.mark.parametrize("sql", BYPASSES)
def test_a_bypass_is_counted_under_its_reason(cached_postgres, session, sql):
    client = session(cached_postgres)
    client.query("SELECT 1")
    with cached_postgres.counting() as delta:
        client.query(sql)
        client.query(sql)
    assert delta.hits == 0
    assert BYPASSES[sql] in delta.reasons(), delta.reasons()


def test_health_and_readiness_answer(mynah):
    assert mynah.http_status("/healthz") == 200
    assert mynah.http_status("/readyz") == 200
    assert mynah.http_status("/nothing-here") == 404


def test_the_metrics_port_changes_nothing(mynah):
    for method in ("POST", "PUT", "DELETE"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{mynah.metrics_port}/metrics", method=method, data=b"x"
        )
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=10)
        assert raised.value.code in (404, 405)


def test_no_literal_or_row_appears_in_log_or_metrics(mynah, session, table):
    client = session(mynah)
    client.run(f"CREATE TABLE {table} (v text)")
    client.run(f"INSERT INTO {table} VALUES ('planted-secret-1')")
    client.query(f"SELECT v FROM {table} WHERE v = 'planted-secret-1'")
    client.query(f"SELECT v, nothing FROM {table} WHERE v = 'planted-secret-2'")
    client.exchange(wire.extended(f"SELECT v FROM {table} WHERE v = $1", parameters=(b"planted-secret-3",)))
    client.query("SELEC 'planted-secret-4'")
    assert "planted-secret" not in mynah.log() + mynah.metrics().text
