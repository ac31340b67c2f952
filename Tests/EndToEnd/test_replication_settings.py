"""Keys, certificates and settings with which nodes know each other, and what they say if not."""

import os
import re
import socket
import ssl
import subprocess
import time

import pytest

from certificates import Authority, authority, files  # noqa: F401
from mirror_wire import MAGIC, Peer, follow, frame, frames, greeting
from node_fixtures import (  # noqa: F401
    node, refusals, replica_of, serves_nothing, undisturbed,
)
from nodes import Node, Nodes
from servers import MYNAH_BINARY, free_port, wait_until
from wire import RawSession

LEASE = 1.0


# MARK: Keys


def key_file(directory, name: str, mode: int = 0o600) -> dict[str, str]:
    path = directory / name
    path.write_text(os.urandom(32).hex() + "\n")
    path.chmod(mode)
    return {"key_file": str(path)}


@pytest.fixture
def keyed(postgres, tmp_path):
    made = []

    def make(**options) -> Nodes:
        made.append(Nodes(
            postgres.url(), replicas=1, relayed=True, replication=key_file(tmp_path, "key"),
            **options,
        ))
        return made[-1]

    yield make
    for nodes in made:
        nodes.remove()


def test_nodes_with_the_same_key_work_together(keyed, session, table):
    nodes = keyed()
    up, down = (way for way in nodes.relays[0].ways)
    up.record, down.record = bytearray(), bytearray()
    nodes.start()
    primary = session(nodes.primary)
    primary.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    primary.run(f"INSERT INTO {table} VALUES (1, 'a secret of the rows')")
    sql = f"SELECT v FROM {table} WHERE id = 1"
    for _ in range(3):
        assert primary.value(sql) == b"a secret of the rows"
    records = nodes.replicas[0].figure("records_total")
    wait_until(lambda: nodes.replicas[0].figure("records_total") >= max(records, 3), "records come")
    for heard in (up.record, down.record):
        assert MAGIC in heard and b"a secret" not in heard and table.encode() not in heard


@pytest.mark.parametrize("who", ["primary", "replica"])
def test_a_recorded_conversation_says_nothing_to_a_later_one(keyed, node, replica_of, who):
    nodes = keyed()
    up, down = (way for way in nodes.relays[0].ways)
    up.record, down.record = bytearray(), bytearray()
    nodes.start()
    wait_until(lambda: len(frames(bytes(down.record))) > 5, "it has been listened to")
    wait_until(lambda: len(frames(bytes(up.record))) > 5, "it has been listened to")
    if who == "primary":
        before = refusals(nodes.primary)
        with undisturbed(nodes):
            for _ in range(3):
                peer = Peer(nodes.primary.mirror_port).send(bytes(up.record))
                assert len(peer.until_end()) < 200
                peer.close()
        assert refusals(nodes.primary) == before + 3
        nodes.primary.wait_for_log("a frame that does not open")
    else:
        replica = replica_of(
            lambda near: near.sendall(bytes(down.record)),
            replication={"key_file": nodes.primary.replication["key_file"]})
        replica.wait_for_log("a frame that does not open")
        assert replica.figure("lease_held") == 0 and serves_nothing(replica)


WORDS_OF_KEYS = {
    "another": ("another key", "another key"),
    "only the primary's": ("it has no key", "it asks for a key"),
    "only the replica's": ("it has a key, and this node none", "it has no key"),
}


@pytest.mark.parametrize("which", WORDS_OF_KEYS)
def test_keys_that_do_not_match_are_named_in_both_logs(node, tmp_path, which):
    of_primary = key_file(tmp_path, "one") if which != "only the replica's" else {}
    of_replica = key_file(tmp_path, "other") if which != "only the primary's" else {}
    primary = node(replication=of_primary).start()
    replica = node(primary.mirror_port, replication=of_replica).spawn()
    here, there = WORDS_OF_KEYS[which]
    primary.wait_for_log("a connection to the mirror port was refused", here)
    replica.wait_for_log("not following", there)
    assert serves_nothing(replica)
    with RawSession.connect(primary.port) as client:
        assert client.value("SELECT count(*) FROM airlines") == b"16"
    assert primary.figure("followers") == 0


# MARK: Certificates


def shown(issued, ca) -> dict[str, str]:
    return {
        "certificate": str(issued.certificate), "certificate_key": str(issued.key), "ca": str(ca),
    }


@pytest.fixture
def encrypted(node, authority) -> Node:  # noqa: F811
    mine = authority.issue("primary", ["127.0.0.1"])
    return node(replication=shown(mine, authority.file)).start()


def test_nodes_know_each_other_by_certificates(
    encrypted, node, authority, session, table  # noqa: F811
):
    other = authority.issue("replica", ["elsewhere.example"])
    replica = node(encrypted.mirror_port, replication=shown(other, authority.file)).start()
    replica.wait_for_lease()
    primary = session(encrypted)
    primary.run(f"CREATE TABLE {table} (id int PRIMARY KEY); INSERT INTO {table} VALUES (1)")
    sql = f"SELECT id FROM {table}"

    def is_hit() -> bool:
        primary.run(sql)
        with replica.counting() as delta:
            assert session(replica).value(sql) == b"1"
        return delta.hits == 1

    wait_until(is_hit, "the replica answers from memory")


def test_without_a_certificate_of_the_nodes_authority_nobody_follows(
    encrypted, node, authority, files  # noqa: F811
):
    stranger = Authority(files, "Stranger")
    theirs = stranger.issue("theirs", ["127.0.0.1"])
    before = refusals(encrypted)
    for certificate in (None, theirs):
        context = ssl.create_default_context(cafile=authority.file)
        context.check_hostname = False
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        with pytest.raises(OSError), socket.create_connection(
            ("127.0.0.1", encrypted.mirror_port), timeout=10
        ) as raw, context.wrap_socket(raw) as wrapped:
            # TLS 1.3 tells of a refused certificate after its own handshake.
            wrapped.sendall(greeting() + frame(follow(LEASE)))
            if not wrapped.recv(1 << 16):
                raise OSError("the node hung up")
    assert len(Peer(encrypted.mirror_port).send(greeting()).until_end()) < 100
    wait_until(lambda: refusals(encrypted) >= before + 3, "each is counted")
    encrypted.wait_for_log("a connection to the mirror port was refused")
    assert encrypted.figure("followers") == 0


@pytest.mark.parametrize(
    "which", ["a certificate of another authority", "another authority", "none"])
def test_replicas_with_other_certificates_are_refused_in_words(
    encrypted, node, authority, files, which  # noqa: F811
):
    stranger = Authority(files, "Stranger")
    if which == "a certificate of another authority":
        settings = shown(stranger.issue("theirs", ["127.0.0.1"]), authority.file)
    elif which == "another authority":
        settings = shown(authority.issue("replica", ["127.0.0.1"]), stranger.file)
    else:
        settings = {}
    replica = node(encrypted.mirror_port, replication=settings).spawn()
    line = replica.wait_for_log("not following")
    refused = encrypted.wait_for_log("a connection to the mirror port was refused")
    print(f"\n{which}\n{line}\n{refused}")
    # Not the TLS library's own words, with the path of its source.
    for said in (line, refused):
        assert re.search("certificate|TLS", said) and "BoringSSL" not in said, said
    assert serves_nothing(replica)


# MARK: Nodes that cannot agree


@pytest.mark.parametrize("setting, mine, theirs", [
    ("mode", "async", "sync"), ("mode", "sync", "async"), ("lease", "1s", "2s"),
])
def test_settings_that_must_be_equal_are_named_in_both_logs(node, setting, mine, theirs):
    primary = node(replication={setting: mine}).start()
    replica = node(primary.mirror_port, replication={setting: theirs}).spawn()
    for one, what in ((primary, "was refused"), (replica, "not following")):
        one.wait_for_log(what, f"its replication.{setting} is another one")
    assert serves_nothing(replica)
    with RawSession.connect(primary.port) as client:
        assert client.value("SELECT count(*) FROM airlines") == b"16"


def test_two_nodes_that_follow_each_other_say_so_and_serve_nothing(node):
    ports = free_port(), free_port()
    both = [
        node(ports[1 - number], replication={"listen": f"127.0.0.1:{ports[number]}"}).spawn()
        for number in range(2)
    ]
    for one in both:
        one.wait_for_log("not following", "one of them must not")
        one.wait_for_log("was refused", "this node has nothing to mirror yet")
    for one in both:
        assert serves_nothing(one) and one.process.poll() is None
        assert one.figure("lease_held") == 0


def test_a_node_that_follows_itself_by_another_name_says_so(node):
    one = node()
    one.replication["follow"] = f"localhost:{one.mirror_port}"
    one.spawn()
    one.wait_for_log("not following", "it is this node itself")
    assert serves_nothing(one) and one.process.poll() is None


def test_a_log_is_not_filled_by_who_tries_again_and_again(node):
    replica = node(free_port()).spawn()
    replica.wait_for_log("not following")
    time.sleep(3)
    lines = [line for line in replica.log().splitlines() if "not following" in line]
    assert len(lines) == 1, lines
    assert re.search("refused", lines[0]), lines


# MARK: Configuration


OUTSIDE = "192.0.2.1:6532"
MISTAKES = {
    "a mirror port open to the world": ({"listen": "0.0.0.0:6532"}, "listen"),
    "an IPv6 mirror port open to the world": ({"listen": "[::]:6532"}, "listen"),
    "a primary elsewhere, without a key": ({"follow": OUTSIDE}, "follow"),
    "a port without host": ({"listen": "6532"}, "listen"),
    "a path": ({"listen": "/tmp/mirror"}, "listen"),
    "a port out of range": ({"follow": "127.0.0.1:99999"}, "follow"),
    "itself": ({"listen": "127.0.0.1:6532", "follow": "127.0.0.1:6532"}, "follow"),
    "an unknown mode": ({"mode": "semi"}, "mode"),
    "a lease too short": ({"lease": "1ms"}, "lease"),
    "a lease too long": ({"lease": "1h"}, "lease"),
    "a buffer too small": ({"buffer": "1KB"}, "buffer"),
    "two keys": ({"key_file": "a", "key_env": "B"}, "key_env"),
    "a certificate alone": ({"certificate": "a.pem"}, "certificate_key"),
    "an authority alone": ({"ca": "a.pem"}, "certificate"),
    "an unknown key": ({"listne": "127.0.0.1:6532"}, "listne"),
}


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_named_with_file_line_and_key(own_mynah, postgres, command, what):
    settings, key = MISTAKES[what]
    server = own_mynah(postgres.url(), replication=settings)
    server.write_configuration()
    said = refused(command, server)
    assert "proxy.conf" in said and f"replication.{key}" in said, said
    lines = server.configuration.read_text().splitlines()
    section = lines.index("[replication]") + 1
    named = [int(found) for found in re.findall(r"proxy\.conf:(\d+)", said)]
    if key in settings:
        assert named and section <= named[0] <= section + len(settings), said
        assert lines[named[0] - 1].startswith(f"{key} ="), said


KEY_MISTAKES = {
    "missing": (None, 0o600, "no such file"),
    "open to all": ("ab" * 32, 0o644, "can be read by others"),
    "empty": ("", 0o600, "holds no key"),
    "too short": ("ab" * 16, 0o600, "holds no key"),
    "no hexadecimal": ("zz" * 32, 0o600, "holds no key"),
}


@pytest.mark.parametrize("what", KEY_MISTAKES)
def test_a_key_that_cannot_be_used_is_named_without_being_shown(
    own_mynah, postgres, tmp_path, what
):
    text, mode, reason = KEY_MISTAKES[what]
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    server = own_mynah(
        postgres.url(),
        replication={"listen": f"127.0.0.1:{free_port()}", "key_file": str(path)})
    server.write_configuration()
    said = refused("serve", server)
    assert "replication.key_file" in said and reason in said
    assert not text or text not in said


def refused(command: str, server) -> str:
    result = subprocess.run(
        [str(MYNAH_BINARY), command, "--config", str(server.configuration)],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
    )
    said = result.stdout + result.stderr
    assert result.returncode != 0, said
    return said
