"""Two linear layers as one: a transposed convolution of 2 x 2 and the 3 x 3 convolution behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolotrt.backends.fused.parts import Dense
from yolotrt.backends.fused.plan_ops import ConvWeights, NetworkDraft, Op
from yolotrt.backends.fused.steps import Grow

ROWS = {0: ((0, 1), (1, 0), (1, 1)), 1: ((0, 0), (0, 1), (1, 0))}
"""For a result's row in its pixel of the source: where the three taps' rows come from. First the tap's row of
the source (0 is the upper one of the two that count), then the row within the pixel there."""


def fuse_growth(draft: NetworkDraft) -> None:
    """Let the layers that make the prototypes be one operation of kind ``grow``, where they allow it."""
    readers = draft.readers()
    for op in [o for o in draft.ops if o.kind == "conv" and o.spread == 2]:
        behind = readers.get(op.outputs[0], [])
        if len(behind) == 1 and _fits(draft, op, behind[0]):
            _join(draft, op, behind[0])


def composed(spread: ConvWeights, kernel: ConvWeights) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases of both layers as one.

    Args:
        spread: The transposed convolution as one of single pixels: (4 x channels, inputs, 1, 1).
        kernel: The 3 x 3 convolution: (outputs, channels, 3, 3).

    Returns:
        (2, 2, 2, 2, inputs, outputs): place, tap; and (2, 2, 2, 2, outputs): place, whether the outer row and
        the outer column of taps lie outside.
    """
    outputs, channels = kernel.weight.shape[:2]
    inputs = spread.weight.shape[1]
    places = spread.weight.reshape(2, 2, channels, inputs)
    weight = np.zeros((2, 2, 2, 2, inputs, outputs), np.float64)
    bias = np.tile(kernel.bias.astype(np.float64), (2, 2, 2, 2, 1))
    constant = np.einsum("ncrs,c->rsn", kernel.weight.astype(np.float64), spread.bias[:channels])
    for py in (0, 1):
        for px in (0, 1):
            for r, (a, dy) in enumerate(ROWS[py]):
                for s, (b, dx) in enumerate(ROWS[px]):
                    product = kernel.weight[:, :, r, s].astype(np.float64) @ places[dy, dx]
                    weight[py, px, a, b] += product.T
                    for row_out in (0, 1):
                        for column_out in (0, 1):
                            # The outer taps: the upper row in the upper half of a pixel, and so on.
                            if not ((row_out and a == py) or (column_out and b == px)):
                                bias[py, px, row_out, column_out] += constant[r, s]
    return weight, bias


@dataclass(frozen=True)
class Pair:
    """Weights for both places in a row of a pixel at once, as the kernel wants them.

    Attributes:
        dense: (2 x 2 x 3 x input channels, both places' channels): row of the result, tap (2 x 3), channel.
            The bias is of the upper row; both are the same where no tap lies outside.
        edges: (2 x 6, both places' channels) FP32: row of the result, then whether the outer row of taps lies
            outside, then none, the left or the right column: what the bias lacks there.
        point: (both places' channels, planes x 2 places).
    """

    dense: Dense
    edges: npt.NDArray[np.float32]
    point: Dense


def paired(step: Grow) -> Pair:
    """Return a step's weights by rows of the result."""
    outputs = step.weight.shape[1]
    weight = step.weight.reshape(2, 2, 2, 2, -1, outputs)  # row, column; tap's row, tap's column
    wide = np.zeros((2, 2, 3, weight.shape[4], 2, outputs), np.float16)
    bias = step.bias.reshape(2, 2, 2, 2, outputs)
    edges = np.zeros((2, 2, 3, 2, outputs), np.float32)
    for px in (0, 1):
        wide[:, :, px : px + 2, :, px] = weight[:, px]
        for column in (0, 1, 2):  # none, left, right: the left place misses the left one, and so on
            missing = int(column == px + 1)
            edges[:, :, column, px] = bias[:, px, :, missing] - bias[:, px, :1, 0]
    both = np.zeros((2, outputs, step.point.outputs, 2), np.float16)
    for px in (0, 1):
        both[px, :, :, px] = step.point.weight
    point = Dense(both.reshape(2 * outputs, -1), np.repeat(step.point.bias, 2), step.point.act)
    whole = np.ascontiguousarray(bias[0, :, 0, 0]).reshape(-1)
    dense = Dense(wide.reshape(-1, 2 * outputs), whole, step.act)
    return Pair(dense, edges.reshape(12, 2 * outputs), point)


def _fits(draft: NetworkDraft, first: Op, second: Op) -> bool:
    plain = first.act == "none" and not first.residual and first.point is None
    shape = (second.kind, second.kernel, second.stride, second.pad) == ("conv", 3, 1, 1)
    whole = (
        draft.is_one_tensor(second.inputs[0]) and len(first.inputs[0]) == 1 and first.inputs[0][0].zoom == 1
    )
    plain = plain and all(w is None or w.gain is None for w in (first.weights, second.weights, second.point))
    ends = second.outputs[0] in draft.outputs and second.point is not None and not second.residual
    return plain and shape and whole and ends


def _join(draft: NetworkDraft, first: Op, second: Op) -> None:
    assert first.weights
    assert second.weights
    second.extra = composed(first.weights, second.weights)
    second.kind = "grow"
    second.inputs, second.height, second.width = first.inputs, first.height, first.width
    second.nodes = first.nodes + second.nodes
    draft.ops.remove(first)
