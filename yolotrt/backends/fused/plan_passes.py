"""What makes fewer kernels of a network: neighbours that read the same become one, chains become one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from yolotrt.backends.fused.integers import Integers
from yolotrt.backends.fused.parts import MOST_SOURCES, round_up
from yolotrt.backends.fused.plan_ops import ChannelSlice, ConvWeights, NetworkDraft, Op, Tensor, Value, joined

WIDEST_CHAIN = 128
"""Most channels between two convolutions in one kernel: all of them have to be at hand at once."""


def merge_siblings(draft: NetworkDraft) -> None:
    """Let convolutions of the same shape that read the same be one, each writing its own channels."""
    groups: dict[object, list[Op]] = {}
    for op in draft.ops:
        plain = op.kind == "conv" and not op.residual and op.spread == 1
        inner = not set(op.outputs) & draft.outputs and draft.tensors[op.outputs[0]].channels % 8 == 0
        if plain and inner and op.weights and op.weights.gain is None:
            whole = op.scale if op.weights.integers else 0.0
            key = (op.inputs[0], op.kernel, op.stride, op.pad, op.weights.act, whole)
            groups.setdefault(key, []).append(op)
    for first, *others in groups.values():
        for other in others:
            if _pays(first, other):
                _merge(draft, first, other)


def _joined_integers(a: ConvWeights, b: ConvWeights) -> Integers | None:
    return a.integers.joined(b.integers) if a.integers and b.integers else None


def fuse_chains(draft: NetworkDraft) -> None:
    """Let a convolution of single pixels be computed where its input is made, if nobody else reads that."""
    while _fuse_one(draft):
        pass


def fuse_sums(draft: NetworkDraft) -> None:
    """Let convolutions of single pixels that are enlarged and added compute the sum, one after the other.

    A pixel that is repeated behind such a convolution may as well be repeated in front of it: products cost
    less there than a kernel that adds. Whoever read the small result alone would have to read a large one.
    """
    for op in [op for op in draft.ops if op.kind == "sum"]:
        makers, readers = draft.makers(), draft.readers()
        base = [value for value in op.inputs if all(piece.zoom == 1 for piece in value)]
        small = [value[0] for value in op.inputs if value[0].zoom > 1]
        grown = [draft.ops[makers[piece.tensor]] for piece in small]
        alone = all(
            draft.is_one_tensor((replace(p, zoom=1),)) and len(readers[p.tensor]) == 1
            and p.tensor not in draft.outputs
            for p in small
        )  # fmt: skip
        plain = all(
            made.kind == "conv" and made.kernel == made.stride == made.spread == 1 and not made.residual
            and made.outputs == [piece.tensor]
            for piece, made in zip(small, grown, strict=True)
        )  # fmt: skip
        if not small or len(base) != 1 or len(base[0]) != 1 or not alone or not plain:
            continue
        for made in grown:  # nobody else reads them: they can wait until what they are added to is there
            draft.ops.remove(made)
        at = draft.ops.index(op)
        draft.ops[at : at + 1] = grown
        before: Value = base[0]
        for piece, made, add in zip(small, grown, op.nodes, strict=True):
            _enlarge(draft, made, piece.zoom)
            made.residual, before = before, draft.whole(piece.tensor)
            made.name, made.nodes = add, [*made.nodes, add]
        grown[-1].outputs = op.outputs


def materialize(draft: NetworkDraft, homes: dict[int, tuple[int, int]]) -> None:
    """Copy what a kernel cannot read as it lies: too many pieces, or enlarged under a larger kernel."""
    for op in list(draft.ops):
        for i, value in enumerate(op.inputs):
            pieces = settled(value, homes)
            zoomed = any(p.zoom > 1 for p in value) and op.kernel > 1
            if op.kind in ("conv", "depthwise") and (len(pieces) > _most(op) or zoomed):
                op.inputs[i] = _copy(draft, op, value, homes)


def place(draft: NetworkDraft) -> dict[int, tuple[int, int]]:
    """Let tensors that are concatenated lie side by side.

    Returns:
        For each tensor that shares a map: the tensor whose map it is, and its first channel there. Of the
        sharing tensors the first stands for all.
    """
    homes: dict[int, tuple[int, int]] = {}
    for op in draft.ops:
        for value in op.inputs:
            run: list[int] = []
            for piece in (*value, None):
                if piece is not None and _free(draft, piece, homes, run):
                    run.append(piece.tensor)
                    continue
                if len(run) > 1:
                    _settle(draft, run, homes)
                run = []
                if piece is not None and _free(draft, piece, homes, run):
                    run = [piece.tensor]
    return homes


def settled(value: Value, homes: dict[int, tuple[int, int]]) -> Value:
    """Return a value in terms of the tensors that maps are named after."""
    pieces = []
    for piece in value:
        home, first = homes.get(piece.tensor, (piece.tensor, 0))
        pieces.append(replace(piece, tensor=home, first=first + piece.first))
    return joined(pieces)


def _most(op: Op) -> int:
    return MOST_SOURCES if op.kind == "conv" else 1


def _pays(first: Op, other: Op) -> bool:
    """Whether two convolutions are no more work together: tiles are powers of two wide."""
    assert first.weights
    assert other.weights
    a, b = len(first.weights.bias), len(other.weights.bias)
    return _padded(a + b) <= _padded(a) + _padded(b) and _padded(a + b) <= 256


def _padded(channels: int) -> int:
    return max(16, 1 << (channels - 1).bit_length())


def _merge(draft: NetworkDraft, first: Op, other: Op) -> None:
    assert first.weights
    assert other.weights
    kept, gone = first.outputs[0], other.outputs[0]
    shift = draft.tensors[kept].channels
    draft.tensors[kept].channels += draft.tensors[gone].channels
    first.weights = ConvWeights(
        np.concatenate([first.weights.weight, other.weights.weight]),
        np.concatenate([first.weights.bias, other.weights.bias]),
        first.weights.act,
        _joined_integers(first.weights, other.weights),
    )
    first.nodes += other.nodes
    draft.ops.remove(other)

    def moved(value: Value) -> Value:
        return joined(
            [replace(p, tensor=kept, first=p.first + shift) if p.tensor == gone else p for p in value]
        )

    for op in draft.ops:
        op.inputs = [moved(v) for v in op.inputs]
        op.residual = moved(op.residual) if op.residual else None
    draft.values = {name: moved(v) for name, v in draft.values.items()}


def _fuse_one(draft: NetworkDraft) -> bool:
    makers, readers = draft.makers(), draft.readers()
    for second in draft.ops:
        if second.kind != "conv" or second.kernel != 1 or second.stride != 1 or second.point:
            continue
        value = second.inputs[0]
        if second.spread != 1 or not draft.is_one_tensor(value) or value[0].tensor in draft.outputs:
            continue
        at = makers[value[0].tensor]
        first = draft.ops[at]
        early = all(makers[p.tensor] < at for p in second.residual or ())
        if len(readers[value[0].tensor]) != 1 or first.residual or not early:
            continue
        if _join(draft, first, second):
            return True
    return False


def _join(draft: NetworkDraft, first: Op, second: Op) -> bool:
    """Let ``first`` compute ``second`` too, if their kinds and sizes allow it."""
    assert second.weights
    outputs = round_up(len(second.weights.bias))
    if outputs > WIDEST_CHAIN:
        return False
    if first.kind != "conv" or first.point is not None or first.spread != 1 or first.weights is None:
        return False
    if round_up(len(first.weights.bias)) > WIDEST_CHAIN or first.weights.gain is not None:
        return False
    first.point, first.point_scale = second.weights, second.scale
    first.residual, first.residual_scale = second.residual, second.residual_scale
    first.outputs = second.outputs
    first.nodes += second.nodes
    first.name = second.name
    draft.ops.remove(second)
    return True


def _enlarge(draft: NetworkDraft, op: Op, zoom: int) -> None:
    """Let a convolution of single pixels read each of them more than once, for a result as much larger."""
    op.inputs = [tuple(replace(piece, zoom=piece.zoom * zoom) for piece in value) for value in op.inputs]
    op.height, op.width = op.height * zoom, op.width * zoom
    for index in op.outputs:
        tensor = draft.tensors[index]
        tensor.height, tensor.width = tensor.height * zoom, tensor.width * zoom


def _free(
    draft: NetworkDraft, piece: ChannelSlice, homes: dict[int, tuple[int, int]], run: list[int]
) -> bool:
    tensor = draft.tensors[piece.tensor]
    whole = (piece.first, piece.channels, piece.zoom) == (0, tensor.channels, 1)
    taken = piece.tensor in homes or piece.tensor in run or piece.tensor in draft.outputs
    same = not run or (tensor.height, tensor.width) == (
        draft.tensors[run[0]].height, draft.tensors[run[0]].width,
    )  # fmt: skip
    return whole and not taken and same and tensor.channels % 8 == 0


def _settle(draft: NetworkDraft, run: list[int], homes: dict[int, tuple[int, int]]) -> None:
    first = 0
    for tensor in run:
        homes[tensor] = (run[0], first)
        first += draft.tensors[tensor].channels


def _copy(draft: NetworkDraft, op: Op, value: Value, homes: dict[int, tuple[int, int]]) -> Value:
    """Write a value's pieces side by side before an operation reads them."""
    whole: list[int] = []
    for piece in value:
        draft.tensors.append(Tensor(f"{op.name}.copy", piece.channels, op.height, op.width))
        target = len(draft.tensors) - 1
        copy = Op("sum", f"{op.name}.copy", [], [(piece,)], [target], op.height, op.width)
        draft.ops.insert(draft.ops.index(op), copy)
        whole.append(target)
    first = 0
    if len(whole) > 1:
        for tensor in whole:
            homes[tensor] = (whole[0], first)
            first += draft.tensors[tensor].channels
    return tuple(p for t in whole for p in draft.whole(t))
