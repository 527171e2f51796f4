"""The document beside an engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count, Few, Sha256
from yolotrt.backends.files import EngineFile, Layer, Precision
from yolotrt.model.spec import ModelSpec

FORMAT = "yolotrt.engine"

PREPROCESSING = {"resize": "letterbox", "pad": "114", "channels": "RGB", "scale": "1/255"}
"""How every engine wants its images; recorded so that an application can check itself against it."""


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What an engine is, and what it was made from.

    Attributes:
        engine: Name of its file when it was written.
        bytes: Its size.
        sha256: Hash of its bytes.
        backend: Name of the backend that built it and can load it.
        precision: Precision of its weights and activations.
        batches: Batch sizes it has an optimization profile for; empty means any.
        sources: Content keys it was made from.
        environment: What the backend said of itself when it was built.
        preprocessing: How it wants its images.
        spec: The network's interface.
        layers: What the library made of the network; empty if it did not tell.
    """

    engine: str = ""
    bytes: Count = 0
    sha256: Sha256
    backend: str
    precision: Precision
    batches: tuple[Few, ...]
    sources: Mapping[str, str]
    environment: Mapping[str, str]
    preprocessing: Mapping[str, str] = field(default_factory=lambda: PREPROCESSING)
    spec: ModelSpec
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, file: EngineFile, size: int) -> Sidecar:
        """Return what is written beside an engine of so many bytes."""
        return cls(
            engine=file.path.name,
            bytes=size,
            sha256=file.sha256,
            backend=file.backend,
            precision=file.precision,
            batches=file.batches,
            sources=file.sources,
            environment=file.environment,
            spec=file.spec,
            layers=file.layers,
        )

    def describes(self, engine: Path) -> EngineFile:
        """Return the engine beside which this lies."""
        return EngineFile(
            path=engine,
            backend=self.backend,
            precision=self.precision,
            spec=self.spec,
            batches=self.batches,
            sha256=self.sha256,
            sources=_current_names(self.sources),
            environment=self.environment,
            layers=self.layers,
        )


def _current_names(sources: Mapping[str, str]) -> dict[str, str]:
    """Return sources under the names of today: earlier sidecars name an accuracy bound otherwise."""
    first = {"promise": "bound_outcome", "promise_bound": "bound_max_drop"}
    return {first.get(k, re.sub(r"^promise_", "bound_", k)): v for k, v in sources.items()}


DOCUMENT = Document(FORMAT, 1, Sidecar, "an engine's sidecar", again="Build the engine again.")
