"""The GPUs that a process uses, each opened once, through one binding of CUDA's driver API."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.cuda.device import Device

BINDINGS = {
    "cuda-bindings": "yolotrt.cuda.nvidia:NvidiaDriver",
    "pycuda": "yolotrt.cuda.pycuda_driver:PycudaDriver",
}
"""Bindings by the name of their package; the first is the default, and the only one with CUDA graphs."""

VARIABLE = "YOLOTRT_CUDA"
"""Environment variable that names the binding."""


def chosen_binding() -> str:
    """Return the name of the binding that the environment asks for, or the default.

    Raises:
        UsageError: There is none of this name.
    """
    name = os.environ.get(VARIABLE) or next(iter(BINDINGS))
    if name not in BINDINGS:
        raise UsageError(
            f"{VARIABLE}={name} names no binding of CUDA.", hint=f"Choose from: {', '.join(BINDINGS)}."
        )
    return name


def _opened(index: int) -> Device:
    from yolotrt.cuda.device import Device  # whoever runs on the processor needs nothing of it

    return Device(_driver()(index))


class Machine:
    """What an application and the engines in it share of a machine: its GPUs.

    A GPU stays open until the process ends: engines come and go meanwhile, and nothing has to be opened or
    compiled again for the next.

    Args:
        open_gpu: Opens a GPU by its index; None opens it through the binding that was chosen.
        count_gpus: Counts the GPUs; None asks the binding that was chosen.
    """

    def __init__(
        self,
        open_gpu: Callable[[int], Device] | None = None,
        count_gpus: Callable[[], int] | None = None,
    ) -> None:
        self._open_gpu = open_gpu or _opened
        self._count_gpus = count_gpus or (lambda: int(_driver().count()))
        self._gpus: dict[int, Device] = {}
        self._lock = threading.Lock()

    def gpu(self, index: int = 0) -> Device:
        """Return a GPU.

        Raises:
            MissingDependency: The binding is not installed.
            DeviceError: There is no driver, or no GPU of this index.
        """
        with self._lock:
            if index not in self._gpus:
                self._gpus[index] = self._open_gpu(index)
            return self._gpus[index]

    def count(self) -> int:
        """Return the number of visible GPUs; 0 without a driver.

        Raises:
            MissingDependency: The binding is not installed.
        """
        return self._count_gpus()


HERE = Machine()
"""The machine that this process runs on, for whoever is not given another."""


def _driver() -> Any:
    module, _, name = BINDINGS[chosen_binding()].partition(":")
    return getattr(import_module(module), name)
