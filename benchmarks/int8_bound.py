"""Does ``build --max-drop`` without annotations predict the loss? Engines good and bad, judged both ways.

Each network is quantised in many ways, some of them harmful on purpose. The loss of mAP of each engine is
measured on annotated images, and what the criterion says of it on unannotated ones. What is refused though
it loses no more than the bound is a false refusal; what is accepted though it loses more than twice the
bound, a miss. Graphs for a GPU are judged by fake quantisation, those for a CPU as they run.

    python -m benchmarks.int8_bound --subject NAME NETWORK.onnx CALIBRATION-IMAGES IMAGES ANNOTATIONS [...] \
        --keep DIR [--limit N] [--variants A,B] [--look 166 [--more PICTURES]] \
        [--json benchmarks/results/int8-bound.json]

Engines are calibrated on forty of the calibration images, and the estimate looks at these; with ``--look`` at
the others, too, and at those of ``--more``, which no engine is made from.
Detections are kept in ``--keep``, so that another rule is tried without running networks again. Rows of an
earlier file that are not measured anew stay in it. The tables
of docs/accuracy-bound.md are written from the file by ``python -m benchmarks --readme``.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import onnx

from benchmarks.bound_tables import engines_table, errors_table
from benchmarks.bound_variants import IMAGES, THREADS, VARIANTS, BoundSubject, graph_of
from benchmarks.int8_work import int8_work
from yolotrt.artifacts.files import write_text
from yolotrt.artifacts.hashing import content_key, sha256_file
from yolotrt.backends.base import Engine, EngineFile
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.backends.onnxruntime.fake_quantized import FakeQuantizedEngine
from yolotrt.data.images import list_images, read_image
from yolotrt.evaluation.coco import Evaluation, Evaluator
from yolotrt.evaluation.comparison import compare
from yolotrt.evaluation.groundtruth import GroundTruth, load_ground_truth
from yolotrt.evaluation.run import annotated_images
from yolotrt.geometry.detections import Detections
from yolotrt.model.held import held_precision
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.model.spec import ModelSpec
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.quantization.batches import spread
from yolotrt.workflow.accuracy_bound.criterion import DRIFT
from yolotrt.workflow.accuracy_bound.likeness import JUDGED_DECODE, likeness, with_logits_moved
from yolotrt.workflow.evaluate import COCO_DECODE


@contextmanager
def engine_of(graph: onnx.ModelProto, spec: ModelSpec, *, literal: bool) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "engine.onnx"
        onnx.save(graph, path)
        file = EngineFile(path, "onnxruntime", held_precision(graph), spec, (), sha256_file(path))
        yield FakeQuantizedEngine(graph, file) if literal else OnnxRuntimeEngine(file)


Found = TypeVar("Found")

Looked = tuple[Evaluation, list[Detections], list[Detections]]
"""Of annotated images, and what was found in unannotated and in annotated ones (these without masks)."""


def looked(subject: BoundSubject, graph: onnx.ModelProto, truth: GroundTruth, *, literal: bool) -> Looked:
    """Evaluate an engine on the annotated images, and look at the unannotated ones."""
    spec = read_spec(graph, subject.network.stem)
    evaluator = Evaluator(truth, spec.names)
    annotated = []
    with engine_of(graph, spec, literal=literal) as engine:
        settings = PipelineSettings("global", cpu_threads=THREADS, decode=COCO_DECODE)
        with TiledPipeline(engine, settings) as pipeline:
            for image_id, pixels in annotated_images(truth, subject.images):
                detections = pipeline(pixels).detections
                evaluator.add(image_id, detections)
                confident = detections.take(detections.scores >= JUDGED_DECODE.conf)
                annotated.append(replace(confident, masks=None))
        with TiledPipeline(engine, replace(settings, decode=JUDGED_DECODE)) as pipeline:
            images = spread(list_images(subject.calib), IMAGES)
            found = [pipeline(read_image(path)).detections for path in images]
    return evaluator.result(), found, annotated


def further(subject: BoundSubject, arguments: argparse.Namespace) -> list[Path]:
    """Return the pictures that the estimate looks at besides those that engines are made from."""
    every = list_images(subject.calib)
    own = set(spread(every, IMAGES))
    others = [path for path in every if path not in own]
    others += list_images(arguments.more) if arguments.more else []
    return spread(others, max(0, arguments.look - IMAGES))


def glanced(subject: BoundSubject, graph: onnx.ModelProto, images: list[Path], literal: bool) -> list[Any]:
    """Return what an engine finds in unannotated pictures."""
    settings = PipelineSettings("global", cpu_threads=THREADS, decode=JUDGED_DECODE)
    with (
        engine_of(graph, read_spec(graph, subject.network.stem), literal=literal) as engine,
        TiledPipeline(engine, settings) as pipeline,
    ):
        return [pipeline(read_image(path)).detections for path in images]


def kept(keep: Path, name: str, key: dict[str, Any], make: Callable[[], Found]) -> Found:
    """Return what is kept under a key, or make it. Kept files are our own: unpickling them is safe."""
    path = keep / f"{name.replace(' ', '-')}.{content_key(key)[:12]}.pickle"
    if path.exists():
        found: Found = pickle.loads(path.read_bytes())
        return found
    found = make()
    path.write_bytes(pickle.dumps(found))
    return found


def measured(subject: BoundSubject, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield one row for each engine of a network."""
    truth = load_ground_truth(subject.annotations, subject.images, limit=arguments.limit)
    model = load_onnx(subject.network)
    common = {"network": onnx_key(model), "truth": truth.key(subject.images), "images": IMAGES}
    reference = kept(
        arguments.keep,
        f"{subject.name} fp32",
        common,
        lambda: looked(subject, model, truth, literal=False),
    )
    others = further(subject, arguments)
    seen = {"network": onnx_key(model), "pictures": [sha256_file(path) for path in others]}

    def more(name: str, graph: onnx.ModelProto, *, literal: bool) -> list[Detections]:
        key = {**seen, "graph": onnx_key(graph), "literal": literal}
        return kept(arguments.keep, f"{name} more", key, lambda: glanced(subject, graph, others, literal))

    expected = [*reference[1], *more(f"{subject.name} fp32", model, literal=False)]
    for name in arguments.variants.split(",") if arguments.variants else VARIANTS:
        variant = VARIANTS[name]
        for style in variant.styles:
            graph = graph_of(subject, variant, style, arguments.keep)
            other = kept(
                arguments.keep,
                f"{subject.name} {name} {style}",
                {**common, "graph": onnx_key(graph)},
                lambda graph=graph, style=style: looked(subject, graph, truth, literal=style != "cpu"),  # type: ignore[misc]
            )
            row = {"subject": subject.name, "variant": name, "style": style, **losses(reference, other)}
            row["work"] = int8_work(model, graph)
            row["said"] = {
                str(IMAGES // step): said(reference[1][::step], other[1][::step]) for step in (1, 2)
            }
            found = [*other[1], *more(f"{subject.name} {name} {style}", graph, literal=style != "cpu")]
            for count in sorted({min(count, len(found)) for count in (80, arguments.look)} - {IMAGES}):
                row["said"][str(count)] = said(expected[:count], found[:count])
            row["drift"] = drift(reference, other, aligned=variant.careful)
            print(json.dumps(row), file=sys.stderr, flush=True)
            yield row


def losses(reference: Looked, other: Looked) -> dict[str, Any]:
    against = compare(reference[0], other[0], resamples=200)
    box, mask = against.box, against.mask
    row: dict[str, Any] = {"map": box.reference, "box_loss": -(box.relative or 0.0)}
    row["box_interval"] = [-(box.high or 0) / box.reference, -(box.low or 0) / box.reference]
    if mask is not None:
        row["mask_loss"] = -(mask.relative or 0.0)
        row["mask_interval"] = [-(mask.high or 0) / mask.reference, -(mask.low or 0) / mask.reference]
    return row


def said(reference: list[Detections], found: list[Detections]) -> dict[str, Any]:
    """Return what the criterion makes of an engine."""
    judged = likeness(reference, found)
    return {"figures": judged.figures, "losses": judged.losses}


def drift(reference: Looked, other: Looked, *, aligned: bool) -> float:
    """Return how scores lie to FP32's on the annotated images, which took no part in choosing a shift.

    Args:
        reference: What FP32 finds.
        other: What the engine finds.
        aligned: Move the logits as ``build --max-drop`` does, by what it sees in the unannotated images.
    """
    moved = other[2]
    shift = likeness(reference[1], other[1]).shift if aligned else None
    if shift is not None:
        moved = [with_logits_moved(each, shift) for each in moved]
    return float(likeness(reference[2], moved).figures[DRIFT])


def together(earlier: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows, in the place of earlier ones those of the same engine that are new."""
    rows = {(row["subject"], row["variant"], row["style"]): row for row in [*earlier, *now]}
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    named = ("NAME", "NETWORK", "CALIB", "IMAGES", "ANNOTATIONS")
    parser.add_argument("--subject", nargs=5, action="append", metavar=named, default=[])
    parser.add_argument("--keep", type=Path, required=True, help="folder for calibrations and detections")
    parser.add_argument("--limit", type=int, help="use only the first annotated images")
    parser.add_argument("--look", type=int, default=IMAGES, help="pictures that the estimate looks at")
    parser.add_argument("--more", type=Path, help="folder of further unannotated pictures, for --look")
    parser.add_argument("--variants", help=f"some of: {', '.join(VARIANTS)}")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    rows = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else []
    for name, *paths in arguments.subject:
        rows = together(rows, list(measured(BoundSubject(name, *map(Path, paths)), arguments)))
    print(errors_table(rows) + "\n" + engines_table(rows))
    if arguments.json:
        write_text(arguments.json, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
