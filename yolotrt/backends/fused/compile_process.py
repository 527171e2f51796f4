"""Compiles kernels in a process of its own: variants come in as lines of JSON, machine code goes out.

It is a Python of its own, not a copy of the caller's program: a library that is used from a script must not
start that script again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from subprocess import PIPE, Popen
from typing import Any, BinaryIO

from yolotrt.backends.fused.resources import resources
from yolotrt.backends.fused.variants import Code, Variant
from yolotrt.errors import BuildError

SHARED_LIMITS = {
    "sm_80": 163,
    "sm_86": 99,
    "sm_89": 99,
    "sm_90": 227,
    "sm_120": 99,
}
"""KiB of shared memory that a program may use: CUDA C++ Programming Guide, table of compute capabilities."""


_COMPILER = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); sys.path[:] = sys.argv[1:]; "
    f"from {__name__} import main; main()"
)
"""``-m`` would import from the working folder first, which holds anything: Python 3.10 knows no safe path.
Ctrl-C ends it without a traceback."""


class CompileProcess:
    """A process that compiles one kernel at a time. Start one for each processor, and close it."""

    def __init__(self) -> None:
        # Where Triton was told to interpret, this still compiles; what is imported here is imported there.
        inherited = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
        self._process = Popen(
            [sys.executable, "-c", _COMPILER, *sys.path], stdin=PIPE, stdout=PIPE, env=inherited
        )

    def compile(self, variant: Variant, target: str) -> Code | str:
        """Return a kernel's machine code for a target such as ``sm_90``, or why there is none."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"target": target, **asdict(variant)}).encode() + b"\n")
            self._process.stdin.flush()
            reply = json.loads(self._process.stdout.readline() or b"{}")
            if "name" in reply:
                nbytes = reply.pop("nbytes")
                cubin = self._process.stdout.read(nbytes)
                if len(cubin) == nbytes:
                    return Code(cubin=cubin, **reply)
                reply = {}
        except (OSError, ValueError):  # it ended, perhaps within a reply
            reply = {}
        return str(reply["error"]) if reply else f"the compiler ended: {self._process.wait()}"

    @property
    def ended(self) -> bool:
        """Whether the compiler has crashed, or was ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End it; it has nothing to compile."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(OSError):  # it has ended before
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


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
    stack = 0
    with suppress(OSError):  # without the tool nobody knows
        _, stack = resources(made.asm["cubin"])
    return Code(made.asm["cubin"], meta.name, 32 * meta.num_warps, meta.shared, stack)


def _try(variant: Variant, target: str) -> Code | str:
    """Compile one kernel, or return in a line what the compiler says."""
    try:
        code = compile_one(variant, target)
    except Exception as exc:  # whatever the compiler raises
        return f"{type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}"
    limit = SHARED_LIMITS[target] * 1024
    if code.shared > limit:
        return f"it needs {code.shared} bytes of shared memory, and the target has {limit}"
    return code


def _asked(line: bytes) -> tuple[Variant, str]:
    """Read a variant and its target."""
    given: dict[str, Any] = json.loads(line)
    target = given.pop("target")
    given |= {name: tuple(map(tuple, given[name])) for name in ("signature", "constants", "divisible")}
    return Variant(**given), target


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until there are no more requests."""
    for line in requests:
        found = _try(*_asked(line))
        said: Mapping[str, object] = {"error": found}
        cubin = b""
        if isinstance(found, Code):
            cubin = found.cubin
            said = {"name": found.name, "threads": found.threads, "shared": found.shared,
                    "stack": found.stack, "nbytes": len(cubin)}  # fmt: skip
        replies.write(json.dumps(said).encode() + b"\n" + cubin)
        replies.flush()


def _silent() -> BinaryIO:
    """Return where replies go, and let nothing else of this process reach anybody.

    Of a shape that the assembler cannot place, Triton prints the whole assembly; here it is one candidate
    less, and what matters goes back as text.
    """
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)
    os.close(nowhere)
    return replies


def main() -> None:
    """Be a compiler until stdin ends."""
    serve(sys.stdin.buffer, _silent())
