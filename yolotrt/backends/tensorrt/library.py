"""Which TensorRT is installed, and what it offers.

TensorRT keeps one logger per process and product, so a product is opened once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from yolotrt.backends.tensorrt.log import MessageLog, new_logger
from yolotrt.cuda.probe import FoundGpu
from yolotrt.distribution import install_hint
from yolotrt.errors import DeviceError, MissingDependency
from yolotrt.quantization.styles import QdqStyle

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class Product:
    """One of NVIDIA's two libraries with the same interface.

    Attributes:
        backend: What ``--backend`` calls it.
        title: What its maker calls it.
        module: Its Python package.
        qdq_style: Q/DQ graphs that its kernels want.
        triton: Triton's backend for its engines and what that calls the file; None for none.
    """

    backend: str
    title: str
    module: str
    qdq_style: QdqStyle = "gpu"
    triton: tuple[str, str] | None = None

    @property
    def package(self) -> str:
        """What ``pip`` calls it."""
        return self.module.replace("_", "-")

    def installed(self) -> bool:
        """Whether the package is there, without importing it."""
        return find_spec(self.module) is not None


TENSORRT = Product("tensorrt", "TensorRT", "tensorrt", triton=("tensorrt", "model.plan"))
TENSORRT_RTX = Product("tensorrt-rtx", "TensorRT-RTX", "tensorrt_rtx", "rtx")


class Library:
    """An imported product.

    Attributes:
        product: Which one.
        trt: Its module.
        log: Everything it says passes through here.
        logger: The one logger of this process.
    """

    def __init__(self, product: Product, module: Any) -> None:
        self.product = product
        self.trt = module
        self.log = MessageLog(product.title)
        self.logger: trt.ILogger = new_logger(module, self.log)
        self._runtime: trt.Runtime | None = None

    @property
    def version(self) -> str:
        """The exact version, such as ``10.16.1.11``."""
        return str(self.trt.__version__)

    @property
    def title(self) -> str:
        """Name and version for messages."""
        return f"{self.product.title} {self.version}"

    def runtime(self, gpu: FoundGpu) -> trt.Runtime:
        """Return the one runtime of this process.

        Args:
            gpu: Proof that CUDA works: without it the runtime would end the process at its first use.

        Raises:
            DeviceError: TensorRT could not start.
        """
        if self._runtime is None:
            try:
                self._runtime = self.trt.Runtime(self.logger)
            except (RuntimeError, TypeError) as exc:  # TypeError: the library gave no object
                raise DeviceError(
                    f"{self.title} could not start on the {gpu.name} ({self.log.last_error()}).",
                    hint="The driver may be too old for it; see: yolotrt doctor",
                ) from exc
        return self._runtime

    @property
    def can_calibrate(self) -> bool:
        """Whether INT8 can be left to the library, with a calibrator (TensorRT 10)."""
        return hasattr(self.trt, "IInt8EntropyCalibrator2")

    @property
    def builds_ahead(self) -> bool:
        """Whether it builds for named GPUs and compiles on them later (TensorRT-RTX).

        Such a library measures nothing while it builds, so it needs neither a GPU nor a timing cache.
        """
        return hasattr(self.trt, "ComputeCapability")

    @property
    def checks_engines(self) -> bool:
        """Whether it can judge an engine by its header (TensorRT-RTX)."""
        return hasattr(self.trt, "EngineValidity")


@functools.cache
def open_library(product: Product) -> Library:
    """Import a product, once per process.

    Raises:
        MissingDependency: It is not installed, cannot be loaded, or is too old.
    """
    hint = install_hint(product.backend)
    if not product.installed():
        raise MissingDependency(f"{product.title} is not installed.", hint=hint)
    try:
        module = import_module(product.module)
    except (ImportError, OSError) as exc:
        raise MissingDependency(f"{product.title} cannot be loaded ({exc}).", hint=hint) from exc
    library = Library(product, module)
    # Device memory per profile came in the course of TensorRT 10; everything else used here is older.
    if not hasattr(library.trt.ICudaEngine, "get_device_memory_size_for_profile_v2"):
        raise MissingDependency(
            f"{library.title} is too old for yolotrt.", hint=f"pip install --upgrade {product.package}"
        )
    return library
