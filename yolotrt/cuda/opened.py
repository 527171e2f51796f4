"""The GPUs of this process, each opened once."""

from __future__ import annotations

import functools

from yolotrt.cuda.device import Device


@functools.cache
def gpu(index: int = 0) -> Device:
    """Return a GPU through cuda-bindings; it stays open until the process ends.

    Engines come and go while it stays, so that nothing has to be opened or compiled again for the next.

    Raises:
        MissingDependency: cuda-bindings is not installed.
        DeviceError: There is no driver, or no GPU of this index.
    """
    from yolotrt.cuda.nvidia import NvidiaDriver

    return Device(NvidiaDriver(index))
