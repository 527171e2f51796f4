"""What the backend seam passes around: engine files, what a build is told, and what backends say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yolotrt.backends.profiles import Profile
from yolotrt.model.spec import ModelSpec
from yolotrt.model.spec import Precision as Precision
from yolotrt.quantization.styles import QdqStyle as QdqStyle


@dataclass(frozen=True)
class Layer:
    """One step of an engine, usually one kernel, as the library that built it reported it.

    Attributes:
        name: The library's name for it.
        kind: The library's word for what it is.
        inputs: Types of the values it reads (``FP16``, ``INT8``), weights not included.
        weights: Types of its constants, the kernel first.
        outputs: Types of the values it writes.
        nodes: Names of the ONNX nodes that it computes, wholly or in part.
        activation_elsewhere: Nodes of the activation function behind this convolution that another layer
            computes: a fusion that was lost.
        moved_bytes: Size of what it reads and writes besides constants, for the batch that its shapes
            name; None if the library does not tell.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]
    activation_elsewhere: tuple[str, ...] = ()
    moved_bytes: int | None = None


@dataclass(frozen=True)
class BuiltEngine:
    """What a build gives.

    Attributes:
        data: The engine, to be written as a file.
        layers: As in :class:`EngineFile`.
    """

    data: bytes
    layers: tuple[Layer, ...] = ()


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
        environment: What :meth:`yolotrt.backends.base.Backend.environment` said when it was built.
        layers: What the library made of the network, for the largest profile; empty if it did not tell.
        label: What tables and results call it; empty for its file's name.
    """

    path: Path
    backend: str
    precision: Precision
    spec: ModelSpec
    batches: tuple[int, ...]
    sha256: str
    sources: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    label: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """What tables and results call it: two engines of one file name are told apart by their folders."""
        return self.label or self.path.name

    @property
    def takes(self) -> tuple[int, ...]:
        """Batch sizes that it runs: its network's own, or those of its profiles; empty means any."""
        return self.batches if self.spec.batch is None else (self.spec.batch,)


RECORDED_ONLY = frozenset({"driver"})
"""Keys of an environment that are written down but whose change does not make an engine outdated."""


@dataclass(frozen=True)
class BuildConfig:
    """How an engine is to be built. A backend ignores what means nothing to it.

    Precision is a property of the network that is built; it is here for the refusals only.

    Attributes:
        spec: The network's interface.
        profiles: Batch sizes the engine is to accept.
        precision: Precision of the network.
        workspace_mib: Scratch memory that a layer may use, MiB; None leaves it to the library.
        optimization_level: 0 (fast build) to 5 (fast engine); None is the library's default.
        timing_cache: File with timings of earlier builds, read and updated; None goes without.
        version_compatible: The engine also loads in newer versions of the library.
        hardware_compatible: The engine also loads on other GPUs, Ampere and newer.
        compute_capabilities: GPUs to build for, such as ``SM86`` and ``SM120``, where the library builds
            ahead of time; empty means the GPU here or the library's portable default.
        implicit: INT8 is left to TensorRT 10 and its calibration table; the network is in FP32.
        calibration_table: That table; None while it is not known yet, and where the network is built as
            it is typed.
        log: File for everything the library says; None keeps only its warnings.
        retune: Time kernels anew on the GPU here, whatever earlier builds found.
    """

    spec: ModelSpec
    profiles: tuple[Profile, ...]
    precision: Precision
    workspace_mib: int | None = None
    optimization_level: int | None = None
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()
    implicit: bool = False
    calibration_table: str | None = None
    log: Path | None = None
    retune: bool = False


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used here.

    Attributes:
        usable: It can build and run engines.
        reason: Its version and device, or what is missing.
        builds: It can build engines, perhaps for another machine's GPU.
        hint: What would make it usable.
    """

    usable: bool
    reason: str
    builds: bool
    hint: str | None = None


@dataclass(frozen=True)
class Placement:
    """Where an engine runs.

    Attributes:
        gpus: Indices of the GPUs, in CUDA's order; empty for the processor.
        reason: Why there.
    """

    gpus: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        return f"cuda:{','.join(map(str, self.gpus))}" if self.gpus else "cpu"


@dataclass(frozen=True)
class LayerTime:
    """The time that one layer takes.

    Attributes:
        name: The library's name for it.
        seconds: Mean over the measured runs.
        share: Part of the sum over all layers, in [0, 1].
    """

    name: str
    seconds: float
    share: float
