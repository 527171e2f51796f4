"""Where the time of a frame goes on a GPU, with chosen tiles and with all of them: each part alone.

    python -m benchmarks.adaptive_parts ENGINE ... [--json FILE]

Parts are those of ``pipeline/device/choosing.py``, one after another in one stream, as the graphs that a
frame starts: nothing overlaps here as it does there, and no host is waited for. Chosen tiles are measured for
each number of them up to half of all, in the batches that the engine has profiles for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import as_values
from yolotrt.backends.base import Engine
from yolotrt.backends.loading import open_engine
from yolotrt.cuda.device import Stream
from yolotrt.cuda.resources import Graph
from yolotrt.data.scenes.footage import CameraScene
from yolotrt.machine.environment import environment
from yolotrt.pipeline.chunks import in_batches
from yolotrt.pipeline.device.camera import DeviceCamera
from yolotrt.pipeline.device.choosing import ChoosingWorker
from yolotrt.pipeline.device.chosen import fetch_tiles
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice
from yolotrt.pipeline.tiled import TiledPipeline

CHOSEN = PipelineSettings(tiles=TileChoice(adaptive=Adaptive()))
SEED, FPS, FRAMES = 7, 30, 4
REPEATS = 25
"""Times that all parts are started; medians count."""

Step = Callable[[Stream], None]
Steps = Sequence[tuple[str, Sequence[Step]]]
"""Parts of a frame, each with what starts it."""


def parts(engine: Engine, frames: list[Frame]) -> dict[str, Any]:
    """Return the seconds of each part of a frame.

    Args:
        engine: On one GPU.
        frames: Some consecutive ones of a camera.
    """
    with TiledPipeline(engine, CHOSEN, takes_turns=True) as pipeline:
        for frame in frames:
            into = pipeline.frame_buffer((frame.shape[1], frame.shape[0]))
            into[:] = frame
            found = pipeline(into)
        adaptive = pipeline._adaptive
        camera = None if adaptive is None else adaptive._camera
        if not isinstance(camera, DeviceCamera):
            raise SystemExit(f"{engine.file.name} runs on no GPU, or on several.")
        return {"objects": len(found.detections), **_parts_of(camera._worker)}


def _parts_of(worker: ChoosingWorker) -> dict[str, Any]:
    jobs, beside, fetch_rows = worker._jobs[0], len(worker._share.groups), worker._fetch_rows
    whole: list[Step] = [part.job for part in jobs.parts if part.lane == beside]
    every = [part.job for part in jobs.parts if part.lane != beside]
    behind: Steps = [("drawn", [jobs.draw]), ("merged", [] if jobs.merge is None else [jobs.merge])]
    ahead: Steps = [
        ("rows_up", [worker.frame.upload if fetch_rows is None else fetch_rows]),
        ("motion_counted", [worker._motion._thumbnail, worker._motion._watch]),
        ("global_pass", whole),
    ]
    numbers = range(1, len(worker._grid.origins) // 2 + 1)
    learnt: Steps = [("learnt", [worker._learn])]
    return {
        "tiles": len(worker._grid.origins),
        "all": _seconds(
            worker,
            [("frame_up", [worker.frame.upload]), ("global_pass", whole), ("inferred", every), *behind],
        ),
        "chosen": [
            {
                "tiles": number,
                "batches": [len(batch) for batch in in_batches(range(number), worker._gpu.engine.file)],
                **_seconds(worker, [*ahead, *_of_tiles(worker, number), *behind, *learnt]),
            }
            for number in numbers
        ],
    }


def _of_tiles(worker: ChoosingWorker, number: int) -> Steps:
    """Return the parts that depend on how many tiles are chosen; detections are searched in all."""
    run = worker._new_run(number)
    run.tiles.table.say(range(number), worker._corners)
    run.tiles.table.upload(worker._lane)
    tiles = worker.slots[0].tiles
    assert tiles is not None, "tiles are chosen"
    find: list[Step] = [partial(tiles.decode.find, part) for part in range(len(worker._share.groups))]
    there = worker._rows_seen
    rows = there.every, there.first, there.count
    fetch = fetch_tiles(worker.device, worker.frame, worker._grid, run.tiles.table, *rows)
    return [("tiles_up", [fetch]), ("inferred", [run.tiles.run]), ("searched", find)]


def _seconds(worker: ChoosingWorker, steps: Steps) -> dict[str, float]:
    """Return the median seconds of each step, one after another in one stream."""
    stream, scope = worker._lane, worker._scope
    for _, works in steps:  # what is captured has to have run before
        for work in works:
            work(stream)
    stream.synchronize()
    ready = [(name, [_captured(worker, work) for work in works]) for name, works in steps]
    marks = [scope.event(timing=True) for _ in range(len(steps) + 1)]
    samples = []
    for _ in range(REPEATS):
        stream.record(marks[0], readable=True)
        for (_, works), mark in zip(ready, marks[1:], strict=True):
            for work in works:
                work(stream)
            stream.record(mark, readable=True)
        stream.synchronize()
        samples.append([worker.device.seconds(a, b) for a, b in pairwise(marks)])
    middle: list[float] = np.median(samples, axis=0).tolist()
    return {name: value for (name, _), value in zip(steps, middle, strict=True)}


def _captured(worker: ChoosingWorker, work: Step) -> Step:
    """Return work as a graph, as a frame starts it; it may be one already."""
    if isinstance(getattr(work, "__self__", None), Graph):
        return work
    return worker._scope.capture(worker._lane, partial(work, worker._lane)).launch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engines", type=Path, nargs="+")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    wide, high = map(int, arguments.size.split("x"))
    scene = CameraScene("day", SEED, (wide, high), FRAMES * 1000 // FPS)
    frames = [scene.at(index * 1000 // FPS).image for index in range(FRAMES)]
    result: dict[str, Any] = {"environment": as_values(environment(1)), "engines": {}}
    for path in arguments.engines:
        engine = open_engine(path, arguments.device)
        result["engines"][path.name] = parts(engine, frames)
        engine.close()
        emit(result, arguments.json)


if __name__ == "__main__":
    main()
