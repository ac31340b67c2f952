"""The tour of several nodes does what the documentation shows."""

import pytest

import tour


@pytest.mark.timeout(180)
def test_the_tour_ends_well():
    lines: list[str] = []
    figures = tour.tour(lines.append)
    print("\n".join(lines))
    assert figures["wrong"] == 0
    assert figures["hits before"] > 50 and figures["hits after"] > 25
    # Usually well below one second; a machine that runs other tests may be slow.
    assert figures["first write"] < 20
