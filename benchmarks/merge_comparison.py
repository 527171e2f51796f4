"""Merging the detections of overlapping tiles: ours against SAHI's, on the same detections.

Times are those of merging alone; what SAHI's own types cost to make is not counted. Scenes are drawn:
objects of 20 to 70 px in a 4K frame, each seen by every tile that shows at least 8 px of it, clipped
to the tile. With an engine and annotated large frames (yolotrt mosaics makes some), the box AP of each
merger is measured, too, on detections above a confidence of 0.01. Without SAHI ours are measured alone.

    python -m benchmarks.merge_comparison [--candidates 2000] [--rounds 5] [--json FILE]
        [--engine ENGINE --images DIR --annotations JSON --limit N]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.images import read_image
from yolotrt.evaluation.coco import evaluate
from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import TileGrid, tile_grid
from yolotrt.machine.environment import environment
from yolotrt.pipeline.decode import DecodeSettings, decode
from yolotrt.pipeline.merge import MergeSettings, merge_frame

FRAME_WH = (3840, 2160)
SETTINGS = {
    "seams": MergeSettings("seams"),
    "nmm": MergeSettings("nmm", threshold=0.5, metric="ios"),
    "nms": MergeSettings("nms", threshold=0.5, metric="iou"),
}
SAHI = {"SAHI GreedyNMM": ("GreedyNMMPostprocess", "IOS"), "SAHI NMS": ("NMSPostprocess", "IOU")}

Views = tuple[list[Detections], Detections | None]
"""Detections of each tile, and of the whole frame."""

Prepare = Callable[[Views, TileGrid], Callable[[], Any]]
"""Takes what was detected and returns the merge alone, to be timed."""


def ours(settings: MergeSettings) -> Prepare:
    return lambda views, grid: lambda: merge_frame(views[0], grid, views[1], settings)


def sahi(name: str) -> Prepare:
    """Return one of SAHI's mergers.

    Raises:
        ImportError: It is not installed.
    """
    kind, metric = SAHI[name]
    merger = getattr(import_module("sahi.postprocess.combine"), kind)
    merge = merger(match_threshold=0.5, match_metric=metric, class_agnostic=False)

    def prepare(views: Views, grid: TileGrid) -> Callable[[], Any]:
        given = to_sahi(joined(views), grid.frame_wh)
        return lambda: merge(given)

    return prepare


def joined(views: Views) -> Detections:
    return Detections.concatenate([*views[0], *([] if views[1] is None else [views[1]])])


def to_sahi(found: Detections, frame_wh: tuple[int, int]) -> list[Any]:
    """Return detections as SAHI wants them: masks as polygons in the frame."""
    make = import_module("sahi.prediction").ObjectPrediction
    result = []
    for i in range(len(found)):
        polygons = None if found.masks is None else outlines(found.masks[i])
        if polygons == []:
            continue
        result.append(
            make(
                bbox=found.boxes[i].tolist(),
                category_id=int(found.classes[i]),
                category_name=str(found.classes[i]),
                score=float(found.scores[i]),
                segmentation=polygons,
                full_shape=[frame_wh[1], frame_wh[0]],
                shift_amount=[0, 0],
            )
        )
    return result


def outlines(mask: Mask) -> list[list[float]]:
    if mask.bits.size == 0:
        return []
    found, _ = cv2.findContours(mask.bits.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [(c.reshape(-1, 2) + np.array([mask.x, mask.y])).ravel().tolist() for c in found if len(c) >= 3]


def from_sahi(merged: Sequence[Any]) -> Detections:
    """Return SAHI's boxes as ours, without masks."""
    return Detections(
        np.array([p.bbox.to_xyxy() for p in merged], np.float32).reshape(-1, 4),
        np.array([p.score.value for p in merged], np.float32),
        np.array([p.category.id for p in merged], np.int64),
    )


def drawn(candidates: int, masks: bool, seed: int = 0) -> tuple[Views, TileGrid]:
    """Return the first scene with at least so many detections over all tiles."""
    rng, grid = np.random.default_rng(seed), tile_grid(FRAME_WH)
    tiles: list[Detections] = [Detections.empty(masks=masks) for _ in grid.origins]
    while sum(map(len, tiles)) < candidates:
        wh = rng.integers(20, 71, 2)
        corner = rng.integers(0, np.array(FRAME_WH) - wh)
        object_ = np.concatenate([corner, corner + wh])
        label = int(rng.integers(0, 10))
        for t, (x, y) in enumerate(grid.origins):
            box = np.clip(object_, [x, y, x, y], [x + 640, y + 640, x + 640, y + 640])
            if (box[2:] - box[:2] >= 8).all():
                seen = one(box, label, float(rng.uniform(0.3, 1)), masks)
                tiles[t] = Detections.concatenate([tiles[t], seen])
    return (tiles, None), grid


def one(box: np.ndarray, label: int, score: float, masks: bool) -> Detections:
    left, top, right, bottom = box.tolist()
    mask = Mask(left, top, np.ones((bottom - top, right - left), np.bool_))
    arrays = (np.array([score], np.float32), np.array([label], np.int64))
    return Detections(box[None].astype(np.float32), *arrays, (mask,) if masks else None)


def mergers() -> tuple[dict[str, Prepare], str | None]:
    """Return all mergers by name, and why SAHI's are missing if they are."""
    found: dict[str, Prepare] = {f"ours, {name}": ours(settings) for name, settings in SETTINGS.items()}
    try:
        return {**found, **{name: sahi(name) for name in SAHI}}, None
    except ImportError as exc:
        return found, f"SAHI cannot be imported ({exc}): its mergers are skipped."


def timed(chosen: dict[str, Prepare], candidates: int, masks: bool, rounds: int) -> dict[str, Any]:
    """Return the median time of each merger in ms; rounds interleave the mergers."""
    views, grid = drawn(candidates, masks)
    samples: dict[str, list[float]] = {name: [] for name in chosen}
    kept = {}
    for _ in range(rounds):
        for name, prepare in chosen.items():
            merge = prepare(views, grid)
            begin = time.thread_time()
            kept[name] = len(merge())
            samples[name].append((time.thread_time() - begin) * 1e3)
    medians = {name: round(float(np.median(values)), 3) for name, values in samples.items()}
    return {"candidates": len(joined(views)), "masks": masks, "ms": medians, "kept": kept}


def detected(engine_path: Path, truth: GroundTruth, folder: Path) -> dict[int, tuple[Views, TileGrid]]:
    """Return what an engine sees in the tiles and the whole of each frame, boxes only."""
    engine = load_engine(read_engine(engine_path))
    spec, settings = engine.file.spec, DecodeSettings(0.01, multi_label=True, max_det=100, masks=False)
    context = engine.new_context(1, threads=2)

    def look(picture: Any, placement: Letterbox) -> Detections:
        network_input([picture], out=context.images)
        return decode(*context.run(), spec, [placement], settings)[0]

    found: dict[int, tuple[Views, TileGrid]] = {}
    for image, path in zip(truth.images, truth.files(folder), strict=True):
        frame = read_image(path)
        grid = tile_grid(image.size_wh, spec.input_wh)
        tiles = [
            look(tile, grid.placement).moved(*origin)
            for tile, origin in zip(grid.cut(frame), grid.origins, strict=True)
        ]
        letterbox = Letterbox.fit(image.size_wh, spec.input_wh)
        found[image.id] = ((tiles, look(letterbox.apply(frame), letterbox)), grid)
    engine.close()
    return found


def accuracies(chosen: dict[str, Prepare], arguments: argparse.Namespace) -> dict[str, Any]:
    truth = load_ground_truth(arguments.annotations, limit=arguments.limit)
    names = read_engine(arguments.engine).spec.names
    seen = detected(arguments.engine, truth, arguments.images)
    result: dict[str, Any] = {"frames": len(seen)}
    for name, prepare in chosen.items():
        results, spent = {}, 0.0
        for key, (views, grid) in seen.items():
            merge = prepare(views, grid)
            begin = time.thread_time()
            merged = merge()
            spent += time.thread_time() - begin
            results[key] = from_sahi(merged) if isinstance(merged, list) else merged
        box = evaluate(truth, names, results.items()).accuracy.box
        result[name] = {"ap": box.ap, "small": box.small, "ms_per_frame": round(spent / len(seen) * 1e3, 2)}
    candidates = [len(joined(views)) for views, _ in seen.values()]
    return {**result, "candidates_per_frame": round(float(np.mean(candidates)))}


def tables(result: dict[str, Any]) -> Table:
    shown = Table(title=f"merging {result['times'][0]['candidates']} candidates (median of CPU time)")
    for title in ("merger", "boxes, ms", "boxes and masks, ms", "box AP", "AP small", "ms per frame"):
        shown.add_column(title, justify="left" if title == "merger" else "right")
    accuracy = result.get("accuracy", {})
    for name in result["times"][0]["ms"]:
        cells = [f"{entry['ms'][name]:.1f}" for entry in result["times"]]
        if name in accuracy:
            found = accuracy[name]
            points = ["-" if found[k] is None else f"{found[k] * 100:.2f}" for k in ("ap", "small")]
            cells += [*points, f"{found['ms_per_frame']:.1f}"]
        shown.add_row(name, *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", type=Path, help="engine to detect with, for AP")
    parser.add_argument("--images", type=Path, help="folder of large annotated frames")
    parser.add_argument("--annotations", type=Path, help="their COCO instances JSON")
    parser.add_argument("--limit", type=int, help="use only the first frames")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    given = [arguments.engine, arguments.images, arguments.annotations]
    if any(given) and not all(given):
        parser.error("AP needs --engine, --images and --annotations")
    chosen, missing = mergers()
    if missing:
        print(missing, file=sys.stderr)
    times = [timed(chosen, arguments.candidates, masks, arguments.rounds) for masks in (False, True)]
    result: dict[str, Any] = {"times": times, "environment": as_values(environment(1))}
    result["sahi"] = None if missing else version("sahi")
    if arguments.engine:
        result["accuracy"] = accuracies(chosen, arguments)
    Console(width=None if sys.stdout.isatty() else 160).print(tables(result))
    if arguments.json:
        write_text(arguments.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
