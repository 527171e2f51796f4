"""The backend seam: build an engine file, load it, run batches on it.

Nothing here knows about tiles, YOLO decoding or timing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp32", "fp16", "int8", "fp8"]
QdqStyle = Literal["cpu", "tensorrt"]
"""Which Q/DQ placement a backend's kernels want; see :mod:`yolotrt.calibration.qdq`."""


@dataclass(frozen=True)
class EngineFile:
    """An engine on disk together with what its sidecar says.

    Attributes:
        path: The engine.
        backend: Name of the backend that built it and can load it.
        precision: Precision of its weights and activations.
        spec: The network's interface.
        batches: Batch sizes it has an optimization profile for; empty means any.
        sha256: Hash of the engine's bytes; loading verifies it.
        sources: Content keys it was made from (``onnx``, ``calibration`` and the like).
        environment: Library versions and device it was built for.
    """

    path: Path
    backend: str
    precision: Precision
    spec: ModelSpec
    batches: tuple[int, ...]
    sha256: str
    sources: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used here.

    Attributes:
        usable: It can build and run engines.
        reason: Its version and device, or what is missing.
    """

    usable: bool
    reason: str


class Context(Protocol):
    """Runs batches of one size. Used by one thread at a time.

    Attributes:
        batch: Number of images in a batch.
        images: (batch, 3, height, width) float32 input, RGB in [0, 1], to be filled before each run.
            Contexts of one lane share this memory.
    """

    batch: int

    @property
    def images(self) -> npt.NDArray[np.float32]:
        """The input buffer; fill it, then call :meth:`run`."""
        ...

    def run(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run the batch in :attr:`images` and wait for it.

        Returns:
            Detection head and prototypes, float32. The next run on the same lane overwrites them.

        Raises:
            ExecutionError: The engine failed.
        """
        ...


class Engine(Protocol):
    """A loaded engine, shared by all its contexts."""

    file: EngineFile

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Context:
        """Return an execution context for batches of exactly ``batch`` images.

        Args:
            batch: Number of images.
            lane: Contexts of the same lane never run at the same time, so they share their memory;
                contexts of different lanes may run concurrently.
            threads: CPU threads that one run may use; a backend that computes elsewhere ignores it.

        Raises:
            ArtifactError: The engine has no optimization profile for this batch size.
        """
        ...

    def close(self) -> None:
        """Free everything the engine holds; its contexts must not be used afterwards."""
        ...


class Backend(Protocol):
    """One inference library."""

    name: str
    qdq_style: QdqStyle

    def availability(self) -> Availability:
        """Say whether the backend works here; never raises."""
        ...

    def environment(self) -> dict[str, str]:
        """Return library versions and device: what an engine built here is tied to."""
        ...

    def build(self, model: onnx.ModelProto, batches: tuple[int, ...], progress: Progress) -> bytes:
        """Turn a network in its final precision into an engine for these batch sizes.

        Raises:
            BuildError: The library refused the network.
        """
        ...

    def load(self, file: EngineFile) -> Engine:
        """Load an engine whose bytes match its sidecar.

        Raises:
            ArtifactError: It was built for another version or device, or is damaged.
        """
        ...
