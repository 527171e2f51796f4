"""Four 4K cameras at 30 frames a second on one GPU: are results there within 33 ms, and does memory stay?

    python -m benchmarks.video_cameras ENGINE CLIP.mp4 [--cameras 4] [--seconds 150] [--deadline 33ms]
        [--output FILE]

Files play the cameras, each at its own time stamps; all begin at once, so that every frame has those of the
others beside it. ``yolotrt run`` processes them as its users run it, ``--mode tiled+global`` with two frames
in flight. Memory of the process and of the GPU, and how many frames were late, is watched from outside, and
written as it goes to OUTPUT with the ending .jsonl.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import av
import msgspec

from benchmarks.video_clips import repeated
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.machine.environment import environment

EVERY_S = 1.0

_LATE = "yolotrt_frames_late_total"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("engine", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--deadline", default="33ms")
    parser.add_argument("--decoder", default="nvdec")
    parser.add_argument("--device", default="cuda:0")
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
        command += ["--mode", "tiled+global", "--pipeline-depth", "2", "--device", options.device]
        command += ["--decoder", options.decoder, "--deadline", options.deadline]
        command += ["--duration", str(options.seconds), *options.more.split()]
        report = Path(name, "run.json")
        memory = watched([*command, "--json", str(report)], options.output.with_suffix(".jsonl"))
        run: dict[str, Any] = msgspec.json.decode(report.read_bytes())
        for camera in run["cameras"]:
            camera["name"] = Path(camera["name"]).name
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


Watched = tuple[float, float, float | None, int | None]
"""Seconds, MiB of a process's memory, MiB of the GPU's memory in use, and late frames so far."""


def watched(command: Sequence[str], log: Path) -> list[Watched]:
    """Run ``yolotrt run`` and look at it, again and again; each look is a line of the log, too."""
    gpu_mib = _gpu_memory()
    found: list[Watched] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = int(probe.getsockname()[1])
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with log.open("w", encoding="utf-8", buffering=1) as lines:
        running = subprocess.Popen([*command, "--metrics", f":{port}"], stdout=subprocess.DEVNULL)
        while running.poll() is None:
            time.sleep(EVERY_S)
            try:
                pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                break
            if pages:  # one that has ended has none
                passed = round(time.monotonic() - begin, 1)
                found.append((passed, round(pages / 256, 1), gpu_mib(), _late(port)))
                lines.write(f"{msgspec.json.encode(found[-1]).decode()}\n")
        running.wait()
    return found


def _late(port: int) -> int | None:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=EVERY_S) as reply:
            lines = reply.read().decode().splitlines()
    except (URLError, OSError):  # it does not run yet, or any more
        return None
    values = (line.rsplit(" ", 1)[1] for line in lines if line.startswith((f"{_LATE} ", f"{_LATE}{{")))
    return next((round(float(value)) for value in values), None)


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
