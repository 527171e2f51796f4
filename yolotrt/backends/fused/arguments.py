"""What a kernel is started with, for any batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Space = Literal[
    "arena", "weights", "input", "head", "protos", "frame", "origins", "across", "down", "across_chroma",
    "down_chroma", "colours",
]  # fmt: skip
Element = Literal["fp16", "fp32", "i32", "i8", "u8", "fp8e4nv"]

CALLERS: frozenset[Space] = frozenset(
    {"input", "frame", "origins", "across", "down", "across_chroma", "down_chroma", "colours"}
)
"""Memory of the caller's about whose addresses nothing is assumed."""


WEIGHT_ALIGN = 256


@dataclass(frozen=True)
class Address:
    """A pointer.

    Attributes:
        space: Which memory.
        element: What it points to.
        per_image: Bytes from the beginning of the space, times the batch.
        fixed: Bytes on top of that.
        item: Bytes from one image to the next.
    """

    space: Space
    element: Element
    per_image: int
    fixed: int
    item: int = 0


@dataclass(frozen=True)
class Count:
    """An integer: ``per_image`` times the batch, plus ``fixed``."""

    per_image: int
    fixed: int


@dataclass(frozen=True)
class Given:
    """An integer that the caller says of his frame.

    That is ``frame_width``, ``frame_height``, ``frame_bgr``, or of one as decoders give it ``frame_wide``,
    ``site_x`` and ``site_y``.
    """

    name: str


Arg = Address | Count | Given | None


@dataclass(frozen=True)
class KernelLaunch:
    """A kernel with everything that it needs for any batch size.

    Attributes:
        step: Name of the step.
        kernel: Name of the function in :mod:`.kernels`.
        args: In the function's order; None is left out by the compiler.
        constants: What is known when compiled.
        work: Pixels (or patches, or images) per image that are dealt out to programs.
        each: Of them per program.
        times: Programs for each.
        warps: Groups of 32 threads per program.
        stages: Loads in flight in a loop.
        registers: At most so many per thread; 0 leaves it to the compiler.
    """

    step: str
    kernel: str
    args: dict[str, Arg]
    constants: dict[str, Any]
    work: int
    each: int
    times: int
    warps: int
    stages: int
    registers: int = 0

    def programs(self, batch: int) -> int:
        """Return the number of programs for a batch."""
        return -(-self.work * batch // self.each) * self.times


class WeightsBlob:
    """All constants of a network in one block of memory."""

    def __init__(self) -> None:
        self._at: dict[bytes, int] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, array: npt.NDArray[Any]) -> Address:
        """Return where an array lies; equal arrays lie there once."""
        data = np.ascontiguousarray(array).tobytes()
        elements: dict[str, Element] = {"float16": "fp16", "float32": "fp32", "int8": "i8"}
        element = elements[array.dtype.name]
        if data not in self._at:
            self._at[data] = self._size
            padded = data + bytes(-len(data) % WEIGHT_ALIGN)
            self._parts.append(padded)
            self._size += len(padded)
        return Address("weights", element, 0, self._at[data])

    def data(self) -> bytes:
        """Return the block."""
        return b"".join(self._parts)
