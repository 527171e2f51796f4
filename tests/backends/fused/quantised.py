"""Networks in INT8 as the toolkit writes them, and their steps one by one against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort

from tests.backends.fused.reference import Reference, integers
from yolotrt.backends.fused.parts import Slice
from yolotrt.backends.fused.planner import NetworkPlan
from yolotrt.backends.fused.steps import Conv, Depthwise, Network, Pools, Stem, Step
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.observe import collect
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, find_ranges


def quantised(model: onnx.ModelProto, images: np.ndarray, exclude: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Return a network with Q/DQ, calibrated on some images."""
    histograms = collect(model, [images], threads=1)
    ranges = CalibrationRanges(
        find_ranges(GraphView(model), histograms, "mse"), CalibrationKey("key", (), {}, "mse")
    )
    return quantize(model, ranges, "gpu", exclude=exclude)


def tensors_of(model: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return everything that a network computes, rounded to INT8 and back where it says so."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {o.name for o in watched.graph.output}
    names = [o for n in watched.graph.node for o in n.output if o]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in there)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(names, {session.get_inputs()[0].name: images})
    return dict(zip(names, found, strict=True))


def results_of(model: onnx.ModelProto, step: Step) -> list[str]:
    """Return the tensors that a step leaves for others, in the order of its channels."""
    inside = [n for n in model.graph.node if n.name in step.nodes]
    order = {name: i for i, name in enumerate(step.nodes)}
    source: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Resize"):
            source[node.output[0]] = source.get(node.input[0], node.input[0])
    others = [n for n in model.graph.node if n.name not in step.nodes and n.output[0] not in source]
    read = {source.get(i, i) for n in others for i in n.input}
    outside = [(order[n.name], o) for n in inside for o in n.output if o in read]
    return [name for _, name in sorted(outside)]


class Forced:
    """Steps that each get what the network with Q/DQ gives them, so that no error adds up.

    Args:
        model: The network with Q/DQ in FP32.
        plan: Its plan.
        network: The planned network.
        images: (batch, 3, height, width) FP32.
    """

    def __init__(
        self, model: onnx.ModelProto, plan: NetworkPlan, network: Network, images: np.ndarray
    ) -> None:
        self._model, self._plan, self.network = model, plan, network
        self.right = tensors_of(model, images)
        self.reference = Reference(network, len(images))

    def run(self, do: Callable[[Step, np.ndarray], np.ndarray]) -> dict[str, float]:
        """Run all steps.

        Args:
            do: Runs a step on an arena, and returns the arena.

        Returns:
            For each step with INT8 products, the share of its integers that are one off.

        Raises:
            AssertionError: A step is further off than its kind allows.
        """
        off: dict[str, float] = {}
        for step in self.network.steps:
            self.reference.arena[:] = do(step, self.reference.arena)[: len(self.reference.arena)]
            for store, name in self._stores(step):
                share = self._checked(step, store, self.right[name].transpose(0, 2, 3, 1))
                if isinstance(step, Conv) and step.rounding.products is not None:
                    off[step.name] = max(off.get(step.name, 0.0), share)
        return off

    def _stores(self, step: Step) -> list[tuple[Slice, str]]:
        """Return where a step's tensors lie."""
        names = results_of(self._model, step)
        if isinstance(step, Pools):
            return list(zip(step.stores, names, strict=True))
        store = getattr(step, "store", None)
        if not isinstance(store, Slice):
            return []
        first, found = store.first, []
        for name in names:
            channels = self.right[name].shape[1]
            found.append((Slice(store.map, first, channels), name))
            first += channels
        return found

    def _checked(self, step: Step, store: Slice, right: np.ndarray) -> float:
        """Compare a tensor with what is right, then put that in its place."""
        kept = step.rounding.store if isinstance(step, Stem | Conv | Depthwise) else None
        if kept is None:
            self._close(step, store, right)
            return 0.0
        assert isinstance(step, Stem | Conv | Depthwise)
        assert isinstance(step.store, Slice)
        whole, lowest, share = step.also or step.store, store.first - step.store.first, 0.0
        for part, (a, b), rounded in ((step.store, kept.half, False), (whole, kept.whole, True)):
            begin, end = max(a, lowest), min(b, lowest + store.channels)
            if begin >= end:
                continue
            place = Slice(part.map, part.first + begin, end - begin)
            wanted = right[..., begin - lowest : end - lowest]
            if not rounded:
                self._close(step, place, wanted)
                continue
            wanted = integers(wanted, kept.steps[begin:end])
            if self._strict(step):
                difference = np.abs(self.reference.read(place) - wanted)
                assert difference.max() <= 1, step.name
                share = float((difference > 0).mean())
            self.reference.write(place, wanted)
        return share

    def _close(self, step: Step, place: Slice, right: np.ndarray) -> None:
        if self._strict(step):
            error = np.abs(self.reference.read(place) - right).max()
            assert error <= 5e-3 * max(1.0, np.abs(right).max()), (step.name, error)
        self.reference.write(place, right)

    def _strict(self, step: Step) -> bool:
        """Whether a step reads all that the network reads as INT8 so; else it is more exact."""
        if isinstance(step, Conv):
            if step.rounding.products is None and step.point:
                return False  # what is between both may not be rounded
            reason = self._plan.refused.get(step.name, "")
            return reason in ("", "not INT8 in the network")
        return isinstance(step, Depthwise)
