"""Four 4K cameras at 30 frames a second on one GPU: are results there within 33 ms, and does memory stay?

    python -m benchmarks.video_cameras ENGINE CLIP.mp4 [--cameras 4] [--seconds 150] [--deadline 33ms]
        [--output FILE]

Files play the cameras, each at its own time stamps; all begin at once, so that every frame has those of the
others beside it. ``yolotrt run`` processes them as its users run it, ``--mode tiled+global`` with two frames
in flight. Memory of the process and of the GPU is watched from outside.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import msgspec

from benchmarks.video_clips import repeated
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.machine.environment import environment

EVERY_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("engine", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--deadline", default="33ms")
    parser.add_argument("--decoder", default="nvdec")
    parser.add_argument("--more", default="", help="further options of yolotrt run")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/video-cameras.json"))
    options = parser.parse_args(arguments)
    with av.open(str(options.clip)) as container:
        fps = float(container.streams.video[0].average_rate or 30)
    with tempfile.TemporaryDirectory() as name:
        frames = round(fps * (options.seconds + 10))
        first = repeated(options.clip, Path(name, "camera-1.mp4"), frames)
        cameras = [first] + [Path(name, f"camera-{k}.mp4") for k in range(2, options.cameras + 1)]
        for other in cameras[1:]:
            os.link(first, other)
        command = [sys.executable, "-m", "yolotrt", "run", str(options.engine)]
        command += [word for camera in cameras for word in ("--source", str(camera))]
        command += ["--mode", "tiled+global", "--pipeline-depth", "2", "--device", "cuda:0"]
        command += ["--decoder", options.decoder, "--deadline", options.deadline]
        command += ["--duration", str(options.seconds), *options.more.split()]
        report = Path(name, "run.json")
        memory = watched([*command, "--json", str(report)])
        run: dict[str, Any] = msgspec.json.decode(report.read_bytes())
    body = {
        "environment": as_values(environment(os.cpu_count() or 1)), "engine": options.engine.name,
        "clip": options.clip.name, "fps": fps, "options": command[command.index("--mode") :],
        "run": run, "memory": memory,
    }  # fmt: skip
    write_document(options.output, format="yolotrt.video-cameras", version=1, body=body)
    read = run["counts"]["read"]
    print(f"{read} frames, {run['late']} later than {options.deadline} ({run['late'] / read:.3%}),", end=" ")
    print(f"memory {memory[len(memory) // 3]} to {memory[-1]}")
    return 0


def watched(command: Sequence[str]) -> list[tuple[float, float, float | None]]:
    """Run a command; return seconds, MiB of its memory, and MiB of the GPU's memory in use."""
    gpu_mib = _gpu_memory()
    found: list[tuple[float, float, float | None]] = []
    begin = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        time.sleep(EVERY_S)
        try:
            pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            break
        if pages:  # one that has ended has none
            found.append((round(time.monotonic() - begin, 1), round(pages / 256, 1), gpu_mib()))
    running.wait()
    return found


def _gpu_memory() -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # no library, no driver
        return lambda: None
    return lambda: round(pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20, 1)


if __name__ == "__main__":
    sys.exit(main())
