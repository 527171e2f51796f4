"""``yolotrt predict``: what an engine finds in pictures and videos."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import progress_bars, say, tell, warn
from yolotrt.cli.options import (
    SOURCES,
    Device,
    MergeMethod,
    MergeOverlap,
    Overlap,
    Sources,
    Threads,
    Trust,
    choice,
    cores,
    given_sources,
    merge_settings,
)
from yolotrt.cli.outputs import Overwrite, own_predictions
from yolotrt.errors import UsageError


def predict(
    engine: Annotated[Path, typer.Argument(help="The engine.")],
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help=f"{SOURCES}; or --source.")
    ] = None,
    source: Sources = None,
    mode: Annotated[str, typer.Option(help="tiled+global, tiled or global.")] = "tiled+global",
    conf: Annotated[float, typer.Option(help="Least score of a detection.")] = 0.25,
    overlap: Overlap = 0.2,
    groups: Annotated[int, typer.Option(min=1, help="Number of tile groups.")] = 1,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the inputs with their detections drawn.")
    ] = None,
    merge: MergeMethod = "seams",
    merge_overlap: MergeOverlap = None,
    threads: Threads = None,
    device: Device = "auto",
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Also write COCO result records, which COCO.loadRes reads ('-' for stdout).",
        ),
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Also write one line of JSON per frame, as it comes."),
    ] = None,
    coco: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Also write a COCO dataset: images, annotations, categories in one."
        ),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take image and category ids from this COCO file.")
    ] = None,
) -> None:
    r"""Detect objects in pictures and videos; draw them, and write them as COCO records with masks.

    Records carry image_id and category_id: those of --annotations; without, the number in the file name
    (1, 2, ... if names are no distinct numbers, and for the frames of a video), and COCO's category ids if
    all classes are COCO's (else 1, 2, ... in the model's order). --json is the list of records that
    COCO.loadRes reads; --coco is a dataset of its own, with images and categories, for the same ids. Frames
    of a video carry their time. Of an animated picture the first frame counts.

    \b
    Examples:
      yolotrt predict engines/yolo26n-seg.int8.onnxruntime.onnx street/ --save found/
      yolotrt predict engines/yolo26n-seg.int8.onnxruntime.onnx clip.mp4 --mode global --save found/ --jsonl -
      yolotrt predict engines/yolo26n-seg.fp32.onnxruntime.onnx frame.jpg --json -
      yolotrt predict engines/yolo26n-seg.fp32.onnxruntime.onnx coco/val --annotations coco/instances.json \
        --json results.json
    """
    from yolotrt.data.named import local_paths
    from yolotrt.data.sources import films, open_source
    from yolotrt.pipeline.decode import DecodeSettings
    from yolotrt.pipeline.tiled import PASS_MODES, TiledPipeline
    from yolotrt.report.draw import draw
    from yolotrt.workflow.identity import Misfits, ids_of, own_ids
    from yolotrt.workflow.predict import predict as run
    from yolotrt.workflow.records import dataset_file, line_file, result_file

    if json is not None and json.endswith(".jsonl") and jsonl is None:
        json, jsonl = None, json
    wanted = (
        ("--json", json, "JSON", result_file),
        ("--jsonl", jsonl, "JSON Lines", line_file),
        ("--coco", coco, "COCO dataset", dataset_file),
    )
    outputs = [(option, target, what, kind) for option, target, what, kind in wanted if target is not None]
    to_stdout = [target for _, target, _, _ in outputs].count("-")
    if to_stdout > 1:
        raise UsageError("Two outputs cannot share stdout.", hint="Give one of them a file.")
    if annotations is not None and not outputs:
        raise UsageError(
            "--annotations gives the ids of records, and none are written.",
            hint="Add --json, --jsonl or --coco.",
        )
    read = given_sources(sources, source)
    own = own_predictions(
        [engine, *local_paths(read), annotations],
        save,
        [(option, Path(target)) for option, target, _, _ in outputs if target != "-"],
        overwrite=overwrite,
    )
    with (
        own,
        closing(open_source(read)) as frames,
        TiledPipeline.open(
            engine,
            trust=trust,
            warn=warn,
            mode=choice(mode, "--mode", PASS_MODES),
            groups=groups,
            overlap=overlap,
            cpu_threads=threads or cores(),
            device=device,
            decode=DecodeSettings(conf=conf),
            merge=merge_settings(merge, merge_overlap),
        ) as pipeline,
        ExitStack() as files,
        progress_bars() as progress,
    ):
        names = pipeline.names
        pictures = None if films(frames) else frames.names
        if annotations is None:
            ids = own_ids(names, pictures, several=len(frames.names) > 1)
        else:
            ids = ids_of(annotations, names, pictures)
        misfits = Misfits(ids)
        takes = [files.enter_context(kind(target, ids)) for _, target, _, kind in outputs]
        found = run(
            pipeline,
            frames,
            lambda frame, detections: draw(frame, detections, names),
            save=save,
            progress=progress,
            say=say,
        )
        with closing(found):
            for entry in found:
                misfits.see(entry.name, entry.moment, entry.frame_wh, entry.detections.classes)
                for take in takes:
                    take(entry)
                if not to_stdout:
                    counts = Counter(names[int(c)] for c in entry.detections.classes)
                    tell(
                        f"{entry.name}: "
                        + (", ".join(f"{n} {name}" for name, n in counts.most_common()) or "nothing")
                    )
    if annotations is not None:
        for remark in misfits.remarks(annotations, names):
            warn(remark)
    if save is not None:
        say(f"pictures: {save}")
    for _, target, what, _ in outputs:
        if target != "-":
            say(f"{what}: {target}")
