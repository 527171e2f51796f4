"""The backend seam: build an engine file, load it, run batches on it.

Nothing here knows about tiles, YOLO decoding or timing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from yolotrt.model.spec import ModelSpec

Precision = Literal["fp32", "fp16", "int8", "fp8"]
Array = npt.NDArray[Any]


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
    environment: Mapping[str, Any] = field(default_factory=dict)


class Context(Protocol):
    """Runs batches of one size. Used by one thread at a time."""

    batch: int

    def run(self, images: npt.NDArray[np.float32]) -> tuple[Array, Array]:
        """Run one batch and wait for it.

        Args:
            images: (batch, 3, height, width) float32, RGB in [0, 1], C-contiguous.

        Returns:
            The detection head and the prototypes. The arrays may be overwritten by the next call.

        Raises:
            ExecutionError: The engine failed.
        """
        ...


class Engine(Protocol):
    """A loaded engine, shared by all its contexts."""

    file: EngineFile

    def new_context(self, batch: int) -> Context:
        """Return an execution context for batches of exactly ``batch`` images.

        Raises:
            ArtifactError: The engine has no optimization profile for this batch size.
        """
        ...

    def close(self) -> None:
        """Free everything the engine holds; its contexts must not be used afterwards."""
        ...
