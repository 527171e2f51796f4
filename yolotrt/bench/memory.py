"""How much memory a case needs, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolotrt.errors import ExecutionError

_CHILD = "import sys; from yolotrt.bench.memory import child; child(sys.argv[1])"


def peak_memory(engines: Sequence[Path], settings: Mapping[str, Any], frame_wh: tuple[int, int]) -> int:
    """Return the bytes of host memory that a fresh process needs at most to process a frame of noise.

    The interpreter and its libraries are part of it, as they are in an application.

    Args:
        engines: Engine of the tiles, then that of the whole frame if it has its own.
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
    return int(done.stdout.split()[-1])


def child(task: str) -> None:
    """Process one frame and print the peak memory; runs in the process of its own."""
    import numpy as np

    from yolotrt.pipeline.tiled import TiledPipeline

    chosen = json.loads(task)
    width, height = chosen["frame_wh"]
    frame = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    whole = chosen["engines"][1] if len(chosen["engines"]) > 1 else None
    with TiledPipeline.open(chosen["engines"][0], whole=whole, **chosen["settings"]) as pipeline:
        pipeline(frame)
    print(_high_water())


def _high_water() -> int:
    """Return the largest resident set since this program was started, bytes (proc(5), VmHWM).

    Not getrusage's ru_maxrss: Linux carries that over from the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
