"""Words of a serialised network are found without reading its weights."""

from __future__ import annotations

import pytest

from tests.foreign import looping
from tests.tiny_yolo import tiny_yolo
from yolotrt.model.wire import mentions, outline


def test_operators_are_found_wherever_they_are() -> None:
    data = looping(tiny_yolo()).SerializeToString()
    assert mentions(outline(data).network, (b"Scan", b"Loop"))
    assert not mentions(outline(data).network, (b"Scan",))
    assert mentions(outline(data).network, (b"names",))  # metadata


def test_weights_are_stepped_over() -> None:
    model = tiny_yolo()
    model.graph.initializer.add(name="Loop")
    assert not mentions(outline(model.SerializeToString()).network, (b"Loop",))
    model.graph.node[0].name = "Loop"
    assert mentions(outline(model.SerializeToString()).network, (b"Loop",))


@pytest.mark.parametrize("values", [b"", b"location" * 100])
def test_where_weights_lie_is_found_and_what_they_are_is_stepped_over(values: bytes) -> None:
    model = tiny_yolo()
    weights = model.graph.initializer.add(name="more", raw_data=values)
    assert b"location" not in outline(model.SerializeToString()).initializers
    weights.external_data.add(key="location", value="x" * 1000)
    assert b"location" in outline(model.SerializeToString()).initializers


@pytest.mark.parametrize(
    "data", [b"", b"Loop", b"\xff" * 40 + b"Loop", tiny_yolo().SerializeToString()[:-3] + b"Loop"]
)
def test_what_is_no_network_is_searched_whole(data: bytes) -> None:
    assert mentions(outline(data).network, (b"Loop",)) == (b"Loop" in data)
