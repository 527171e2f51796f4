#!/usr/bin/env bash
# onnxruntime 1.32.0 with onnx 1.23.2.
#
# The guess: the name of a node is a label for people. Tensors tie the graph together, so a graph that
# onnx.checker accepts, full check included, can be loaded whatever its nodes are called.
# What it does: two nodes with the same name make the whole model "invalid", unless that name is empty: any
# number of nodes may share no name at all. So taking the names away repairs the model. The text of the ONNX
# format does want names that do not repeat, but nothing in the onnx package looks for it.
# Why it matters: a YOLO that is put together from parts (a decode or a normalisation written by hand in
# front of or behind an export) easily repeats a name. Every check of the onnx package passes, and the model
# fails only on the machine that runs it.
#
# Seen:
#   no names        onnx.checker accepts, onnxruntime loads
#   unlike names    onnx.checker accepts, onnxruntime loads
#   equal names     onnx.checker accepts, onnxruntime refuses: two nodes with same node name (silu)
#   names removed   onnx.checker accepts, onnxruntime loads
#   as stated: only equal names that are not empty are refused
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --only-binary :all: numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0

cat > "$work/names.py" <<'PY'
import sys

import onnx
import onnxruntime as ort
from onnx import helper


def silu(sigmoid_name: str, mul_name: str) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["gate"], name=sigmoid_name),
        helper.make_node("Mul", ["x", "gate"], ["y"], name=mul_name),
    ]
    graph = helper.make_graph(nodes, "silu", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def load(label: str, model: onnx.ModelProto) -> bool:
    onnx.checker.check_model(model, full_check=True)
    try:
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).rsplit("Error: ")[-1].rstrip(".")
        print(f"{label:<15} onnx.checker accepts, onnxruntime refuses: {reason}")
        return False
    print(f"{label:<15} onnx.checker accepts, onnxruntime loads")
    return True


equal = silu("silu", "silu")
seen = [load("no names", silu("", "")), load("unlike names", silu("a", "b")), load("equal names", equal)]
for node in equal.graph.node:
    node.name = ""
seen.append(load("names removed", equal))
if seen != [True, True, False, True]:
    sys.exit("not as stated: onnxruntime treats equal node names in another way now")
print("as stated: only equal names that are not empty are refused")
PY
"$work/venv/bin/python" "$work/names.py"
