"""TensorRT and TensorRT-RTX as backends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from yolotrt.artifacts.kinds import Kind, is_binary_of_no_known_kind
from yolotrt.backends.base import (
    Availability,
    BuildConfig,
    BuiltEngine,
    Engine,
    EngineFile,
    Figure,
    LayerTime,
    Placement,
    Precision,
    QdqStyle,
)
from yolotrt.backends.tensorrt.library import TENSORRT, TENSORRT_RTX, Library, Product, open_library
from yolotrt.backends.tensorrt.recorded import build_options
from yolotrt.cuda.probe import FoundGpu, find_gpu
from yolotrt.errors import EnvironmentFault, UsageError
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.backends.tensorrt.runtime import TensorRtEngine
    from yolotrt.cuda.device import Device
    from yolotrt.cuda.machine import Machine


class TensorRtBackend:
    """One of the two products. The library is imported when it is first needed."""

    suffix = ".engine"
    foreign_suffixes = (".engine", ".plan", ".trt")
    runs_on_cpu = False
    any_batch = False
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8", "fp8")
    retunes = False
    measured = ""

    def __init__(self, product: Product) -> None:
        self.name = product.backend
        self.packages = (product.backend,)
        self.qdq_style: QdqStyle = product.qdq_style
        self.triton = product.triton
        self._product = product

    def availability(self) -> Availability:
        """Say whether it works here. The GPU is proved to work before TensorRT is asked anything."""
        try:
            library = open_library(self._product)
        except EnvironmentFault as exc:
            return Availability(False, exc.message, builds=False, hint=exc.hint)
        try:
            gpu = find_gpu()
        except EnvironmentFault as exc:
            ahead = library.builds_ahead
            note = ", which can only build here" if ahead else ""
            return Availability(False, f"{library.version}{note}. {exc.message}", builds=ahead, hint=exc.hint)
        capability = "compute capability {}.{}".format(*gpu.capability)
        return Availability(True, f"{library.version} on {gpu.name} ({capability})", builds=True)

    def placement(self, precision: Precision) -> Placement:
        """Return the first GPU: TensorRT runs on nothing else."""
        return Placement((0,), f"{self.name} runs on GPUs only")

    def worthwhile(self, device: str) -> tuple[Precision, ...]:
        """Return all three that every GPU has kernels for: which is the fastest depends on the card."""
        return "fp32", "fp16", "int8"

    def check(self, config: BuildConfig) -> None:
        """Refuse what cannot be built; see :func:`yolotrt.backends.tensorrt.options.check`."""
        from yolotrt.backends.tensorrt.options import check

        library = open_library(self._product)
        check(library, config, self._gpu(library))

    def environment(self, config: BuildConfig) -> dict[str, str]:
        """Return product, exact version, GPU or targets, driver and options; see :mod:`.identity`."""
        from yolotrt.backends.tensorrt.identity import environment

        library = open_library(self._product)
        return environment(library, config, self._gpu(library))

    def build(self, model: onnx.ModelProto, config: BuildConfig, progress: Progress) -> BuiltEngine:
        """Build an engine; see :func:`yolotrt.backends.tensorrt.builder.build`."""
        from yolotrt.backends.tensorrt.builder import build

        library = open_library(self._product)
        return build(library, model, config, self._gpu(library), progress)

    def load(self, file: EngineFile) -> TensorRtEngine:
        """Refuse: TensorRT runs on GPUs only.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{file.path} is an engine of {self.name}, which runs on GPUs only.")

    def load_on(self, file: EngineFile, device: Device) -> TensorRtEngine:
        """Load an engine on a GPU that the caller has opened."""
        from yolotrt.backends.tensorrt.runtime import load

        return load(open_library(self._product), find_gpu(device.info.index), device, file)

    def adopt(self, path: Path, machine: Machine) -> EngineFile | None:
        """Describe an engine of Ultralytics or trtexec: only TensorRT can, so it is loaded once for it."""
        if path.suffix == ".onnx":
            return None
        from yolotrt.backends.tensorrt.runtime import load_foreign

        gpu = find_gpu()
        engine = load_foreign(open_library(self._product), gpu, machine.gpu(), path)
        try:
            return engine.file
        finally:
            engine.close()

    def describe(self, file: EngineFile, machine: Machine) -> dict[str, Any]:
        """Return profiles, tensors, memory and layers; see :func:`.describe.describe`."""
        from yolotrt.backends.tensorrt.describe import describe

        def load() -> TensorRtEngine:
            find_gpu()  # before CUDA is opened: it says best what is missing
            return self.load_on(file, machine.gpu())

        return describe(file, load)

    def network(self, file: EngineFile) -> None:
        """Return None: a plan holds no ONNX."""

    def timings(self, cache: Path) -> tuple[Path, Kind]:
        """Return the cache itself, in TensorRT's own format."""
        return cache, Kind("a timing cache", is_binary_of_no_known_kind)

    def notes(self, file: EngineFile) -> tuple[str, ...]:
        """Return nothing: what should be known is in the README."""
        return ()

    def remarks(self, file: EngineFile, of: Figure, *, on_gpu: bool) -> tuple[str, ...]:
        """Return nothing: latency and accuracy are what they seem to be."""
        return ()

    def build_options(self, file: EngineFile, *, batches: str | None, here: bool) -> list[str]:
        """See :func:`yolotrt.backends.tensorrt.recorded.build_options`."""
        return build_options(file, batches=batches, here=here)

    def layer_times(self, engine: Engine, batch: int | None, iterations: int) -> tuple[int, list[LayerTime]]:
        """Measure every layer; see :func:`yolotrt.backends.tensorrt.profiler.layer_times`."""
        from yolotrt.backends.tensorrt.profiler import layer_times

        native = cast("TensorRtEngine", engine)
        chosen = batch or max(profile.largest for profile in native.profiles)
        return chosen, layer_times(native, chosen, iterations)

    def roofline(
        self, file: EngineFile, gpu: str | None, batch: int | None, machine: Machine
    ) -> dict[str, Any]:
        """Refuse: its report has no sizes.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{file.path} is an engine of {self.name}, which does not say what its layers have to do.",
            hint="Engines of the fused backend do: yolotrt build MODEL --fp16 --backend fused",
        )

    def _gpu(self, library: Library) -> FoundGpu | None:
        """Return the GPU here, or None where the library builds without one.

        Raises:
            DeviceError: There is none, and the library needs one to build.
        """
        try:
            return find_gpu()
        except EnvironmentFault:
            if library.builds_ahead:
                return None
            raise


def tensorrt() -> TensorRtBackend:
    """Return the TensorRT backend."""
    return TensorRtBackend(TENSORRT)


def tensorrt_rtx() -> TensorRtBackend:
    """Return the TensorRT-RTX backend."""
    return TensorRtBackend(TENSORRT_RTX)
