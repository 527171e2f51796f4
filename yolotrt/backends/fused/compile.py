"""Machine code of launches, ahead of time and for any GPU, on all processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from yolotrt.backends.fused.compile_process import CompileProcess
from yolotrt.backends.fused.variants import Code, Variant
from yolotrt.distribution import install_hint
from yolotrt.errors import BuildError, MissingDependency

TARGETS = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_120")
"""GPUs that kernels are compiled for. Older ones have no asynchronous copies; for SM 100 Triton 3.9 cannot
compile the first layer's kernel."""


class Compiler:
    """Compiles variants, each once, on all processors, by processes that are started once for many calls.

    A context manager: the processes end with it.

    Attributes:
        codes: All that it has compiled.
    """

    def __init__(self) -> None:
        self.codes: dict[tuple[Variant, str], Code] = {}
        self._failed: dict[tuple[Variant, str], str] = {}
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="yolotrt-compile")
        self._idle: list[CompileProcess] = []

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
        jobs = {self._pool.submit(self._compile, *task): task for task in fresh}
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
        self._pool.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compile(self, variant: Variant, target: str) -> Code | str:
        """Let a process that has nothing to do compile; one that crashed is replaced."""
        try:
            process = self._idle.pop()
        except IndexError:
            process = CompileProcess()
        try:
            return process.compile(variant, target)
        finally:
            if process.ended:
                process.close()
            else:
                self._idle.append(process)


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
