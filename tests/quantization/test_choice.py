"""Per tensor the range that serves its readers: chosen by measured noise, apart for each kind of graph."""

from __future__ import annotations

from tests.quantization.graphs import c3k2, images
from yolotrt.quantization.algorithms import BY_HISTOGRAM
from yolotrt.quantization.choice import Noise, best_ranges
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.observe import collect
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.qdq_gpu import shared_scales
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, find_ranges
from yolotrt.quantization.sensitivity import measure_noise
from yolotrt.quantization.styles import STYLES

KEY = CalibrationKey("key", (), {}, "best")


def test_each_style_takes_what_it_measured_to_be_best() -> None:
    model = c3k2()
    view = GraphView(model)
    histograms = collect(model, [images()])
    noises: list[Noise] = []
    quietest = {"cpu": "entropy", "gpu": "minmax"}

    def measure(_ranges: CalibrationRanges) -> Noise:
        name = BY_HISTOGRAM[len(noises)]
        layers = [n.name for n in view.nodes if n.op_type == "Conv"]
        noises.append({s: dict.fromkeys(layers, 0.1 if quietest[s] == name else 0.2) for s in STYLES})
        return noises[-1]

    ranges = best_ranges(model, histograms, KEY, measure)
    found = {name: find_ranges(view, histograms, name) for name in BY_HISTOGRAM}
    tensor = next(n for n in view.nodes if n.name == "b2.conv").input[0]
    assert ranges.tensors[tensor].amax == found["minmax"][tensor].amax
    assert ranges.tensors[tensor].hi == found["entropy"][tensor].hi
    assert ranges.tensors["scores"].hi == found["mse"]["scores"].hi if "scores" in ranges.tensors else True
    assert set(ranges.noise["gpu"].values()) == {0.1}


def test_no_layer_is_noisier_than_with_the_worst_algorithm_and_the_noise_is_what_a_new_audit_finds() -> None:
    model = c3k2()
    histograms = collect(model, [images()])
    batches = [images(2, seed=1)]

    def measure(ranges: CalibrationRanges) -> Noise:
        return {s: measure_noise(model, quantize(model, ranges, s, exclude=()), batches) for s in STYLES}

    ranges = best_ranges(model, histograms, KEY, measure)
    again = measure(ranges)
    for layer, noise in ranges.noise["gpu"].items():
        assert abs(again["gpu"][layer] - noise) <= 1e-6 + 1e-3 * noise
    view = GraphView(model)
    total = sum(ranges.noise["gpu"].values())
    for name in BY_HISTOGRAM:
        single = measure(CalibrationRanges(find_ranges(view, histograms, name), KEY))
        assert total <= 1.2 * sum(single["gpu"].values())


def test_what_a_concatenation_joins_shares_a_scale() -> None:
    shared = shared_scales(GraphView(c3k2()))
    assert len({shared[name] for name in ("left", "right", "add", "join")}) == 1
    assert shared["out"] != shared["join"]
