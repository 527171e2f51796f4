"""Which layers compute in INT8, and in which form each feature map is kept for those who read it.

A map is kept as INT8 for the layers that multiply integers, as FP16 for all others, and as both where it has
readers of both kinds: so every reader sees what the ONNX network says. A layer that could be INT8 and stays
in FP16 reads what was never rounded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.fused.plan_ops import ChannelSlice, NetworkDraft, Op, Value

STORING = ("stem", "conv", "depthwise")
"""Operations whose kernels write INT8."""


@dataclass
class Forms:
    """In which form tensors are kept.

    Attributes:
        half: Those with a map of FP16.
        scales: Those with a map of INT8: what 1 counts for in each channel; 0 where nobody reads it so.
    """

    half: set[int] = field(default_factory=set)
    scales: dict[int, F32] = field(default_factory=dict)

    def agrees(self, piece: ChannelSlice, scale: float) -> bool:
        """Whether channels are INT8 in a scale, or nobody reads them as INT8."""
        known = self.scales.get(piece.tensor)
        part = known[piece.first : piece.first + piece.channels] if known is not None else np.zeros(0)
        return bool(np.all((part == 0) | (part == np.float32(scale))))

    def holds(self, piece: ChannelSlice, scale: float) -> bool:
        """Whether channels are kept as INT8 in a scale."""
        return piece.tensor in self.scales and bool(
            np.all(
                self.scales[piece.tensor][piece.first : piece.first + piece.channels] == np.float32(scale)
            )
        )

    def keep(self, draft: NetworkDraft, value: Value, scale: float) -> None:
        """Keep a value as INT8."""
        for piece in value:
            channels = draft.tensors[piece.tensor].channels
            known = self.scales.setdefault(piece.tensor, np.zeros(channels, np.float32))
            known[piece.first : piece.first + piece.channels] = scale


def refused(draft: NetworkDraft) -> dict[str, str]:
    """Return the convolutions that cannot be INT8, by name, with the reason."""
    forms = Forms()
    makers = draft.makers()
    found: dict[str, str] = {}
    for op in draft.ops:
        if op.kind not in ("stem", "conv", "grow", "depthwise"):
            continue
        reason = _reason(draft, op, makers, forms)
        if reason:
            found[op.name] = reason
        else:
            forms.keep(draft, op.inputs[0], op.scale)
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


def settle(draft: NetworkDraft, chosen: Collection[str]) -> Forms:
    """Let the chosen operations be INT8, and return in which form tensors are kept for that.

    Args:
        draft: The network; its operations are marked.
        chosen: Names of operations, none of them refused.
    """
    forms = Forms()
    for op in draft.ops:
        op.int8 = op.name in chosen
        if op.int8:
            forms.keep(draft, op.inputs[0], op.scale)
        else:
            forms.half |= {piece.tensor for value in op.inputs for piece in value}
    for op in draft.ops:
        if op.residual and not reads_integers(op, forms):
            forms.half |= {piece.tensor for piece in op.residual}
    return forms


def reads_integers(op: Op, forms: Forms) -> bool:
    """Whether an operation's residual is read as INT8: the network says so, and it is kept as that."""
    wanted = op.residual_scale
    there = all(forms.holds(piece, wanted) for piece in op.residual or ())
    return op.kind == "conv" and bool(wanted) and there
