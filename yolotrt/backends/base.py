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

from yolotrt.backends.profiles import Profile
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.cuda.device import Device

Precision = Literal["fp32", "fp16", "int8", "fp8"]
QdqStyle = Literal["cpu", "tensorrt"]
"""Which Q/DQ placement a backend's kernels want; see :mod:`yolotrt.calibration.qdq`."""


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
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]
    activation_elsewhere: tuple[str, ...] = ()


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
        environment: What :meth:`Backend.environment` said when it was built.
        layers: What the library made of the network, for the largest profile; empty if it did not tell.
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


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used here.

    Attributes:
        usable: It can run engines.
        reason: Its version and device, or what is missing.
        builds: It can build engines, perhaps for another machine's GPU.
        hint: What would make it usable.
    """

    usable: bool
    reason: str
    builds: bool
    hint: str | None = None


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


class DeviceContext(Context, Protocol):
    """A context whose buffers are on a GPU and may be given by the caller.

    Attributes:
        input_pointer: Device address of (batch, 3, height, width) values of the engine's input type.
        output_pointers: Device addresses by output name. Setting either takes effect at the next enqueue.
    """

    input_pointer: int
    output_pointers: Mapping[str, int]

    def enqueue(self, stream_handle: int) -> None:
        """Start the batch on a CUDA stream and return at once.

        Args:
            stream_handle: The ``cudaStream_t`` as a number; never the default stream.

        Raises:
            ExecutionError: The engine refused the work.
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
    """One inference library.

    Attributes:
        name: What ``--backend`` calls it.
        suffix: File name suffix of its engines.
        qdq_style: Q/DQ placement that its kernels want.
    """

    name: str
    suffix: str
    qdq_style: QdqStyle

    def availability(self) -> Availability:
        """Say whether the backend works here; never raises."""
        ...

    def check(self, config: BuildConfig) -> None:
        """Refuse what cannot be built, before anybody spends minutes on calibration.

        Raises:
            UsageError: An option or precision that the library or the GPU does not offer.
        """
        ...

    def environment(self, config: BuildConfig) -> dict[str, str]:
        """Return what an engine built here by ``config`` is tied to: versions, device and options.

        An engine with an equal environment, :data:`RECORDED_ONLY` aside, need not be built again.
        """
        ...

    def build(self, model: onnx.ModelProto, config: BuildConfig, progress: Progress) -> BuiltEngine:
        """Turn a network in its final precision into an engine.

        Raises:
            UsageError: The library does not offer an option that ``config`` asks for.
            BuildError: The library refused the network.
        """
        ...

    def load(self, file: EngineFile) -> Engine:
        """Load an engine whose bytes match its sidecar.

        Raises:
            ArtifactError: It was built for another version or device, or is damaged.
        """
        ...

    def load_on(self, file: EngineFile, device: Device) -> Engine:
        """Load an engine on a GPU, for contexts that run on the caller's memory (:class:`DeviceContext`).

        Raises:
            ArtifactError: It was built for another version or device, or is damaged.
            DeviceError: The library cannot use the GPU.
        """
        ...
