"""``yolotrt calibrate``: activation ranges, found once and cached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, say, warn
from yolotrt.cli.options import (
    CALIB_DATA,
    Force,
    JsonTarget,
    Limit,
    Method,
    Threads,
    Tiles,
    choice,
    cores,
)


def calibrate(
    onnx: Annotated[Path, typer.Argument(help="The FP32 ONNX file.")],
    images: Annotated[
        Path,
        typer.Option(help="Folder of images like those the camera takes, or a data.yaml: its train images."),
    ],
    method: Method = "mse",
    limit: Limit = None,
    tiles: Tiles = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Cache file. [default: calib_data/NAME.calib.json]")
    ] = None,
    trt_cache: Annotated[
        Path | None, typer.Option("--trt-cache", help="Also write a TensorRT 10 calibration table.")
    ] = None,
    threads: Threads = None,
    force: Force = False,
    json: JsonTarget = None,
) -> None:
    r"""Find the activation ranges for INT8; returns at once while model, images and method are the same.

    Memory does not grow with the number of images. Pictures are letterboxed exactly as at inference.

    \b
    Examples:
      yolotrt calibrate engines/yolo26n-seg.onnx --images street/
      yolotrt calibrate engines/yolo26n-seg.onnx --images street/ --tiles --method entropy
      yolotrt calibrate engines/yolo26n-seg.onnx --images street/ --trt-cache street.cache
    """
    from yolotrt.artifacts.files import write_text
    from yolotrt.calibration.algorithms import ALGORITHMS
    from yolotrt.calibration.cache import load_or_calibrate
    from yolotrt.calibration.trt_table import trt_table
    from yolotrt.data.formats.reader import images_of
    from yolotrt.model.onnxfile import load_onnx, read_spec

    algorithm = choice(method, "--method", ALGORITHMS)
    spec = read_spec(load_onnx(onnx), onnx.stem)
    cache = output or CALIB_DATA / f"{onnx.stem}.calib.json"
    found = images_of(images)[:limit]
    with progress_bars() as progress:
        ranges, status = load_or_calibrate(
            onnx,
            spec,
            found,
            cache,
            algorithm=algorithm,
            tile_overlap=0.2 if tiles else None,
            force=force,
            threads=threads or cores(),
            progress=progress,
            on_wait=say,
        )
    if status.warning:
        warn(status.warning)
    for message in status.skipped:
        warn(f"skipped: {message}")
    if status.changed:
        say(f"changed since the last calibration: {', '.join(status.changed)}")
    if trt_cache is not None:
        write_text(trt_cache, trt_table(ranges))
        say(f"TensorRT 10 calibration table: {trt_cache}")
    how = "cached" if status.cached else f"made from {status.images} images"
    if json != "-":
        print(f"{cache}: {len(ranges.tensors)} tensors, {algorithm}, {how}")
    emit_json(
        json,
        {
            "path": str(cache),
            "cached": status.cached,
            "changed": list(status.changed),
            "images": status.images,
            "skipped": list(status.skipped),
            "tensors": len(ranges.tensors),
            "method": algorithm,
        },
    )
