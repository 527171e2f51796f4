#!/usr/bin/env bash
# TensorRT-RTX 1.7.1 (package tensorrt-rtx), an explicitly quantised network. Needs no GPU: an engine is
# built for a named target, and the builder reports its layers.
#
# The guess: one scale per output channel is the better choice for INT8 weights. It is what the guides
# advise, and costs nothing at run time, since the scales can be folded into the step behind the
# convolution.
# What it does: with one scale per channel each INT8 convolution writes FP32, and scale, bias and activation
# move into another kernel that reads these 4 bytes a value again. With one scale for the whole weight the
# convolution adds the bias, applies ReLU and writes FP16 by itself. Nothing else differs.
# Why it matters: most layers of a small YOLO are limited by memory traffic, and INT8 is taken to halve it.
# With scales per channel about 10 bytes go to and fro for each value between two convolutions (4 written, 4
# read, 1 written, 1 read), against 4 in FP16. One scale needs 6.
#
# What helps: one scale, rows of weights divided by what tells channels apart, and a Mul by that behind the
# convolution with the bias added after it. The numbers are those of scales per channel, the convolution writes
# FP16, and Mul and Add join the kernel of an activation that would be outside anyway, such as SiLU.
#
# Seen (target SM86; two Q/DQ convolutions with bias and ReLU, the rest FP16):
#   one scale         conv0: Int8 to Half,  ReLU inside    conv1: Int8 to Half,  ReLU inside
#   one per channel   conv0: Int8 to Float, ReLU outside   conv1: Int8 to Float, ReLU outside
#   factors behind    conv0: Int8 to Half,  ReLU outside   conv1: Int8 to Half,  ReLU outside
#   as stated: scales per channel take the fused end and the FP16 output away
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 tensorrt-rtx==1.7.1.116

cat > "$work/scales.py" <<'PY'
import re
import sys

import numpy as np
import onnx
import tensorrt_rtx as trt
from onnx import helper, numpy_helper

CHANNELS, SIDE = 64, 80
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def network(per_channel: bool, behind: bool = False) -> bytes:
    """Two INT8 convolutions with bias and ReLU between casts to and from FP16."""
    rng = np.random.default_rng(0)
    node = helper.make_node
    constants, nodes, tensor = [], [node("Cast", ["images"], ["half"], to=HALF)], "half"

    def constant(name: str, value: np.ndarray | float, dtype: type) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    for i in range(2):
        weight = rng.normal(0, 0.05, (CHANNELS, CHANNELS, 3, 3))
        scale = np.abs(weight).max(axis=(1, 2, 3) if per_channel else None, keepdims=True) / 127
        in_8_bits = constant(f"w{i}", np.round(weight / scale), np.int8)
        factor = constant(f"factor{i}", scale[..., 0] / scale.max(), np.float16)
        if behind:
            scale = scale.max(keepdims=True)
        flat = scale.reshape(-1) if scale.size > 1 else float(scale.item())
        weight_scale = constant(f"w_scale{i}", flat, np.float16)
        weight_zero = constant(f"w_zero{i}", np.zeros_like(flat), np.int8)
        step, zero = constant(f"step{i}", 0.02, np.float16), constant(f"zero{i}", 0, np.int8)
        bias = constant(f"bias{i}", rng.normal(size=CHANNELS), np.float16)
        axis = {"axis": 0} if scale.size > 1 else {}
        first = [f"dq{i}", f"w_dq{i}"]
        convolution = [node("Conv", [*first, bias], [f"sum{i}"], name=f"conv{i}", pads=[1] * 4)]
        if behind:
            column = constant(f"column{i}", rng.normal(size=(CHANNELS, 1, 1)), np.float16)
            convolution = [
                node("Conv", first, [f"raw{i}"], name=f"conv{i}", pads=[1] * 4),
                node("Mul", [f"raw{i}", factor], [f"scaled{i}"], name=f"mul{i}"),
                node("Add", [f"scaled{i}", column], [f"sum{i}"], name=f"add{i}"),
            ]
        nodes += [
            node("QuantizeLinear", [tensor, step, zero], [f"q{i}"]),
            node("DequantizeLinear", [f"q{i}", step, zero], [f"dq{i}"]),
            node("DequantizeLinear", [in_8_bits, weight_scale, weight_zero], [f"w_dq{i}"], **axis),
            *convolution,
            node("Relu", [f"sum{i}"], [f"out{i}"], name=f"relu{i}"),
        ]
        tensor = f"out{i}"
    nodes.append(node("Cast", [tensor], ["features"], to=FLOAT))
    shape = [1, CHANNELS, SIDE, SIDE]
    ends = [helper.make_tensor_value_info(name, FLOAT, shape) for name in ("images", "features")]
    graph = helper.make_graph(nodes, "int8", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class Listener(trt.ILogger):
    """Keeps the report of the layers, which the builder gives to its logger."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.layers: list[str] = []

    def log(self, severity: trt.ILogger.Severity, text: str) -> None:
        if text.startswith("Layers:"):
            self.layers = text.splitlines()[1:]


def layers(model: bytes, *targets: trt.ComputeCapability) -> list[str]:
    listener = Listener()
    builder = trt.Builder(listener)
    definition = builder.create_network(0)
    if not trt.OnnxParser(definition, listener).parse(model):
        sys.exit("not as stated: the network is refused")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = len(targets)
    for i, target in enumerate(targets):
        config.set_compute_capability(target, i)
    if builder.build_serialized_network(definition, config) is None or not listener.layers:
        sys.exit("not as stated: no engine, or no report of its layers")
    return listener.layers


def convolution(report: list[str], name: str) -> tuple[str, str, bool]:
    """Return the type read, the type written and whether the ReLU behind it is inside."""
    line = next((x for x in report if x.startswith(f"Name: {name}_") and "LayerType: correlation" in x), "")
    read = re.search(r"Inputs: \[.*?Datatype: (\w+)", line)
    written = re.search(r"Outputs: \[.*?Datatype: (\w+)", line)
    if not read or not written:
        sys.exit(f"not as stated: the report has no convolution {name}")
    return read[1], written[1], f"relu{name[-1]}" in line


seen = []
cases = {"one scale": (False,), "one per channel": (True,), "factors behind": (True, True)}
for label, how in cases.items():
    report = layers(network(*how), trt.ComputeCapability.SM86)
    both = [convolution(report, name) for name in ("conv0", "conv1")]
    words = (
        f"conv{i}: {r} to {w + ',':<6} ReLU {'inside' if x else 'outside':<7}"
        for i, (r, w, x) in enumerate(both)
    )
    print(f"{label:<17} {'   '.join(words)}".rstrip())
    seen += both
kinds = (("Int8", "Half", True), ("Int8", "Float", False), ("Int8", "Half", False))
if seen != [kind for kind in kinds for _ in range(2)]:
    sys.exit("not as stated: the kind of weight scale no longer decides the output and the fusion")
print("as stated: scales per channel take the fused end and the FP16 output away")
PY
"$work/venv/bin/python" "$work/scales.py"
