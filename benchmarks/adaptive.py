"""What choosing tiles costs and saves, on generated videos with ground truth.

    python -m benchmarks.adaptive [--frames 1800] [--footage day,dusk] [--refresh 15] [--json FILE]

The carried demo model at 320 px looks at 1920x1080: 32 tiles and the global pass, as 640 px make of 4K,
for a quarter of the work. Every frame is run with all tiles and with chosen ones, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.output import emit
from yolotrt.artifacts.documents import as_values
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.data.scenes.footage_files import write_video
from yolotrt.data.scenes.footage_kinds import FOOTAGE, FootageKind
from yolotrt.machine.environment import environment
from yolotrt.model.export import export
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice
from yolotrt.workflow.build import BuildRequest, build_engine
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


def _demo_engine(folder: Path) -> EngineFile:
    model = export(WEIGHTS, folder / "demo320.onnx", imgsz=SIDE).path
    request = BuildRequest(model, precision="fp32", backend="onnxruntime", engines=folder)
    return build_engine(request, say=lambda _said: None).file


def _earlier(path: Path | None, frames: int) -> list[dict[str, Any]]:
    """Return the videos that a run of as many frames has measured already."""
    if path is None or not path.exists():
        return []
    known = json.loads(path.read_text())
    return list(known["videos"]) if known["frames"] == frames else []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=60 * FPS, help="of each video; 1800 are a minute")
    parser.add_argument("--footage", default=",".join(KINDS), help="which videos")
    parser.add_argument("--refresh", type=int, default=15, help="every tile at least every so many frames")
    parser.add_argument("--engine", type=Path, help="another engine of 320 px than the demo model's FP32")
    parser.add_argument("--json", type=Path, help="saved after each video; one that is there is kept")
    arguments = parser.parse_args()
    kinds = [kind for kind in KINDS if kind in arguments.footage.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = admit(arguments.engine) if arguments.engine else _demo_engine(folder)
        result: dict[str, Any] = {
            "environment": as_values(environment(THREADS)),
            "frames": arguments.frames,
            "frame_wh": WH,
            "tile": SIDE,
            "seed": SEED,
            "videos": _earlier(arguments.json, arguments.frames),
        }
        for kind in kinds:
            if any(video["footage"] == kind for video in result["videos"]):
                continue
            print(f"== {kind}", flush=True)
            result["videos"].append(measured(folder, kind, engine, arguments.frames, arguments.refresh))
            if arguments.json:
                emit(result, arguments.json)
    emit(result, None)


if __name__ == "__main__":
    main()
