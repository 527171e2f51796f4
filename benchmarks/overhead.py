"""What the pipeline costs on top of inference, and what INT8 gains.

Two ratios, each from one interleaved run on this machine:

* end_to_end of a 4K frame in tiles (one group) over a plain ``session.run`` of the same 32 tiles in the
  same batch, and the share of decode and merge in it;
* FP32 over INT8 ``session.run`` time at batch 8.

    python -m benchmarks.overhead FP32_ENGINE INT8_ENGINE [--source IMAGE] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.output import emit
from yolotrt.backends.loading import load_engine
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.measured import read_frames
from yolotrt.geometry.letterbox import network_input
from yolotrt.geometry.tiles import tile_grid
from yolotrt.machine.environment import environment
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline

THREADS = len(os.sched_getaffinity(0))


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    value = call()
    return time.perf_counter() - begin, value


def plain_session(path: Path) -> Callable[[np.ndarray], Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})


def pipeline_overhead(engine: Path, source: str, rounds: int) -> dict[str, float]:
    frame = read_frames(source)[0]
    loaded = load_engine(read_engine(engine))
    grid = tile_grid((frame.shape[1], frame.shape[0]), loaded.file.spec.input_wh)
    images = network_input(grid.cut(frame))
    run = plain_session(engine)
    plain, whole, after = [], [], []
    with TiledPipeline(loaded, PipelineSettings(cpu_threads=THREADS)) as pipeline:
        for index in range(rounds + 1):
            seconds, _ = timed(lambda: run(images))
            trace = pipeline(frame).trace
            if index:  # the first round warms up
                plain.append(seconds)
                whole.append(trace.seconds("end_to_end") or np.nan)
                after.append((trace.seconds("decode") or np.nan) + (trace.seconds("merge") or np.nan))
    loaded.close()
    ratio = np.median(np.array(whole) / np.array(plain))
    share = np.median(np.array(after) / np.array(whole))
    return {
        "tiles": len(grid.origins),
        "session_run_s": float(np.median(plain)),
        "end_to_end_s": float(np.median(whole)),
        "end_to_end_over_session_run": float(ratio),
        "decode_and_merge_share": float(share),
    }


def int8_gain(fp32: Path, int8: Path, source: str, rounds: int, batch: int = 8) -> dict[str, float]:
    frame = read_frames(source)[0]
    spec = read_engine(fp32).spec
    tiles = tile_grid((frame.shape[1], frame.shape[0]), spec.input_wh).cut(frame)
    images = network_input([tiles[i % len(tiles)] for i in range(batch)])
    runs = [plain_session(fp32), plain_session(int8)]
    samples = np.array([[timed(partial(run, images))[0] for run in runs] for _ in range(rounds + 1)])[1:]
    return {
        "batch": batch,
        "fp32_s": float(np.median(samples[:, 0])),
        "int8_s": float(np.median(samples[:, 1])),
        "fp32_over_int8": float(np.median(samples[:, 0] / samples[:, 1])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fp32", type=Path)
    parser.add_argument("int8", type=Path)
    parser.add_argument("--source", default="scene")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {
        "overhead": pipeline_overhead(arguments.fp32, arguments.source, arguments.rounds),
        "int8": int8_gain(arguments.fp32, arguments.int8, arguments.source, arguments.rounds),
        "environment": environment(THREADS),
    }
    emit(result, arguments.json)


if __name__ == "__main__":
    main()
