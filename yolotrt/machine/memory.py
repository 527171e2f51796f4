"""How much memory a case needs, on the host and on GPUs, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolotrt.errors import ExecutionError

_CHILD = "import sys; from yolotrt.machine.memory import child; child(sys.argv[1])"

_FRAMES = 3
"""A graph is captured, and libraries choose their kernels, in the first frames."""


@dataclass(frozen=True)
class Memory:
    """What a process takes, bytes.

    Attributes:
        host: Its largest resident set. The interpreter and its libraries are part of it, as they are in an
            application.
        gpu: Memory of all its GPUs once a frame was processed, without what any process takes that opens
            them; None if it uses none.
    """

    host: int
    gpu: int | None = None


def peak_memory(engines: Sequence[Path], settings: Mapping[str, Any], frame_wh: tuple[int, int]) -> Memory:
    """Return the memory that a fresh process needs to process frames of noise.

    A GPU tells only how much of its memory is free, so what other programs take or give back meanwhile is
    counted, too.

    Args:
        engines: Engine of the tiles, then that of the global pass if it has its own.
        settings: Plain fields of :class:`yolotrt.pipeline.tiled.PipelineSettings`.
        frame_wh: Size of the frame, px.

    Raises:
        ExecutionError: The process failed.
    """
    task = json.dumps(
        {"engines": [str(path) for path in engines], "settings": dict(settings), "frame_wh": frame_wh}
    )
    done = subprocess.run([sys.executable, "-c", _CHILD, task], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExecutionError(f"Measuring the memory of {engines[0]} failed ({reason}).")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def child(task: str) -> None:
    """Process frames and print the memory; runs in the process of its own."""
    import numpy as np

    from yolotrt.backends.placement import place
    from yolotrt.backends.sidecar import read_engine
    from yolotrt.pipeline.tiled import TiledPipeline

    chosen = json.loads(task)
    width, height = chosen["frame_wh"]
    frame = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    global_engine = chosen["engines"][1] if len(chosen["engines"]) > 1 else None
    gpus = place(read_engine(Path(chosen["engines"][0])), chosen["settings"].get("device", "auto")).gpus
    free = _free(gpus)
    with TiledPipeline.open(
        chosen["engines"][0], global_engine=global_engine, **chosen["settings"]
    ) as pipeline:
        for _ in range(_FRAMES if gpus else 1):
            pipeline(frame)
        used = max(0, free - _free(gpus)) if gpus else None
    print(json.dumps(asdict(Memory(_high_water(), used))))


def _free(gpus: Sequence[int]) -> int:
    """Return the free memory of GPUs, bytes, opening them where that has not been done."""
    from yolotrt.cuda.machine import HERE

    return sum(HERE.gpu(index).memory()[0] for index in gpus)


def _high_water() -> int:
    """Return the largest resident set since this program was started, bytes (proc(5), VmHWM).

    Not getrusage's ru_maxrss: Linux carries that over from the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
