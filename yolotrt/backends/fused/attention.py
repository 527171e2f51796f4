"""Attention blocks in an ONNX network, found around each softmax and proven on random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.fused.graph import NetworkGraph, Node, refusal
from yolotrt.backends.fused.tail import TOLERANCE

_MOVES = {"Reshape", "Transpose", "Split", "Slice", "Mul", "Cast", "Identity", "Gather", "Squeeze"}
"""What may lie between the convolution before a block and its matrix products."""


@dataclass(frozen=True)
class AttentionBlock:
    """Softmax attention and the positional convolution that is added to it.

    Attributes:
        source: Tensor of queries, keys and values, head by head.
        result: Tensor of the sum.
        heads: Number of heads.
        key: Channels of a query and of a key.
        value: Channels of a value.
        areas: Parts of the rows of pixels that do not see each other.
        positional: The depthwise convolution's node.
        nodes: All nodes of it.
    """

    source: str
    result: str
    heads: int
    key: int
    value: int
    areas: int
    positional: Node
    nodes: tuple[Node, ...]

    @property
    def scale(self) -> float:
        """What products of queries and keys are multiplied with."""
        return 1 / math.sqrt(self.key)


def find_blocks(graph: NetworkGraph, elsewhere: set[str]) -> list[AttentionBlock]:
    """Return the attention blocks of a network.

    Args:
        graph: The network.
        elsewhere: Names of nodes that belong to something else.

    Raises:
        BuildError: A softmax is not part of a block that is known.
    """
    return [_find(graph, n) for n in graph.nodes if n.op == "Softmax" and n.name not in elsewhere]


def attended(block: AttentionBlock, source: F32, weight: F32, bias: F32) -> F32:
    """Compute a block, as a reference.

    Args:
        block: Which.
        source: (batch, channels, height, width).
        weight: (channels, 1, kernel, kernel) of the positional convolution.
        bias: (channels,) of it.

    Returns:
        (batch, heads x value, height, width).
    """
    batch, _, height, width = source.shape
    heads, key, value, areas = block.heads, block.key, block.value, block.areas
    pixels = height * width
    parts = source.reshape(batch, heads, 2 * key + value, areas, pixels // areas)
    query, keys, values = np.split(parts, [key, 2 * key], axis=2)
    scores = np.einsum("bhcai,bhcaj->bhaij", query, keys) * np.float32(block.scale)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    mixed = np.einsum("bhaij,bhcaj->bhcai", powers, values).reshape(batch, -1, height, width)
    flat = values.reshape(batch, heads * value, height, width)
    return np.asarray(mixed + _depthwise(flat, weight, bias), np.float32)


def _depthwise(x: F32, weight: F32, bias: F32) -> F32:
    """Convolve each channel of (batch, channels, height, width) with its own kernel, size kept by zeros."""
    kernel = weight.shape[-1]
    pad = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    sums = np.einsum("bchwij,cij->bchw", windows, weight[:, 0])
    return np.asarray(sums + bias[None, :, None, None], np.float32)


def _find(graph: NetworkGraph, softmax: Node) -> AttentionBlock:
    first = _before(graph, softmax.inputs[0], {"MatMul"})
    second = _behind(graph, softmax.outputs[0], {"MatMul"})
    total = _behind(graph, second.outputs[0] if second else "", {"Add"})
    if first is None or second is None or total is None:
        raise refusal(softmax, "it is not part of an attention block that is known")
    roots = {root.outputs[0] for name in first.inputs if (root := _before(graph, name, {"Conv"}))}
    others = [n for n in (_before(graph, name, {"Conv"}) for name in total.inputs) if n is not None]
    if len(roots) != 1 or not others:
        raise refusal(softmax, "its queries, keys and values do not come from one convolution")
    source, result = roots.pop(), total.outputs[0]
    scores, out = graph.shapes[softmax.outputs[0]], graph.shapes[second.outputs[0]]
    areas, heads = scores[0], scores[1]
    pixels = int(np.prod(graph.shapes[source][2:]))
    block = AttentionBlock(
        source=source,
        result=result,
        heads=heads,
        key=graph.shapes[first.inputs[0]][-1],
        value=int(np.prod(out)) // (pixels * heads),
        areas=areas,
        positional=others[0],
        nodes=tuple(graph.ancestors([result], until=[source])),
    )
    _prove(graph, block, softmax)
    return block


def _prove(graph: NetworkGraph, block: AttentionBlock, softmax: Node) -> None:
    """Refuse a block that computes anything else than it should on random numbers."""
    shape, node = graph.shapes[block.source], block.positional
    weight, bias = (graph.constant(node, i).astype(np.float32) for i in (1, 2))
    fits = shape[1] == block.heads * (2 * block.key + block.value) and weight.shape[1] == 1
    if fits and weight.shape[0] == block.heads * block.value:
        source = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
        real = graph.run({block.source: source}, [block.result])[0]
        supposed = attended(block, source, weight, bias)
        if real.shape == supposed.shape and (np.abs(real - supposed).max() <= TOLERANCE * np.abs(real).max()):
            return
    raise refusal(softmax, "its attention block is of a kind that is not known")


def _before(graph: NetworkGraph, name: str, ops: set[str]) -> Node | None:
    """Walk back along data, not constants, to the first node of some operators."""
    while (node := graph.makers.get(name)) is not None and node.op not in ops:
        if node.op not in _MOVES:
            return None
        name = next((i for i in node.inputs if i not in graph.constants), "")
    return node


def _behind(graph: NetworkGraph, name: str, ops: set[str]) -> Node | None:
    """Walk on along single readers to the first node of some operators."""
    while len(readers := graph.readers.get(name, [])) == 1:
        if readers[0].op in ops:
            return readers[0]
        if readers[0].op not in _MOVES:
            return None
        name = readers[0].outputs[0]
    return None
