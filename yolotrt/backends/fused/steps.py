"""What a fused network consists of: feature maps in one arena, and steps that each are one kernel.

Feature maps are (batch, height, width, channels) FP16, so that the channels of a pixel lie together. All
sizes here are for one image; the batch multiplies them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Act = Literal["none", "silu", "sigmoid"]

ALIGN = 8
"""Channels are stored in multiples of this: 16 bytes, the widest load of a thread."""

MOST_SOURCES = 2
"""Feature maps that one convolution reads as if they were concatenated."""


@dataclass
class Map:
    """A feature map.

    Attributes:
        name: The ONNX tensor that it holds, or the first of several that share it.
        height: Pixels.
        width: Pixels.
        channels: Stored channels, a multiple of :data:`ALIGN`.
        nbytes_per_value: 2, or 4 for the rows of detections, which are FP32.
    """

    name: str
    height: int
    width: int
    channels: int
    nbytes_per_value: int = 2

    @property
    def nbytes(self) -> int:
        """Size for one image."""
        return self.height * self.width * self.channels * self.nbytes_per_value


@dataclass(frozen=True)
class Slice:
    """Some channels of a feature map, perhaps enlarged as they are read.

    Attributes:
        map: Index of the map.
        first: First channel.
        channels: Number of channels, a multiple of :data:`ALIGN`.
        zoom: Every pixel is read this many times in both directions (nearest neighbour).
    """

    map: int
    first: int
    channels: int
    zoom: int = 1


@dataclass(frozen=True)
class Planes:
    """Where a convolution writes its channels as planes: an output of the network, or the rows of detections.

    Attributes:
        target: ``head``, ``protos``, or the index of a map with one channel per pixel and plane.
        first: Plane of the first channel.
        plane: Values in a plane.
        offset: First value of this level in each plane.
        planes: Planes of one image.
        count: Planes to write.
        half: The values are FP16; FP32 otherwise.
    """

    target: Literal["head", "protos"] | int
    first: int
    plane: int
    offset: int
    planes: int
    count: int
    half: bool


@dataclass(frozen=True)
class Boxes:
    """The four planes of boxes, decoded from distances to the sides of a box.

    Attributes:
        planes: Where they go.
        bins: Bins of each distance's distribution; 1 if the distance itself is given.
        stride: Pixels of the input per cell.
        corners: Write x1, y1, x2, y2 and not centre and size.
    """

    planes: Planes
    bins: int
    stride: float
    corners: bool


@dataclass(frozen=True)
class Spread:
    """A transposed convolution whose windows do not overlap: each pixel becomes size x size pixels.

    Attributes:
        target: Where they go.
        size: Pixels per pixel, in both directions.
    """

    target: Slice
    size: int


Store = Slice | Planes | Boxes | Spread


@dataclass(frozen=True)
class Dense:
    """Weights of a convolution of single pixels, or of all taps of a larger one.

    Attributes:
        weight: (taps x input channels, output channels) FP16; the taps row by row.
        bias: (output channels,) FP32.
        act: Behind the bias.
    """

    weight: npt.NDArray[np.float16]
    bias: npt.NDArray[np.float32]
    act: Act

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[1])


@dataclass(frozen=True)
class Taps:
    """Weights of a depthwise convolution of stride 1 or 2.

    Attributes:
        weight: (taps, channels) FP16.
        bias: (channels,) FP32.
        act: Behind the bias.
        kernel: Pixels.
        stride: Pixels.
        pad: Pixels of zeros on each side.
    """

    weight: npt.NDArray[np.float16]
    bias: npt.NDArray[np.float32]
    act: Act
    kernel: int
    stride: int
    pad: int


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
    """

    height: int
    width: int
    channels: int
    kernel: int
    stride: int
    pad: int
    dense: Dense
    store: Slice

    @property
    def out_wh(self) -> tuple[int, int]:
        """Width and height of the result."""
        kernel, stride, pad = self.kernel, self.stride, self.pad
        return _out(self.width, kernel, stride, pad), _out(self.height, kernel, stride, pad)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store.map,)


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
        return _stored(self.store)


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
    """

    source: Slice
    height: int
    width: int
    taps: Taps
    store: Slice
    residual: Slice | None = None

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
        return (self.store.map,)


@dataclass(kw_only=True)
class Pools(Step):
    """One to three max poolings of stride 1, each of the one before.

    Attributes:
        source: What the first reads.
        height: Of all of them.
        width: Of all of them.
        kernel: Of each, odd; the padding keeps the size.
        stores: Where each result goes.
        scratch: (height, width, 3 x channels) for what is pooled along rows only.
    """

    source: Slice
    height: int
    width: int
    kernel: int
    stores: tuple[Slice, ...]
    scratch: Slice

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.source.map,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (*(s.map for s in self.stores), self.scratch.map)


@dataclass(kw_only=True)
class Attention(Step):
    """Softmax attention between the pixels of an area, plus a depthwise convolution of the values.

    Each head's channels lie together: its queries, its keys, its values.

    Attributes:
        source: (heads x (2 key channels + value channels)) channels.
        height: Pixels.
        width: Pixels.
        heads: Number of heads.
        key: Channels of a query and of a key.
        value: Channels of a value.
        areas: The rows of pixels are cut into this many areas, which do not see each other.
        scale: Of the products of queries and keys.
        taps: The depthwise convolution, over the whole map; its channels are the heads' values.
        store: Where the result goes: heads x value channels.
    """

    source: Slice
    height: int
    width: int
    heads: int
    key: int
    value: int
    areas: int
    scale: float
    taps: Taps
    store: Slice

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.source.map,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store.map,)


@dataclass(kw_only=True)
class Sum(Step):
    """Up to three maps added, each perhaps enlarged; a single one is copied.

    Attributes:
        sources: What is added.
        height: Of the result.
        width: Of the result.
        store: Where it goes.
    """

    sources: tuple[Slice, ...]
    height: int
    width: int
    store: Slice

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return tuple(s.map for s in self.sources)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store.map,)


@dataclass(kw_only=True)
class Best(Step):
    """The highest class score of each row of detections.

    Attributes:
        rows: Map of the rows' planes.
        store: Map of (rows,) FP32.
        count: Number of rows.
        first: Plane of the first class.
        classes: Number of classes.
    """

    rows: int
    store: int
    count: int
    first: int
    classes: int

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.rows,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store,)


@dataclass(kw_only=True)
class Select(Step):
    """The detections of an end-to-end network: the best rows, then the best pairs of row and class.

    Attributes:
        rows: Map of the rows' planes: 4 sides, class scores, coefficients.
        best: Map that :class:`Best` wrote.
        count: Number of rows.
        classes: Number of classes.
        coeffs: Number of coefficients.
        keep: Detections to write to the head, by falling score.
        scratch: Map of (3 x the next power of two of ``keep``,) integers.
    """

    rows: int
    best: int
    scratch: int
    count: int
    classes: int
    coeffs: int
    keep: int

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.rows, self.best)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.scratch,)


@dataclass
class Network:
    """A network as fused steps.

    Attributes:
        maps: All feature maps.
        steps: In an order in which they can run.
        input_name: Of the (batch, 3, height, width) input.
        input_hw: Its height and width.
        head: Name and shape of the detection head for one image.
        protos: Name and shape of the prototypes for one image.
        offsets: Where each map begins in the arena for one image, bytes; filled by :func:`.arena.place`.
        arena_nbytes: Size of the arena for one image; likewise.
    """

    maps: list[Map]
    steps: list[Step]
    input_name: str
    input_hw: tuple[int, int]
    head: tuple[str, tuple[int, ...]]
    protos: tuple[str, tuple[int, ...]]
    offsets: list[int] = field(default_factory=list)
    arena_nbytes: int = 0


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


def round_up(value: int, to: int = ALIGN) -> int:
    """Return the next multiple."""
    return -(-value // to) * to


def next_power(value: int) -> int:
    """Return the smallest power of two that is not less."""
    return 1 << max(value - 1, 0).bit_length()
