"""Four cameras for ten minutes, of which one goes off for a while and one stalls: do the others suffer?

    python -m benchmarks.camera_soak [--minutes 9.5] [--fps 0.5] [--output FILE]

``yolotrt run`` with the demo's network, on the processor, reads four local RTSP servers. Its memory is
watched from outside. Fails (exit code 1) if memory grows by more than 4 MiB from the first third to the end,
if the two cameras that were left alone were ever interrupted, or if one got less than 0.9 of the other's
frames.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.data.streams import RtspCamera
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.machine.environment import environment

NETWORK = "yolotrt/data/assets/demo-yolo26-seg.onnx"
SIZE = "160x128"
GROWS_MIB, SHARE = 4.0, 0.9
OFF, BACK, STALLS = 0.35, 0.42, 0.53
"""When what happens, as parts of the run: camera 1 goes off and comes back, camera 2 stalls for good."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--fps", type=float, default=0.5, help="frames a second of each camera")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/camera-soak.json"))
    options = parser.parse_args(arguments)
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        cameras = [RtspCamera(_made(Path(name, str(place)))) for place in range(4)]
        try:
            for camera in cameras:
                camera.on(SIZE)
            run, memory = watched(cameras, seconds, options.fps, Path(name, "run.json"))
        finally:
            for camera in cameras:
                camera.off()
    faults = complaints(run, memory, seconds)
    body = {"environment": as_values(environment(1)), "run": run, "memory_mib": memory, "faults": faults}
    write_document(options.output, format="yolotrt.camera-soak", version=1, body=body)
    print("\n".join(faults) or "nothing to complain about", file=sys.stderr)
    return bool(faults)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def watched(
    cameras: Sequence[RtspCamera], seconds: float, fps: float, report: Path
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Run with all cameras; return the run's report, and seconds and MiB of its memory."""
    sources = [word for camera in cameras for word in ("--source", camera.address)]
    command = [sys.executable, "-m", "yolotrt", "run", NETWORK, *sources, "--mode", "global", "--trust"]
    command += ["--fps", str(fps), "--threads", "1", "--duration", str(seconds), "--json", str(report)]
    todo = [
        (OFF * seconds, cameras[1].off),
        (BACK * seconds, lambda: cameras[1].on(SIZE)),
        (STALLS * seconds, cameras[2].stall),
    ]
    memory: list[tuple[float, float]] = []
    begin = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        time.sleep(5)
        passed = time.monotonic() - begin
        try:
            pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            break
        if pages:  # one that has ended has none
            memory.append((round(passed, 1), round(pages / 256, 2)))
        while todo and passed >= todo[0][0]:
            todo.pop(0)[1]()
    running.wait()
    found: dict[str, Any] = msgspec.json.decode(report.read_bytes())
    return found, memory


def complaints(run: dict[str, Any], memory: Sequence[tuple[float, float]], seconds: float) -> list[str]:
    """Return what went wrong."""
    settled = [mib for passed, mib in memory if passed > seconds / 3]
    alone = [run["cameras"][place] for place in (0, 3)]
    came = sorted(camera["processed"] for camera in alone)
    found = []
    if not settled or settled[-1] - settled[0] > GROWS_MIB:
        found.append(f"memory: {settled[:1]} to {settled[-1:]} MiB")
    found += [f"{c['name']} was interrupted" for c in alone if c["counts"]["interruptions"]]
    if came[0] < SHARE * came[1]:
        found.append(f"cameras that were left alone got {came} frames")
    return found


if __name__ == "__main__":
    sys.exit(main())
