"""A fused network computed with NumPy alone: what the kernels have to compute, in the same arena."""

from __future__ import annotations

import numpy as np

from yolotrt.backends.fused.parts import Boxes, Dense, Planes, Slice, Spread, Taps
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

Floats = np.ndarray


class Reference:
    """Memory of a network for a batch, and its steps.

    The arena starts as NaN, so that whatever is read before it was written shows.
    """

    def __init__(self, network: Network, batch: int) -> None:
        self.network, self.batch = network, batch
        self.arena = np.full(-(-network.arena_nbytes * batch // 2), np.nan, np.float16)
        self.head = np.full((batch, *network.head[1]), np.nan, np.float32)
        self.protos = np.full((batch, *network.protos[1]), np.nan, np.float16)
        self.images = np.zeros((batch, 3, *network.input_hw), np.float16)

    def run(self, images: Floats) -> tuple[Floats, Floats]:
        """Return head and prototypes for (batch, 3, height, width) images."""
        self.images = images.astype(np.float16)
        for step in self.network.steps:
            self.do(step)
        return self.head, self.protos

    def map(self, index: int) -> Floats:
        """Return a map as (batch, height, width, channels)."""
        m = self.network.maps[index]
        first = self.network.offsets[index] * self.batch
        flat = self.arena.view(np.uint8)[first : first + m.nbytes * self.batch]
        typed = flat.view({1: np.int8, 2: np.float16, 4: np.float32}[m.nbytes_per_value])
        return typed.reshape(self.batch, m.height, m.width, m.channels)

    def read(self, part: Slice) -> Floats:
        """Return a slice as FP32, INT8 as the numbers that are there."""
        x = self.map(part.map)[..., part.first : part.first + part.channels].astype(np.float32)
        return x.repeat(part.zoom, 1).repeat(part.zoom, 2)

    def write(self, part: Slice, value: Floats) -> None:
        self.map(part.map)[..., part.first : part.first + part.channels] = value

    def keep(self, s: Stem | Conv | Depthwise, value: Floats) -> None:
        """Write a result as INT8, FP16 or both."""
        assert isinstance(s.store, Slice)
        kept = s.rounding.store
        if kept is None:
            self.write(s.store, value)
            return
        whole = s.also or s.store
        for part, (a, b) in ((whole, kept.whole), (s.store, kept.half)):
            chosen = value[..., a:b]
            chosen = integers(chosen, kept.steps[a:b]) if part is whole else chosen
            self.write(Slice(part.map, part.first + a, b - a), chosen)

    def do(self, step: Step) -> None:
        """Compute one step."""
        getattr(self, f"_{type(step).__name__.lower()}")(step)

    def _stem(self, s: Stem) -> None:
        x = self.images.astype(np.float32).transpose(0, 2, 3, 1)
        taps = windows(x, s.kernel, s.stride, s.pad)  # (batch, h, w, taps, channels)
        rows = taps.swapaxes(-1, -2).reshape(*taps.shape[:3], -1)
        self.keep(s, dense(rows, s.dense))

    def _conv(self, s: Conv) -> None:
        rows = []
        for source in s.sources:
            x = self.read(source)
            assert x.shape[1:3] == (s.height, s.width)
            taps = windows(x, s.kernel, s.stride, s.pad)
            rows.append(taps.reshape(*taps.shape[:3], -1))
        y = dense(np.concatenate(rows, -1), s.dense, s.rounding.products)
        if s.point:
            inner = integers(y, s.rounding.inner) if s.rounding.inner else half(y)
            y = dense(inner, s.point, s.rounding.point)
        if s.residual:
            y = y + self.read(s.residual) * np.float32(s.rounding.residual or 1)
        self._store(s, y)

    def _store(self, s: Conv, y: Floats) -> None:
        store = s.store
        if isinstance(store, Slice):
            self.keep(s, y)
        elif isinstance(store, Spread):
            n, b, h, w = store.size, *y.shape[:3]
            apart = y.reshape(b, h, w, n, n, -1).transpose(0, 1, 3, 2, 4, 5)
            self.write(store.target, apart.reshape(b, h * n, w * n, -1))
        elif isinstance(store, Planes):
            self._planes(store, y.reshape(len(y), -1, y.shape[-1]).swapaxes(1, 2))
        else:
            self._boxes(store, y)

    def _planes(self, store: Planes, rows: Floats) -> None:
        if store.target == "protos":
            whole = self.protos.reshape(self.batch, store.planes, store.plane)
        elif store.target == "head":
            whole = self.head
        else:
            whole = self.map(store.target)[..., 0]
        target = whole[:, store.first : store.first + store.count]
        target[:, :, store.offset : store.offset + rows.shape[2]] = rows[:, : store.count]

    def _boxes(self, store: Boxes, y: Floats) -> None:
        b, h, w, _ = y.shape
        d = y[..., : 4 * store.bins].reshape(b, h * w, 4, store.bins)
        if store.bins > 1:
            p = np.exp(d - d.max(-1, keepdims=True))
            d = (p / p.sum(-1, keepdims=True) * np.arange(store.bins)).sum(-1, keepdims=True)
        left, top, right, bottom = (d[..., i, 0] for i in range(4))
        cx = np.tile(np.arange(w) + 0.5, h)
        cy = np.repeat(np.arange(h) + 0.5, w)
        if store.corners:
            box = (cx - left, cy - top, cx + right, cy + bottom)
        else:
            box = (cx + (right - left) / 2, cy + (bottom - top) / 2, left + right, top + bottom)
        self._planes(store.planes, np.stack(box, 1) * store.stride)

    def _grow(self, s: Grow) -> None:
        x = self.read(s.source)
        b, h, w, c = x.shape
        around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        weight = s.weight.astype(np.float32).reshape(2, 2, 2, 2, c, -1)
        bias = s.bias.reshape(2, 2, 2, 2, -1)
        y = np.zeros((b, 2 * h, 2 * w, weight.shape[-1]), np.float32)
        for py, px in ((0, 0), (0, 1), (1, 0), (1, 1)):
            part = y[:, py::2, px::2]
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                part += around[:, py + i : py + i + h, px + j : px + j + w] @ weight[py, px, i, j]
            row_out = (np.arange(h) == (h - 1 if py else 0)).astype(int)
            column_out = (np.arange(w) == (w - 1 if px else 0)).astype(int)
            part += bias[py, px, row_out[:, None], column_out[None, :]]
        y = dense(half(activate(y, s.act)), s.point)
        self._planes(s.store, y.reshape(b, 4 * h * w, -1).swapaxes(1, 2))

    def _depthwise(self, s: Depthwise) -> None:
        y = depthwise(self.read(s.source), s.taps)
        self.keep(s, y + self.read(s.residual) if s.residual else y)

    def _pools(self, s: Pools) -> None:
        x = self.read(s.source)
        for store in s.stores:
            x = windows(x, s.kernel, 1, s.kernel // 2, -np.inf).max(3)
            self.write(store, x)

    def _attention(self, s: Attention) -> None:
        x = self.read(s.source)
        b, pixels = len(x), s.height * s.width
        parts = x.reshape(b, s.areas, pixels // s.areas, s.heads, 2 * s.key + s.value)
        q, k, v = np.split(parts, [s.key, 2 * s.key], axis=-1)
        scores = np.einsum("baihc,bajhc->bahij", q, k) * s.scale
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        mixed = np.einsum("bahij,bajhc->baihc", p, v)
        shape = (b, s.height, s.width, s.heads * s.value)
        self.write(s.store, mixed.reshape(shape) + depthwise(v.reshape(shape), s.taps))

    def _sum(self, s: Sum) -> None:
        self.write(s.store, sum(self.read(source) for source in s.sources))

    def _best(self, s: Best) -> None:
        rows = self.map(s.rows)[..., 0]
        self.map(s.store)[:, 0, :, 0] = rows[:, s.first : s.first + s.classes].max(1)

    def _select(self, s: Select) -> None:
        from yolotrt.backends.fused.tail import Tail, selected

        tail = Tail((), 1, s.classes, s.coeffs, True, s.keep, ())
        self.head[:] = selected(tail, self.map(s.rows)[..., 0])


def half(x: Floats) -> Floats:
    return x.astype(np.float16).astype(np.float32)


def activate(x: Floats, act: str) -> Floats:
    if act == "none":
        return x
    gate = 1 / (1 + np.exp(-np.clip(x, -80, 80)))
    return x * gate if act == "silu" else gate


def integers(x: Floats, step: Floats | float | None) -> Floats:
    """Round to INT8, as ONNX says."""
    assert step is not None
    return np.clip(np.rint(x / np.float32(step)), -128, 127).astype(np.float32)


def dense(rows: Floats, d: Dense, counts: Floats | None = None) -> Floats:
    """Integers in FP32: their sums stay below 2^24 in what is tested."""
    sums = rows @ d.weight.astype(np.float32)
    return activate((sums if counts is None else sums * counts) + d.bias, d.act) * (
        1 if d.gain is None else d.gain
    )


def depthwise(x: Floats, t: Taps) -> Floats:
    y = (windows(x, t.kernel, t.stride, t.pad) * t.weight.astype(np.float32)).sum(3)
    return activate(y + t.bias, t.act)


def windows(x: Floats, kernel: int, stride: int, pad: int, fill: float = 0.0) -> Floats:
    """Return (batch, h, w, taps, channels) of (batch, height, width, channels)."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    view = view[:, ::stride, ::stride]
    b, h, w, c, _, _ = view.shape
    return view.transpose(0, 1, 2, 4, 5, 3).reshape(b, h, w, kernel * kernel, c)
