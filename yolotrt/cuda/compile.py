"""Compile the kernels with NVRTC, once per architecture, and keep the machine code on disk."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import write_bytes
from yolotrt.artifacts.hashing import content_key
from yolotrt.distribution import install_hint
from yolotrt.errors import BuildError, MissingDependency, StorageError

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
"""GPUs that the kernels are known to compile for; newer ones compile for themselves."""

OPTIONS = {
    "prepare": (),
    "prepare_yuv": (),
    "candidates": ("--fmad=false",),  # thresholds compare the same numbers as the CPU does
    "masks": (),
    "merge": ("--fmad=false",),
    "gather": (),
    "motion": ("--fmad=false",),
    "chosen": (),
}
"""Compiler options by the name of the kernel file."""

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


def kernel_source(name: str) -> str:
    """Return the CUDA C++ source of ``kernels/NAME.cu``, with what it includes."""
    folder = resources.files("yolotrt.cuda") / "kernels"
    return _INCLUDE.sub(
        lambda match: (folder / match[1]).read_text(encoding="utf-8"),
        (folder / f"{name}.cu").read_text(encoding="utf-8"),
    )


def cache_folder() -> Path:
    """Return the folder of compiled kernels: ``yolotrt/kernels`` under the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "yolotrt" / "kernels"


def compiled(name: str, arch: str, defines: Mapping[str, int], folder: Path | None = None) -> bytes:
    """Return the machine code of ``kernels/NAME.cu``, compiled now or found in the cache.

    Args:
        name: Which kernel file.
        arch: Target, such as ``sm_90``.
        defines: Preprocessor definitions that choose a variant.
        folder: The cache; None is the user's. A cache that cannot be written is done without.

    Raises:
        MissingDependency: NVRTC or its Python binding is not installed.
        BuildError: The source does not compile.
    """
    source = kernel_source(name)
    options = (f"-arch={arch}", *(f"-D{k}={v}" for k, v in sorted(defines.items())), *OPTIONS[name])
    key = content_key({"source": source, "options": list(options), "nvrtc": nvrtc_version()})
    path = (folder or cache_folder()) / f"{name}-{arch}-{key[:32]}.cubin"
    if path.is_file():
        return path.read_bytes()
    cubin = compile_source(source, f"{name}.cu", options)
    with contextlib.suppress(StorageError):  # compiling again costs half a second, a read-only home no more
        write_bytes(path, cubin)
    return cubin


def nvrtc_version() -> str:
    """Return the version of NVRTC.

    Raises:
        MissingDependency: NVRTC or its Python binding is not installed.
    """
    nvrtc = _nvrtc()
    major, minor = _checked(nvrtc.nvrtcVersion(), "NVRTC tells no version")
    return f"{major}.{minor}"


def compile_source(source: str, name: str, options: tuple[str, ...]) -> bytes:
    """Compile CUDA C++ to machine code.

    Args:
        source: The program.
        name: File name for messages.
        options: Compiler options, with ``-arch=sm_...`` among them.

    Raises:
        MissingDependency: NVRTC or its Python binding is not installed.
        BuildError: The source does not compile; the message holds the compiler's first line.
    """
    nvrtc = _nvrtc()
    (program,) = _checked(nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), 0, [], []), name)
    try:
        result = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
        if int(result[0]):
            (size,) = _checked(nvrtc.nvrtcGetProgramLogSize(program), name)
            log = bytearray(size)
            _checked(nvrtc.nvrtcGetProgramLog(program, log), name)
            lines = log.decode(errors="replace").strip("\0\n ").splitlines()
            reason = next((line for line in lines if "error" in line), lines[0] if lines else str(result[0]))
            raise BuildError(
                f"The CUDA kernels of {name} do not compile with {' '.join(options)} ({reason}).",
                hint="This NVRTC may not know the GPU: install one that fits the driver.",
            )
        (size,) = _checked(nvrtc.nvrtcGetCUBINSize(program), name)
        cubin = bytearray(size)
        _checked(nvrtc.nvrtcGetCUBIN(program, cubin), name)
        return bytes(cubin)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc
    except ImportError as exc:
        raise MissingDependency(
            "The CUDA backends need the package cuda-bindings.", hint=install_hint("cuda")
        ) from exc
    return nvrtc


def _checked(result: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if int(result[0]):
        raise BuildError(f"NVRTC failed on {what} ({result[0]}).", hint=install_hint("cuda"))
    return result[1:]
