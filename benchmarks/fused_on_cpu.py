"""What an INT8 engine of the fused backend computes, for a CPU: Q/DQ only around what is INT8 in it.

Its accuracy can be measured anywhere then; from the engine it differs by single roundings.

    python -m benchmarks.fused_on_cpu NETWORK.onnx --calibration X.calib.json --result RESULT.json -o Y.onnx
    yolotrt build Y.onnx --int8 --backend onnxruntime && yolotrt eval ...
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from yolotrt.backends.fused.planner import NetworkPlan
from yolotrt.backends.fused.steps import Conv
from yolotrt.model.onnxfile import read_spec
from yolotrt.quantization.cache import read_ranges
from yolotrt.quantization.qdq import quantize


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True, help="written by benchmarks.fused_network")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    model, ranges = onnx.load(options.network), read_ranges(options.calibration)
    chosen = integer_steps(json.loads(options.result.read_text()), options.network.stem)
    convolutions = [n.name for n in model.graph.node if n.op_type == "Conv"]
    plan = NetworkPlan(quantize(model, ranges, "gpu"), read_spec(model, options.network.stem))
    inside: set[str] = set()
    for step in plan.network(chosen).steps:
        if isinstance(step, Conv) and step.name in chosen:
            names = [name for name in step.nodes if name in convolutions]
            inside |= set(names[:-1] if step.point and not step.rounding.inner else names)
    others = [name for name in convolutions if name not in inside]
    onnx.save(quantize(model, ranges, "gpu", exclude=others), options.output)
    print(f"{len(inside)} of {len(convolutions)} convolutions in {len(chosen)} kernels")
    return 0


def integer_steps(result: dict[str, Any], network: str) -> set[str]:
    """Return the steps of an INT8 engine that multiply INT8, from what was measured of it."""
    runs = [result, *result.get("network", {}).values()]
    (found,) = [run["networks"][network] for run in runs if network in run.get("networks", {})]
    return {name for name, _, *weights in found["types"]["fused INT8"] if "INT8" in weights}


if __name__ == "__main__":
    raise SystemExit(main())
