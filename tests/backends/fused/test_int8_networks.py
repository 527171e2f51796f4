"""Networks with Q/DQ: what is INT8, that it is right step by step, and where it pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.backends.fused.interpreted import Interpreted
from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.quantised import Forced, quantised
from yolotrt.backends.fused.arguments import WeightsBlob
from yolotrt.backends.fused.assemble import layers_of
from yolotrt.backends.fused.compile import TARGETS, compile_all
from yolotrt.backends.fused.compile_process import SHARED_LIMITS
from yolotrt.backends.fused.cost import cost_of
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.parts import Slice
from yolotrt.backends.fused.planner import NetworkPlan
from yolotrt.backends.fused.resources import resources
from yolotrt.backends.fused.selection import select
from yolotrt.backends.fused.steps import Conv, Network, Step
from yolotrt.backends.fused.tiles import candidates
from yolotrt.backends.fused.variants import variant_of
from yolotrt.errors import BuildError
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.progress import Progress

pytest.importorskip("triton")

SHAPE = Shape(size=32, classes=3, coeffs=3, bins=4, width=16)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(3).random((1, 3, SHAPE.size, SHAPE.size), np.float32)


@pytest.fixture(scope="module")
def with_pairs(pictures: np.ndarray) -> onnx.ModelProto:
    model = yolo(SHAPE)
    second = [n.name for n in model.graph.node if n.op_type == "Conv"][1]
    return quantised(model, pictures, (second,))


def test_every_step_of_a_network_is_within_a_step(with_pairs: onnx.ModelProto, pictures: np.ndarray) -> None:
    plan = NetworkPlan(with_pairs, read_spec(with_pairs, "mini"))
    network = plan.network()
    found = Interpreted(network, 1)
    found.images = pictures.astype(np.float16)
    forced = Forced(with_pairs, plan, network, pictures)

    def do(step: Step, memory: np.ndarray) -> np.ndarray:
        found.arena[: len(memory)] = memory
        found.do(step)
        return found.arena

    off = forced.run(do)
    assert len(off) > 20
    assert float(np.mean(list(off.values()))) < 0.01
    head = forced.right["output0"]
    assert np.abs(found.head - head).max() <= 1e-2 * np.abs(head).max()


def test_what_is_int8_and_what_is_not(with_pairs: onnx.ModelProto) -> None:
    plan = NetworkPlan(with_pairs, read_spec(with_pairs, "mini"))
    convolutions = [s for s in plan.network().steps if isinstance(s, Conv)]
    whole = [s for s in convolutions if s.rounding.products is not None]
    assert {s.name for s in whole} == set(plan.possible)
    assert {s.name for s in convolutions} - set(plan.possible) <= set(plan.refused)
    assert any(s.rounding.inner for s in whole)  # two INT8 convolutions in one kernel
    assert any(s.rounding.residual for s in whole)
    assert any(s.also for s in convolutions)  # somebody reads it as FP16 too
    assert any(s.rounding.store and len(set(s.rounding.store.steps.tolist())) > 1 for s in convolutions)
    reasons = set(plan.refused.values())
    assert "not INT8 in the network" in reasons
    assert any("MaxPool" in reason for reason in reasons)
    assert not any(
        s.rounding.products is not None or s.rounding.store is not None
        for s in plan.network(()).steps
        if isinstance(s, Conv)
    )
    layers = layers_of(plan.network(), plan.refused)
    assert {t for layer in layers for t in layer.weights} == {"FP16", "INT8"}
    assert any(layer.kind.endswith("; not INT8: not INT8 in the network") for layer in layers)


@pytest.mark.parametrize("shape", [Shape(size=96, areas=9), Shape(keep=20, bins=1)], ids=str)
def test_every_kind_of_network_is_planned(shape: Shape) -> None:
    images = np.random.default_rng(4).random((1, 3, shape.size, shape.size), np.float32)
    model = quantised(yolo(shape), images)
    plan = NetworkPlan(to_fp16(model, read_spec(model, "mini")), read_spec(model, "mini"))
    network = plan.network()
    kinds = {type(s).__name__ for s in network.steps}
    assert {"Attention", "Pools", "Depthwise", "Grow"} <= kinds
    assert ("Select" in kinds) == bool(shape.keep)
    assert len(plan.possible) > 20


@pytest.mark.parametrize(
    ("zero", "reason"), [(np.uint8(128), "symmetric"), (np.int8(3), "symmetric")], ids=["uint8", "shifted"]
)
def test_other_kinds_of_rounding_are_refused(with_pairs: onnx.ModelProto, zero: Any, reason: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(with_pairs)
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    old = next(t for t in model.graph.initializer if t.name == node.input[2])
    old.CopyFrom(onnx.numpy_helper.from_array(np.asarray(zero), old.name))
    with pytest.raises(BuildError, match=reason):
        NetworkPlan(model, read_spec(model, "mini"))


class Clock:
    """Measures that INT8 takes a given part of FP16's time, but for one step, which takes ten times it."""

    target = "sm_90"

    def __init__(self, share: float, slow: str = "") -> None:
        self._share, self._slow = share, slow

    def seconds(self, network: Network, batch: int, progress: Progress) -> list[float]:
        assert batch == 8
        found = []
        for step in network.steps:
            whole = isinstance(step, Conv) and step.rounding.products is not None
            factor = 10.0 if step.name == self._slow else self._share
            found.append(1e-5 * (factor if whole else 1.0))
        return found


def test_a_layer_is_int8_where_that_is_measured_to_be_faster(with_pairs: onnx.ModelProto) -> None:
    plan = NetworkPlan(with_pairs, read_spec(with_pairs, "mini"))
    assert select(plan, ["sm_90"], 8, Clock(0.5)).chosen == tuple(plan.possible)
    nothing = select(plan, ["sm_90"], 8, Clock(2.0))
    assert nothing.chosen == ()
    assert "measured on sm_90" in nothing.reasons[plan.possible[0]]
    slow = plan.possible[3]
    most = select(plan, ["sm_90"], 8, Clock(0.5, slow))
    assert slow not in most.chosen
    assert len(most.chosen) > len(plan.possible) // 2
    assert all(name in most.reasons for name in plan.possible if name not in most.chosen)


def test_without_a_gpu_the_choice_follows_a_rule(with_pairs: onnx.ModelProto) -> None:
    plan = NetworkPlan(with_pairs, read_spec(with_pairs, "mini"))
    for target in TARGETS:
        found = select(plan, [target], 32)
        assert found.chosen
        assert set(found.chosen) <= set(plan.possible)
    assert not select(NetworkPlan(yolo(SHAPE), read_spec(yolo(SHAPE), "mini")), ["sm_90"], 8).chosen


def test_bytes_of_int8_are_half(with_pairs: onnx.ModelProto) -> None:
    plan = NetworkPlan(with_pairs, read_spec(with_pairs, "mini"))
    half, whole = plan.traffic(()), plan.traffic()
    both = [n for n in plan.possible if half[n] == 2 * whole[n]]
    assert len(both) > 5
    for network, wanted in ((plan.network(()), half), (plan.network(), whole)):
        for step in network.steps:
            if isinstance(step, Conv) and isinstance(step.store, Slice):
                assert cost_of(network, step).nbytes == wanted[step.name]


def test_int8_kernels_compile_for_every_target_and_fit_it(
    with_pairs: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    network = NetworkPlan(with_pairs, read_spec(with_pairs, "mini")).network()
    launcher = Launcher(network, WeightsBlob())
    chosen = [
        next(s for s in network.steps if isinstance(s, Conv) and s.rounding.inner and s.kernel == 3),
        next(s for s in network.steps if isinstance(s, Conv) and s.rounding.products is not None and s.also),
    ]
    variants = [variant_of(launcher.launch(s, candidates(s, 8)[0])) for s in chosen]
    tasks = [(v, t) for v in variants for t in ("sm_80", "sm_86", "sm_89", "sm_120")]
    for (_, target), code in compile_all(tasks).items():
        assert code.shared <= SHARED_LIMITS[target] * 1024
        registers, spilled = resources(code.cubin)
        assert 0 < registers <= 255
        assert spilled == 0
