#!/usr/bin/env bash
# TensorRT-RTX 1.7.1 (package tensorrt-rtx), an explicitly quantised network. Needs no GPU: an engine is
# built for a named target, and the builder reports its layers.
#
# The guess: a QuantizeLinear right behind an INT8 convolution is computed by the convolution, which then
# writes INT8. That is what TensorRT's guides tell of, and why a Q/DQ pair between a convolution and its
# activation, or between two convolutions, is taken to halve what is written.
# What it does: the convolution writes FP16 all the same, and a kernel of its own reads that, rounds, and
# writes INT8. So it is with another convolution behind the pair, and with a SiLU. The pair costs accuracy and
# saves nothing.
# Why it matters: pairs on outputs are what makes INT8 pay on processors and on classic TensorRT, so tools put
# them there. Here the bytes that travel between two INT8 convolutions stay 2 written, 2 read, 1 written,
# 1 read for each value, whatever stands in the graph; FP16 needs 4.
#
# Seen (target SM120; two Q/DQ convolutions, one scale for each weight, the rest FP16):
#   conv0, pair, conv1        conv0: Int8 to Half   then a kernel from Half to Int8
#   conv0, pair, SiLU, conv1  conv0: Int8 to Half   then a kernel from Half to Int8
#   conv0, SiLU, pair, conv1  conv0: Int8 to Half   then a kernel from Half to Int8
#   as stated: no convolution writes INT8
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 tensorrt-rtx==1.7.1.116

cat > "$work/outputs.py" <<'PY'
import re
import sys

import numpy as np
import onnx
import tensorrt_rtx as trt
from onnx import helper, numpy_helper

WIDTH, SIDE = 64, 80
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
node = helper.make_node


class Graph:
    """Nodes and constants, put together word by word."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(2)
        self.nodes = [node("Cast", ["images"], ["half"], to=HALF)]
        self.constants: list[onnx.TensorProto] = []
        self.tensor, self.count = "half", 0

    def constant(self, value: np.ndarray | float, dtype: type) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def pair(self) -> None:
        step, zero = self.constant(0.02, np.float16), self.constant(0, np.int8)
        out = f"pair{len(self.nodes)}"
        self.nodes += [
            node("QuantizeLinear", [self.tensor, step, zero], [f"{out}.q"], name=f"{out}.q"),
            node("DequantizeLinear", [f"{out}.q", step, zero], [out], name=f"{out}.dq"),
        ]
        self.tensor = out

    def conv(self) -> None:
        name, self.count = f"conv{self.count}", self.count + 1
        weight = self.rng.normal(0, 0.05, (WIDTH, WIDTH, 3, 3))
        scale = np.abs(weight).max() / 127
        parts = [
            self.constant(np.round(weight / scale), np.int8),
            self.constant(scale, np.float16),
            self.constant(0, np.int8),
        ]
        bias = self.constant(self.rng.normal(size=WIDTH), np.float16)
        self.nodes += [
            node("DequantizeLinear", parts, [f"{name}.w"]),
            node("Conv", [self.tensor, f"{name}.w", bias], [name], name=name, pads=[1] * 4),
        ]
        self.tensor = name

    def silu(self) -> None:
        gate, out = f"gate{len(self.nodes)}", f"silu{len(self.nodes)}"
        self.nodes += [node("Sigmoid", [self.tensor], [gate]), node("Mul", [self.tensor, gate], [out])]
        self.tensor = out

    def model(self, words: str) -> bytes:
        for word in words.split():
            getattr(self, word)()
        self.nodes.append(node("Cast", [self.tensor], ["features"], to=FLOAT))
        ends = [
            helper.make_tensor_value_info(n, FLOAT, [1, WIDTH, SIDE, SIDE]) for n in ("images", "features")
        ]
        graph = helper.make_graph(self.nodes, "int8", ends[:1], ends[1:], self.constants)
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
            self.layers = [line for line in text.splitlines() if line.startswith("Name: ")]


def report(model: bytes) -> list[str]:
    listener = Listener()
    builder = trt.Builder(listener)
    definition = builder.create_network(0)
    if not trt.OnnxParser(definition, listener).parse(model):
        sys.exit("not as stated: the network is refused")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM120, 0)
    if builder.build_serialized_network(definition, config) is None or not listener.layers:
        sys.exit("not as stated: no engine, or no report of its layers")
    return listener.layers


def types(line: str, what: str) -> str:
    found = re.search(rf"{what}: \[.*?Datatype: (\w+)", line)
    return found[1] if found else "?"


seen = []
for title, words in (
    ("conv0, pair, conv1", "pair conv pair conv"),
    ("conv0, pair, SiLU, conv1", "pair conv pair silu pair conv"),
    ("conv0, SiLU, pair, conv1", "pair conv silu pair conv"),
):
    lines = report(Graph().model(words))
    place = next((i for i, x in enumerate(lines) if x.startswith("Name: conv0") and "correlation" in x), None)
    if place is None or place + 1 == len(lines):
        sys.exit("not as stated: the report has no convolution conv0, or nothing behind it")
    after = lines[place + 1]
    found = [types(line, what) for line in (lines[place], after) for what in ("Inputs", "Outputs")]
    print(f"{title:<25} conv0: {found[0]} to {found[1]}   then a kernel from {found[2]} to {found[3]}")
    seen.append(found)
if seen != [["Int8", "Half", "Half", "Int8"]] * 3:
    sys.exit("not as stated: a convolution writes INT8, or something else stands behind it")
print("as stated: no convolution writes INT8")
PY
"$work/venv/bin/python" "$work/outputs.py"
