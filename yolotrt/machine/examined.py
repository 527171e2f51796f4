"""What ``yolotrt doctor`` finds out, as a document; it imports little, to work where much does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count
from yolotrt.machine.nvml import GpuState


@dataclass(frozen=True)
class Usable:
    """Whether a backend or decoder can be used here.

    Attributes:
        usable: Whether it can.
        reason: Why not, or what it is.
    """

    usable: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What a machine can do; None where the system does not tell.

    Attributes:
        distribution: What is installed, where, and what may be wrong with it.
        nvidia_driver: What the kernel says of the driver.
        cuda: The GPU that CUDA finds, or why it finds none.
        cuda_binding: Which binding of CUDA is used.
        time: When, by ISO 8601, UTC.
        yolotrt: Our version.
        python: Version of Python.
        platform: The operating system.
        cpu: The processor's name.
        cores: Cores that this process may use.
        governor: What sets the processor's clock.
        load_1min: The system's load over a minute.
        git: Revision of the working directory's repository.
        gpu: The GPU; None without one.
        packages: Version by library; None for what is not installed.
        backends: By name.
        decoders: Of videos, by name.
    """

    distribution: Mapping[str, Any] = field(default_factory=dict)
    nvidia_driver: str
    cuda: str
    cuda_binding: str | None = None
    time: str | None
    yolotrt: str
    python: str
    platform: str
    cpu: str | None
    cores: Count
    governor: str | None
    load_1min: float
    git: str | None
    gpu: GpuState | None
    packages: Mapping[str, str | None]
    backends: Mapping[str, Usable]
    decoders: Mapping[str, Usable] = field(default_factory=dict)


EXAMINED = Document(
    "yolotrt.doctor.reply",
    1,
    Examined,
    "what yolotrt doctor --json wrote",
    older={0: lambda found: found},  # did not say what it is
    unmarked=frozenset({"nvidia_driver", "cuda", "backends"}),
)
