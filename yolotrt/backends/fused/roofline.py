"""How fast a network can be on a GPU: what its memory or its tensor cores need, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from yolotrt.backends.fused.file import FusedFile
from yolotrt.errors import UsageError


@dataclass(frozen=True)
class Figures:
    """What a GPU can do at most, as its maker says.

    Attributes:
        bandwidth: Of its memory, bytes a second.
        operations: FP16 with FP32 sums, dense, operations a second.
        source: Where that is said.
    """

    bandwidth: float
    operations: float
    source: str


_ADA = "NVIDIA Ada GPU architecture, appendix A"
_BLACKWELL = "NVIDIA's product page; FP16 is a sixteenth of its AI TOPS (sparse FP4)"

GPUS: Mapping[str, Figures] = {
    "A100": Figures(2.039e12, 312e12, "NVIDIA A100 80GB SXM datasheet"),
    "H100": Figures(3.35e12, 989e12, "NVIDIA H100 SXM datasheet, half of its sparse rate"),
    "H200": Figures(4.8e12, 989e12, "NVIDIA H200 SXM datasheet, half of its sparse rate"),
    "L4": Figures(0.3e12, 121e12, "NVIDIA L4 datasheet, half of its sparse rate"),
    "L40S": Figures(0.864e12, 362e12, "NVIDIA L40S datasheet"),
    "RTX 3090": Figures(0.936e12, 71.2e12, "NVIDIA Ampere GA102 GPU architecture, FP32 sums"),
    "RTX 4090": Figures(1.008e12, 165.2e12, _ADA),
    "RTX 4060 Ti": Figures(0.288e12, 44.1e12, _ADA),
    "RTX 5090": Figures(1.792e12, 3352e12 / 16, _BLACKWELL),
    "RTX 5080": Figures(0.96e12, 1801e12 / 16, _BLACKWELL),
    "RTX 5070": Figures(0.672e12, 988e12 / 16, _BLACKWELL),
    "RTX 5060 Ti": Figures(0.448e12, 759e12 / 16, _BLACKWELL),
}
"""By name; what a GPU really reaches is less."""


@dataclass(frozen=True)
class Row:
    """One layer of a network on a GPU.

    Attributes:
        name: Of the layer.
        nbytes: To move at least, for the whole batch.
        operations: To compute, for the whole batch.
        floor: Seconds that it takes at least.
        bound: ``memory`` or ``arithmetic``: what takes that long.
    """

    name: str
    nbytes: int
    operations: int
    floor: float
    bound: str


def figures_of(name: str) -> tuple[str, Figures]:
    """Return the GPU whose name is part of ``name`` or the other way round, the longest first.

    Raises:
        UsageError: There is none.
    """
    wanted = name.lower().replace("nvidia", "").replace("geforce", "").strip()
    for known in sorted(GPUS, key=len, reverse=True):
        if wanted and known.lower() in wanted:
            return known, GPUS[known]
    raise UsageError(
        f"There are no figures of a GPU {name!r}.", hint=f"Choose from: {', '.join(sorted(GPUS))}."
    )


def roofline(content: FusedFile, batch: int, gpu: Figures) -> list[Row]:
    """Return the floor of every layer of an engine, in the order in which they run."""
    program = content.programs[0]
    rows = []
    for start in program.starts:
        nbytes, operations = start.nbytes * batch, start.operations * batch
        moving, computing = nbytes / gpu.bandwidth, operations / gpu.operations
        bound = "memory" if moving >= computing else "arithmetic"
        rows.append(Row(start.step, nbytes, operations, max(moving, computing), bound))
    return rows
