"""``yolotrt calibrate``: activation ranges, found once and cached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.calibration_images import coco_images
from yolotrt.cli.console import emit_json, progress_bars, say, tell, warn
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
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.data.coco.layout import means_coco

_TRT_CACHE = "yolotrt calibrate --trt-cache"


def calibrate(
    onnx: Annotated[Path, typer.Argument(help="The FP32 ONNX file.")],
    images: Annotated[
        Path,
        typer.Option(
            help="Folder of images like those the camera takes, a data.yaml (its train images), or coco: a "
            "part of COCO, downloaded."
        ),
    ],
    method: Method = "mse",
    limit: Limit = None,
    tiles: Tiles = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Cache file. [default: calib_data/NAME.calib.json, or NAME-KEY.calib.json beside one of "
            "other images]",
        ),
    ] = None,
    trt_cache: Annotated[
        Path | None, typer.Option("--trt-cache", help="Also write a TensorRT 10 calibration table.")
    ] = None,
    threads: Threads = None,
    force: Force = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Find the activation ranges for INT8; returns at once while model, images and method are the same.

    Memory does not grow with the number of images. Pictures are letterboxed exactly as at inference.
    Calibrations of other images or by other methods stay beside each other; build takes the one of most
    images unless it is told which.

    \b
    Examples:
      yolotrt calibrate engines/yolo26n-seg.onnx --images street/
      yolotrt calibrate engines/yolo26n-seg.onnx --images street/ --tiles --method entropy
      yolotrt calibrate engines/yolo26n-seg.onnx --images street/ --trt-cache street.cache
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.files import write_text
    from yolotrt.artifacts.folders import by_list, owning_file
    from yolotrt.data.formats.reader import images_of
    from yolotrt.model.onnxfile import load_onnx, read_spec
    from yolotrt.quantization.algorithms import ALGORITHMS
    from yolotrt.quantization.cache import CALIBRATION, default_cache, load_or_calibrate
    from yolotrt.quantization.trt_table import only_behind, trt_table
    from yolotrt.workflow.replies import CALIBRATED, Calibrated

    algorithm = choice(method, "--method", ALGORITHMS)
    model = load_onnx(onnx)
    spec = read_spec(model, onnx.stem)
    cache = output or default_cache(onnx, CALIB_DATA)
    outputs = [Output("-o", cache, CALIBRATION), json_output(json, CALIBRATED.kind)]
    if trt_cache is not None:
        outputs.append(Output("--trt-cache", trt_cache, by_list("a calibration table", _TRT_CACHE)))
    claim_outputs(outputs, onnx, images, overwrite=overwrite)
    if means_coco(images):
        images = coco_images()
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
            overwrite=overwrite,
            beside=output is None,
            threads=threads or cores(),
            progress=progress,
            on_wait=say,
        )
    if status.warning:
        warn(status.warning)
    for message in (*(f"skipped: {m}" for m in status.skipped), *status.doubts):
        warn(message)
    if status.saw:
        say(f"saw: {status.saw}")
    if status.changed:
        stays = f": {cache} stays as it is" if status.path != cache else ""
        say(f"changed since the last calibration: {', '.join(status.changed)}{stays}")
    if trt_cache is not None:
        with owning_file(trt_cache, _TRT_CACHE, option="--trt-cache", overwrite=overwrite):
            write_text(trt_cache, trt_table(ranges, only_behind(model, spec.proto_output)))
        say(f"TensorRT 10 calibration table: {trt_cache}")
    how = "cached" if status.cached else f"made from {status.images} images"
    if json != "-":
        tell(f"{status.path}: {len(ranges.tensors)} tensors, {algorithm}, {how}")
    done = Calibrated(
        path=str(status.path),
        cached=status.cached,
        changed=status.changed,
        images=status.images,
        skipped=status.skipped,
        warnings=status.doubts,
        tensors=len(ranges.tensors),
        method=algorithm,
    )
    emit_json(json, CALIBRATED.to_json(done))
