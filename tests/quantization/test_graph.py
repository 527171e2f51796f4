from __future__ import annotations

import numpy as np

from tests.quantization.graphs import Net, c3k2
from tests.tiny_yolo import tiny_yolo
from yolotrt.quantization.graph import GraphView


def names(nodes: list[object]) -> set[str]:
    return {n.name for n in nodes}  # type: ignore[attr-defined]


def test_the_body_ends_at_the_last_convolutions() -> None:
    view = GraphView(c3k2())
    assert names(view.head_convolutions) == {"head", "proto"}
    assert "scores" not in names(view.body)
    assert {"head", "proto", "p1", "join", "split"} <= names(view.body)


def test_boxes_scores_and_coefficients_are_decoding() -> None:
    view = GraphView(tiny_yolo())
    assert {"box.px", "cls.sig", "rows", "output0"}.isdisjoint(names(view.body))
    assert {"output1", "join.head", "down4.silu.head", "down5.silu.head"} == names(view.head_convolutions)


def test_a_convolution_over_a_softmax_is_part_of_the_decoding() -> None:
    """The distance integral of YOLOv8 and YOLO11 does not pass for a head convolution."""
    net = Net()
    box = net.conv_silu("x", "stem", 3, 8)
    bins = net.node("Softmax", [net.conv(box, "box", 8, 4)], "bins", axis=1)
    weights = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    net.node("Conv", [bins, net.constant("dfl.w", weights)], "dfl")
    view = GraphView(net.model(["dfl"]))
    assert names(view.head_convolutions) == {"box"}


def test_depthwise_is_not_merely_grouped() -> None:
    net = Net()
    net.conv(net.conv("x", "depthwise", 3, 3, 3, group=3), "plain", 3, 4)
    net.conv("plain", "grouped", 4, 4, group=2)
    view = GraphView(net.model(["grouped"]))
    found = {n.name: view.is_depthwise(n) for n in view.nodes}
    assert found == {"depthwise": True, "plain": False, "grouped": False}


def test_multiply_adds_count_output_positions() -> None:
    view = GraphView(c3k2())
    work = {n.name: view.multiply_adds(n) for n in view.nodes if n.op_type == "Conv"}
    assert work["stem.conv"] == 16 * 16 * 8 * 3 * 9
    assert work["deep.conv"] == 16 * 16 * 8 * 9


def test_silu_is_found_whichever_way_round() -> None:
    net = Net()
    gate = net.node("Sigmoid", ["x"], "gate")
    for name, pair in {"a": ["x", gate], "b": [gate, "x"], "c": ["x", "x"]}.items():
        net.node("Mul", pair, name)
    view = GraphView(net.model(["a", "b", "c"]))
    assert [view.silu_source(view.producer[n]) for n in "abc"] == ["x", "x", None]
