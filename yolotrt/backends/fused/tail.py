"""The end of the network: which convolutions give boxes, scores and coefficients, and how they are decoded.

How exporters write the decoding changes from version to version, so it is not matched node by node: what it
should compute is supposed from the shapes and proven on random numbers with ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.fused.graph import NetworkGraph
from yolotrt.errors import BuildError
from yolotrt.model.spec import ModelSpec
from yolotrt.model.tail import decode_tail

TOLERANCE = 1e-3
"""Largest accepted difference of what was supposed, relative to the largest value."""


@dataclass(frozen=True)
class Level:
    """The convolutions of one stride, by the tensors that they write.

    Attributes:
        boxes: (1, 4 bins, height, width).
        scores: (1, classes, height, width), before the sigmoid.
        coeffs: (1, coefficients, height, width).
        height: Cells.
        width: Cells.
        stride: Pixels of the input per cell.
    """

    boxes: str
    scores: str
    coeffs: str
    height: int
    width: int
    stride: float


@dataclass(frozen=True)
class Tail:
    """How detections are decoded.

    Attributes:
        levels: From the finest.
        bins: Bins of each distance's distribution; 1 if distances are given as they are.
        classes: Number of classes.
        coeffs: Number of mask coefficients.
        corners: Boxes are x1, y1, x2, y2 and not centre and size.
        keep: Detections that an end-to-end network returns; 0 returns all rows as planes.
        nodes: Names of the ONNX nodes that decode.
    """

    levels: tuple[Level, ...]
    bins: int
    classes: int
    coeffs: int
    corners: bool
    keep: int
    nodes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of rows: cells of all levels."""
        return sum(level.height * level.width for level in self.levels)

    @property
    def planes(self) -> int:
        """Values per row."""
        return 4 + self.classes + self.coeffs


def find_tail(graph: NetworkGraph, spec: ModelSpec) -> Tail:
    """Find out how a network decodes its detections.

    Raises:
        BuildError: It does so in a way that is not known.
    """
    nodes, convs = decode_tail(graph.model, (spec.head_output,))
    tensors = [n.outputs[0] for n in graph.nodes if n.name in set(convs)]
    by_size: dict[tuple[int, int], list[str]] = {}
    for name in tensors:
        shape = graph.shapes.get(name, ())
        if len(shape) == 4:
            by_size.setdefault((shape[2], shape[3]), []).append(name)
    sizes = sorted(by_size, reverse=True)
    if not sizes or any(len(by_size[size]) != 3 for size in sizes):
        raise refusal_of(spec, f"its head ends in {len(tensors)} convolutions of {len(sizes)} sizes")
    rng = np.random.default_rng(0)
    values = {t: rng.normal(0, 0.5, graph.shapes[t]).astype(np.float32) for t in tensors}
    real = graph.run(values, [spec.head_output])[0]
    for order in permutations(range(3)):
        tail = _suppose(graph, spec, [[by_size[s][i] for i in order] for s in sizes], tuple(nodes))
        if tail is not None and _matches(decoded(tail, values), real):
            return tail
    raise refusal_of(spec, "it decodes its detections in a way that is not known")


def decoded(tail: Tail, values: dict[str, F32]) -> F32:
    """Compute the detection head from the last convolutions' outputs, as a reference.

    Args:
        tail: How.
        values: (batch, channels, height, width) by tensor.

    Returns:
        The head as the network has it.
    """
    rows = np.concatenate([_rows(tail, level, values) for level in tail.levels], axis=2)
    return selected(tail, rows) if tail.keep else rows


def selected(tail: Tail, rows: F32) -> F32:
    """Return the best detections: (batch, values, rows) to (batch, keep, 6 + coefficients).

    First the rows with the highest best scores are kept, then the highest pairs of row and class among them;
    of equal ones the first.
    """
    batch, keep, classes = len(rows), tail.keep, tail.classes
    out = np.zeros((batch, keep, 6 + tail.coeffs), np.float32)
    for image, values in enumerate(rows):
        scores = values[4 : 4 + classes]
        first = np.argsort(-scores.max(0), kind="stable")[:keep]
        pairs = scores[:, first].T.ravel()
        best = np.argsort(-pairs, kind="stable")[:keep]
        row = first[best // classes]
        out[image, :, :4] = values[:4, row].T
        out[image, :, 4] = pairs[best]
        out[image, :, 5] = best % classes
        out[image, :, 6:] = values[4 + classes :, row].T
    return out


def _rows(tail: Tail, level: Level, values: dict[str, F32]) -> F32:
    cells = level.height * level.width
    raw, scores, coeffs = (
        values[name].astype(np.float32).reshape(len(values[name]), -1, cells)
        for name in (level.boxes, level.scores, level.coeffs)
    )
    bins = raw.reshape(len(raw), 4, tail.bins, cells)
    if tail.bins > 1:
        powers = np.exp(bins - bins.max(2, keepdims=True))
        shares = powers / powers.sum(2, keepdims=True)
        bins = (shares * np.arange(tail.bins, dtype=np.float32)[:, None]).sum(2, keepdims=True)
    left, top, right, bottom = (bins[:, i, 0] for i in range(4))
    half = np.float32(0.5)
    x = np.tile(np.arange(level.width, dtype=np.float32) + half, level.height)
    y = np.repeat(np.arange(level.height, dtype=np.float32) + half, level.width)
    if tail.corners:
        box = [x - left, y - top, x + right, y + bottom]
    else:
        box = [x + (right - left) * half, y + (bottom - top) * half, left + right, top + bottom]
    boxes = np.stack(box, axis=1) * np.float32(level.stride)
    return np.concatenate([boxes, 1 / (1 + np.exp(-scores)), coeffs], axis=1).astype(np.float32)


def _suppose(
    graph: NetworkGraph, spec: ModelSpec, triples: list[list[str]], nodes: tuple[str, ...]
) -> Tail | None:
    """Return how the head decodes if its convolutions have these roles, or None if the shapes forbid it."""
    channels = {tuple(graph.shapes[name][1] for name in three) for three in triples}
    if len(channels) != 1:
        return None
    sides, classes, coeffs = channels.pop()
    if sides % 4 or coeffs != spec.mask_coeffs:
        return None
    levels = tuple(
        Level(boxes, scores, logits, height, width, spec.input_wh[0] / width)
        for boxes, scores, logits in triples
        for height, width in [graph.shapes[boxes][2:]]
    )
    end2end = spec.head == "end2end"
    keep = graph.shapes[spec.head_output][1] if end2end else 0
    return Tail(levels, sides // 4, classes, coeffs, end2end, keep, nodes)


def _matches(supposed: F32, real: F32) -> bool:
    if supposed.shape != real.shape:
        return False
    return bool(np.abs(supposed - real).max() <= TOLERANCE * np.abs(real).max())


def refusal_of(spec: ModelSpec, reason: str) -> BuildError:
    """Return the error for a network that no fused steps compute."""
    return BuildError(
        f"The fused backend cannot build {spec.name}: {reason}.",
        hint="Build it with another backend: --backend tensorrt, tensorrt-rtx or onnxruntime",
    )
