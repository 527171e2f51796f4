"""A live 4K camera over RTSP, decoded on the GPU: detections, time stamps, latency, and an interruption.

    python -m benchmarks.video_live ENGINE CLIP.mp4 [--seconds 24] [--off 10] [--back 13] [--output FILE]

A process of its own plays the clip over RTSP on the loopback, ends, and begins again; ``yolotrt run`` reads
it as its users do. What it finds in each frame is compared with what it finds in the same frame of the file,
exactly.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.video_gpu import described
from yolotrt.artifacts.documents import as_values, write_document
from yolotrt.machine.environment import environment

Line = dict[str, Any]

AHEAD = 8
"""Frames by which a stream's stamps may be ahead of the file's: encoders begin before their first frame."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("engine", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=24)
    parser.add_argument("--off", type=float, default=10)
    parser.add_argument("--back", type=float, default=13)
    parser.add_argument("--decoder", default="nvdec")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--more", default="", help="further options of yolotrt run")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/video-live.json"))
    options = parser.parse_args(arguments)
    run = [sys.executable, "-m", "yolotrt", "run", str(options.engine), "--mode", "tiled+global"]
    run += ["--pipeline-depth", "2", "--device", options.device, "--decoder", options.decoder]
    run += options.more.split()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        of_file = [*run, "--drop", "block", "-o", str(folder / "file.jsonl"), "--source", str(options.clip)]
        subprocess.run(of_file, check=True, stdout=subprocess.DEVNULL)
        told = _live(run, options, folder)
        report: Line = msgspec.json.decode((folder / "run.json").read_text().replace(f"{folder}/", ""))
        right, found, sent = (lines(folder / f"{what}.jsonl") for what in ("file", "live", "sent"))
    fps = 1 / float(np.median(np.diff([line["time_s"] for line in right])))
    alike = compared(right, found, fps)
    body = {
        "environment": as_values(environment(os.cpu_count() or 1)), "engine": options.engine.name,
        "clip": described(options.clip), "fps": fps, "run": report, "said": told,
        **alike, "sent_to_decoded_ms": delays(found, sent, fps, alike["stamps_ahead"]),
    }  # fmt: skip
    write_document(options.output, format="yolotrt.video-live", version=1, body=body)
    delay = body["sent_to_decoded_ms"]
    print(
        f"{len(found)} frames, {body['equal']} of {body['compared']} as in the file, interruptions "
        f"{report['counts']['interruptions']}, reconnects {report['counts']['reconnects']}, outage "
        f"{body['longest_step_s']:.2f} s, times grow: {body['times_grow']}, sent to decoded p50 "
        f"{np.median(delay):.1f} ms, p99 {np.quantile(delay, 0.99):.1f}, decoded to result p50 "
        f"{report['age']['p50'] * 1e3:.1f} ms"
    )
    return 0


def _live(run: Sequence[str], options: argparse.Namespace, folder: Path) -> str:
    """Run with the camera, which goes off and comes back; return what was said."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = int(probe.getsockname()[1])
    camera = [sys.executable, "-m", "tests.data.rtsp_clips", str(options.clip), str(port)]
    camera += ["--log", str(folder / "sent.jsonl")]
    command = [*run, "--timeout", "2", "--duration", str(options.seconds), "--json", str(folder / "run.json")]
    command += ["-o", str(folder / "live.jsonl"), "--source", f"rtsp://127.0.0.1:{port}/main"]
    playing = _on(camera)
    try:
        begin = time.monotonic()
        with (folder / "said.txt").open("w+") as said:
            running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
            time.sleep(options.off)
            playing.kill()
            playing.wait()
            time.sleep(max(0.0, begin + options.back - time.monotonic()))
            playing = _on(camera)
            running.wait()
            said.seek(0)
            told = said.read().replace(f"{folder}/", "")
    finally:
        playing.kill()
        playing.wait()
    print(told, file=sys.stderr)
    if running.returncode:
        raise SystemExit(running.returncode)
    return told


def _on(camera: Sequence[str]) -> subprocess.Popen[str]:
    playing = subprocess.Popen(camera, stdout=subprocess.PIPE, text=True)
    assert playing.stdout is not None
    playing.stdout.readline()
    return playing


def lines(path: Path) -> list[Any]:
    """Return what a file of JSON Lines holds."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def compared(right: Sequence[Line], found: Sequence[Line], fps: float) -> dict[str, Any]:
    """Compare what was found in the stream with what was found in the file, and look at the time stamps."""
    stamped = [line for line in found if line["stamp_s"] is not None]

    def equal(ahead: int) -> int:
        places = [(round(line["stamp_s"] * fps) - ahead) % len(right) for line in stamped]
        return sum(
            line["objects"] == right[place]["objects"] for line, place in zip(stamped, places, strict=True)
        )

    ahead = max(range(AHEAD), key=equal)
    steps = np.diff([line["time_s"] for line in found])
    return {
        "frames": len(found), "compared": len(stamped), "equal": equal(ahead), "stamps_ahead": ahead,
        "objects_a_frame": float(np.mean([len(line["objects"]) for line in found])),
        "times_grow": bool((steps > 0).all()), "longest_step_s": float(steps.max()),
        "steps_of_a_frame": int((np.abs(steps * fps - 1) < 0.05).sum()),
    }  # fmt: skip


def delays(
    found: Sequence[Line], sent: Sequence[tuple[int, float, float]], fps: float, ahead: int
) -> list[float]:
    """Return for each frame the ms from its sending to when it was decoded, by one clock."""
    at = defaultdict(list)
    for _, shown_s, when in sent:
        at[round(shown_s * fps)].append(when)
    results = []
    for line in found:
        if line["stamp_s"] is not None:
            before = [w for w in at[round(line["stamp_s"] * fps) - ahead] if w <= line["read_at"]]
            results += [round((line["read_at"] - max(before)) * 1e3, 3)] if before else []
    return results


if __name__ == "__main__":
    sys.exit(main())
