"""``yolotrt predict``: what an engine finds in pictures and videos."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, say, tell, warn
from yolotrt.cli.options import (
    Device,
    Devices,
    JsonTarget,
    MergeMethod,
    MergeOverlap,
    Overlap,
    Threads,
    Trust,
    choice,
    cores,
    device_name,
    merge_settings,
)
from yolotrt.cli.outputs import Overwrite, own_predictions


def predict(
    engine: Annotated[Path, typer.Argument(help="The engine.")],
    source: Annotated[str, typer.Argument(help="An image, a folder of images, a video, or 'scene'.")],
    mode: Annotated[str, typer.Option(help="tiled+global, tiled or global.")] = "tiled+global",
    conf: Annotated[float, typer.Option(help="Least score of a detection.")] = 0.25,
    overlap: Overlap = 0.2,
    groups: Annotated[int, typer.Option(min=1, help="Number of tile groups.")] = 1,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for pictures with the detections drawn.")
    ] = None,
    merge: MergeMethod = "seams",
    merge_overlap: MergeOverlap = None,
    threads: Threads = None,
    device: Device = "auto",
    devices: Devices = None,
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Detect objects in pictures and videos; --json gives COCO result records with masks.

    \b
    Examples:
      yolotrt predict engines/yolo26n-seg.int8.onnxruntime.onnx street/ --save found/
      yolotrt predict engines/yolo26n-seg.int8.onnxruntime.onnx clip.mp4 --mode global --save found/
      yolotrt predict engines/yolo26n-seg.fp32.onnxruntime.onnx frame.jpg --json -
    """
    from yolotrt.pipeline.decode import DecodeSettings
    from yolotrt.pipeline.tiled import PASS_MODES, TiledPipeline
    from yolotrt.report.draw import draw
    from yolotrt.workflow.predict import coco_results
    from yolotrt.workflow.predict import predict as run

    own = own_predictions(engine, source, save, json, overwrite=overwrite)
    with (
        own,
        TiledPipeline.open(
            engine,
            trust=trust,
            warn=warn,
            mode=choice(mode, "--mode", PASS_MODES),
            groups=groups,
            overlap=overlap,
            cpu_threads=threads or cores(),
            device=device_name(device, devices),
            decode=DecodeSettings(conf=conf),
            merge=merge_settings(merge, merge_overlap),
        ) as pipeline,
        progress_bars() as progress,
    ):
        names = pipeline.names
        found = run(
            pipeline,
            source,
            lambda frame, detections: draw(frame, detections, names),
            save=save,
            progress=progress,
            say=say,
        )
    if json != "-":
        for entry in found:
            counts = Counter(names[int(c)] for c in entry.detections.classes)
            tell(
                f"{entry.name}: "
                + (", ".join(f"{n} {name}" for name, n in counts.most_common()) or "nothing")
            )
    if save is not None:
        say(f"pictures: {save}")
    emit_json(json, coco_results(found, names) if json is not None else None)
