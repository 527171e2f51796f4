"""What fused networks are made of: feature maps, parts of them, where results go, and weights.

Feature maps are (batch, height, width, channels) FP16, so that the channels of a pixel lie together. All
sizes here are for one image; the batch multiplies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        nbytes_per_value: 2, or 4 for the rows of detections, which are FP32, or 1 for INT8.
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
        weight: (taps x input channels, output channels) FP16, or INT8; the taps row by row.
        bias: (output channels,) FP32.
        act: Behind the bias.
        gain: (output channels,) FP32 that results are multiplied with behind that; None is 1.
    """

    weight: npt.NDArray[np.float16] | npt.NDArray[np.int8]
    bias: npt.NDArray[np.float32]
    act: Act
    gain: npt.NDArray[np.float32] | None = None

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[1])


@dataclass(frozen=True)
class Kept:
    """A result of which some channels are kept as INT8, and some perhaps as FP16.

    Attributes:
        steps: (output channels,) FP32: what 1 counts for.
        half: First of the channels kept as FP16, and the one behind the last; (0, 0) is none.
        whole: The same for INT8.
    """

    steps: npt.NDArray[np.float32]
    half: tuple[int, int]
    whole: tuple[int, int]


@dataclass(frozen=True)
class Rounding:
    """What is INT8 in a step, and what 1 counts for there.

    Attributes:
        products: (output channels,) FP32: of sums of INT8 products; None if the products are of FP16.
        point: The same for the convolution of single pixels behind.
        inner: Of what that reads; 0 if that is FP16.
        residual: Of the residual; 0 if that is FP16.
        store: How the result becomes INT8; None if none of it does.
    """

    products: npt.NDArray[np.float32] | None = None
    point: npt.NDArray[np.float32] | None = None
    inner: float = 0.0
    residual: float = 0.0
    store: Kept | None = None


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


def round_up(value: int, to: int = ALIGN) -> int:
    """Return the next multiple."""
    return -(-value // to) * to


def next_power(value: int) -> int:
    """Return the smallest power of two that is not less."""
    return 1 << max(value - 1, 0).bit_length()
