"""What choosing tiles costs and saves, on generated videos with ground truth.

    python -m benchmarks.adaptive [--frames 1800] [--footage day,dusk] [--refresh 15] [--json FILE]
    python -m benchmarks.adaptive --footage "" --photographs COCO --coco-engine ENGINE [--frames 60]
    python -m benchmarks.adaptive --sample 29 [--json FILE]

The carried demo model at 320 px looks at 1920x1080: 32 tiles and the global pass, as 640 px make of 4K,
for a quarter of the work. Every frame is run with all tiles and with chosen ones, one after the other. With
``--sample N`` all tiles run in a part of the frames, and frames are not compressed; see
:mod:`benchmarks.adaptive_sampled`.
With ``--photographs``, a folder of ``images`` and ``instances.json``, clips made of them are looked at, too,
by an engine that knows COCO's classes; see :mod:`benchmarks.photographs`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.adaptive_sampled import try_sampled
from benchmarks.output import emit
from benchmarks.painted import shown_by
from benchmarks.photographs import PAN, PhotographScene
from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import as_values
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.data.formats.tracked import TrackedVideo
from yolotrt.data.scenes.footage_files import video_frames, write_video
from yolotrt.data.scenes.footage_kinds import FOOTAGE, FootageKind
from yolotrt.data.scenes.shapes import CLASS_NAMES
from yolotrt.machine.environment import environment
from yolotrt.model.export import export
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.tile_trial import try_tiles
from yolotrt.workflow.video_accuracy import evaluate_video

THREADS = len(os.sched_getaffinity(0))
WEIGHTS = Path(__file__).parents[1] / "tools" / "demo-model" / "demo-yolo26-seg.pt"
SIDE, WH, FPS = 320, (1920, 1080), 30
SEED = 7
KINDS: tuple[FootageKind, ...] = tuple(kind for kind in FOOTAGE if kind != "drift")


def measured(
    folder: Path, kind: FootageKind, engine: EngineFile, frames: int, refresh: int
) -> dict[str, Any]:
    """Return what one video gave."""
    video, truth = folder / f"{kind}.mp4", folder / f"{kind}.json"
    write_video(video, SEED, WH, footage=kind, truth=truth, fps=FPS, seconds=frames / FPS)
    settings = PipelineSettings(tiles=TileChoice(adaptive=Adaptive(refresh)), track=True, cpu_threads=THREADS)
    found = evaluate_video(engine, video, truth, settings, limit=frames)
    video.unlink()
    return {"footage": kind, **as_values(found)}


def sampled(
    kind: FootageKind, file: EngineFile, frames: int, refresh: int, sample: int, threads: int
) -> Iterator[dict[str, Any]]:
    """Yield what a video gave so far, of which all tiles look at a part of the frames."""
    settings = PipelineSettings(tiles=TileChoice(adaptive=Adaptive(refresh)), track=True, cpu_threads=threads)
    drawn = video_frames(kind, SEED, WH, fps=FPS, count=frames)
    shown = ((scene.image, shown_by(scene.instances)) for _, scene in drawn)
    engine = load_engine(file, "cpu")
    try:
        for found in try_sampled(engine, shown, settings, CLASS_NAMES, sample=sample):
            yield {"footage": kind, "engine": file.name, "frame_wh": WH, "sample": sample, **found}
    finally:
        engine.close()


def of_photographs(
    folder: Path, name: str, pan: int, file: EngineFile, frames: int, refresh: int
) -> dict[str, Any]:
    """Return what a clip made of photographs gave."""
    scene = PhotographScene(folder, SEED, WH, frames * 1000 // FPS, pan)
    truth = TrackedVideo(scene.names, {}, WH)

    def taken() -> Iterator[Frame]:
        for index in range(frames):
            frame, truth.frames[index] = scene.at(index * 1000 // FPS)
            yield frame

    settings = PipelineSettings(tiles=TileChoice(adaptive=Adaptive(refresh)), track=True, cpu_threads=THREADS)
    engine = load_engine(file, "cpu")
    try:
        ways = try_tiles(engine, taken(), settings, truth=truth)
    finally:
        engine.close()
    return {"footage": name, "engine": file.name, "frames": frames, "frame_wh": WH, "ways": as_values(ways)}


def _demo_engine(folder: Path) -> EngineFile:
    model = export(WEIGHTS, folder / "demo320.onnx", imgsz=SIDE).path
    request = BuildRequest(model, precision="fp32", backend="onnxruntime", engines=folder)
    return build_engine(request, say=lambda _said: None).file


def _earlier(path: Path | None, frames: int) -> list[dict[str, Any]]:
    """Return the videos of which a run has measured as many frames already."""
    if path is None or not path.exists():
        return []
    return [video for video in json.loads(path.read_text())["videos"] if video["frames"] == frames]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=60 * FPS, help="of each video; 1800 are a minute")
    parser.add_argument("--footage", default=",".join(KINDS), help="which videos")
    parser.add_argument("--sample", type=int, help="all tiles run in every so many frames, not in each")
    parser.add_argument("--threads", type=int, default=THREADS, help="of the network, with --sample")
    parser.add_argument("--refresh", type=int, default=15, help="every tile at least every so many frames")
    parser.add_argument("--engine", type=Path, help="another engine of 320 px than the demo model's FP32")
    parser.add_argument("--photographs", type=Path, help="a folder of images and instances.json (COCO)")
    parser.add_argument("--coco-engine", type=Path, help="an engine of 320 px that knows COCO's classes")
    parser.add_argument("--json", type=Path, help="saved after each video; one that is there is kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        result: dict[str, Any] = {
            "environment": as_values(environment(THREADS)),
            "frames": arguments.frames,
            "frame_wh": WH,
            "tile": SIDE,
            "seed": SEED,
            "videos": _earlier(arguments.json, arguments.frames),
        }
        done = list(result["videos"])
        for video in _videos(arguments, folder, {video["footage"] for video in done}):
            if done and done[-1]["footage"] == video["footage"]:  # the same one, further on
                done.pop()
            done.append(video)
            result["videos"] = done
            if arguments.json:
                emit(result, arguments.json)
    emit(result, None)


def _videos(arguments: argparse.Namespace, folder: Path, known: set[str]) -> Iterator[dict[str, Any]]:
    """Yield what each video gave that was asked for and is not known yet."""
    engine: EngineFile | None = None
    asked = arguments.footage.split(",")
    for kind in (kind for kind in KINDS if kind in asked and kind not in known):
        print(f"== {kind}", flush=True)
        engine = engine or (admit(arguments.engine) if arguments.engine else _demo_engine(folder))
        if arguments.sample:
            yield from sampled(
                kind, engine, arguments.frames, arguments.refresh, arguments.sample, arguments.threads
            )
        else:
            yield measured(folder, kind, engine, arguments.frames, arguments.refresh)
    if arguments.photographs is None:
        return
    coco = admit(arguments.coco_engine)
    for name, pan in (("photographs", 0), ("photographs, pan", PAN)):
        if name not in known:
            print(f"== {name}", flush=True)
            yield of_photographs(arguments.photographs, name, pan, coco, arguments.frames, arguments.refresh)


if __name__ == "__main__":
    main()
