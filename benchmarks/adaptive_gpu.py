"""What choosing tiles costs and saves on a GPU: 4K videos of a minute, with all tiles and with chosen ones.

    python -m benchmarks.adaptive_gpu ENGINE [--latency OTHER_ENGINE ...] [--json FILE]

ENGINE is of the carried demo model at 640 px, whose classes the videos show. Frames are drawn by other
processes, uncompressed. Latency is measured for itself, on consecutive frames that were drawn before, while
nothing else runs: from ordinary memory and from ``frame_buffer``. Engines of other networks are only timed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from benchmarks.painted import Clip, DrawnClip, Painters
from benchmarks.photographs import PAN, PhotographScene
from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import as_values
from yolotrt.backends.base import Engine
from yolotrt.backends.loading import open_engine
from yolotrt.bench.statistics import summarize
from yolotrt.data.formats.tracked import TrackedVideo
from yolotrt.data.scenes.footage import CameraScene
from yolotrt.data.scenes.footage_kinds import FootageKind
from yolotrt.data.scenes.shapes import CLASS_NAMES
from yolotrt.machine.environment import environment
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice
from yolotrt.pipeline.tile_use import UseTally
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.clock import now
from yolotrt.timing.trace import DECIDE
from yolotrt.workflow.tile_trial import SETTLED, try_tiles

FPS, SEED = 30, 7
KINDS: tuple[FootageKind, ...] = ("day", "rain", "sway", "dusk", "pan", "crowd")
FIXED: tuple[FootageKind, ...] = ("day", "dusk", "rain", "sway")
"""Videos of a fixed camera; the others are a third as long."""
ALL, CHOSEN = PipelineSettings(), PipelineSettings(tiles=TileChoice(adaptive=Adaptive()))
STAGES = ("prepare_batch", DECIDE, "enqueue", "stream_sync", "decode")


def video(
    engine: Engine, painters: Painters, kind: str, names: tuple[str, ...], frames: int, wh: tuple[int, int]
) -> dict[str, Any]:
    """Return what one video gave."""
    truth = TrackedVideo(names, {}, wh)

    def drawn() -> Iterator[Frame]:
        for index, (frame, shown) in enumerate(painters.video(kind, FPS, frames)):
            truth.frames[index] = shown
            yield frame

    begin = now()
    tracked = PipelineSettings(tiles=CHOSEN.tiles, track=True)
    ways = try_tiles(engine, drawn(), tracked, truth=truth)
    return {"footage": kind, "frames": frames, "ways": as_values(ways), "took_s": (now() - begin) * 1e-9}


def latency(engine: Engine, frames: list[Frame], *, buffer: bool) -> dict[str, Any]:
    """Time consecutive frames with all tiles and with chosen ones, in turn.

    Args:
        engine: Runs both.
        frames: Of one camera.
        buffer: Each frame is put into ``frame_buffer`` before it is timed.
    """
    use, settle, chosen_stages = UseTally(), list[float](), dict[str, list[float]]()
    seconds: tuple[list[float], list[float]] = ([], [])
    with (
        TiledPipeline(engine, ALL, takes_turns=True) as every,
        TiledPipeline(engine, CHOSEN, takes_turns=True) as some,
    ):

        def run(pipeline: TiledPipeline, frame: Frame) -> FrameResult:
            if not buffer:
                return pipeline(frame)
            into = pipeline.frame_buffer((frame.shape[1], frame.shape[0]))
            into[:] = frame
            return pipeline(into)

        for index, frame in enumerate(frames):
            order = (every, some) if index % 2 else (some, every)
            results = {pipeline: run(pipeline, frame) for pipeline in order}
            if index == 0:
                _watch_settling(some, settle)
            if index < 8 * SETTLED:  # graphs of each number of tiles are made in the first ones
                continue
            looked = results[some].looked
            assert looked is not None
            use.add(looked)
            for way, pipeline in enumerate((every, some)):
                seconds[way].append(results[pipeline].seconds)
            for stage in STAGES:
                if (spent := results[some].trace.seconds(stage)) is not None:
                    chosen_stages.setdefault(stage, []).append(spent)
    return {
        "frame_buffer": buffer,
        "all": summarize(seconds[0]),
        "chosen": summarize(seconds[1]),
        "use": use.report(),
        "stages_p50": {stage: float(np.median(spent)) for stage, spent in chosen_stages.items()},
        "settle_p50": float(np.median(settle)) if settle else None,
    }


def same_on_a_still(engine: Engine, frame: Frame) -> dict[str, Any]:
    """Return whether a still picture gives the same with all tiles and with some."""
    with TiledPipeline(engine, ALL, takes_turns=True) as every:
        expected = every(frame).detections
    ran, worst = [], 0.0
    with TiledPipeline(engine, CHOSEN, takes_turns=True) as some:
        for _ in range(20):
            result = some(frame)
            assert result.looked is not None
            ran.append(len(result.looked.chosen.reasons))
            found = result.detections
            if len(found) != len(expected):
                return {"same": False, "objects": [len(expected), len(found)], "ran": ran}
            order, other = (np.lexsort(one.boxes.T) for one in (found, expected))
            worst = max(worst, float(np.abs(found.boxes[order] - expected.boxes[other]).max(initial=0)))
    return {"same": worst < 0.5, "objects": len(expected), "worst_px": worst, "ran": ran}


def _watch_settling(pipeline: TiledPipeline, spent: list[float]) -> None:
    """Time what the host works out while a frame is on its way."""
    camera: Any = pipeline._adaptive and pipeline._adaptive._camera
    if camera is None or not hasattr(camera, "_settle"):
        return
    settle: Callable[[], None] = camera._settle

    def timed() -> None:
        begin = now()
        settle()
        spent.append((now() - begin) * 1e-9)

    camera._settle = timed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--latency", type=Path, nargs="*", default=[], help="engines that are only timed")
    parser.add_argument(
        "--photographs", type=Path, help="also clips of these, found by the first engine of --latency (COCO)"
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--frames", type=int, default=60 * FPS, help="of each video of a fixed camera")
    parser.add_argument("--footage", default=",".join(KINDS), help="which videos; empty for none")
    parser.add_argument("--timed", type=int, default=240, help="frames that latency is measured on")
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--painters", type=int, default=max(len(os.sched_getaffinity(0)) - 4, 1))
    parser.add_argument("--json", type=Path, help="saved after each part")
    arguments = parser.parse_args()
    wh: Any = tuple(map(int, arguments.size.split("x")))
    makers: dict[str, Callable[[int], Clip]] = {kind: partial(_drawn, kind, wh) for kind in KINDS}
    photographs = {}
    if arguments.photographs is not None:
        photographs = {"photographs": 0, "photographs, pan": PAN}
        makers |= {name: partial(_taken, arguments.photographs, wh, pan) for name, pan in photographs.items()}
    painters = Painters(wh, arguments.painters, 4 * arguments.painters, makers)
    drawn = painters.video("day", FPS, arguments.timed, length=60 * FPS)
    timed = [frame.copy() for frame, _shown in drawn]
    result: dict[str, Any] = {
        "environment": as_values(environment(1)), "frame_wh": wh, "seed": SEED, "latency": [], "videos": []
    }  # fmt: skip
    for path in (arguments.engine, *arguments.latency):
        engine = open_engine(path, arguments.device)
        result.setdefault("still", {})[path.name] = same_on_a_still(engine, timed[0])
        for buffer in (False, True):
            found = latency(engine, timed, buffer=buffer)
            result["latency"].append({"engine": path.name, **as_values(found)})
        engine.close()
        emit(result, arguments.json)
    del timed
    scenes = [kind for kind in KINDS if kind in arguments.footage.split(",")]
    fixed = [kind for kind in scenes if kind in FIXED]
    for name in (*fixed, *photographs, *(kind for kind in scenes if kind not in FIXED)):
        frames = arguments.frames if name in FIXED else arguments.frames // 3
        names = tuple(CLASS_NAMES)
        if name in photographs:
            names = _taken(arguments.photographs, wh, 0, 0).names
        engine = open_engine(
            arguments.latency[0] if name in photographs else arguments.engine, arguments.device
        )
        result["videos"].append(video(engine, painters, name, names, frames, wh))
        engine.close()
        emit(result, arguments.json)
    painters.close()


def _drawn(kind: FootageKind, wh: tuple[int, int], length_ms: int) -> Clip:
    return DrawnClip(CameraScene(kind, SEED, wh, length_ms))


def _taken(folder: Path, wh: tuple[int, int], pan: int, length_ms: int) -> PhotographScene:
    return PhotographScene(folder, SEED, wh, length_ms, pan)


if __name__ == "__main__":
    main()
