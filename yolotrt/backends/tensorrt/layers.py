"""What TensorRT made of the network, from either of the two forms in which it tells.

The engine inspector gives JSON once an engine is loaded. TensorRT-RTX also prints a report while it
builds, which is all there is on a machine without a GPU. Both need an engine built with detailed
profiling verbosity, and neither format is documented, so everything is read leniently.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yolotrt.backends.base import Layer
from yolotrt.backends.layers import is_convolution

if TYPE_CHECKING:
    import onnx

_NODE = re.compile(r"\[ONNX Layer: (.+?)(?: \[profile \d+\])?\]")
_PROFILE = re.compile(r"_myl(\d+)_\d+$|\[profile (\d+)\]")
_TYPES = (
    (re.compile(r"fp8|e4m3", re.I), "FP8"),
    (re.compile(r"bf16|bfloat16", re.I), "BF16"),
    (re.compile(r"half|fp16|float16", re.I), "FP16"),
    (re.compile(r"int8", re.I), "INT8"),
    (re.compile(r"int32", re.I), "INT32"),
    (re.compile(r"int64", re.I), "INT64"),
    (re.compile(r"bool", re.I), "BOOL"),
    (re.compile(r"float|fp32", re.I), "FP32"),
)
_TENSOR = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")
_BYTES = {"FP8": 1, "BF16": 2, "FP16": 2, "INT8": 1, "INT32": 4, "INT64": 8, "BOOL": 1, "FP32": 4}
_HOLDS_ACTIVATION = re.compile(r"^__myl_\w*Silu")
"""Fused kernels are named after what they hold; of some, the list of ONNX nodes is cut short."""


def from_report(text: str) -> tuple[Layer, ...]:
    """Read the report that TensorRT-RTX prints while it builds, of the last profile."""
    lines = (line for line in text.splitlines() if line.startswith("Name: ") and ", LayerType: " in line)
    return _of_last_profile(_from_line(line) for line in lines)


def from_inspector(text: str) -> tuple[Layer, ...]:
    """Read the engine inspector's JSON, of the last profile; layers without details are left out."""
    try:
        found = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    return _of_last_profile(_from_entry(entry) for entry in found if isinstance(entry, dict))


def with_lost_fusions(layers: Iterable[Layer], model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Note on each convolution the activation nodes behind it that another layer computes."""
    after = _activations(model)
    return tuple(
        replace(
            layer,
            activation_elsewhere=tuple(
                a for node in layer.nodes for a in after.get(node, ()) if a not in layer.nodes
            ),
        )
        if is_convolution(layer) and not _HOLDS_ACTIVATION.match(layer.name)
        else layer
        for layer in layers
    )


def _activations(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Return, by convolution name, the nodes of the SiLU behind it: its sigmoid and its product."""
    constants = {tensor.name for tensor in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        written = node.output[0]
        while len(behind := readers.get(written, [])) == 1 and _is_by_constant(behind[0], constants):
            written = behind[0].output[0]  # what tells an 8-bit weight's channels apart, and the bias
        gates = [n for n in readers.get(written, []) if n.op_type == "Sigmoid"]
        products = [n for g in gates for n in readers.get(g.output[0], []) if n.op_type == "Mul"]
        if any(written in n.input for n in products):
            found[node.name] = tuple(n.name for n in (*gates, *products))
    return found


def _is_by_constant(node: onnx.NodeProto, constants: set[str]) -> bool:
    return node.op_type in ("Mul", "Add") and not constants.isdisjoint(node.input)


def _of_last_profile(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Keep the layers of the last profile, the largest: an engine holds its network once per profile."""
    found = [(_profile_of(layer.name), layer) for layer in layers]
    last = max((profile for profile, _ in found), default=0)
    return tuple(layer for profile, layer in found if profile == last)


def _profile_of(name: str) -> int:
    match = _PROFILE.search(name)
    return int(match[1] or match[2]) if match else 0


def _from_line(line: str) -> Layer:
    """Read one line: ``Name: .., LayerType: .., Inputs: [..], Constants: [..], Outputs: [..], ..``."""
    name, _, rest = line.removeprefix("Name: ").partition(", LayerType: ")
    kind, _, rest = rest.partition(", Inputs: ")
    inputs, _, rest = rest.partition(", Constants: ")
    weights, _, rest = rest.partition(", Outputs: ")
    outputs, _, rest = rest.partition(", TacticName: ")
    read, constant, written = (
        tuple(map(_type_in, re.findall(r"Datatype: (\w+)", tensors)))
        for tensors in (inputs, weights, outputs)
    )
    moved = _moved(_TENSOR.findall(inputs + outputs))
    return Layer(name, kind, read, constant, written, _nodes_in(rest), moved_bytes=moved)


def _from_entry(entry: Mapping[str, Any]) -> Layer:
    """Read one layer of the inspector; TensorRT 10 and 11 name the type of a tensor differently."""
    constants = [entry[k] for k in ("Weights", "Bias") if isinstance(entry.get(k), dict)]
    return Layer(
        name=str(entry.get("Name", "?")),
        kind=str(entry.get("ParameterType") or entry.get("LayerType", "?")),
        inputs=_types_of(entry.get("Inputs")),
        weights=_types_of([*(entry.get("Constants") or []), *constants]),
        outputs=_types_of(entry.get("Outputs")),
        nodes=_nodes_in(str(entry.get("Metadata", ""))),
    )


def _moved(tensors: Iterable[tuple[str, str]]) -> int | None:
    """Return the bytes of tensors, given as dimensions and type; None if one of them is not known.

    Dimensions that the engine leaves open count as 1.
    """
    total = 0
    for dimensions, kind in tensors:
        size = _BYTES.get(_type_in(kind))
        if size is None:
            return None
        total += size * math.prod(max(1, int(d)) for d in dimensions.split(",") if d.strip("-"))
    return total or None


def _types_of(tensors: Any) -> tuple[str, ...]:
    found = [t for t in tensors if isinstance(t, dict)] if isinstance(tensors, list) else []
    keys = ("Datatype", "DataType", "Type", "Format/Datatype", "Format")
    return tuple(_type_in(next((str(t[k]) for k in keys if t.get(k)), "?")) for t in found)


def _type_in(text: str) -> str:
    return next((name for pattern, name in _TYPES if pattern.search(text)), text)


def _nodes_in(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_NODE.findall(text)))
