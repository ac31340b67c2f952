"""What comes to a mirror port, or from one, that no node should say.

Each is refused with words, and costs neither the node's clients nor its replicas anything.
"""

import os
import random
import socket
import struct
import time

import pytest

from mirror_wire import (
    LONGEST_GREETING, VERSION, FakePrimary, Peer, acknowledge, begin, follow, frame, frames,
    greeting, heartbeat, message, welcome,
)
from node_fixtures import (  # noqa: F401
    MEBIBYTE, node, refusals, replica_of, serves_nothing, undisturbed,
)
from nodes import Nodes
from servers import wait_until
from wire import RawSession, startup

LEASE = 1.0
# How many damaged logs a replica has to survive.
DAMAGED_LOGS = int(os.environ.get("MYNAH_DAMAGED_LOGS") or 60)


@pytest.fixture(scope="module")
def cluster(postgres):
    """A primary and a replica, without a key: they trust the loopback interface."""
    nodes = Nodes(postgres.url(), replicas=1)
    try:
        yield nodes.start()
    finally:
        nodes.remove()


# MARK: What comes to a mirror port

GREETED = greeting()
STRANGE = {
    "noise": os.urandom(4096),
    "an HTTP request": b"GET /metrics HTTP/1.1\r\nHost: mynah\r\n\r\n",
    "a PostgreSQL client": startup({"user": "postgres", "database": "flights"}),
    "TLS": b"\x16\x03\x01\x00\xc8" + os.urandom(200),
    "an empty frame": frame(b""),
    "another magic": greeting(magic=b"MYNAHMIS"),
    "an older version": greeting(version=VERSION - 1),
    "a newer version": greeting(version=VERSION + 1),
    "a key where there is none": greeting(has_key=True),
    "a greeting with more behind": frame(greeting()[4:] + b"x"),
    "a frame of 4 GiB": struct.pack("!I", 0xFFFF_FFFF) + b"x" * 100,
    "a frame a byte too long": struct.pack("!I", LONGEST_GREETING + 1) + b"x" * 65,
    "two greetings": GREETED + greeting(),
    "an empty introduction": GREETED + frame(b""),
    "a heartbeat before the introduction": GREETED + frame(heartbeat(1)),
    "an acknowledgement before the introduction": GREETED + frame(acknowledge(1, 1)),
    "half an introduction": GREETED + frame(follow(LEASE)[:-3]),
    "an unknown message": GREETED + frame(message(b"?", b"x")),
    "a message that is longer than its frame": (
        GREETED + frame(b"F" + struct.pack("!I", 0x7FFF_FFFF))
    ),
    "another mode": GREETED + frame(follow(LEASE, is_synchronous=True)),
    "another lease": GREETED + frame(follow(2 * LEASE)),
    "a lease of no time": GREETED + frame(follow(0)),
}


@pytest.mark.parametrize("what", STRANGE)
def test_the_mirror_port_refuses(cluster, what):
    before = refusals(cluster.primary)
    with undisturbed(cluster):
        peers = [Peer(cluster.primary.mirror_port).send(STRANGE[what]) for _ in range(5)]
        for peer in peers:
            # At most a greeting, and why not.
            assert len(peer.until_end()) < 200
            peer.close()
    assert refusals(cluster.primary) == before + 5
    assert "a connection to the mirror port was refused" in cluster.primary.log()


def followed(port: int) -> tuple[Peer, int]:
    """A follower that has been let in, and the log's epoch."""
    peer = Peer(port).send(greeting() + frame(follow(LEASE)))
    stream = b"".join(peer.receive_frames(3)[2:])
    while stream[:1] != b"B":
        # Names of cells, which the beginning mentions.
        stream = stream[5 + struct.unpack_from("!I", stream, 1)[0] :]
    (epoch,) = struct.unpack_from("!Q", stream, 5)
    return peer, epoch


MISBEHAVIOUR = {
    "introduces itself again": lambda epoch: frame(follow(LEASE)),
    "welcomes": lambda epoch: frame(welcome(1)),
    "sends a log of its own": lambda epoch: frame(begin(epoch)),
    "sends half a message": lambda epoch: frame(heartbeat(1)[:-2]),
    "acknowledges what was not sent": lambda epoch: frame(acknowledge(epoch, 1 << 60)),
    "sends an endless frame": lambda epoch: struct.pack("!I", 1 << 30) + b"x" * 100,
    "sends noise": lambda epoch: os.urandom(4096),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_follower_is_sent_away_that(cluster, what):
    with undisturbed(cluster):
        peer, epoch = followed(cluster.primary.mirror_port)
        peer.send(MISBEHAVIOUR[what](epoch))
        peer.until_end()
        peer.close()
        wait_until(lambda: cluster.primary.figure("followers") == 1, "it is gone")
    cluster.primary.wait_for_log("a follower is sent away")


def test_questions_without_number_and_strange_acknowledgements_cost_nothing(cluster):
    with undisturbed(cluster) as client:
        peer, epoch = followed(cluster.primary.mirror_port)
        for number in range(20_000):
            peer.send(frame(heartbeat(number) + acknowledge(number, 1 << 63)))
            if number % 1000 == 0:
                assert client.value("SELECT count(*) FROM airlines") == b"16"
        peer.close()
        wait_until(lambda: cluster.primary.figure("followers") == 1, "it is gone")


def test_who_follows_and_does_not_read_costs_no_more_than_the_buffer(node, table):
    """What is not read is dropped, and its connection with it, or the log it has missed."""
    primary = node(replication={"buffer": "1MB"}).start()
    with RawSession.connect(primary.port) as client:
        client.run(f"CREATE TABLE {table} (id int)")
        client.run(f"INSERT INTO {table} SELECT generate_series(0, 999)")
        peers = [followed(primary.mirror_port)[0] for _ in range(4)]
        resident = primary.resident_bytes()
        for number in range(400):
            for _ in range(2):
                client.run(f"SELECT repeat('x', 100000) FROM {table} WHERE id = {number}")
        # What is cached itself: 40 MB.
        assert primary.resident_bytes() - resident < 150 * MEBIBYTE
        assert primary.figure("buffer_bytes") <= MEBIBYTE + 200_000
        for peer in peers:
            peer.close()
        wait_until(lambda: primary.figure("followers") == 0, "they are gone")


def test_truncated_introductions_leave_nothing_behind(cluster):
    introduction = greeting() + frame(follow(LEASE))
    with undisturbed(cluster):
        for length in range(len(introduction)):
            peer = Peer(cluster.primary.mirror_port).send(introduction[:length])
            if length % 2:
                peer.socket.shutdown(socket.SHUT_WR)
            peer.close()


def test_half_open_connections_are_limited_in_number_and_time(cluster):
    primary = cluster.primary
    before, descriptors = refusals(primary), primary.descriptors()
    with undisturbed(cluster) as client:
        crowd = [Peer(primary.mirror_port).send(greeting()[:7]) for _ in range(150)]
        wait_until(lambda: sum(peer.has_ended() for peer in crowd) >= 86, "the rest is turned away")
        assert primary.descriptors() <= descriptors + 64 + 8
        assert client.value("SELECT count(*) FROM airlines") == b"16"
        # Those that were let in have a while to say who they are.
        wait_until(lambda: all(peer.has_ended() for peer in crowd), "all are turned away", 25)
        for peer in crowd:
            peer.close()
    assert refusals(primary) >= before + 150, "an operator sees how many were turned away"


def test_nobody_keeps_a_replica_out_by_holding_connections_open(node, cluster):
    """Whoever reaches the mirror port can use up its connections: who keeps silent makes room."""
    primary = cluster.primary
    with undisturbed(cluster):
        crowd = [Peer(primary.mirror_port) for _ in range(100)]
        # The last of them would go by themselves after 10 s.
        late = node(primary.mirror_port).spawn()
        late.wait_for_log("the cache of the node that leads has been taken over", timeout=8)
        late.wait_for_lease(8)
        late.remove()
        for peer in crowd:
            peer.close()
        wait_until(lambda: primary.figure("followers") == 1, "it is gone")


def test_more_followers_than_may_be_are_refused(cluster):
    with undisturbed(cluster):
        peers = [followed(cluster.primary.mirror_port)[0] for _ in range(15)]

        def is_refused_and_logged() -> bool:
            late = Peer(cluster.primary.mirror_port).send(greeting() + frame(follow(LEASE)))
            assert frames(late.until_end())[-1] == message(b"R", b"\x01")
            late.close()
            return "there are as many followers as may be" in cluster.primary.log()

        # One refusal a second is logged.
        wait_until(is_refused_and_logged, "the log says why", 5)
        for peer in peers:
            peer.close()
        wait_until(lambda: cluster.primary.figure("followers") == 1, "they are gone")


# MARK: What comes from one


NONSENSE = {
    "another magic": (greeting(magic=b"MYNAHMIS"), "it does not speak the mirror protocol"),
    "PostgreSQL's error": (
        b"E\0\0\0\x1aSFATAL\0C08P01\0Mwho?\0\0", "it does not speak the mirror protocol"),
    "a newer version": (greeting(version=VERSION + 1), "all nodes need the same Mynah"),
    "a key": (greeting(has_key=True), "it asks for a key"),
    "an endless frame": (
        struct.pack("!I", 0xFFFF_FFFF), "it does not speak the mirror protocol"),
    "an endless frame after the greeting": (
        greeting() + struct.pack("!I", 0xFFFF_FFFF), "a frame of 4294967295 bytes"),
    "no welcome": (greeting() + frame(begin()), "a message out of turn"),
    "half a welcome": (greeting() + frame(welcome(1)[:-1]), "a message that makes no sense"),
    **{
        f"{what} before the beginning": (
            greeting() + frame(welcome(1)) + frame(record), "a record before the beginning")
        for what, record in {
            "a window": message(b"o", struct.pack("!QI", 1, 0)),
            "a window's end": message(b"c", struct.pack("!QB", 1, 1)),
            "nothing": message(b"n"), "the end of entries": message(b"E"),
            "an answer": message(b"a", struct.pack("!QQ", 1, 0)),
        }.items()
    },
    "cells out of order": (
        greeting() + frame(welcome(1)) + frame(begin() + message(b"D", struct.pack("!II", 7, 0))),
        "names of cells out of order"),
    "a cell without a name": (
        greeting() + frame(welcome(1))
        + frame(begin() + message(b"o", struct.pack("!QII", 1, 1, 12345))),
        "a cell without a name"),
    "more cells than there are": (
        greeting() + frame(welcome(1))
        + frame(begin() + message(b"o", struct.pack("!QI", 1, 0xFFFF_FFFF))),
        "a message that makes no sense"),
    "a heartbeat": (greeting() + frame(welcome(1)) + frame(heartbeat(1)), "a message out of turn"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_replica_turns_away_from_who_sends(replica_of, what):
    said, reason = NONSENSE[what]
    replica = replica_of(lambda near: near.sendall(said))
    replica.wait_for_log("not following", reason)
    assert serves_nothing(replica)
    assert replica.figure("lease_held") == 0
    assert replica.process.poll() is None


def test_a_place_of_any_key_is_a_place(replica_of):
    """Its number comes from the other node: it must not lead outside of the table."""
    window = message(b"o", struct.pack("!QII", 1, 1, 0xFFFF_FFFF))
    replica = replica_of(
        lambda near: near.sendall(greeting() + frame(welcome(1)) + frame(begin() + window)))
    wait_until(lambda: replica.http_status("/healthz"), "it runs")
    wait_until(
        lambda: replica.figure("records_total") >= 1 or "not following" in replica.log(),
        "it has taken notice")
    assert replica.process.poll() is None, replica.log()


def test_a_replica_gives_up_who_falls_silent(replica_of):
    replica = replica_of(lambda near: near.sendall(greeting() + frame(welcome(1)) + frame(begin())))
    replica.wait_for_log("not following", "it has not answered for")
    silent = replica_of(lambda near: None)
    silent.wait_for_log("not following", "it does not answer")
    assert serves_nothing(silent)


def test_a_replica_keeps_its_distance_from_a_log_that_makes_no_sense(node):
    """Each attempt may cost both nodes a whole cache: one that fails is not repeated at once."""
    beginning = greeting() + frame(welcome(1)) + frame(begin()) + frame(b"nonsense")
    primary = FakePrimary(lambda near: near.sendall(beginning))
    try:
        replica = node(primary.port).spawn()
        replica.wait_for_log("not following", "a message that makes no sense")
        time.sleep(5)
        # 50 ms, doubled each time: seven attempts.
        assert primary.served <= 12
        assert len(replica.log().splitlines()) < 30, "its log is not filled"
    finally:
        primary.close()


@pytest.mark.timeout(60 + DAMAGED_LOGS)
def test_a_replica_survives_a_log_that_is_damaged(node, replica_of, table):
    """A real conversation, changed at some places."""
    nodes = Nodes(node().upstream, replicas=1, relayed=True)
    record = nodes.relays[0].down.record = bytearray()
    try:
        nodes.start()
        with RawSession.connect(nodes.primary.port) as client:
            client.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
            client.run(f"INSERT INTO {table} SELECT n, n FROM generate_series(1, 50) n")
            for number in range(1, 50):
                client.run(f"UPDATE {table} SET v = 'x' WHERE id = {number}")
                for _ in range(3):
                    client.run(f"SELECT v, id FROM {table} WHERE id = {number}")
                    client.run(f"SELECT count(*) FROM {table}")
        wait_until(lambda: nodes.replicas[0].figure("records_total") > 150, "records come")
    finally:
        nodes.remove()
    payloads = frames(bytes(record))
    assert len(payloads) > 50
    chance = random.Random(1)

    def damaged(near: socket.socket) -> None:
        near.sendall(frame(payloads[0]) + frame(payloads[1]))
        stream = []
        for payload in payloads[2:]:
            payload = bytearray(payload)
            for _ in range(chance.choice((0, 0, 0, 1, 3))):
                payload[chance.randrange(len(payload))] = chance.choice((0, 1, 0x7F, 0xFF, 0x80))
            dice = chance.random()
            if dice < 0.02:
                continue
            if dice < 0.04:
                payload = payload[: chance.randrange(len(payload))]
            stream.append(frame(bytes(payload)) * (2 if dice > 0.98 else 1))
        near.sendall(b"".join(stream))
        near.shutdown(socket.SHUT_WR)

    replicas = [replica_of(damaged) for _ in range(4)]
    for replica in replicas:
        wait_until(lambda: replica.http_status("/healthz") or replica.process.poll(), "it runs")
        assert replica.process.poll() is None, replica.log()
    resident = [replica.resident_bytes() for replica in replicas]
    wait_until(
        lambda: sum(one.figure("resyncs_total") for one in replicas) > DAMAGED_LOGS,
        "damaged logs have been heard", DAMAGED_LOGS,
    )
    for replica, before in zip(replicas, resident):
        assert replica.process.poll() is None, replica.log()
        assert replica.resident_bytes() - before < 200 * MEBIBYTE
        assert "not following" in replica.log(), "the damage was noticed"
