"""From operations to steps: maps get their numbers, weights their layout, results their places."""

from __future__ import annotations

from typing import Literal

import numpy as np

from yolotrt.backends.fused.graph import NetworkGraph
from yolotrt.backends.fused.parts import (
    Boxes,
    Dense,
    Kept,
    Map,
    Planes,
    Rounding,
    Slice,
    Spread,
    Store,
    next_power,
    round_up,
)
from yolotrt.backends.fused.plan_ops import (
    ChannelSlice,
    NetworkDraft,
    Op,
    Tensor,
    Value,
    aligned,
)
from yolotrt.backends.fused.plan_passes import settled
from yolotrt.backends.fused.precision import Forms, reads_integers
from yolotrt.backends.fused.steps import (
    Attention,
    Best,
    Conv,
    Depthwise,
    Grow,
    Network,
    Pools,
    Select,
    Stem,
    Step,
    Sum,
)
from yolotrt.backends.fused.stored_weights import dense_of, point_of, rounding_of, taps_of
from yolotrt.backends.fused.tail import Tail, refusal_of
from yolotrt.errors import BuildError
from yolotrt.model.spec import ModelSpec

MOST_IN_STEM = 32
"""Products that the first convolution's kernel sums up: three channels of 3 x 3 pixels, and some."""

MOST_POOLED = 4096
"""Pixels of a map that one program of the pooling kernel takes."""

MOST_PAIRS = 1 << 16
"""Pairs of row and class that one program of the selecting kernel sorts."""


class Lowering:
    """Writes operations as steps."""

    def __init__(
        self,
        draft: NetworkDraft,
        homes: dict[int, tuple[int, int]],
        tail: Tail,
        spec: ModelSpec,
        graph: NetworkGraph,
        forms: Forms,
    ) -> None:
        self._draft, self._homes, self._tail, self._spec = draft, homes, tail, spec
        self._forms = forms
        _, channels, height, width = graph.shapes[spec.proto_output]
        head = graph.shapes[spec.head_output][1:]
        self._network = Network(
            maps=[],
            steps=[],
            input_name=spec.input_name,
            input_hw=(spec.input_wh[1], spec.input_wh[0]),
            head=(spec.head_output, head),
            protos=(spec.proto_output, (channels, height, width)),
        )
        self._maps: dict[tuple[int, bool], int] = {}  # by tensor, and whether it is INT8
        self._rows: int | None = None
        if tail.bins & (tail.bins - 1):
            raise self._refusal(f"its distances have {tail.bins} bins, which is no power of two")
        if tail.keep * tail.classes > MOST_PAIRS:
            raise self._refusal(f"it chooses from {tail.keep} x {tail.classes} pairs, more than {MOST_PAIRS}")
        if tail.keep:
            self._rows = self._new_map(Map("rows", tail.planes, tail.count, 1, 4))
        self._stores = self._planes(height * width, channels)

    def run(self) -> Network:
        """Return the network; its maps have no places yet.

        Raises:
            BuildError: A step has a size or alignment that no kernel takes.
        """
        for op in self._draft.ops:
            self._network.steps.append(self._step(op))
        tail = self._tail
        if self._rows is not None:
            best = self._new_map(Map("best", 1, tail.count, 1, 4))
            scratch = self._new_map(Map("scratch", 3, next_power(tail.keep), 1, 4))
            self._network.steps.append(
                Best(
                    name="best scores", nodes=(), rows=self._rows, store=best, count=tail.count, first=4,
                    classes=tail.classes,
                )
            )  # fmt: skip
            self._network.steps.append(
                Select(
                    name="best detections", nodes=tail.nodes, rows=self._rows, best=best, scratch=scratch,
                    count=tail.count, classes=tail.classes, coeffs=tail.coeffs, keep=tail.keep,
                )
            )  # fmt: skip
        return self._network

    def _planes(self, pixels: int, coeffs: int) -> dict[int, Store]:
        """Return where the tensors go that are the network's outputs."""
        tail, spec = self._tail, self._spec
        target: Literal["head"] | int = "head" if self._rows is None else self._rows
        stores: dict[int, Store] = {}
        offset = 0
        for level in tail.levels:
            boxes, scores, logits = (
                Planes(target, first, tail.count, offset, tail.planes, count, False)
                for first, count in ((0, 4), (4, tail.classes), (4 + tail.classes, tail.coeffs))
            )
            names = (level.boxes, level.scores, level.coeffs)
            tensors = [self._draft.values[name][0].tensor for name in names]
            decoded = Boxes(boxes, tail.bins, level.stride, tail.corners)
            stores |= dict(zip(tensors, (decoded, scores, logits), strict=True))
            offset += level.height * level.width
        protos = self._draft.values[spec.proto_output][0].tensor
        stores[protos] = Planes("protos", 0, pixels, 0, coeffs, coeffs, True)
        # The sigmoid of the scores belongs to the decoding; the layers themselves end without one.
        self._scores = {self._draft.values[level.scores][0].tensor for level in tail.levels}
        return stores

    def _step(self, op: Op) -> Step:
        by_kind = {
            "stem": self._stem, "conv": self._conv, "grow": self._grow, "depthwise": self._depthwise,
            "pools": self._pools, "attention": self._attention, "sum": self._sum,
        }  # fmt: skip
        return by_kind[op.kind](op)

    def _stem(self, op: Op) -> Step:
        assert op.weights
        weight = op.weights.weight
        if weight[0].size > MOST_IN_STEM:
            raise self._refusal(
                f"its first layer sums up {weight[0].size} products, more than {MOST_IN_STEM}"
            )
        flat = weight.reshape(len(weight), -1).T
        store, also, scale = self._targets(op.outputs[0])
        return Stem(
            name=op.name, nodes=tuple(op.nodes), height=op.height, width=op.width, channels=weight.shape[1],
            kernel=op.kernel, stride=op.stride, pad=op.pad, dense=dense_of(flat, op.weights),
            store=store, also=also, rounding=Rounding(store=scale),
        )  # fmt: skip

    def _conv(self, op: Op) -> Step:
        assert op.weights
        value = settled(op.inputs[0], self._homes)
        sources = tuple(self._slice(piece, int8=op.int8) for piece in value)
        rows, at = [], 0
        whole = op.weights.integers.values if op.int8 and op.weights.integers else op.weights.weight
        for piece, source in zip(value, sources, strict=True):
            part = whole[:, at : at + piece.channels].transpose(2, 3, 1, 0)
            spare = source.channels - piece.channels
            padded = np.pad(part, ((0, 0), (0, 0), (0, spare), (0, 0)))
            rows.append(padded.reshape(-1, padded.shape[-1]))
            at += piece.channels
        behind = op.int8 and bool(op.point_scale) and op.point is not None and op.point.integers is not None
        point = point_of(op.point, int8=behind) if op.point else None
        dense = dense_of(np.concatenate(rows), op.weights)
        out = op.outputs[0]
        if out in self._scores:
            last = point or dense
            scored = Dense(last.weight, last.bias, "sigmoid")
            point, dense = (scored, dense) if point else (None, scored)
        store: Store
        store, also, kept = (self._stores[out], None, None) if out in self._stores else self._targets(out)
        if op.spread > 1:
            if not isinstance(store, Slice) or len(op.weights.bias) % (8 * op.spread**2):
                raise self._refusal(f"{op.name} writes {len(op.weights.bias)} channels")
            store = Spread(store, op.spread)
        integral = op.residual is not None and reads_integers(op, self._forms)
        rounding = rounding_of(op, kept, behind=behind, residual=integral)
        residual = self._slice(settled(op.residual, self._homes)[0], int8=integral) if op.residual else None
        return Conv(
            name=op.name, nodes=tuple(op.nodes), sources=sources, height=op.height, width=op.width,
            kernel=op.kernel, stride=op.stride, pad=op.pad, dense=dense, store=store, point=point,
            residual=residual, also=also, rounding=rounding,
        )  # fmt: skip

    def _grow(self, op: Op) -> Step:
        assert op.weights
        assert op.point
        weight, bias = op.extra
        source, store = self._single(op.inputs[0]), self._stores[op.outputs[0]]
        spare = round_up(weight.shape[-1]) - weight.shape[-1]
        assert isinstance(store, Planes)
        padded = np.pad(weight, ((0, 0),) * 4 + ((0, source.channels - weight.shape[4]), (0, spare)))
        return Grow(
            name=op.name, nodes=tuple(op.nodes), source=source, height=op.height, width=op.width,
            weight=np.ascontiguousarray(padded.reshape(-1, padded.shape[-1]), np.float16),
            bias=np.pad(bias.reshape(16, -1), ((0, 0), (0, spare))).astype(np.float32), act=op.weights.act,
            point=point_of(op.point), store=store,
        )  # fmt: skip

    def _depthwise(self, op: Op) -> Step:
        store, also, scale = self._targets(op.outputs[0])
        return Depthwise(
            name=op.name, nodes=tuple(op.nodes), source=self._single(op.inputs[0]), height=op.height,
            width=op.width, taps=taps_of(op), store=store, also=also, rounding=Rounding(store=scale),
            residual=self._single(op.residual) if op.residual else None,
        )  # fmt: skip

    def _pools(self, op: Op) -> Step:
        if op.height * op.width > MOST_POOLED:
            raise self._refusal(f"{op.name} pools {op.width} x {op.height} pixels, more than {MOST_POOLED}")
        channels = 3 * self._draft.tensors[op.outputs[0]].stored
        scratch = self._new_map(Map(f"{op.name}.rows", op.height, op.width, channels))
        return Pools(
            name=op.name, nodes=tuple(op.nodes), source=self._single(op.inputs[0]), height=op.height,
            width=op.width, kernel=op.kernel, stores=tuple(self._target(t) for t in op.outputs),
            scratch=Slice(scratch, 0, channels),
        )  # fmt: skip

    def _attention(self, op: Op) -> Step:
        block = op.extra
        if block.key % 8 or block.value % 8:
            raise self._refusal(f"{op.name} has heads of {block.key} and {block.value} channels")
        return Attention(
            name=op.name, nodes=tuple(op.nodes), source=self._single(op.inputs[0]), height=op.height,
            width=op.width, heads=block.heads, key=block.key, value=block.value, areas=block.areas,
            scale=block.scale, taps=taps_of(op), store=self._target(op.outputs[0]),
        )  # fmt: skip

    def _sum(self, op: Op) -> Step:
        sources = tuple(self._single(value) for value in op.inputs)
        return Sum(
            name=op.name, nodes=tuple(op.nodes), sources=sources, height=op.height, width=op.width,
            store=self._target(op.outputs[0]),
        )  # fmt: skip

    def _single(self, value: Value) -> Slice:
        (piece,) = settled(value, self._homes)
        return self._slice(piece)

    def _slice(self, piece: ChannelSlice, *, int8: bool = False) -> Slice:
        """Return a piece of a settled tensor as a slice of its map."""
        tensor, shared = self._draft.tensors[piece.tensor], self._shared(piece.tensor)
        whole = Tensor(tensor.name, shared or tensor.channels, tensor.height, tensor.width)
        if not aligned(piece, whole):
            raise self._refusal(
                f"{tensor.name} is read from channel {piece.first} to {piece.first + piece.channels}"
            )
        return Slice(self._map(piece.tensor, int8=int8), piece.first, round_up(piece.channels), piece.zoom)

    def _target(self, tensor: int, *, int8: bool = False) -> Slice:
        home, first = self._homes.get(tensor, (tensor, 0))
        return Slice(self._map(home, int8=int8), first, self._draft.tensors[tensor].stored)

    def _targets(self, tensor: int) -> tuple[Slice, Slice | None, Kept | None]:
        """Return where a result goes, where it goes as INT8 too, and how it is rounded for that."""
        scales = self._forms.scales.get(tensor)
        if scales is None:
            return self._target(tensor), None, None
        stored = self._draft.tensors[tensor].stored
        steps = np.pad(np.where(scales > 0, scales, 1), (0, stored - len(scales)), constant_values=1)
        half, whole = ((0, stored) if b == len(scales) and a == 0 else (a, b)
                       for a, b in self._forms.spans(tensor))  # fmt: skip
        kept = Kept(steps.astype(np.float32), half, whole)
        if half == (0, 0):
            return self._target(tensor, int8=True), None, kept
        return self._target(tensor), self._target(tensor, int8=True), kept

    def _map(self, home: int, *, int8: bool = False) -> int:
        if (home, int8) not in self._maps:
            tensor = self._draft.tensors[home]
            channels = self._shared(home) or tensor.stored
            made = Map(tensor.name, tensor.height, tensor.width, channels, 1 if int8 else 2)
            self._maps[home, int8] = self._new_map(made)
        return self._maps[home, int8]

    def _shared(self, home: int) -> int:
        """Return the channels of all tensors that share a map; 0 if it is alone."""
        return sum(self._draft.tensors[t].channels for t, (h, _) in self._homes.items() if h == home)

    def _new_map(self, made: Map) -> int:
        self._network.maps.append(made)
        return len(self._network.maps) - 1

    def _refusal(self, reason: str) -> BuildError:
        return refusal_of(self._spec, reason)
