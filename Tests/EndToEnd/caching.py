"""Assertions on what came from memory and what did not."""

import time
from collections.abc import Callable

from servers import MynahServer


def warm(server: MynahServer, read: Callable[[], object], seconds: float = 10) -> object:
    """Repeats a read until it is answered from memory, and returns that answer."""
    deadline = time.monotonic() + seconds
    while True:
        with server.counting() as delta:
            answer = read()
        if delta.hits > 0:
            return answer
        assert time.monotonic() < deadline, f"never a hit: {delta}"
        time.sleep(0.01)


def assert_hit(server: MynahServer, read: Callable[[], object]) -> object:
    with server.counting() as delta:
        answer = read()
    assert delta.hits > 0 and delta.misses == 0, f"not a hit: {delta}"
    return answer


def assert_no_hit(server: MynahServer, read: Callable[[], object]) -> object:
    with server.counting() as delta:
        answer = read()
    assert delta.hits == 0, f"answered from memory: {delta}"
    return answer
