#!/usr/bin/env bash
# TensorRT-RTX 1.7.1 (package tensorrt-rtx), one engine for several GPU generations. Needs no GPU.
#
# The guess: an engine for a list of targets holds, for each of them, what an engine for it alone holds. A
# target that cannot do something gets a way of its own, or the build fails.
# What it does: with SM75 (Turing) in the list, wherever it stands, no convolution stays in INT8 for any
# target. All are computed in FP16, and the INT8 weights are turned into FP16 by an extra kernel in every
# run. There is no warning: the builder says even less than without SM75. The size shows that there is one
# common plan: it is that of the engine for SM75 alone.
# Why it matters: Turing has INT8 tensor cores, so adding it "to be on the safe side" looks free. An INT8
# YOLO built so for an RTX 40 or 50 card is an FP16 one with extra work.
#
# Seen (two Q/DQ convolutions with bias and SiLU, the rest FP16):
#   SM86               convolutions read Int8, Int8   501 KB
#   SM86, SM120        convolutions read Int8, Int8   501 KB
#   SM75               convolutions read Half, Half   646 KB
#   SM75, SM86         convolutions read Half, Half   646 KB
#   SM86, SM120, SM75  convolutions read Half, Half   646 KB
#   warnings with SM75 in the list: 0
#   as stated: SM75 in the list takes INT8 from every target
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 tensorrt-rtx==1.7.1.116

cat > "$work/targets.py" <<'PY'
import re
import sys

import numpy as np
import onnx
import tensorrt_rtx as trt
from onnx import helper, numpy_helper

WIDTH, SIDE = 64, 40
QUIET = (trt.ILogger.Severity.INFO, trt.ILogger.Severity.VERBOSE)


def quantised_block() -> bytes:
    """Conv, SiLU, Conv, SiLU in FP16 with Q/DQ pairs in front of each convolution; symmetric, per channel."""
    rng = np.random.default_rng(1)
    stored = {"a_scale": np.float16(0.03), "a_zero": np.int8(0), "k_zero": np.zeros(WIDTH, np.int8)}
    nodes = [helper.make_node("Cast", ["images"], ["x0"], to=onnx.TensorProto.FLOAT16)]
    for i in (0, 1):
        kernel = rng.normal(0, 0.04, (WIDTH, WIDTH, 3, 3))
        scale = np.abs(kernel).reshape(WIDTH, -1).max(1) / 127
        stored[f"k{i}"] = np.rint(kernel / scale[:, None, None, None]).astype(np.int8)
        stored[f"k_scale{i}"] = scale.astype(np.float16)
        stored[f"bias{i}"] = rng.normal(size=WIDTH).astype(np.float16)
        for kind, inputs, output, name, attributes in (
            ("QuantizeLinear", [f"x{i}", "a_scale", "a_zero"], f"q{i}", "", {}),
            ("DequantizeLinear", [f"q{i}", "a_scale", "a_zero"], f"d{i}", "", {}),
            ("DequantizeLinear", [f"k{i}", f"k_scale{i}", "k_zero"], f"kd{i}", "", {"axis": 0}),
            ("Conv", [f"d{i}", f"kd{i}", f"bias{i}"], f"c{i}", f"conv{i}", {"pads": [1, 1, 1, 1]}),
            ("Sigmoid", [f"c{i}"], f"g{i}", "", {}),
            ("Mul", [f"c{i}", f"g{i}"], f"x{i + 1}", "", {}),
        ):
            nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
    nodes.append(helper.make_node("Cast", ["x2"], ["features"], to=onnx.TensorProto.FLOAT))
    image, features = (
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, WIDTH, SIDE, SIDE])
        for n in ("images", "features")
    )
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "block", [image], [features], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class Log(trt.ILogger):
    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.report, self.warnings = "", 0

    def log(self, severity: trt.ILogger.Severity, text: str) -> None:
        self.warnings += severity not in QUIET
        if text.startswith("Layers:"):
            self.report += text


def build(model: bytes, targets: list[str]) -> tuple[list[str], int, int]:
    """Return what the convolutions read, the size of the engine in bytes and the number of warnings."""
    log = Log()
    builder = trt.Builder(log)
    definition = builder.create_network(0)
    if not trt.OnnxParser(definition, log).parse(model):
        sys.exit("not as stated: the network is refused")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = len(targets)
    for place, target in enumerate(targets):
        config.set_compute_capability(getattr(trt.ComputeCapability, target), place)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        sys.exit(f"not as stated: no engine for {targets}")
    reads = re.findall(
        r"Name: conv\d\S*, LayerType: correlation, Inputs: \[ \{.*?Datatype: (\w+)", log.report
    )
    print(
        f"{', '.join(targets):<18} convolutions read {', '.join(reads)}   {engine.nbytes / 1000:.0f} KB",
        flush=True,
    )
    return reads, engine.nbytes, log.warnings


model = quantised_block()
without = [build(model, targets) for targets in (["SM86"], ["SM86", "SM120"])]
alone, *joined = (
    build(model, targets) for targets in (["SM75"], ["SM75", "SM86"], ["SM86", "SM120", "SM75"])
)
said = sum(warnings for _, _, warnings in joined)
print("warnings with SM75 in the list:", said)
if any(reads != ["Int8", "Int8"] for reads, _, _ in without):
    sys.exit("not as stated: without SM75 the convolutions are not in INT8 either")
if any(reads != ["Half", "Half"] or abs(size / alone[1] - 1) > 0.02 for reads, size, _ in joined) or said:
    sys.exit("not as stated: the other targets keep INT8, or a warning tells of the loss")
print("as stated: SM75 in the list takes INT8 from every target")
PY
"$work/venv/bin/python" "$work/targets.py"
