"""What tiling buys: recall of small objects on held-out 4K scenes, by pass.

A small object is at most 96 px long in the frame, 16 px when the frame is letterboxed to 640. It is found
when a detection of its class overlaps its box by an IoU of 0.5, at confidence 0.25.

    python -m benchmarks.small_objects [--scenes 50] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.output import emit
from yolotrt.artifacts.files import write_bytes
from yolotrt.data.scenes.scene import make_scene
from yolotrt.evaluation.recall import SMALL_PX
from yolotrt.pipeline.tiled import PASS_MODES, TiledPipeline
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import are_found, demo_model, small_objects

THREADS = len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=50, help="held-out scenes, seeds from 0")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = write_bytes(Path(folder) / "demo.onnx", demo_model())
        engine = build_engine(BuildRequest(model, engines=Path(folder)), say=lambda _m: None).file.path
        counts = {mode: np.zeros(2, int) for mode in PASS_MODES}
        for mode in PASS_MODES:
            with TiledPipeline.open(engine, mode=mode, cpu_threads=THREADS) as pipeline:
                for seed in range(arguments.scenes):
                    scene = make_scene(seed)
                    small = small_objects(scene)
                    hits = are_found(small, pipeline(scene.image).detections)
                    counts[mode] += (hits.sum(), len(small))
    recall = {mode: round(float(found / total), 4) for mode, (found, total) in counts.items()}
    result = {
        "scenes": arguments.scenes,
        "small_objects": int(counts["global"][1]),
        "small_px": SMALL_PX,
        "recall": recall,
    }
    emit(result, arguments.json)


if __name__ == "__main__":
    main()
