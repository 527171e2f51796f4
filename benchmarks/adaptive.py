"""What choosing tiles costs and saves, on generated videos with ground truth.

    python -m benchmarks.adaptive [--frames 1800] [--footage day,dusk] [--sample 29] [--json FILE]
    python -m benchmarks.adaptive --footage "" --photographs COCO --coco-engine ENGINE

The carried demo model at 320 px looks at 1920x1080: 32 tiles and the global pass, as 640 px make of 4K,
for a quarter of the work. Chosen tiles run in every frame, all tiles in a part of them; see
:mod:`benchmarks.adaptive_sampled`. With ``--sample 1`` they do in each, and ids can be compared, too. With
``--photographs``, a folder of ``images`` and ``instances.json``, clips made of them are looked at, too, by an
engine that knows COCO's classes; see :mod:`benchmarks.photographs`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
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
from yolotrt.data.formats.tracked import TrackedObjects
from yolotrt.data.scenes.footage_files import video_frames
from yolotrt.data.scenes.footage_kinds import FOOTAGE, FootageKind
from yolotrt.data.scenes.shapes import CLASS_NAMES
from yolotrt.machine.environment import environment
from yolotrt.model.export import export
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice
from yolotrt.workflow.build import BuildRequest, build_engine

THREADS = len(os.sched_getaffinity(0))
WEIGHTS = Path(__file__).parents[1] / "tools" / "demo-model" / "demo-yolo26-seg.pt"
SIDE, WH, FPS = 320, (1920, 1080), 30
SEED = 7
KINDS: tuple[FootageKind, ...] = tuple(kind for kind in FOOTAGE if kind != "drift")
CLIPS = {"photographs": 0, "photographs, pan": PAN}
"""Clips of photographs, and how fast their camera moves, px a second."""

SHORTER = {"pan": 3, "crowd": 3, "photographs": 12, "photographs, pan": 30}
"""Videos that are only a part as long as those of a fixed camera."""

SHORTER_EACH = 6
"""Part of a video of a fixed camera, where all tiles run in each frame."""


@dataclass(frozen=True)
class How:
    """How videos are looked at.

    Attributes:
        refresh: Every tile at least every so many frames.
        sample: All tiles in every so many frames.
        threads: Of the network.
    """

    refresh: int
    sample: int
    threads: int


def of_scene(kind: str, file: EngineFile, frames: int, how: How) -> Iterator[dict[str, Any]]:
    """Yield what a drawn video gave so far."""
    footage: Any = kind
    drawn = video_frames(footage, SEED, WH, fps=FPS, count=frames)
    shown = ((scene.image, shown_by(scene.instances)) for _, scene in drawn)
    yield from _tried(kind, file, shown, CLASS_NAMES, how)


def of_photographs(
    folder: Path, name: str, file: EngineFile, frames: int, how: How
) -> Iterator[dict[str, Any]]:
    """Yield what a clip made of photographs gave so far."""
    scene = PhotographScene(folder, SEED, WH, frames * 1000 // FPS, CLIPS[name])
    shown = (scene.at(index * 1000 // FPS) for index in range(frames))
    yield from _tried(name, file, shown, scene.names, how)


def _tried(
    name: str,
    file: EngineFile,
    shown: Iterator[tuple[Frame, TrackedObjects]],
    truth: tuple[str, ...],
    how: How,
) -> Iterator[dict[str, Any]]:
    tiles = TileChoice(adaptive=Adaptive(how.refresh))
    settings = PipelineSettings(tiles=tiles, track=True, cpu_threads=how.threads)
    engine = load_engine(file, "cpu")
    try:
        for found in try_sampled(engine, shown, settings, truth, sample=how.sample):
            yield {"footage": name, "engine": file.name, "frame_wh": WH, "sample": how.sample, **found}
    finally:
        engine.close()


def _engine(given: Path | None, folder: Path) -> EngineFile:
    if given is not None:
        return admit(given)
    model = export(WEIGHTS, folder / "demo320.onnx", imgsz=SIDE).path
    request = BuildRequest(model, precision="fp32", backend="onnxruntime", engines=folder)
    return build_engine(request, say=lambda _said: None).file


def _earlier(path: Path | None, wanted: dict[str, int], sample: int) -> list[dict[str, Any]]:
    """Return the videos that an earlier run has measured as a whole."""
    if path is None or not path.exists():
        return []
    videos: list[dict[str, Any]] = json.loads(path.read_text())["videos"]
    return [v for v in videos if (v["frames"], v["sample"]) == (wanted.get(v["footage"]), sample)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=60 * FPS, help="of videos of a fixed camera")
    parser.add_argument("--footage", default=",".join(KINDS), help="which drawn videos; empty for none")
    parser.add_argument("--sample", type=int, default=29, help="all tiles run in every so many frames")
    parser.add_argument("--refresh", type=int, default=15, help="every tile at least every so many frames")
    parser.add_argument("--threads", type=int, default=THREADS, help="of the network")
    parser.add_argument("--engine", type=Path, help="another engine of 320 px than the demo model's FP32")
    parser.add_argument("--photographs", type=Path, help="a folder of images and instances.json (COCO)")
    parser.add_argument("--coco-engine", type=Path, help="an engine of 320 px that knows COCO's classes")
    parser.add_argument(
        "--clips", default=";".join(CLIPS), help="which of photographs, with a ; between them"
    )
    parser.add_argument(
        "--json", type=Path, help="saved again and again; videos that are whole there are kept"
    )
    arguments = parser.parse_args()
    names = [kind for kind in KINDS if kind in arguments.footage.split(",")]
    clips = [clip for clip in CLIPS if arguments.photographs and clip in arguments.clips.split(";")]
    usual = SHORTER_EACH if arguments.sample == 1 else 1
    wanted = {name: arguments.frames // SHORTER.get(name, usual) for name in (*names, *clips)}
    how = How(arguments.refresh, arguments.sample, arguments.threads)
    done = _earlier(arguments.json, wanted, how.sample)
    result = {
        "environment": as_values(environment(how.threads)), "frame_wh": WH, "tile": SIDE, "seed": SEED,
        "videos": done,
    }  # fmt: skip
    known = {video["footage"] for video in done}
    with tempfile.TemporaryDirectory() as temporary:
        engine: EngineFile | None = None
        for name in (name for name in wanted if name not in known):
            print(f"== {name}", flush=True)
            if name in CLIPS:
                coco = admit(arguments.coco_engine)
                going = of_photographs(arguments.photographs, name, coco, wanted[name], how)
            else:
                engine = engine or _engine(arguments.engine, Path(temporary))
                going = of_scene(name, engine, wanted[name], how)
            for found in going:
                result["videos"] = [*done, found]
                if arguments.json:
                    emit(result, arguments.json)
            done = result["videos"]
    emit(result, None)


if __name__ == "__main__":
    main()
