"""What evaluating costs on top of inference: decoding, full-resolution masks and COCO's matching.

Each image is run twice in turn: once through the network alone (letterboxing and the engine), once through
everything that ``yolotrt eval`` does with it, from the file to the matched masks. The ratio of the sums is
the figure; both are given in wall time and in CPU time of this process, which other programs disturb less.

    python -m benchmarks.eval_overhead ENGINE --images DIR --annotations JSON [--limit N] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.output import emit
from yolotrt.backends.base import Context
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.images import read_image
from yolotrt.evaluation.coco import Evaluator
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.machine.environment import environment
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.workflow.evaluate import COCO_DECODE


class Stopwatch:
    """Wall time and CPU time of this process, summed over blocks."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self._begin = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._begin[0]
        self.cpu += time.process_time() - self._begin[1]


def infer(image: npt.NDArray[np.uint8], model_wh: tuple[int, int], context: Context) -> None:
    letterbox = Letterbox.fit((image.shape[1], image.shape[0]), model_wh)
    network_input([letterbox.apply(image)], out=context.images)
    context.run()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    truth = load_ground_truth(arguments.annotations, limit=arguments.limit)
    files = truth.files(arguments.images)
    engine = load_engine(read_engine(arguments.engine))
    spec = engine.file.spec
    context = engine.new_context(1, threads=arguments.threads)
    settings = PipelineSettings("global", cpu_threads=arguments.threads, decode=COCO_DECODE)
    inference, evaluation = Stopwatch(), Stopwatch()
    with TiledPipeline(engine, settings) as pipeline:
        first = read_image(files[0])
        infer(first, spec.input_wh, context)  # warm both up
        pipeline(first)
        evaluator = Evaluator(truth, spec.names)
        for image, path in zip(truth.images, files, strict=True):
            pixels = read_image(path)
            with inference:
                infer(pixels, spec.input_wh, context)
            with evaluation:
                evaluator.add(image.id, pipeline(read_image(path)).detections)
        with evaluation:
            accuracy = evaluator.result().accuracy
    engine.close()
    return {
        "images": len(files),
        "threads": arguments.threads,
        "seconds": {"inference": round(inference.wall, 3), "evaluation": round(evaluation.wall, 3)},
        "cpu_seconds": {"inference": round(inference.cpu, 3), "evaluation": round(evaluation.cpu, 3)},
        "ratio": round(evaluation.wall / inference.wall, 3),
        "cpu_ratio": round(evaluation.cpu / inference.cpu, 3),
        "box_map": accuracy.box.ap,
        "mask_map": accuracy.mask.ap if accuracy.mask else None,
        "environment": environment(arguments.threads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="use only the first images")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments)
    emit(result, arguments.json)


if __name__ == "__main__":
    main()
