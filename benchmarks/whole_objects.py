"""Objects that only the global pass sees whole: accuracy by pass and size, with and without doubt.

Large frames of two kinds, made of annotated images: mosaics, whose objects the global pass mostly misses, and
single enlarged photographs, whose objects tiles see in pieces. The rules of ``yolotrt/geometry/doubt.py``
were chosen on frames of some of the images, and are judged on frames of the others. Each frame is looked at
once; passes are merged from that look, above two confidences: one at which a precision-recall curve is nearly
complete, and the usual one of ``predict`` and ``run``. Beside both rules there is the first of them alone,
that pieces of what the global pass saw as another class count half, and none; and near a confidence of zero
both with other strengths of the second.

    python -m benchmarks.whole_objects ENGINE --images DIR --annotations FILE --out DIR [--frames N]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.artifacts.files import write_bytes, write_text
from yolotrt.backends.base import Engine
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.scenes.scene import make_scene
from yolotrt.evaluation.coco import Evaluation, Evaluator
from yolotrt.evaluation.comparison import Difference, compare
from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.evaluation.mosaic import plan_mosaics, write_mosaics
from yolotrt.evaluation.recall import SmallRecall
from yolotrt.evaluation.run import annotated_images
from yolotrt.geometry.detections import CONFIDENT, Detections, PerImage
from yolotrt.geometry.doubt import doubted, halved, heard_of, lowered, visible_area
from yolotrt.geometry.seams import GLOBAL_PASS
from yolotrt.geometry.tiles import TileGrid
from yolotrt.machine.environment import environment
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.merge import Candidates, best_of_views, joined_at_seams, merge_frame
from yolotrt.pipeline.tiled import FrameResult, PipelineSettings, TiledPipeline
from yolotrt.pipeline.wanted import wanted
from yolotrt.progress import Progress
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import are_found, demo_model, small_objects

CONFIDENCES = (0.01, CONFIDENT)
RULE = "tiled+global"
NOTHING = "tiled+global, nothing doubted"
HALVED = "tiled+global, pieces halved"
WAYS = ("global", "tiled", NOTHING, HALVED, RULE)
LOUDER = {f"{RULE}, louder {times:g}": times for times in (0.0, 1.0, 3.0)}
"""How much more silence says near a confidence of zero; it makes no difference at the usual one."""

SIZES = ("ap", "small", "medium", "large")

FRAME_WH = (3840, 2160)
CHOSEN_ON = {"mosaics": 13, "single": 60}
"""The first mosaics and photographs: on these the rule was chosen. Those that judge it share no image."""

SCENES = {(960, 640): 60, FRAME_WH: 20}
"""Held-out scenes by size: two tiles, and 4K."""


def ways(seen: FrameResult, grid: TileGrid, settings: PipelineSettings) -> dict[str, Detections]:
    """Return what each way of looking finds above a confidence, from one look with a lower one."""
    assert seen.global_pass is not None
    *tiles, whole = (
        found.take(found.scores > settings.decode.conf) for found in (*seen.tiles, seen.global_pass)
    )
    every = PerImage.of([*tiles, whole])
    passes = np.where(every.image == len(tiles), GLOBAL_PASS, every.image)
    objects, tile, touches = joined_at_seams(Candidates(every.found, passes, grid), settings.merge)
    global_, conf = tile == GLOBAL_PASS, settings.decode.conf
    scores = {
        NOTHING: objects.scores,
        HALVED: halved(objects.scores, doubted(objects, global_, touches)),
    }
    found = {
        "global": whole,
        "tiled": merge_frame(tiles, grid, None, settings.merge),
        RULE: merge_frame(tiles, grid, whole, settings.merge, conf=conf),
    }
    for way in LOUDER.keys() & ways_above(conf):
        heard = heard_of(objects, global_, touches, visible_area(grid), conf, LOUDER[way])
        scores[way] = lowered(scores[HALVED], *heard, conf)
    for way, weighed in scores.items():
        found[way] = best_of_views(replace(objects, scores=weighed), tile, settings.merge)
    return {way: wanted(found[way], settings) for way in ways_above(conf)}


def ways_above(conf: float) -> tuple[str, ...]:
    """Return what is compared above a confidence."""
    return WAYS if conf >= CONFIDENT else (*WAYS, *LOUDER)


def measure(engine: Engine, folder: Path, limit: int | None) -> list[dict[str, Any]]:
    """Return a row for each way and confidence."""
    truth = load_ground_truth(folder / "instances.json", folder / "images", limit=limit)
    names, cases = engine.file.spec.names, [(way, conf) for conf in CONFIDENCES for way in ways_above(conf)]
    judges = {case: Evaluator(truth, names) for case in cases}
    small = {case: SmallRecall(truth, names) for case in cases}
    settings = {conf: _settings(conf) for conf in CONFIDENCES}
    with TiledPipeline(engine, settings[CONFIDENCES[0]]) as pipeline:
        for image, pixels in annotated_images(truth, folder / "images", _told(folder.name)):
            seen = pipeline(pixels)
            wh = (pixels.shape[1], pixels.shape[0])
            for conf, chosen in settings.items():
                for way, found in ways(seen, chosen.grid(wh, pipeline.input_wh), chosen).items():
                    judges[way, conf].add(image, found)
                    small[way, conf].add(image, found)
    results = {case: judge.result() for case, judge in judges.items()}
    return [
        {"way": way, "conf": conf, "small_found": small[way, conf].result()}
        | _figures(results[way, conf], results[NOTHING, conf], _better(results, conf))
        for way, conf in cases
    ]


def _better(results: Mapping[tuple[str, float], Evaluation], conf: float) -> Evaluation:
    """Return the pass that alone finds large objects best."""
    return max((results[way, conf] for way in WAYS[:2]), key=lambda found: found.accuracy.box.large or 0.0)


def _figures(found: Evaluation, reference: Evaluation, better: Evaluation) -> dict[str, Any]:
    accuracy, against, large = (
        found.accuracy,
        compare(reference, found).box,
        compare(better, found).sizes["large"],
    )
    assert accuracy.mask is not None
    by_size = {
        kind: {size: getattr(scores, size) for size in SIZES}
        for kind, scores in (("box", accuracy.box), ("mask", accuracy.mask))
    }
    return {
        "frames": accuracy.images,
        **by_size,
        "box_against_nothing_doubted": _interval(against),
        "large_against_the_better_pass": _interval(large),
    }


def _interval(of: Difference) -> dict[str, float | None]:
    return {"value": of.absolute, "low": of.low, "high": of.high}


def small_objects_found(engine: Engine, wh: tuple[int, int], count: int) -> list[dict[str, Any]]:
    """Count the small objects of drawn scenes that each way finds at the confidence in use."""
    hits: dict[str, int] = dict.fromkeys(WAYS, 0)
    objects = 0
    settings, told = _settings(CONFIDENT), _told(f"scenes of {wh[0]}x{wh[1]}")
    with TiledPipeline(engine, settings) as pipeline:
        grid = settings.grid(wh, pipeline.input_wh)
        for seed in range(count):
            scene = make_scene(seed, wh)
            small = small_objects(scene)
            objects += len(small)
            for way, found in ways(pipeline(scene.image), grid, settings).items():
                hits[way] += int(are_found(small, found).sum())
            told("", seed + 1, count)
    same = {"scenes": count, "width": wh[0], "height": wh[1], "small_objects": objects}
    return [{"way": way, "found": found, **same} for way, found in hits.items()]


def compose(truth: GroundTruth, images: Path, annotations: Path, out: Path) -> None:
    """Write frames of the images on which the rule was chosen, and of all others."""
    plan = plan_mosaics([(i.id, i.size_wh) for i in truth.images], FRAME_WH)
    chosen = {place.image_id for frame in plan[: CHOSEN_ON["mosaics"]] for place in frame}
    chosen |= {image.id for image in truth.images[: CHOSEN_ON["single"]]}
    document = json.loads(annotations.read_text())
    document["images"] = [image for image in document["images"] if image["id"] not in chosen]
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] not in chosen]
    others = load_ground_truth(write_text(out / "others.json", json.dumps(document)), images)
    first = load_ground_truth(annotations, images, limit=CHOSEN_ON["single"])
    for name, (whole, enlarged) in {"chosen": (truth, first), "judged": (others, others)}.items():
        write_mosaics(whole, images, out / name / "mosaics", frame_wh=FRAME_WH)
        write_mosaics(enlarged, images, out / name / "single", frame_wh=FRAME_WH, single=True)


def _settings(conf: float) -> PipelineSettings:
    return PipelineSettings("tiled+global", cpu_threads=1, decode=DecodeSettings(conf=conf))


def _told(what: str) -> Progress:
    def told(_step: str, done: int, total: int) -> None:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return told


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True, help="COCO instances")
    parser.add_argument("--out", type=Path, required=True, help="folder for the frames")
    parser.add_argument("--frames", type=int, help="at most so many of each kind and half")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    compose(load_ground_truth(given.annotations, given.images), given.images, given.annotations, given.out)
    sets: dict[str, dict[str, Any]] = {}
    with closing(load_engine(read_engine(given.engine))) as engine:
        for half in ("judged", "chosen"):
            sets[half] = {}
            for kind, limit in CHOSEN_ON.items():
                most = _least(given.frames, limit if half == "chosen" else None)
                sets[half][kind] = measure(engine, given.out / half / kind, most)
    model = write_bytes(given.out / "demo.onnx", demo_model())
    demo = build_engine(BuildRequest(model, engines=given.out, overwrite=True), say=lambda _m: None).file
    with closing(load_engine(demo)) as engine:
        scenes = [
            row
            for wh, count in SCENES.items()
            for row in small_objects_found(engine, wh, _least(given.frames, count) or count)
        ]
    emit(
        {"engine": given.engine.name, "sets": sets, "scenes": scenes, "environment": environment(1)},
        given.json,
    )


if __name__ == "__main__":
    main()
