"""An engine that somebody else runs: a pipeline cuts, decodes and merges here, and calls for the network.

That may be another model of a Triton server, or whoever gathers the tiles of several callers into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32
from yolotrt.backends.base import Context, DeviceEngine, EngineFile

Call = Callable[[F32], tuple[F32, F32]]
"""Gives head and prototypes of (batch, 3, height, width) images, RGB in [0, 1]."""


class CalledEngine:
    """An engine whose batches are run by a function.

    Attributes:
        file: What it is; nothing is read from its path.
    """

    def __init__(self, file: EngineFile, call: Call) -> None:
        self.file = file
        self._call = call

    @property
    def parts(self) -> Sequence[DeviceEngine]:
        """None: it is fed from the host."""
        return ()

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Context:
        """See :meth:`yolotrt.backends.base.Engine.new_context`; any number may run at the same time."""
        width, height = self.file.spec.input_wh
        return _CalledContext(self._call, batch, np.empty((batch, 3, height, width), np.float32))

    def close(self) -> None:
        """Nothing is held."""


class _CalledContext:
    takes_host_images = True

    def __init__(self, call: Call, batch: int, images: npt.NDArray[np.float32]) -> None:
        self._call, self.batch, self.images = call, batch, images

    def run(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return self._call(self.images)
