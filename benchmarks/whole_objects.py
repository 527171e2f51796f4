"""Objects that only the global pass sees whole: accuracy by pass and size, with and without doubt.

Two kinds of large frames, made by ``yolotrt mosaics`` from the same annotated images: mosaics, whose objects
the global pass mostly misses, and single enlarged photographs (``--single``), whose objects tiles see in
pieces. Each frame is looked at once; passes are merged from that look, above two confidences: one at which a
precision-recall curve is nearly complete, and the usual one of ``predict`` and ``run``.

    python -m benchmarks.whole_objects ENGINE mosaics/ single/ [--limit 13 60] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.evaluation.coco import Evaluator
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.evaluation.run import annotated_images
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.seams import GLOBAL_PASS
from yolotrt.geometry.tiles import TileGrid
from yolotrt.machine.environment import environment
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.merge import Candidates, MergeSettings, merge_frame, seams
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.pipeline.wanted import wanted

CONFIDENCES = (0.01, 0.25)
WITHOUT = "tiled+global, nothing doubted"
WAYS = ("global", "tiled", WITHOUT, "tiled+global")
SIZES = ("ap", "small", "medium", "large")


def merged(
    way: str, tiles: list[Detections], whole: Detections, grid: TileGrid, settings: PipelineSettings
) -> Detections:
    """Return what one way of looking finds."""
    if way == "global":
        return whole
    if way == WITHOUT:
        number = [
            *(np.full(len(found), k) for k, found in enumerate(tiles)),
            np.full(len(whole), GLOBAL_PASS),
        ]
        every = Detections.concatenate([*tiles, whole])
        return seams(Candidates(every, np.concatenate(number).astype(np.int64), grid, False), MergeSettings())
    return wanted(merge_frame(tiles, grid, None if way == "tiled" else whole), settings)


def measure(engine: Path, folder: Path, limit: int | None, threads: int) -> list[dict[str, Any]]:
    """Return a row for each way and confidence."""
    truth = load_ground_truth(folder / "instances.json", folder / "images", limit=limit)
    settings = {
        conf: PipelineSettings("tiled+global", cpu_threads=threads, decode=DecodeSettings(conf=conf))
        for conf in CONFIDENCES
    }
    with closing(load_engine(read_engine(engine))) as loaded:
        names = loaded.file.spec.names
        judges = {(way, conf): Evaluator(truth, names) for way in WAYS for conf in CONFIDENCES}
        with TiledPipeline(loaded, settings[CONFIDENCES[0]]) as pipeline:
            for image, pixels in annotated_images(truth, folder / "images", _told):
                seen = pipeline(pixels)
                grid = settings[CONFIDENCES[0]].grid((pixels.shape[1], pixels.shape[0]), pipeline.input_wh)
                assert seen.global_pass is not None
                for conf, chosen in settings.items():
                    tiles = [found.take(found.scores > conf) for found in seen.tiles]
                    whole = seen.global_pass.take(seen.global_pass.scores > conf)
                    for way in WAYS:
                        judges[way, conf].add(image, merged(way, tiles, whole, grid, chosen))
    rows = []
    for (way, conf), judge in judges.items():
        accuracy = judge.result().accuracy
        assert accuracy.mask is not None
        figures = {kind: vars(getattr(accuracy, kind)) for kind in ("box", "mask")}
        row = {kind: {size: found[size] for size in SIZES} for kind, found in figures.items()}
        rows.append({"way": way, "conf": conf, "frames": accuracy.images, **row})
    return rows


def _told(_step: str, done: int, total: int) -> None:
    print(f"{done} of {total}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, nargs="*", default=[], help="frames of each folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    limits = dict(zip(given.folders, given.limit, strict=False))
    sets = {f.name: measure(given.engine, f, limits.get(f), given.threads) for f in given.folders}
    emit({"engine": given.engine.name, "sets": sets, "environment": environment(given.threads)}, given.json)


if __name__ == "__main__":
    main()
