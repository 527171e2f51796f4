"""The kernels' own code, compiled for the CPU by g++: what it computes can be checked without a GPU.

FP32 variants only: FP16 needs the GPU's conversion instructions.
"""

from __future__ import annotations

import atexit
import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.cuda.emulator import HostDriver, Operation
from yolotrt.cuda.compile import OPTIONS, kernel_source
from yolotrt.cuda.driver import DeviceInfo, Dim

HEADER = Path(__file__).with_name("host_cuda.h")
_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\)')
_TYPES = {"int": ctypes.c_int, "float": ctypes.c_float, "double": ctypes.c_double}


def compiler() -> str | None:
    """Return the path of g++, or None."""
    return shutil.which("g++")


@cache
def file_of(kernel: str) -> str:
    """Return the file that a kernel is in."""
    return next(file for file in OPTIONS if f" {kernel}(" in "".join(_heads(kernel_source(file))))


def _heads(source: str) -> list[str]:
    return [match[0] for match in _KERNEL.finditer(source)]


@cache
def library(file: str, wide: bool = False) -> tuple[ctypes.CDLL, dict[str, list[Any]]]:
    """Compile a kernel file and return it with the argument types of its kernels."""
    source = kernel_source(file).replace("extern __shared__ float window[];", "")
    wrappers, types = [], {}
    for name, parameters in _KERNEL.findall(source):
        declared = [" ".join(p.split()) for p in parameters.split(",")]
        names = [p.replace("*", " ").split()[-1] for p in declared]
        types[name] = [ctypes.c_void_p if "*" in p else _TYPES[p.split()[0]] for p in declared]
        wrappers.append(
            f'extern "C" void run_{name}(unsigned x, unsigned y, unsigned threads, {", ".join(declared)})'
            f"\n{{ run(x, y, threads, [=] {{ {name}({', '.join(names)}); }}); }}"
        )
    folder = Path(mkdtemp(prefix="yolotrt-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "kernels.cpp").write_text("\n".join([f'#include "{HEADER}"', source, *wrappers]))
    variant = ("HEAD_HALF", "PROTO_HALF") if file == "masks" else ("HALF",)
    built = folder / "kernels.so"
    contraction = "off" if "--fmad=false" in OPTIONS[file] else "fast"
    command = [
        str(compiler()), "-std=c++17", "-O1", "-shared", "-fPIC", "-w",
        f"-ffp-contract={contraction}", *(f"-D{name}=0" for name in variant), f"-DWIDE={int(wide)}",
        "-o", str(built), str(folder / "kernels.cpp"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return ctypes.CDLL(str(built)), types


class CompiledDriver(HostDriver):
    """The emulated GPU with the real kernels."""

    def info(self) -> DeviceInfo:
        return replace(super().info(), multiprocessors=1)  # fewer blocks, fewer threads to start

    def launch(self, function: int, grid: Dim, block: Dim, shared: int, stream: int, packed: Any) -> None:
        name, defines = self._functions[function]
        self.submit(name, stream, lambda op: _start(op, name, defines, grid, block, shared, packed))


def _start(
    op: Operation,
    name: str,
    defines: Mapping[str, int],
    grid: Dim,
    block: Dim,
    shared: int,
    packed: list[Any],
) -> None:
    wide = bool(defines.get("WIDE"))
    assert not any(value for name, value in defines.items() if name != "WIDE"), "FP16 needs a GPU"
    assert shared <= 4 << 16, "more shared memory than host_cuda.h has"
    compiled, types = library(file_of(name), wide)
    arguments = [kind(value) for kind, value in zip(types[name], packed, strict=True)]
    getattr(compiled, f"run_{name}")(grid[0], grid[1], block[0], *arguments)
