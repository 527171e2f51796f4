"""The backend seam: build an engine file, load it, run batches on it, say what is in it.

This is all that the rest of the project knows of a backend. A new one is a package with a class that has
what :class:`Backend` lists, and one line in :mod:`yolotrt.backends.names`. Nothing here cuts frames, decodes
or times. Tiles and letterbox are named only for engines that read frames themselves: :class:`FrameReader`
is told where in a frame its images lie, and need not be offered.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from yolotrt.backends.engines import Context as Context
from yolotrt.backends.engines import DeviceContext as DeviceContext
from yolotrt.backends.engines import DeviceEngine as DeviceEngine
from yolotrt.backends.engines import Engine as Engine
from yolotrt.backends.engines import FrameOnDevice as FrameOnDevice
from yolotrt.backends.engines import FrameReader as FrameReader
from yolotrt.backends.engines import FrameSource as FrameSource
from yolotrt.backends.engines import LetterboxOf as LetterboxOf
from yolotrt.backends.engines import LoadedOnDevice as LoadedOnDevice
from yolotrt.backends.engines import TilesOf as TilesOf
from yolotrt.backends.engines import YuvOnDevice as YuvOnDevice
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

    from yolotrt.artifacts.kinds import Kind
    from yolotrt.cuda.device import Device
    from yolotrt.cuda.machine import Machine


Figure = Literal["latency", "accuracy"]


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
        retunes: It chooses kernels by timing them on a GPU, and can do so anew (``build --retune``).
        measured: What was measured of its speed, for whoever is told why it was chosen; empty for nothing.
        triton: The backend of NVIDIA Triton that runs its engines, and what that calls the file; or None.
    """

    name: str
    suffix: str
    foreign_suffixes: tuple[str, ...]
    qdq_style: QdqStyle
    runs_on_cpu: bool
    any_batch: bool
    packages: tuple[str, ...]
    precisions: tuple[Precision, ...]
    retunes: bool
    measured: str
    triton: tuple[str, str] | None

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

    def timings(self, cache: Path) -> tuple[Path, Kind] | None:
        """Return the file that builds read and update for ``--timing-cache``, and its kind; None for none.

        Args:
            cache: What the option names.
        """
        ...

    def notes(self, file: EngineFile) -> tuple[str, ...]:
        """Return what whoever built this engine should know before using it."""
        ...

    def remarks(self, file: EngineFile, of: Figure, *, on_gpu: bool) -> tuple[str, ...]:
        """Return what makes figures of an engine mean something else than they seem to.

        Args:
            file: The engine.
            of: Which figures: its latency, or its accuracy.
            on_gpu: It runs on a GPU, and not on the processor.
        """
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
