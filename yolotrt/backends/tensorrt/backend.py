"""TensorRT and TensorRT-RTX as backends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.artifacts.files import require_file
from yolotrt.backends.base import Availability, BuildConfig, BuiltEngine, EngineFile, QdqStyle
from yolotrt.backends.tensorrt.gpu import Gpu, find_gpu
from yolotrt.backends.tensorrt.library import TENSORRT, TENSORRT_RTX, Library, Product, open_library
from yolotrt.cuda import opened
from yolotrt.errors import ArtifactError, EnvironmentFault, MissingDependency, YoloTrtError
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.backends.tensorrt.runtime import TensorRtEngine
    from yolotrt.cuda.device import Device


class TensorRtBackend:
    """One of the two products. The library is imported when it is first needed."""

    suffix = ".engine"
    qdq_style: QdqStyle = "tensorrt"

    def __init__(self, product: Product) -> None:
        self.name = product.backend
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
        """Load an engine on the first GPU; see :func:`yolotrt.backends.tensorrt.runtime.load`."""
        find_gpu()
        return self.load_on(file, opened.gpu())

    def load_on(self, file: EngineFile, device: Device) -> TensorRtEngine:
        """Load an engine on a GPU that the caller has opened."""
        from yolotrt.backends.tensorrt.runtime import load

        return load(open_library(self._product), find_gpu(device.info.index), device, file)

    def load_foreign(self, path: Path) -> TensorRtEngine:
        """Load an engine without a sidecar; see :func:`yolotrt.backends.tensorrt.runtime.load_foreign`."""
        from yolotrt.backends.tensorrt.runtime import load_foreign

        gpu = find_gpu()
        return load_foreign(open_library(self._product), gpu, opened.gpu(), path)

    def _gpu(self, library: Library) -> Gpu | None:
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


def load_foreign(path: Path) -> TensorRtEngine:
    """Load an engine that has no sidecar, with whichever product can: nothing in it says which made it.

    Raises:
        InputError: It is missing or unreadable.
        EnvironmentFault: Neither product works here.
        ArtifactError: None of them can load it.
    """
    require_file(path, "a TensorRT engine")
    refusals: list[YoloTrtError] = []
    for found in (tensorrt(), tensorrt_rtx()):
        try:
            return found.load_foreign(path)
        except (EnvironmentFault, ArtifactError) as exc:
            refusals.append(exc)
    # A refusal of the engine says most, the absence of a library least.
    raise min(refusals, key=lambda e: (not isinstance(e, ArtifactError), isinstance(e, MissingDependency)))


def tensorrt() -> TensorRtBackend:
    """Return the TensorRT backend."""
    return TensorRtBackend(TENSORRT)


def tensorrt_rtx() -> TensorRtBackend:
    """Return the TensorRT-RTX backend."""
    return TensorRtBackend(TENSORRT_RTX)
