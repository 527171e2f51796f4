"""What is compiled of a launch, and what comes of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from yolotrt.backends.fused.arguments import CALLERS, Address, Given, KernelLaunch


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
        stack: Bytes per thread that did not fit into registers, and go to memory and back.
    """

    cubin: bytes
    name: str
    threads: int
    shared: int
    stack: int = 0


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
            aligned = by == 16 or arg.element in ("i8", "fp8e4nv")  # there 8 bytes are 8 channels
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


def _divisor(per_image: int, fixed: int) -> int:
    return next((by for by in (16, 8) if per_image % by == 0 and fixed % by == 0), 0)
