"""What machine code takes of a GPU, as NVIDIA's tool beside the compiler reads it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory


def resources(cubin: bytes) -> tuple[int, int]:
    """Return registers and stack bytes per thread; bytes on the stack did not fit into registers.

    Raises:
        OSError: The tool is not there, or does not say.
    """
    from triton import knobs

    try:
        tool = knobs.nvidia.cuobjdump.path
    except RuntimeError as exc:  # packages of Triton may lack it
        raise OSError(str(exc)) from exc
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [tool, "--dump-resource-usage", str(path)]
        told = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"REG:(\d+) STACK:(\d+)", told.stdout)
    if told.returncode or not found:
        raise OSError(f"{tool} says: {told.stderr or told.stdout}")
    return int(found[1]), int(found[2])
