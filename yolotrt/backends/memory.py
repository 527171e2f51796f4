"""Memory of a GPU that does not suffice: what was needed, what there is, and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory

FEWER_IMAGES = "Use more --groups (smaller batches), or --dispatch serial."
"""What to do where the memory of a group of tiles does not suffice."""


@contextlib.contextmanager
def memory_for(device: Device, who: str, nbytes: int) -> Iterator[None]:
    """Say how much was needed and how much there is, when memory does not suffice.

    Args:
        device: The GPU.
        who: What needs it, such as ``a group``.
        nbytes: What it needs.

    Raises:
        OutOfDeviceMemory: The GPU's memory does not suffice.
    """
    try:
        yield
    except OutOfDeviceMemory as exc:
        free, total = (n / 2**20 for n in device.memory())
        raise OutOfDeviceMemory(
            f"The GPU's memory does not suffice: {who} needs {nbytes / 2**20:.0f} MiB more, and "
            f"{free:.0f} of {total:.0f} MiB are free.",
            hint=FEWER_IMAGES,
        ) from exc
