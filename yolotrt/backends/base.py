"""The backend seam: build an engine file, load it, run batches on it, say what is in it.

This is all that the rest of the project knows of a backend. A new one is a package with a class that has
what :class:`Backend` lists, and one line in :mod:`yolotrt.backends.names`. Nothing here knows about tiles,
YOLO decoding or timing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from yolotrt.backends.files import RECORDED_ONLY as RECORDED_ONLY
from yolotrt.backends.files import Availability as Availability
from yolotrt.backends.files import BuildConfig as BuildConfig
from yolotrt.backends.files import BuiltEngine as BuiltEngine
from yolotrt.backends.files import EngineFile as EngineFile
from yolotrt.backends.files import Layer as Layer
from yolotrt.backends.files import LayerTime as LayerTime
from yolotrt.backends.files import Placement as Placement
from yolotrt.backends.files import Precision as Precision
from yolotrt.backends.files import QdqStyle as QdqStyle
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.cuda.device import Device
    from yolotrt.cuda.machine import Machine
    from yolotrt.cuda.tensor import TensorType


class Context(Protocol):
    """Runs batches of one size. Used by one thread at a time.

    Attributes:
        batch: Number of images in a batch.
        images: (batch, 3, height, width) float32 input, RGB in [0, 1], to be filled before each run.
            Contexts of one lane share this memory.
    """

    batch: int

    @property
    def takes_host_images(self) -> bool:
        """Whether :attr:`images` can be filled; engines of other tools may take FP16, on the GPU only."""
        ...

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
        tensors: Type of the input and of each output, by name.
        input_pointer: Device address of (batch, 3, height, width) values of the engine's input type.
        output_pointers: Device addresses by output name. Setting either takes effect at the next enqueue.
    """

    tensors: Mapping[str, TensorType]
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

    def close(self) -> None:
        """Free what belongs to the context; the memory it was bound to stays. Once is enough."""
        ...


class DeviceEngine(Protocol):
    """An engine on one GPU, whose contexts run on buffers that the caller owns.

    Attributes:
        file: The engine on disk.
        device: The GPU.
    """

    file: EngineFile
    device: Device

    @property
    def capturable(self) -> bool:
        """Whether contexts may be captured in a CUDA graph after they have run once; asking can cost."""
        ...

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> DeviceContext:
        """Return a context for batches of exactly this size; see :meth:`Engine.new_context`."""
        ...


class Engine(Protocol):
    """A loaded engine, shared by all its contexts.

    Attributes:
        file: The engine on disk.
    """

    file: EngineFile

    @property
    def parts(self) -> Sequence[DeviceEngine]:
        """The engine on each GPU that it is on; none if it is fed from the host."""
        ...

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
        foreign_suffixes: Suffixes that other tools give to engines of this library.
        qdq_style: Q/DQ graphs that its kernels want; see :mod:`yolotrt.quantization.styles`.
        runs_on_cpu: Its engines also run on a processor; others need a GPU.
        any_batch: Its engines take batches of any size, so that profiles mean nothing to it.
        packages: Names of the distributions that its results depend on, for the record.
        precisions: What it can build.
        measured: What was measured of its speed, for whoever is told why it was chosen; empty for nothing.
    """

    name: str
    suffix: str
    foreign_suffixes: tuple[str, ...]
    qdq_style: QdqStyle
    runs_on_cpu: bool
    any_batch: bool
    packages: tuple[str, ...]
    precisions: tuple[Precision, ...]
    measured: str

    def availability(self) -> Availability:
        """Say whether the backend works here; never raises."""
        ...

    def placement(self, precision: Precision) -> Placement:
        """Return where an engine of this precision runs unless the user says it, and why."""
        ...

    def worthwhile(self, device: str) -> tuple[Precision, ...]:
        """Return the precisions that may be the fastest on a device, the plainest first.

        Args:
            device: As :func:`yolotrt.backends.placement.place` takes it.
        """
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

    def notes(self, file: EngineFile) -> tuple[str, ...]:
        """Return what whoever built this engine should know before using it."""
        ...

    def build_options(self, file: EngineFile, *, batches: str | None, here: bool) -> list[str]:
        """Return the words of ``yolotrt build`` that only this backend knows, for an engine like this one.

        Args:
            file: The engine, as its sidecar describes it.
            batches: Batch sizes instead of its own.
            here: For the GPU at hand and not for those it was built for.
        """
        ...

    def load(self, file: EngineFile) -> Engine:
        """Load an engine on the processor.

        Raises:
            UsageError: The backend runs on GPUs only.
            ArtifactError: Its bytes are not those that its sidecar names, or are damaged.
        """
        ...

    def load_on(self, file: EngineFile, device: Device) -> LoadedOnDevice:
        """Load an engine on a GPU, for contexts that run on the caller's memory (:class:`DeviceContext`).

        Raises:
            ArtifactError: It was built for another version or device, or is damaged.
            DeviceError: The library cannot use the GPU.
        """
        ...

    def adopt(self, path: Path, machine: Machine) -> EngineFile | None:
        """Describe an engine that has no sidecar and that the user trusts.

        Args:
            path: The engine.
            machine: Whose GPU may be asked.

        Returns:
            Its description, or None if this is certainly no file of this library.

        Raises:
            ArtifactError: It cannot be loaded here.
            ModelError: It is not a YOLO segmentation network with a fixed input size.
            EnvironmentFault: Only the library or a GPU could tell, and one of them is missing.
        """
        ...

    def describe(self, file: EngineFile, machine: Machine) -> dict[str, Any]:
        """Return what is in an engine besides what its sidecar says, as JSON values; empty if that is all.

        Args:
            file: The engine.
            machine: Whose GPU may be asked.
        """
        ...

    def network(self, file: EngineFile) -> onnx.ModelProto | None:
        """Return the network of an engine that is kept as ONNX; None where only the library can read it.

        Raises:
            InputError: The file is not there any more, or cannot be read.
        """
        ...

    def layer_times(self, engine: Engine, batch: int | None, iterations: int) -> tuple[int, list[LayerTime]]:
        """Measure every layer of an engine that this backend loaded, on random images.

        Args:
            engine: The engine.
            batch: Number of images; None takes the largest profile.
            iterations: Measured runs.

        Returns:
            The number of images, and the layers, slowest first.

        Raises:
            UsageError: The library does not time layers.
            ArtifactError: The engine has no profile for this batch size.
            ExecutionError: The engine failed.
        """
        ...

    def roofline(
        self, file: EngineFile, gpu: str | None, batch: int | None, machine: Machine
    ) -> dict[str, Any]:
        """Return what every layer has to do, what it takes at least on a GPU, and what it takes here.

        Args:
            file: The engine.
            gpu: Name of a GPU, such as ``RTX 5060 Ti``; None takes the one here.
            batch: Number of images; None takes the engine's largest.
            machine: Whose GPU may be asked.

        Raises:
            UsageError: The library does not say what its layers do, or nothing is known of the GPU.
            ArtifactError: The engine is damaged.
        """
        ...


class LoadedOnDevice(Engine, DeviceEngine, Protocol):
    """An engine on one GPU that wants closing: what :meth:`Backend.load_on` gives."""

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> DeviceContext:
        """Return a context; see :meth:`Engine.new_context`."""
        ...
