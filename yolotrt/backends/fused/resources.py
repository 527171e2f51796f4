"""What machine code takes of a GPU, as NVIDIA's tool beside the compiler reads it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory


def resources(cubin: bytes) -> tuple[int, int]:
    """Return registers and stack bytes per thread; bytes on the stack did not fit into registers.

    Raises:
        OSError: The tool is not there.
    """
    from triton import knobs

    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found, told
    return int(found[1]), int(found[2])
