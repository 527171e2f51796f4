"""In which form each feature map is kept for those who read it: FP16, INT8, or both.

Layers that multiply integers read INT8, all others FP16; channels that have readers of both kinds are kept
twice. So every reader sees what the ONNX network says, but for a layer that could be INT8 and stays in FP16:
it reads what was never rounded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32
from yolotrt.backends.fused.plan_ops import ChannelSlice, NetworkDraft, Op, Value

STORING = ("stem", "conv", "depthwise")
"""Operations whose kernels write INT8."""

Span = tuple[int, int]
"""First channel, and the one behind the last."""


@dataclass
class Forms:
    """In which form channels of tensors are kept.

    Attributes:
        draft: The network.
        half: By tensor: which channels somebody reads as FP16.
        scales: By tensor: what 1 counts for in each channel that is INT8; 0 where nobody reads it so.
    """

    draft: NetworkDraft
    half: dict[int, npt.NDArray[np.bool_]] = field(default_factory=dict)
    scales: dict[int, F32] = field(default_factory=dict)

    def agrees(self, piece: ChannelSlice, scale: float) -> bool:
        """Whether channels are INT8 in a scale, or nobody reads them as INT8."""
        known = self.scales.get(piece.tensor)
        return known is None or bool(np.isin(_part(known, piece), (0, np.float32(scale))).all())

    def holds(self, piece: ChannelSlice, scale: float) -> bool:
        """Whether channels are kept as INT8 in a scale."""
        known = self.scales.get(piece.tensor)
        return known is not None and bool((_part(known, piece) == np.float32(scale)).all())

    def keep(self, value: Value, scale: float) -> None:
        """Keep a value as INT8."""
        for piece in value:
            channels = self.draft.tensors[piece.tensor].channels
            _part(self.scales.setdefault(piece.tensor, np.zeros(channels, np.float32)), piece)[:] = scale

    def keep_half(self, value: Value) -> None:
        """Keep a value as FP16."""
        for piece in value:
            channels = self.draft.tensors[piece.tensor].channels
            _part(self.half.setdefault(piece.tensor, np.zeros(channels, np.bool_)), piece)[:] = True

    def spans(self, tensor: int) -> tuple[Span, Span]:
        """Return which channels of a tensor are written as FP16 and as INT8; none is (0, 0)."""
        return _span(self.half.get(tensor)), _span(self.scales.get(tensor))


def refused(draft: NetworkDraft) -> dict[str, str]:
    """Return the convolutions that cannot be INT8, by name, with the reason."""
    forms = Forms(draft)
    makers = draft.makers()
    found: dict[str, str] = {}
    for op in draft.ops:
        if op.kind not in ("stem", "conv", "grow", "depthwise"):
            continue
        reason = _reason(draft, op, makers, forms)
        if reason:
            found[op.name] = reason
        else:
            forms.keep(op.inputs[0], op.scale)
    return found


def settle(draft: NetworkDraft, chosen: Collection[str]) -> Forms:
    """Let the chosen operations be INT8, and return in which form tensors are kept for that.

    Args:
        draft: The network; its operations are marked.
        chosen: Names of operations, none of them refused.
    """
    forms = Forms(draft)
    for op in draft.ops:
        op.int8 = op.name in chosen
        if op.int8:
            forms.keep(op.inputs[0], op.scale)
        else:
            for value in op.inputs:
                forms.keep_half(value)
    for op in draft.ops:
        if op.residual and not reads_integers(op, forms):
            forms.keep_half(op.residual)
    return forms


def reads_integers(op: Op, forms: Forms) -> bool:
    """Whether an operation's residual is read as INT8: the network says so, and it is kept as that."""
    wanted = op.residual_scale
    return op.kind == "conv" and bool(wanted) and all(forms.holds(p, wanted) for p in op.residual or ())


def traffic(draft: NetworkDraft, forms: Forms) -> dict[str, int]:
    """Return the bytes of feature maps that each convolution moves for one image, by name."""
    found = {}
    for op in draft.ops:
        nbytes = sum(_nbytes(draft, piece, op.int8) for value in op.inputs for piece in value)
        if op.residual:
            whole = reads_integers(op, forms)
            nbytes += sum(_nbytes(draft, piece, whole) for piece in op.residual)
        for out in op.outputs:
            tensor = draft.tensors[out]
            (a, b), (c, d) = forms.spans(out)
            nbytes += (2 * (b - a) + d - c) * tensor.height * tensor.width
        found[op.name] = nbytes
    return found


def _reason(draft: NetworkDraft, op: Op, makers: dict[int, int], forms: Forms) -> str:
    if op.kind != "conv" or op.spread > 1:
        return "no INT8 kernel for its kind"
    if not op.scale or not op.weights or not op.weights.integers:
        return "not INT8 in the network"
    for piece in op.inputs[0]:
        maker = draft.ops[makers[piece.tensor]]
        if maker.kind not in STORING or maker.spread > 1:
            return f"{maker.name} writes no INT8"
        if not forms.agrees(piece, op.scale):
            return f"others read {draft.tensors[piece.tensor].name} in another scale"
    return ""


def _nbytes(draft: NetworkDraft, piece: ChannelSlice, whole: bool) -> int:
    tensor = draft.tensors[piece.tensor]
    return tensor.height * tensor.width * piece.channels * (1 if whole else 2)


def _part(known: npt.NDArray[np.generic], piece: ChannelSlice) -> npt.NDArray[np.generic]:
    return known[piece.first : piece.first + piece.channels]


def _span(known: npt.NDArray[np.generic] | None) -> Span:
    used = np.flatnonzero(known) if known is not None else np.zeros(0, int)
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
