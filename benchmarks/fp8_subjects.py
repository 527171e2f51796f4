"""The convolutions that are multiplied in every type: what runs of a network's plan, and FP8 for INT8."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import onnx

from benchmarks.fp8_reference import as_fp8
from yolotrt.backends.fused.arguments import Address, Arg, KernelLaunch, WeightsBlob
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.planner import NetworkPlan
from yolotrt.backends.fused.steps import Conv, Network
from yolotrt.backends.fused.tiles import Tile
from yolotrt.model.onnxfile import read_spec
from yolotrt.quantization.cache import read_ranges
from yolotrt.workflow.precision import in_precision

STEPS = (
    "/model.23/cv2.0/cv2.0.0/act/Mul",
    "/model.4/cv1/act/Mul",
    "/model.23/cv3.0/cv3.0.2/Conv",
    "/model.23/cv2.0/cv2.0.2/Conv",
    "/model.6/cv1/act/Mul",
)
EXACT = "FP8, sums in FP32"
KINDS = ("FP16", "INT8", "FP8", EXACT)


@dataclass(frozen=True)
class ProductSubject:
    """One convolution in one type.

    Attributes:
        kind: One of :data:`KINDS`.
        network: That it belongs to; of INT8 for FP8.
        step: The convolution; its FP8 weights are called INT8, of which they have the size.
    """

    kind: str
    network: Network
    step: Conv

    def launch(self, tile: Tile, blob: WeightsBlob) -> KernelLaunch:
        """Return how it is started: FP8 is what was called INT8."""
        made = Launcher(self.network, blob).launch(self.step, tile)
        if not self.kind.startswith("FP8"):
            return made
        return replace(made, args={name: _of_fp8(arg) for name, arg in made.args.items()})


def _of_fp8(arg: Arg) -> Arg:
    return replace(arg, element="fp8e4nv") if isinstance(arg, Address) and arg.element == "i8" else arg


def subjects(path: Path, calibration: Path) -> list[list[ProductSubject]]:
    """Return each of the convolutions in every type."""
    model = onnx.load(path)
    spec = read_spec(model, path.stem)
    plan = NetworkPlan(in_precision(model, spec, "int8", "gpu", read_ranges(calibration)), spec)
    half, whole = plan.network(()), plan.network()
    found = []
    for name in STEPS:
        of_half, of_whole = (cast("Conv", next(s for s in n.steps if s.name == name)) for n in (half, whole))
        point = of_whole.point
        of_fp8 = replace(
            of_whole, dense=replace(of_whole.dense, weight=as_fp8(of_whole.dense.weight)),
            point=point and replace(point, weight=as_fp8(point.weight)),
        )  # fmt: skip
        steps = (of_half, of_whole, of_fp8, of_fp8)
        networks = (half, whole, whole, whole)
        found.append([ProductSubject(k, n, s) for k, n, s in zip(KINDS, networks, steps, strict=True)])
    return found
