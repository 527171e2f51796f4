"""Machine code of launches, ahead of time and for any GPU: the only module that needs Triton."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from yolotrt.backends.fused.arguments import CALLERS, Address, Given, KernelLaunch
from yolotrt.distribution import install_hint
from yolotrt.errors import BuildError, MissingDependency


@dataclass(frozen=True)
class Variant:
    """A kernel as it is compiled: everything but the target.

    Attributes:
        kernel: Name of the function in :mod:`.kernels`.
        signature: Type of each argument; ``constexpr`` for what is known.
        constants: Values of what is known.
        divisible: Known divisors of arguments, by position.
        warps: Groups of 32 threads per program.
        stages: Loads in flight in a loop.
        registers: At most so many per thread; 0 leaves it to the compiler.
    """

    kernel: str
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    divisible: tuple[tuple[int, int], ...]
    warps: int
    stages: int
    registers: int

    @property
    def key(self) -> str:
        """A short name for it."""
        text = json.dumps(self.__dict__, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Code:
    """A compiled kernel.

    Attributes:
        cubin: Machine code for one target.
        name: Of the function in it.
        threads: Per program.
        shared: Bytes of dynamic shared memory.
    """

    cubin: bytes
    name: str
    threads: int
    shared: int


def variant_of(launch: KernelLaunch) -> Variant:
    """Return what has to be compiled for a launch."""
    signature: list[tuple[str, str]] = []
    constants: list[tuple[str, Any]] = []
    divisible: list[tuple[int, int]] = []
    for i, (name, arg) in enumerate(launch.args.items()):
        if arg is None:
            signature.append((name, "constexpr"))
            constants.append((name, None))
            continue
        signature.append((name, f"*{arg.element}" if isinstance(arg, Address) else "i32"))
        by = 0 if isinstance(arg, Given) else _divisor(arg.per_image, arg.fixed)
        if isinstance(arg, Address):
            aligned = by == 16 or arg.element == "i8"  # of INT8, 8 bytes are 8 channels
            by = by if aligned and arg.space not in CALLERS else 0
        if by:
            divisible.append((i, by))
    signature += [(name, "constexpr") for name in launch.constants]
    constants += list(launch.constants.items())
    return Variant(
        launch.kernel,
        tuple(signature),
        tuple(constants),
        tuple(divisible),
        launch.warps,
        launch.stages,
        launch.registers,
    )


class Compiler:
    """Compiles variants, each once, on all processors, which are started once for many calls.

    A context manager: the processes end with it.

    Attributes:
        codes: All that it has compiled.
    """

    def __init__(self) -> None:
        self.codes: dict[tuple[Variant, str], Code] = {}
        self._failed: dict[tuple[Variant, str], str] = {}
        self._pool: ProcessPoolExecutor | None = None

    def all(
        self,
        wanted: Sequence[tuple[Variant, str]],
        done: Callable[[int, int], None] = lambda _done, _all: None,
        *,
        lenient: bool = False,
    ) -> dict[tuple[Variant, str], Code]:
        """Return the machine code of variants; see :func:`compile_all`."""
        require_triton()
        tasks = list(dict.fromkeys(wanted))
        fresh = [t for t in tasks if t not in self.codes and t not in self._failed]
        jobs = {self._processes().submit(_try, *task): task for task in fresh}
        for number, job in enumerate(as_completed(jobs), 1):
            task, result = jobs[job], job.result()
            if isinstance(result, Code):
                self.codes[task] = result
            else:
                self._failed[task] = result
                if not lenient:
                    break
            done(number, len(fresh))
        failed = [task for task in tasks if task in self._failed]
        if failed and not lenient:
            kernel, target = failed[0][0].kernel, failed[0][1]
            raise BuildError(
                f"Triton could not compile the kernel {kernel} for {target} ({self._failed[failed[0]]}).",
                hint=f"Update it: {install_hint('fused')} -U",
            )
        return {task: self.codes[task] for task in tasks if task in self.codes}

    def close(self) -> None:
        """End the processes; what is not compiled yet never will be."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            workers = len(os.sched_getaffinity(0))
            # Fresh processes: this one may hold a GPU's context, which does not survive being copied.
            self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _compile_quietly)
        return self._pool


def compile_all(
    wanted: Sequence[tuple[Variant, str]],
    done: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    lenient: bool = False,
) -> dict[tuple[Variant, str], Code]:
    """Compile variants for targets, each once, on all processors.

    Args:
        wanted: Variants and targets such as ``sm_90``.
        done: Told how many are done, of how many.
        lenient: Leave out what cannot be compiled or does not fit into the target's shared memory.

    Raises:
        MissingDependency: Triton is not installed.
        BuildError: Triton could not compile a kernel.
    """
    with Compiler() as compiler:
        return compiler.all(wanted, done, lenient=lenient)


TARGETS = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_120")
"""GPUs that kernels are compiled for. Older ones have no asynchronous copies; for SM 100 Triton 3.9 cannot
compile the first layer's kernel."""

SHARED_LIMITS = {
    "sm_80": 163,
    "sm_86": 99,
    "sm_89": 99,
    "sm_90": 227,
    "sm_120": 99,
}
"""KiB of shared memory that a program may use: CUDA C++ Programming Guide, table of compute capabilities."""


def _compile_quietly() -> None:
    """Compile, also where Triton was told to interpret, and print nothing.

    Of a shape that the assembler cannot place, Triton prints the whole assembly; here it is one candidate
    less, and what matters comes back as text.
    """
    os.environ.pop("TRITON_INTERPRET", None)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)
    os.close(nowhere)


def _try(variant: Variant, target: str) -> Code | str:
    """Compile one kernel; in a process of its own, so errors come back as text."""
    try:
        code = compile_one(variant, target)
    except Exception as exc:  # whatever the compiler raises
        return f"{type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}"
    limit = SHARED_LIMITS[target] * 1024
    if code.shared > limit:
        return f"it needs {code.shared} bytes of shared memory, and the target has {limit}"
    return code


def compile_one(variant: Variant, target: str) -> Code:
    """Compile one kernel for one target, such as ``sm_90``."""
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # unset warns, and its default will change
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from yolotrt.backends.fused import kernels

    function = getattr(kernels, variant.kernel)
    attributes = {(i,): [["tt.divisibility", by]] for i, by in variant.divisible}
    source = ASTSource(function, dict(variant.signature), dict(variant.constants), attributes)
    options = {"num_warps": variant.warps, "num_stages": variant.stages}
    if variant.registers:
        options["maxnreg"] = variant.registers
    made = triton.compile(source, target=GPUTarget("cuda", int(target[3:]), 32), options=options)
    meta = made.metadata
    if getattr(meta, "global_scratch_size", 0):
        raise BuildError(f"{variant.kernel} needs scratch memory of its own.")
    return Code(made.asm["cubin"], meta.name, 32 * meta.num_warps, meta.shared)


def require_triton() -> str:
    """Return Triton's version.

    Raises:
        MissingDependency: It is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("triton")
    except PackageNotFoundError as exc:
        raise MissingDependency(
            "Building for the fused backend needs the package triton.", hint=install_hint("fused")
        ) from exc


def _divisor(per_image: int, fixed: int) -> int:
    return next((by for by in (16, 8) if per_image % by == 0 and fixed % by == 0), 0)
