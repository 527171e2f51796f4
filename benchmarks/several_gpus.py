"""One frame over several GPUs, and a camera for each, against one GPU: everything in one run on one machine.

    python -m benchmarks.several_gpus ENGINE --source FRAME [--device cuda:0,1] [--rounds N] [--json FILE]

* ``frames``: tiles alone and whole frames, from pageable and from page-locked memory, by one GPU and by all:
  merged on the host, on one GPU that gets the others' results through host memory, and on one that reads
  them where they are; in turn, round by round;
* ``cameras``: see :mod:`benchmarks.gpu_cameras`.

Detections of all ways of merging must be the same, or it ends with an error.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_cameras import cameras, rows
from benchmarks.output import emit
from yolotrt.arrays import Frame
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.bench.result import Case
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.statistics import summarize
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.cuda.device import Device
from yolotrt.data.measured import read_frames
from yolotrt.geometry.detections import Detections
from yolotrt.machine.environment import environment
from yolotrt.pipeline.device import share
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.settings import PassMode, PipelineSettings

ONE, ON_HOST, THROUGH_HOST, BETWEEN_GPUS = "one GPU", "merged on the host", "through the host", "between GPUs"
TARGETS = {"tiled": 0.62, "tiled+global": 0.7}
"""Times one GPU, at most."""


class OverGpus:
    """A pipeline over one or several GPUs that merges in a certain way."""

    def __init__(
        self,
        gpus: Sequence[Gpu],
        way: str,
        settings: PipelineSettings,
        *,
        pinned: bool,
        global_tiles: int = share.GLOBAL_TILES,
    ) -> None:
        file = gpus[0].engine.file
        source = "frame_buffer" if pinned else "pageable"
        source += ", stages measured" if settings.measure else ""
        self.case = Case(
            f"{way}, {source}", file.precision, settings.mode, settings.dispatch, settings.groups
        )
        self.way, self.pinned, self.settings = way, pinned, settings
        self.global_tiles = global_tiles
        self.found: Detections | None = None
        self._devices = [gpu.device for gpu in gpus]
        self._pipeline = DevicePipeline([gpu.taking_turns() for gpu in gpus], settings)

    def prepare(self, frame: Frame) -> None:
        """Make everything for frames of this size; how they are merged is decided here."""
        before, share.GLOBAL_TILES = share.GLOBAL_TILES, self.global_tiles
        try:
            with _only(self._devices, self.way):
                self._pipeline.prepare((frame.shape[1], frame.shape[0]))
        finally:
            share.GLOBAL_TILES = before

    def measure(self, frame: Frame) -> Measurement:
        """Process one frame."""
        if self.pinned:
            buffer = self._pipeline.frame_buffer((frame.shape[1], frame.shape[0]))
            buffer[:] = frame  # as a camera would; not measured
            frame = buffer
        result = self._pipeline(frame)
        self.found = result.detections
        return Measurement(result.trace.stages(), result.trace.spans, len(result.detections))

    def close(self) -> None:
        """Free what it holds."""
        self._pipeline.close()


@contextmanager
def _only(devices: Sequence[Device], way: str) -> Iterator[None]:
    """Let GPUs merge in one way only."""
    held = [(device, device.waits_across) for device in devices]
    try:
        for device in devices:
            if way == ON_HOST:
                device.waits_across = False
            if way == THROUGH_HOST:
                vars(device)["reach"] = lambda _other: False
        yield
    finally:
        for device, waits in held:
            device.waits_across = waits
            vars(device).pop("reach", None)


def frames(
    gpus: Sequence[Gpu],
    frame: Frame,
    rounds: int,
    modes: Sequence[PassMode] = ("tiled", "tiled+global"),
    groups: Sequence[int] = (1, 2),
    merged: Sequence[str] = (ON_HOST, THROUGH_HOST, BETWEEN_GPUS),
    sources: Sequence[bool] = (False, True),
    global_tiles: Sequence[int] = (share.GLOBAL_TILES,),
) -> dict[str, Any]:
    """Measure every way in turn.

    Args:
        gpus: All of them; the first is the one.
        frame: What is looked at.
        rounds: How often.
        modes: What is run.
        groups: Of each GPU.
        merged: Ways in which several GPUs' results are merged.
        sources: Whether frames are in page-locked memory.
        global_tiles: As how many tiles the global pass counts when tiles are dealt out.
    """
    ways = [(ONE, 1), *((way, len(gpus)) for way in merged)]
    subjects = [
        OverGpus(
            gpus[:used],
            way,
            PipelineSettings(mode, n * used, "graph", measure=measure),
            pinned=pinned,
            global_tiles=extra,
        )
        for mode in modes
        for pinned in sources
        for way, used in ways
        for n in groups
        for measure in ((False, True) if pinned and way in (ONE, BETWEEN_GPUS) else (False,))
        for extra in (global_tiles if used > 1 and mode == "tiled+global" else (share.GLOBAL_TILES,))
    ]
    with ExitStack() as held:
        for subject in subjects:
            held.callback(subject.close)
            subject.prepare(frame)
        running = [Running(subject) for subject in subjects]
        measure_rounds(running, [frame], StopRule(rounds), WarmupRule(3))
        _require_same(subjects)
        cases = [
            {**_case(entry), "global_tiles": subject.global_tiles}
            for entry, subject in zip(running, subjects, strict=True)
        ]
    return {"cases": cases, "ratios": _ratios(cases)}


def _require_same(subjects: Sequence[OverGpus]) -> None:
    """Stop if ways of merging what the same GPUs found differ."""
    firsts: dict[tuple[str, int], Detections] = {}
    for subject in subjects:
        if subject.way == ONE or subject.found is None:
            continue
        first = firsts.setdefault((subject.settings.mode, subject.settings.groups), subject.found)
        for name in ("boxes", "scores", "classes"):
            if not np.array_equal(getattr(first, name), getattr(subject.found, name)):
                raise SystemExit(f"{subject.case} finds other {name} than where the host merges.")
        for one, other in zip(first.masks or (), subject.found.masks or (), strict=True):
            if (one.x, one.y) != (other.x, other.y) or not np.array_equal(one.bits, other.bits):
                raise SystemExit(f"{subject.case} draws other masks than where the host merges.")


def _case(entry: Running) -> dict[str, Any]:
    result = entry.result()
    return {
        "way": result.case.engine,
        "mode": result.case.mode,
        "groups": result.case.groups,
        "detections": result.detections,
        "p50_s": {k: s.p50 for k, v in result.samples.items() if (s := summarize(v)) is not None},
        "samples_s": {k: v for k, v in result.samples.items() if summarize(v) is not None},
    }


def _ratios(cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the best of each way against the best of one GPU; measuring stages takes time itself."""
    best: dict[tuple[str, str], float] = {}
    for case in cases:
        if "stages" in case["way"]:
            continue
        key = case["mode"], case["way"]
        best[key] = min(best.get(key, float("inf")), case["p50_s"]["end_to_end"])
    return [
        {
            "mode": mode,
            "way": way,
            "p50_s": seconds,
            "times_one": seconds / best[mode, f"{ONE}, {way.rpartition(', ')[2]}"],
            "target": TARGETS[mode],
        }
        for (mode, way), seconds in best.items()
    ]


def table(report: dict[str, Any]) -> str:
    """Return the medians, and what they are of one GPU's, as a table."""
    lines = ["| | median | times one GPU | target |", "| --- | ---: | ---: | ---: |"]
    for row in report["frames"]["ratios"]:
        ratio, most = f"{row['times_one']:.2f}x", f"at most {row['target']}x"
        lines.append(f"| {row['mode']}: {row['way']} | {row['p50_s'] * 1e3:.2f} ms | {ratio} | {most} |")
    return "\n".join([*lines, *(line for found in report["cameras"] for line in rows(found))])


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--source", required=True, help="the frame")
    parser.add_argument("--device", default="cuda:0,1")
    parser.add_argument("--groups", default="1,2", help="of each GPU; the best of them counts")
    parser.add_argument("--merged", default=f"{ON_HOST},{THROUGH_HOST},{BETWEEN_GPUS}", help="ways of it")
    parser.add_argument(
        "--global-tiles",
        default=str(share.GLOBAL_TILES),
        help="as how many tiles the global pass counts when they are dealt out; the best of them counts",
    )
    parser.add_argument("--locked", action="store_true", help="frames in page-locked memory only")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--frames", type=int, default=200, help="of each camera, in a round")
    parser.add_argument("--depths", default="1,2", help="frames in flight of each camera's pipeline")
    parser.add_argument("--camera-rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    options = parser.parse_args()
    frame = read_frames(options.source)[0]
    file = read_engine(options.engine)
    with ExitStack() as held:
        engine = load_engine(file, options.device)
        held.callback(engine.close)
        gpus = [Gpu(part.device, part) for part in engine.parts]
        groups = [int(number) for number in options.groups.split(",")]
        sources = (True,) if options.locked else (False, True)
        measured = frames(
            gpus,
            frame,
            options.rounds,
            groups=groups,
            merged=options.merged.split(","),
            sources=sources,
            global_tiles=[int(number) for number in options.global_tiles.split(",")],
        )
        report = {
            "environment": environment(os.cpu_count() or 1, gpus[0].device.info.pci_bus_id),
            "engine": file.sha256,
            "frame_px": f"{frame.shape[1]}x{frame.shape[0]}",
            "reached": gpus[-1].device.reach(gpus[0].device),
            "frames": measured,
            "cameras": [
                cameras(
                    file,
                    [gpu.device.name for gpu in gpus],
                    frame,
                    options.frames,
                    options.camera_rounds,
                    depth=depth,
                )
                for depth in map(int, options.depths.split(","))
                if options.camera_rounds
            ],
        }
        emit(report, options.json)
        print(table(report))


if __name__ == "__main__":
    main()
