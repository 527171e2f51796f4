"""What calibration finds out: a range for every tensor, and what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from yolotrt.arrays import F64
from yolotrt.artifacts.fields import Count, Real
from yolotrt.artifacts.hashing import content_key
from yolotrt.quantization.algorithms import Algorithm, ByHistogram, choose_limits
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.histogram import StreamingHistogram
from yolotrt.quantization.observe import FUNCTIONS, silu

Activation = Callable[[F64], F64]

METHOD_VERSION = 7
"""Raised whenever the same images would give other results: caches of an older method are rebuilt."""

OFF = -6.0
"""Where a SiLU counts as off: its result there is -0.015."""

QUANTILES = (0.0001, 0.01, 0.5, 0.99, 0.9999)
"""Quantiles kept in the summary."""


@dataclass(frozen=True)
class TensorRange:
    """The range that 8 bits should cover, and a summary of the values behind it.

    Attributes:
        lo: Lower limit for asymmetric uint8, at most 0.
        hi: Upper limit for asymmetric uint8, at least 0.
        amax: Limit of the magnitude for symmetric int8, at least 0.
        minimum: Smallest value seen.
        maximum: Largest value seen.
        mean_abs: Mean absolute value.
        count: Number of values in the histogram.
        quantiles: Values at :data:`QUANTILES`.
    """

    lo: Real
    hi: Real
    amax: Real
    minimum: Real
    maximum: Real
    mean_abs: Real
    count: Count
    quantiles: tuple[Real, ...]


@dataclass(frozen=True)
class CalibrationKey:
    """Everything the ranges depend on.

    Attributes:
        onnx: Content key of the FP32 network.
        images: sha256 of each image file by its name, as given.
        preprocessing: How images became network input.
        algorithm: How ranges were chosen from histograms.
        method: :data:`METHOD_VERSION` at the time.
    """

    onnx: str
    images: tuple[tuple[str, str], ...]
    preprocessing: Mapping[str, Any]
    algorithm: Algorithm
    method: int = METHOD_VERSION

    def parts(self) -> dict[str, Any]:
        """Return the parts by the names a user knows; image names and their order do not count."""
        return {
            "model": self.onnx,
            "images": sorted(digest for _, digest in self.images),
            "preprocessing": dict(self.preprocessing),
            "algorithm": self.algorithm,
            "method": self.method,
        }

    def changes_since(self, earlier: CalibrationKey) -> tuple[str, ...]:
        """Return the names of the parts that differ, such as ``("images",)``."""
        before = earlier.parts()
        return tuple(name for name, value in self.parts().items() if before[name] != value)

    @property
    def digest(self) -> str:
        """Return one content key over all parts."""
        return content_key(self.parts())


@dataclass(frozen=True)
class Seen:
    """What the calibration images showed.

    Attributes:
        images: Number of images read.
        blank: How many of them are of one colour.
        pictures: Network inputs made of them (tiles count each) of which the detections are known.
        found: In how many of these FP32 found something.
        noise: How many of the images are nothing but noise.
        brightness: Mean brightness of the images, in [0, 1]; None for caches of earlier versions.
        spread: Standard deviation of the images' brightness; None likewise.
        objects: Objects that FP32 found in the pictures; None likewise.
    """

    images: Count
    blank: Count
    pictures: Count
    found: Count
    noise: Count = 0
    brightness: Real | None = None
    spread: Real | None = None
    objects: Count | None = None


@dataclass(frozen=True)
class CalibrationRanges:
    """Ranges of all tensors before the decoding tail.

    Attributes:
        tensors: Range by tensor name.
        key: What they were made from.
        noise: By Q/DQ style and convolution, how much its own quantisation disturbs its result; see
            :mod:`yolotrt.quantization.sensitivity`.
        seen: What the images showed; None for caches of earlier versions.
        shift: By Q/DQ style, what added to all logits brings the scores of the default INT8 network back to
            FP32's; see :mod:`yolotrt.quantization.alignment`. Empty for caches of earlier versions.
    """

    tensors: Mapping[str, TensorRange]
    key: CalibrationKey
    noise: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seen: Seen | None = None
    shift: Mapping[str, float] = field(default_factory=dict)


def find_ranges(
    view: GraphView, histograms: Mapping[str, StreamingHistogram], algorithm: ByHistogram
) -> dict[str, TensorRange]:
    """Choose a range for every tensor from its distribution.

    A tensor read only by an activation function gets the range with the least error behind it. In front of a
    SiLU the lower end reaches :data:`OFF`, if there are values: where it is cut at -4, units that are off
    leak 0.07 each, all of them, and a sum over many channels moves; the scores of YOLO11n-seg rose by 0.025.
    """
    found: dict[tuple[int, Activation | None], TensorRange] = {}
    result = {}
    for name, histogram in histograms.items():
        after = _activation_behind(view, name)
        shared = (id(histogram), after)
        if shared not in found:
            lo, hi, amax = choose_limits(histogram, algorithm, after)
            if after is silu:
                lo = min(lo, max(histogram.minimum, OFF))
            found[shared] = TensorRange(
                lo=lo,
                hi=hi,
                amax=amax,
                minimum=histogram.minimum,
                maximum=histogram.maximum,
                mean_abs=histogram.mean_abs(),
                count=histogram.count,
                quantiles=tuple(histogram.quantile(q) for q in QUANTILES),
            )
        result[name] = found[shared]
    return result


def _activation_behind(view: GraphView, name: str) -> Activation | None:
    """Return the activation function if nothing else reads this tensor, else None."""
    readers = view.consumers[name]
    if name in view.outputs or not readers:
        return None
    if all(n.op_type == "Sigmoid" or view.silu_source(n) == name for n in readers):
        return silu if any(n.op_type == "Mul" for n in readers) else FUNCTIONS["Sigmoid"]
    if len(readers) == 1:
        return FUNCTIONS.get(readers[0].op_type)
    return None
