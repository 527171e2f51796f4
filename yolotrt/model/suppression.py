"""Non-maximum suppression inside a network: whether there is any, and what it drops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_SCORE_THRESHOLD = 4
"""Input of ``NonMaxSuppression``."""

_TURNED = {"Less": 0, "LessOrEqual": 0, "Greater": 1, "GreaterOrEqual": 1}
"""Comparisons of scores with a threshold, and where the threshold of a score that passes stands."""


def least_score(model: onnx.ModelProto) -> float | None:
    """Return the least score that suppression inside the network lets through.

    The threshold is the node's own, or, as Ultralytics writes it, a comparison of the scores with a
    constant before the node.

    Returns:
        None without suppression in the graph; 0 if its threshold is not known or there is none.
    """
    nodes = [node for node in model.graph.node if _suppresses(node)]
    if not nodes:
        return None
    from onnx import numpy_helper

    constants = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    found = [0.0]
    names = [
        n.input[_SCORE_THRESHOLD] for n in nodes if n.op_type == "NonMaxSuppression" and len(n.input) > 4
    ]
    names += [n.input[_TURNED[n.op_type]] for n in _before(model, nodes) if n.op_type in _TURNED]
    for name in names:
        if name in constants and np.prod(constants[name].dims) == 1:
            value = float(numpy_helper.to_array(constants[name]).ravel()[0])
            if 0 < value < 1:
                found.append(value)
    return max(found)


def _suppresses(node: onnx.NodeProto) -> bool:
    return node.op_type == "NonMaxSuppression" or "NMS" in node.op_type.upper()


def _before(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes that these nodes depend on."""
    makers = {name: node for node in model.graph.node for name in node.output}
    seen: dict[int, onnx.NodeProto] = {}
    pending = [name for node in nodes for name in node.input]
    while pending:
        node = makers.get(pending.pop())
        if node is not None and id(node) not in seen:
            seen[id(node)] = node
            pending += node.input
    return list(seen.values())
