"""Where engines run: on the processor or on GPUs, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yolotrt.backends.base import Context, Engine, EngineFile
from yolotrt.errors import UsageError

EMBEDDED = "onnxruntime"
"""The backend whose engines run on the processor as well as on a GPU."""


@dataclass(frozen=True)
class Placement:
    """Where an engine runs.

    Attributes:
        gpus: Indices of the GPUs, in CUDA's order; empty for the processor.
        reason: Why there.
    """

    gpus: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        return f"cuda:{','.join(map(str, self.gpus))}" if self.gpus else "cpu"


class Replicas:
    """The same engine on several GPUs, for frames whose tiles are dealt out to them.

    Attributes:
        file: The engine on disk.
        engines: Loaded engines, one per GPU.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.file = engines[0].file
        self.engines = tuple(engines)

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Context:
        """Return a context on the first GPU; see :meth:`yolotrt.backends.base.Engine.new_context`."""
        return self.engines[0].new_context(batch, lane=lane, threads=threads)

    def close(self) -> None:
        """Free them all."""
        for engine in self.engines:
            engine.close()


def place(file: EngineFile, device: str = "auto") -> Placement:
    """Decide where an engine runs.

    Args:
        file: The engine.
        device: ``auto``, ``cpu``, ``cuda:0``, or several GPUs as ``cuda:0,1``. ``auto`` takes the first GPU
            for TensorRT's engines, and for ONNX Runtime's in floating point if its CUDA provider works
            here; everything else runs on the processor.

    Raises:
        UsageError: The words are no device, or the engine cannot run there.
    """
    if device == "auto":
        return _best(file)
    if device == "cpu":
        if file.backend != EMBEDDED:
            raise UsageError(
                f"{file.path} is a {file.backend} engine: it runs on a GPU only.",
                hint=f"For the processor: yolotrt build MODEL --{file.precision} --backend {EMBEDDED}",
            )
        return Placement((), "asked for")
    found = re.fullmatch(r"cuda:(\d+(?:,\d+)*)", device)
    if not found:
        raise UsageError(f"{device!r} is no device.", hint="Like this: auto, cpu, cuda:0 or cuda:0,1")
    gpus = tuple(int(index) for index in found[1].split(","))
    if len(set(gpus)) != len(gpus):
        raise UsageError(f"{device!r} names a GPU twice.", hint="Name each once, as in cuda:0,1")
    return Placement(gpus, "asked for")


def _best(file: EngineFile) -> Placement:
    if file.backend != EMBEDDED:
        return Placement((0,), f"{file.backend} runs on GPUs only")
    if file.precision not in ("fp32", "fp16"):
        # Its Q/DQ pairs are placed for the processor's kernels; the CUDA provider computes them in FP32.
        return Placement((), f"this {file.precision} engine was made for the processor")
    from yolotrt.backends.onnxruntime.gpu import availability

    state = availability()
    return Placement((0,) if state.usable else (), state.reason)


def gpu_engines(engine: Engine) -> list[Any]:
    """Return an engine's parts by GPU; none if it is fed from the host."""
    engines = engine.engines if isinstance(engine, Replicas) else (engine,)
    return [e for e in engines if getattr(e, "device", None) is not None]
