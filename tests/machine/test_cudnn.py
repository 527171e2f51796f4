from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import ctypes, sys
from yolotrt.machine.cudnn import cudnn_version
for path in sys.argv[1:]:
    ctypes.CDLL(path)
print(cudnn_version())
"""


def asked(*libraries: Path) -> str:
    """What a process says that has loaded these."""
    command = [sys.executable, "-c", ASK, *map(str, libraries)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize(("number", "version"), [(91400, "9.14.0"), (92203, "9.22.3")])
def test_the_loaded_cudnn_tells_its_version(tmp_path: Path, number: int, version: str) -> None:
    source, built = tmp_path / "cudnn.c", tmp_path / "libcudnn_graph.so.9"
    source.write_text(f"unsigned long cudnnGetVersion(void) {{ return {number}; }}")
    subprocess.run(["gcc", "-shared", "-o", str(built), str(source)], check=True)
    assert asked(built) == version
    assert asked() == "None"
