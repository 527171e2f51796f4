from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.quantization.graphs import Net, c3k2, images, run
from tests.quantization.test_qdq import calibrated
from tests.tiny_yolo import tiny_yolo
from yolotrt.errors import CalibrationError
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.sensitivity import (
    LayerNoise,
    choose_exclusions,
    damages,
    layers_of,
    measure_noise,
    reaches,
)
from yolotrt.quantization.styles import STYLES, QdqStyle


def noise_of(model: onnx.ModelProto, style: QdqStyle) -> dict[str, float]:
    low = quantize(model, calibrated(model), style, exclude=())
    return measure_noise(model, low, [images(4), images(4, 1)], threads=1)


def layer(name: str, noise: float, cost: float, *reach: float) -> LayerNoise:
    return LayerNoise(name, noise, reach or (1.0,), cost)


@pytest.mark.parametrize("style", STYLES)
def test_noise_is_what_one_layer_alone_does(style: QdqStyle) -> None:
    """Against quantising nothing but that layer's input and weights."""
    model, x = c3k2(), np.concatenate([images(4), images(4, 1)])
    found = noise_of(model, style)
    assert set(found) >= {"stem.conv", "b1.conv", "out.conv", "point.conv"}
    others = [n for n in found if n != "b2.conv"]
    alone = quantize(model, calibrated(model), style, exclude=others)
    probes = []
    for m in (model, alone):
        probe = onnx.ModelProto()
        probe.CopyFrom(m)
        del probe.graph.output[:]
        probe.graph.output.add(name="b2")
        probes.append(run(probe, x)[0])
    exact, rough = probes
    channels = np.square(rough - exact).mean((0, 2, 3)) / exact.var((0, 2, 3))
    assert found["b2.conv"] == pytest.approx(channels.mean(), rel=0.3)


def test_a_layer_with_an_outlier_is_loud() -> None:
    model = c3k2()
    before = noise_of(model, "gpu")["b2.conv"]
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor).copy()
        if tensor.name == "b1.conv.w":
            weights[0] *= 300  # one channel dwarfs the others
        if tensor.name == "b2.conv.w":
            weights[:, 0] /= 300  # and its reader weighs it down again
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    assert noise_of(model, "gpu")["b2.conv"] > 10 * before


def test_noise_reaches_outputs_by_the_share_of_each_path() -> None:
    reach = reaches(GraphView(c3k2()))
    assert reach["stem"].tolist() == pytest.approx([1.0, 1.0])
    assert reach["b2.conv"].tolist() == pytest.approx([1 / 6] * 2), "half of an addition, a third of a Concat"
    assert reach["point.conv"].tolist() == pytest.approx([1.0, 0.0])
    assert reach["p1.conv"].tolist() == pytest.approx([0.0, 1.0])


def test_positions_of_one_kind_count_alike() -> None:
    reach = reaches(GraphView(tiny_yolo()))
    assert len(reach["images"]) == 2
    assert reach["down5.silu"][0] == pytest.approx(4 / 84)


def test_shares_of_damage_add_up() -> None:
    layers = [layer("a", 0.01, 0.1, 1, 1), layer("b", 0.03, 0.1, 0, 1)]
    assert damages(layers).tolist() == pytest.approx([(1 + 0.25) / 2, (0 + 0.75) / 2])


def test_the_worst_layers_go_first_as_far_as_the_budget_allows() -> None:
    layers = [layer(f"quiet{i}", 0.001, 0.05) for i in range(16)]
    layers += [layer("cheap", 0.1, 0.01), layer("dear", 0.1, 0.2), layer("loud", 0.5, 0.05)]
    assert choose_exclusions(layers, 0.0) == []
    assert choose_exclusions(layers, 0.07) == ["loud", "cheap"]
    assert choose_exclusions(layers, 0.5) == ["loud", "cheap", "dear"], "and none that is like all others"
    assert choose_exclusions([], 0.5) == []


def test_costs_are_shares_of_all_multiply_adds() -> None:
    model = c3k2()
    layers = layers_of(model, {n.name: 0.1 for n in model.graph.node if n.op_type == "Conv"})
    assert sum(one.cost for one in layers) == pytest.approx(1.0)


def test_a_silent_layer_has_no_noise_and_no_batch_is_an_error() -> None:
    net = Net()
    mute = net.conv("x", "mute", 3, 4, weights=np.zeros((4, 3, 1, 1), np.float32))
    model = net.model([net.conv(net.silu(mute, "act"), "end", 4, 2)])
    low = quantize(model, calibrated(model), "gpu", exclude=())
    assert measure_noise(model, low, [images()], threads=1) == {"mute": 0.0}
    with pytest.raises(CalibrationError):
        measure_noise(model, low, [], threads=1)
