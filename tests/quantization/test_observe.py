from __future__ import annotations

import resource

import numpy as np
import onnx
import pytest

from tests.quantization.graphs import Net, c3k2, images, run
from yolotrt.errors import CalibrationError
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.histogram import StreamingHistogram
from yolotrt.quantization.observe import STEP, choose_taps, collect


def values_of(model: onnx.ModelProto, names: list[str], x: np.ndarray) -> dict[str, np.ndarray]:
    """Run the network with all these tensors as outputs."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    for name in names:
        whole.graph.output.add(name=name)
    return dict(zip(names, run(whole, x), strict=True))


def test_every_tensor_of_the_body_is_known_and_right() -> None:
    model, x = c3k2(), images(6)
    found = collect(model, [x[:2], x[2:4], x[4:]], threads=1)
    body = [o for n in GraphView(model).body for o in n.output]
    ends = {"head", "proto"}
    assert {"x", *body} - ends <= set(found)
    for name, values in values_of(model, sorted(set(found) - {"x"}), x).items():
        spread = float(np.ptp(values))
        assert found[name].minimum <= values.min() + 1e-5
        assert found[name].maximum >= values.max() - 1e-5
        for q in (0.1, 0.5, 0.9):
            # Both halves of a Split pass for its whole input.
            if name not in ("left", "right"):
                assert found[name].quantile(q) == pytest.approx(np.quantile(values, q), abs=0.02 * spread), (
                    name
                )


def test_observed_tensors_equal_brute_force_exactly() -> None:
    model, x = c3k2(), images(5)
    found = collect(model, [x[i : i + 1] for i in range(5)], threads=1)
    names = [tap.tensor for tap in choose_taps(GraphView(model)) if tap.tensor != "x"]
    assert "add" in names
    assert "join" not in names, "a concatenation is derived"
    for name, values in values_of(model, names, x).items():
        direct = StreamingHistogram()
        direct.add(values)
        assert direct.exponent == found[name].exponent
        # Runs with and without fusions may differ in the last bit, which moves values across bin edges.
        assert np.abs(np.cumsum(direct.counts - found[name].counts)).max() <= 0.002 * values.size + 2


def test_large_maps_are_thinned_out_but_keep_their_extremes() -> None:
    net = Net()
    model = net.model([net.conv(net.conv("x", "wide", 3, 4), "end", 4, 2)], size=80)
    x = np.zeros((1, 3, 80, 80), np.float32)
    x[0, :, 1, 1] = 100.0  # not a multiple of the step
    tap = next(t for t in choose_taps(GraphView(model)) if t.tensor == "wide")
    assert tap.step == STEP
    assert STEP % 2 == 1, "an even step would miss phases of an upsampling"
    found = collect(model, [x], threads=1)["wide"]
    values = values_of(model, ["wide"], x)["wide"]
    assert found.count == 4 * 27 * 27
    assert (found.minimum, found.maximum) == pytest.approx((values.min(), values.max()))


def test_parts_of_a_concatenation_weigh_what_they_are_before_thinning() -> None:
    net = Net()
    wide = net.conv("x", "wide", 3, 4)  # 80 x 80 positions: thinned out
    small = net.conv(net.node("MaxPool", ["x"], "down", kernel_shape=[2, 2], strides=[2, 2]), "small", 3, 4)
    scales = net.constant("scales", np.array([1, 1, 2, 2], np.float32))
    up = net.node("Resize", [small, "", scales], "up", mode="nearest")
    both = net.node("Concat", [wide, up], "both", axis=1)
    model = net.model([net.conv(both, "end", 8, 2)], size=80)
    found = collect(model, [images(2, size=80)], threads=1)
    values = values_of(model, ["both"], images(2, size=80))["both"]
    spread = float(np.ptp(values))
    for q in (0.1, 0.5, 0.9):
        assert found["both"].quantile(q) == pytest.approx(np.quantile(values, q), abs=0.03 * spread)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_damaged_weight_is_traced_to_its_node(bad: float) -> None:
    model = c3k2()
    for tensor in model.graph.initializer:
        if tensor.name == "b2.conv.w":
            weights = onnx.numpy_helper.to_array(tensor).copy()
            weights.flat[0] = bad
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
    with pytest.raises(CalibrationError, match=r"b2\.conv.*Conv"):
        collect(model, [images()], threads=1)


def test_nan_in_the_decoding_tail_names_the_output() -> None:
    net = Net()
    end = net.node("Relu", [net.conv("x", "end", 3, 2)], "relu")
    net.node("Log", [net.node("Sub", [end, net.constant("much", np.float32(1e6))], "below")], "out")
    with pytest.raises(CalibrationError, match="out"):
        collect(net.model(["out"]), [images()], threads=1)


def test_no_batch_is_an_error() -> None:
    with pytest.raises(CalibrationError, match="nothing"):
        collect(c3k2(), [], threads=1)


def test_progress_counts_images() -> None:
    seen: list[tuple[str, int, int]] = []
    collect(c3k2(), [images(2), images(1)], total=3, threads=1, progress=lambda *step: seen.append(step))
    assert seen == [("calibrate", 2, 3), ("calibrate", 3, 3)]


def test_memory_is_flat_in_the_number_of_images() -> None:
    model = c3k2()

    def peak(batches: int) -> int:
        collect(model, (images(2, seed) for seed in range(batches)), threads=1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    peak(4)
    few = peak(4)
    assert peak(150) <= 1.05 * few
