"""When tiles are looked at, without a network: how many, and how soon after an object has come into view.

    python -m benchmarks.adaptive_looks [--frames 1800] [--footage day,dusk] [--json FILE]

Drawn videos of 1920x1080 with 32 tiles of 320 px. The choice is the one that `--tiles adaptive` makes, but
for what it would learn from the network: tiles whose objects moved, and news of the global pass. An object is
looked at in the first frame in which a tile runs that shows its middle.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adaptive import FPS, KINDS, SEED, SIDE, WH
from benchmarks.output import emit
from yolotrt.data.scenes.footage_files import video_frames
from yolotrt.data.scenes.footage_kinds import FootageKind
from yolotrt.geometry.thumbnail import brightness
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.choosing import NOTHING, Chooser
from yolotrt.pipeline.motion import MotionWatch
from yolotrt.pipeline.tile_choice import Adaptive
from yolotrt.pipeline.tile_use import FrameTiles, UseTally
from yolotrt.workflow.tile_trial import Percentiles

NONE_CARRIED = np.zeros(0, np.bool_)


def looked(kind: FootageKind, frames: int, refresh: int) -> dict[str, Any]:
    """Return which tiles ran in a video, and how soon objects were looked at."""
    grid = tile_grid(WH, (SIDE, SIDE))
    origins = np.array(grid.origins)
    chooser, watch, use = Chooser(grid, Adaptive(refresh), lambda wish: wish), MotionWatch(grid), UseTally()
    born: dict[int, int] = {}
    seen: dict[int, int] = {}
    spent = []
    for index, (_, scene) in enumerate(video_frames(kind, SEED, WH, fps=FPS, count=frames)):
        begin = time.thread_time()
        chosen = chooser.choose(watch.look(brightness(scene.image)))
        watch.looked_at(list(chosen.reasons))
        chooser.looked(list(chosen.reasons), NOTHING)
        spent.append(time.thread_time() - begin)
        use.add(FrameTiles(chosen, lambda: NONE_CARRIED, refresh))
        ran = origins[list(chosen.reasons)]
        for instance in scene.instances:
            born.setdefault(instance.track, index)
            middle = (instance.box[:2] + instance.box[2:]) / 2
            if ((ran <= middle) & (middle <= ran + SIDE)).all(axis=1).any():
                seen.setdefault(instance.track, index)
    delays = [seen[track] - first for track, first in born.items() if first and track in seen]
    return {
        "footage": kind,
        "use": use.report(),
        "came": sum(first > 0 for first in born.values()),
        "never": sum(track not in seen for track in born),
        "delay": Percentiles.of(delays),
        "choosing_cpu_s": float(np.median(spent)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=60 * FPS, help="of each video; 1800 are a minute")
    parser.add_argument("--footage", default=",".join(KINDS), help="which videos")
    parser.add_argument("--refresh", type=int, default=15, help="every tile at least every so many frames")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"frames": arguments.frames, "frame_wh": WH, "tile": SIDE, "videos": []}
    for kind in KINDS:
        if kind in arguments.footage.split(","):
            result["videos"].append(looked(kind, arguments.frames, arguments.refresh))
            emit(result, arguments.json)


if __name__ == "__main__":
    main()
