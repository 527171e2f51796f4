"""Moving all scores of a network by one number, in the biases of the convolutions that compute them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yolotrt.model.spec import ModelSpec
from yolotrt.model.tail import decode_tail

if TYPE_CHECKING:
    import onnx

_KINDS = 3
"""Boxes, scores and mask coefficients have convolutions of their own, at each stride."""


def score_convolutions(model: onnx.ModelProto, spec: ModelSpec) -> list[str]:
    """Return the names of the last convolutions that compute the classes' logits, one per stride.

    They are told by their number of channels. Where boxes or coefficients have as many, or heads are built in
    another way, none is returned.

    Args:
        model: The FP32 network; every node has a name.
        spec: Its interface.
    """
    _, ends = decode_tail(model, (spec.head_output,))
    weights = {t.name: t for t in model.graph.initializer}
    nodes = {n.name: n for n in model.graph.node if n.name in ends}
    found = [
        name
        for name in ends
        if len(nodes[name].input) == 3
        and nodes[name].input[2] in weights
        and list(weights[nodes[name].input[2]].dims) == [len(spec.names)]
    ]
    return found if len(found) * _KINDS == len(ends) else []


def with_shifted_scores(model: onnx.ModelProto, spec: ModelSpec, shift: float) -> onnx.ModelProto:
    """Return the network with every class's logit moved by ``shift``; the order of scores stays.

    Args:
        model: The FP32 network; it is not changed.
        spec: Its interface.
        shift: What is added to each logit.

    Raises:
        ValueError: The network has no convolutions of :func:`score_convolutions`.
    """
    import onnx
    from onnx import numpy_helper

    names = score_convolutions(model, spec)
    if not names:
        raise ValueError(f"{spec.name} has no convolutions that compute scores alone")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    tensors = {t.name: t for t in result.graph.initializer}
    for node in result.graph.node:
        if node.name in names:
            bias = numpy_helper.to_array(tensors[node.input[2]])
            node.input[2] = f"{node.name}.bias.shifted"
            moved = (bias + np.float32(shift)).astype(bias.dtype)
            result.graph.initializer.append(numpy_helper.from_array(moved, node.input[2]))
    used = {name for n in result.graph.node for name in n.input} | {o.name for o in result.graph.output}
    kept = [t for t in result.graph.initializer if t.name in used]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return result
