"""Steps that are convolutions, and what all steps have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.backends.fused.parts import Act, Boxes, Dense, Planes, Rounding, Slice, Spread, Store, Taps


@dataclass(kw_only=True)
class Step:
    """One kernel.

    Attributes:
        name: Of the last ONNX node in it.
        nodes: Names of the ONNX nodes that it computes.
    """

    name: str
    nodes: tuple[str, ...]

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return ()

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes, wholly or in part."""
        return ()


@dataclass(kw_only=True)
class Stem(Step):
    """The first convolution, which reads the network's input: (batch, channels, height, width) FP16.

    Attributes:
        height: Of the input.
        width: Of the input.
        channels: Of the input.
        kernel: Pixels.
        stride: Pixels.
        pad: Pixels of zeros on each side.
        dense: Weights; rows are (input channel, row, column).
        store: Where the result goes.
        also: Where it goes as INT8, if ``store`` is FP16 and both are wanted.
        rounding: What is INT8.
    """

    height: int
    width: int
    channels: int
    kernel: int
    stride: int
    pad: int
    dense: Dense
    store: Slice
    also: Slice | None = None
    rounding: Rounding = field(default_factory=Rounding)

    @property
    def out_wh(self) -> tuple[int, int]:
        """Width and height of the result."""
        kernel, stride, pad = self.kernel, self.stride, self.pad
        return _out(self.width, kernel, stride, pad), _out(self.height, kernel, stride, pad)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (*_stored(self.store), *((self.also.map,) if self.also else ()))


@dataclass(kw_only=True)
class Conv(Step):
    """A convolution with everything around it.

    Attributes:
        sources: What it reads, side by side.
        height: Of the input as it is read.
        width: Of the input as it is read.
        kernel: Pixels.
        stride: Pixels.
        pad: Pixels of zeros on each side.
        dense: Weights; all taps of the first source, then those of the second.
        point: A convolution of single pixels behind it.
        residual: Added behind the last activation.
        store: Where the result goes.
        also: Where it goes as INT8, if ``store`` is FP16 and both are wanted.
        rounding: What is INT8.
    """

    sources: tuple[Slice, ...]
    height: int
    width: int
    kernel: int
    stride: int
    pad: int
    dense: Dense
    store: Store
    point: Dense | None = None
    residual: Slice | None = None
    also: Slice | None = None
    rounding: Rounding = field(default_factory=Rounding)

    @property
    def out_wh(self) -> tuple[int, int]:
        """Width and height of the result, before it is spread."""
        kernel, stride, pad = self.kernel, self.stride, self.pad
        return _out(self.width, kernel, stride, pad), _out(self.height, kernel, stride, pad)

    @property
    def last(self) -> Dense:
        """The weights whose output channels are stored."""
        return self.point or self.dense

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return tuple(s.map for s in (*self.sources, *((self.residual,) if self.residual else ())))

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (*_stored(self.store), *((self.also.map,) if self.also else ()))


@dataclass(kw_only=True)
class Grow(Step):
    """A transposed convolution of 2 x 2, one of 3 x 3 and one of single pixels, without maps in between.

    The first two are linear, so they are one: every pixel of the result, which is one of four in its pixel of
    the source, is a sum over 2 x 2 pixels of the source. Where some of them lie outside, what the transposed
    convolution's bias adds there is missing.

    Attributes:
        source: What it reads.
        height: Of the source.
        width: Of the source.
        weight: (16 x input channels, output channels) FP16: place (2 x 2) in the source's pixel, then tap
            (2 x 2), then input channel.
        bias: (16, output channels) FP32: place (2 x 2), whether the outer row of taps lies outside, and
            whether the outer column does.
        act: Behind the 3 x 3 convolution.
        point: The convolution of single pixels.
        store: Where the result goes.
    """

    source: Slice
    height: int
    width: int
    weight: npt.NDArray[np.float16]
    bias: npt.NDArray[np.float32]
    act: Act
    point: Dense
    store: Planes

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.source.map,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return _stored(self.store)


@dataclass(kw_only=True)
class Depthwise(Step):
    """A depthwise convolution.

    Attributes:
        source: What it reads.
        height: Of the input.
        width: Of the input.
        taps: Its weights.
        residual: Added behind the activation.
        store: Where the result goes.
        also: Where it goes as INT8, if ``store`` is FP16 and both are wanted.
        rounding: What is INT8.
    """

    source: Slice
    height: int
    width: int
    taps: Taps
    store: Slice
    residual: Slice | None = None
    also: Slice | None = None
    rounding: Rounding = field(default_factory=Rounding)

    @property
    def out_wh(self) -> tuple[int, int]:
        """Width and height of the result."""
        t = self.taps
        return _out(self.width, t.kernel, t.stride, t.pad), _out(self.height, t.kernel, t.stride, t.pad)

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.source.map, *((self.residual.map,) if self.residual else ()))

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (*_stored(self.store), *((self.also.map,) if self.also else ()))


def _stored(store: Store) -> tuple[int, ...]:
    target: Any = store
    if isinstance(store, Boxes):
        target = store.planes
    if isinstance(store, Spread):
        target = store.target
    if isinstance(target, Planes):
        return (target.target,) if isinstance(target.target, int) else ()
    return (target.map,)


def _out(size: int, kernel: int, stride: int, pad: int) -> int:
    return (size + 2 * pad - kernel) // stride + 1
