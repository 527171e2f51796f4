"""The document in which a backend keeps how long kernels took: it makes the next build faster."""

from __future__ import annotations

from dataclasses import dataclass

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Seconds


@dataclass(frozen=True)
class KernelTime:
    """The fastest way to compute something.

    Attributes:
        tile: What a program of the kernel computes; the names are the backend's.
        us: How long it takes, microseconds.
    """

    tile: dict[str, int | str]
    us: Seconds


@dataclass(frozen=True)
class KernelTimings:
    """Times of kernels.

    Attributes:
        timings: By GPU and compiler, then by a key of what is computed.
    """

    timings: dict[str, dict[str, KernelTime]]


DOCUMENT = Document(
    "yolotrt.kernel-timings",
    1,
    KernelTimings,
    "times of kernels from earlier builds",
    again="Build again; kernels are timed anew.",
)
