"""Networks as fused steps, computed with NumPy and compared with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.backends.fused.networks import Builder, Shape, yolo
from tests.backends.fused.reference import Reference
from tests.tiny_yolo import tiny_yolo
from yolotrt.backends.fused.arena import lifetimes
from yolotrt.backends.fused.parts import Boxes
from yolotrt.backends.fused.planner import plan
from yolotrt.backends.fused.schedule import dependencies, schedule
from yolotrt.backends.fused.steps import Attention, Conv, Grow, Network, Pools, Select
from yolotrt.errors import BuildError
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16

SHAPES = [
    Shape(),
    Shape(classes=11, coeffs=5, bins=1),  # planes that are no multiple of anything
    Shape(size=96, areas=9, bins=16, width=16),
    Shape(keep=20),
    Shape(keep=50, bins=1, classes=1, gains=True),
]


ONE = onnx.TensorProto()


def planned(model: onnx.ModelProto) -> Network:
    spec = read_spec(model, "miniature")
    return plan(to_fp16(model, spec), spec)


def computed(model: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(["output0", "output1"], {"images": images})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_plan_computes_what_the_network_does(shape: Shape) -> None:
    model = yolo(shape)
    images = np.random.default_rng(1).random((2, 3, shape.size, shape.size), np.float32)
    head, protos = Reference(planned(model), 2).run(images)
    wanted_head, wanted_protos = computed(model, images)
    assert np.abs(protos - wanted_protos).max() <= 1e-2 * np.abs(wanted_protos).max()
    if shape.keep:
        # FP16 changes the order of detections that are almost equal: compare what each score is worth.
        assert np.abs(head[..., 4] - wanted_head[..., 4]).max() < 5e-3
        return
    assert np.abs(head - wanted_head).max() <= 1e-2 * np.abs(wanted_head).max()


def test_end_to_end_detections_are_chosen_as_the_network_does() -> None:
    """On the rows that the layers really gave, so that rounding cannot reorder them."""
    shape = Shape(keep=20)
    network = planned(yolo(shape))
    reference = Reference(network, 1)
    reference.run(np.random.default_rng(2).random((1, 3, 64, 64), np.float32))
    (select,) = (s for s in network.steps if isinstance(s, Select))
    rows = reference.map(select.rows)[0, :, :, 0]
    scores = rows[4 : 4 + shape.classes]
    best = np.sort(scores.max(0))[::-1][: shape.keep]
    pairs = np.sort(scores[:, np.argsort(-scores.max(0), kind="stable")[: shape.keep]].ravel())[::-1]
    assert best[0] == reference.head[0, 0, 4]
    np.testing.assert_array_equal(reference.head[0, :, 4], pairs[: shape.keep])


def test_nothing_is_left_between_the_layers() -> None:
    network = planned(yolo())
    kinds = [type(s).__name__ for s in network.steps]
    convolutions = sum(n.op_type in ("Conv", "ConvTranspose") for n in yolo().graph.node)
    assert len(kinds) < convolutions
    assert kinds.count("Pools") == kinds.count("Attention") == kinds.count("Stem") == 1
    assert set(kinds) == {"Stem", "Conv", "Grow", "Depthwise", "Pools", "Attention"}


def test_every_node_of_the_network_belongs_to_a_step_or_is_decoding() -> None:
    model = yolo()
    network = planned(model)
    named = {name for step in network.steps for name in step.nodes}
    convolutions = {n.name for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose")}
    tail = {n.name for n in model.graph.node if n.op_type == "Conv" and "const" not in n.input[1][:5]}
    distances = {n.name for n in model.graph.node if n.op_type == "Conv" and len(n.input) == 2}
    assert convolutions - distances - tail <= named


def test_steps_are_fused_with_what_is_around_them() -> None:
    steps = planned(yolo(Shape(bins=16))).steps
    convolutions = [s for s in steps if isinstance(s, Conv)]
    assert any(len(s.sources) == 2 and s.sources[0].zoom == 2 for s in convolutions)
    assert sum(s.residual is not None for s in convolutions) >= 6
    assert sum(s.point is not None for s in convolutions) >= 6
    assert sum(isinstance(s.store, Boxes) for s in convolutions) == 3
    assert sum(isinstance(s, Grow) for s in steps) == 1
    refined = [s for s in convolutions if s.residual and s.sources[0].zoom > 1]
    assert [s.sources[0].zoom for s in refined] == [2, 4]
    assert refined[1].residual
    assert refined[1].residual.map in refined[0].writes()
    (pools,) = (s for s in steps if isinstance(s, Pools))
    assert len(pools.stores) == 3
    assert sum(isinstance(s, Attention) for s in steps) == 1


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_maps_that_live_at_the_same_time_share_no_memory(shape: Shape) -> None:
    network = planned(yolo(shape))
    spans = lifetimes(network)
    taken = {i: (network.offsets[i], network.offsets[i] + network.maps[i].nbytes) for i in spans}
    for a in spans:
        assert taken[a][0] % 256 == 0
        for b in spans:
            if a < b and spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]:
                assert taken[a][1] <= taken[b][0] or taken[b][1] <= taken[a][0]
    assert network.arena_nbytes < sum(m.nbytes for m in network.maps)


@pytest.mark.parametrize("streams", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_steps_on_several_streams_wait_for_what_they_need(shape: Shape, streams: int) -> None:
    network = planned(yolo(shape))
    turns = schedule(network, streams)
    assert max(t.stream for t in turns) < streams
    before: list[set[int]] = []  # what is certain to have ended when each step begins
    last: dict[int, int] = {}
    for i, turn in enumerate(turns):
        certain = set()
        for j in (*turn.waits, *([last[turn.stream]] if turn.stream in last else [])):
            certain |= before[j] | {j}
        before.append(certain)
        last[turn.stream] = i
    for i, needed in enumerate(dependencies(network)):
        assert needed <= before[i]
    if streams > 1:
        assert any(t.stream for t in turns)


def test_a_head_that_decodes_otherwise_is_refused() -> None:
    with pytest.raises(BuildError, match="its head ends in 3 convolutions"):
        planned(tiny_yolo())


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("Relu", {}, "the operator is not known"),
        ("Sigmoid", {}, "is no feature map"),
        ("AveragePool", {"kernel_shape": [1, 1]}, "the operator is not known"),
    ],
)
def test_what_no_step_computes_is_named_and_refused(op: str, attributes: dict, reason: str) -> None:
    model = yolo()
    at = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Split")
    split = model.graph.node[at]
    odd = onnx.helper.make_node(op, [split.input[0]], ["odd"], name="the odd one", **attributes)
    split.input[0] = "odd"
    model.graph.node.insert(at, odd)
    with pytest.raises(BuildError, match=reason) as caught:
        planned(model)
    assert "odd" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"group": 2}, "2 groups"),
        ({"dilations": [2, 2], "pads": [2] * 4}, "dilations"),
        ({"pads": [2, 2, 0, 0]}, "pads"),
    ],
)
def test_convolutions_of_other_kinds_are_refused(change: dict, reason: str) -> None:
    model = yolo()
    node = [n for n in model.graph.node if n.op_type == "Conv"][2]
    kept = [a for a in node.attribute if a.name not in change]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(k, v) for k, v in change.items())])
    if "group" in change:
        weight = next(t for t in model.graph.initializer if t.name == node.input[1])
        half = onnx.numpy_helper.to_array(weight)[:, : weight.dims[1] // 2]
        weight.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(half), weight.name))
    with pytest.raises(BuildError, match=reason):
        planned(model)


@pytest.mark.parametrize("where", ["another reads it", "each row has its own"])
def test_factors_that_no_convolution_takes_are_refused(where: str) -> None:
    model = yolo(Shape(gains=True))
    weights = {t.name: t for t in model.graph.initializer}
    scale = next(
        n for n in model.graph.node if n.op_type == "Mul" and len(weights.get(n.input[0], ONE).dims) == 4
    )
    if where == "another reads it":
        add = next(n for n in model.graph.node if scale.output[0] in n.input)
        add.input[0] = scale.input[1]
    else:
        weights[scale.input[0]].CopyFrom(
            onnx.numpy_helper.from_array(np.ones((1, 1, 4, 1), np.float32), scale.input[0])
        )
    with pytest.raises(BuildError, match=f"Mul {scale.name}: it multiplies not channel by channel"):
        planned(model)


@pytest.mark.parametrize("operator", ["Mul", "Add"])
def test_an_activation_behind_what_ends_a_convolution_is_refused(operator: str) -> None:
    """Convolutions activate before they scale and add: the other way round it would be another network."""
    model = yolo(Shape(gains=True))
    factors = {t.name for t in model.graph.initializer if list(t.dims) == [1, 32, 1, 1]}
    scale = next(i for i, n in enumerate(model.graph.node) if n.input[0] in factors)
    at = scale + (operator == "Add")
    node = model.graph.node[at]
    assert node.op_type == operator
    whole, node.output[0] = node.output[0], "unended"
    gate = onnx.helper.make_node("Sigmoid", ["unended"], ["gate"], name="gate")
    product = onnx.helper.make_node("Mul", ["unended", "gate"], [whole], name="product")
    rest = [*model.graph.node[: at + 1], gate, product, *model.graph.node[at + 1 :]]
    rest = [onnx.NodeProto.FromString(n.SerializeToString()) for n in rest]
    del model.graph.node[:]
    model.graph.node.extend(rest)
    with pytest.raises(BuildError, match="Mul product: its SiLU is not behind a convolution"):
        planned(model)


def test_attention_of_another_kind_is_refused() -> None:
    model = yolo()
    softmax = next(n for n in model.graph.node if n.op_type == "Softmax" and n.attribute[0].i == -1)
    scale = next(n for n in model.graph.node if n.op_type == "Mul" and n.input[1].startswith("const"))
    wrong = next(t for t in model.graph.initializer if t.name == scale.input[1])
    wrong.CopyFrom(onnx.numpy_helper.from_array(np.float32(1.5), wrong.name))
    with pytest.raises(BuildError, match=softmax.name):
        planned(model)


def test_builder_makes_what_it_says() -> None:
    b = Builder(0)
    assert b.node("Relu", ["x"]).startswith("relu")
