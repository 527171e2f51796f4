"""``yolotrt predict``: what an engine finds in pictures and videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import note, progress_bars, say, tell, warn
from yolotrt.cli.detecting import (
    Agnostic,
    Classes,
    Conf,
    Iou,
    MaxDet,
    Targets,
    chosen_classes,
    detection_settings,
    engine_and_sources,
)
from yolotrt.cli.habits import PREDICTED
from yolotrt.cli.options import (
    Device,
    MergeOption,
    MergeOverlap,
    Mode,
    Overlap,
    Sources,
    Threads,
    TileOption,
    Track,
    Trust,
    choice,
    cores,
    merge_settings,
    tiles_file,
)
from yolotrt.cli.outputs import Overwrite, own_predictions
from yolotrt.errors import UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE

if TYPE_CHECKING:
    from yolotrt.arrays import Frame
    from yolotrt.data.sources import Source
    from yolotrt.pipeline.tile_use import UseTally
    from yolotrt.workflow.identity import Misfits, RecordIds
    from yolotrt.workflow.predict import Found
    from yolotrt.workflow.records import Take


def predict(
    targets: Targets = None,
    source: Sources = None,
    mode: Mode = DEFAULT_MODE,
    conf: Conf = 0.25,
    iou: Iou = 0.7,
    max_det: MaxDet = 300,
    classes: Classes = None,
    agnostic: Agnostic = False,
    overlap: Overlap = 0.2,
    tiles: TileOption = "all",
    track: Track = False,
    groups: Annotated[int, typer.Option(min=1, help="Number of tile groups.")] = 1,
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=1, help="Look at the first images, or frames, only.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="[DIR]",
            help=f"Folder for the inputs with their detections drawn. [without a value: {PREDICTED}]",
        ),
    ] = None,
    save_txt: Annotated[
        bool,
        typer.Option(
            "--save-txt",
            help="Write labels in YOLO format, a polygon a line, into DIR/labels. Pictures are drawn with "
            f"--save only. [DIR without it: {PREDICTED}]",
        ),
    ] = False,
    line_width: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Of what is drawn, px. [default: by the picture's size]"),
    ] = None,
    hide_labels: Annotated[bool, typer.Option("--hide-labels", help="Draw no names and scores.")] = False,
    show_tiles: Annotated[bool, typer.Option("--show-tiles", help="Draw the borders of the tiles.")] = False,
    merge: MergeOption = "seams",
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
      yolotrt predict street/ --save
      yolotrt predict engines/yolo26n-seg.int8.onnxruntime.onnx a.jpg 'street/*.png' clip.mp4 --save found/
      yolotrt predict street/ --classes person,car --conf 0.4 --save-txt
      yolotrt predict clip.mp4 --limit 50 --save found/
      yolotrt predict clip.mp4 --tiles adaptive --track --save found/ --jsonl found.jsonl
      yolotrt predict engines/yolo26n-seg.int8.onnxruntime.onnx clip.mp4 --mode global --save found/ --jsonl -
      yolotrt predict engines/yolo26n-seg.fp32.onnxruntime.onnx frame.jpg --json -
      yolotrt predict engines/yolo26n-seg.fp32.onnxruntime.onnx coco/val --annotations coco/instances.json \
        --json results.json
    """
    from yolotrt.backends.loading import opening

    if json is not None and json.endswith(".jsonl") and jsonl is None:
        json, jsonl = None, json
    wanted = (("--json", json, "JSON"), ("--jsonl", jsonl, "JSON Lines"), ("--coco", coco, "COCO dataset"))
    outputs = [(option, target, what) for option, target, what in wanted if target is not None]
    to_stdout = [target for _, target, _ in outputs].count("-")
    if to_stdout > 1:
        raise UsageError("Two outputs cannot share stdout.", hint="Give one of them a file.")
    if annotations is not None and not outputs:
        raise UsageError(
            "--annotations gives the ids of records, and none are written.",
            hint="Add --json, --jsonl or --coco.",
        )
    engine, read = engine_and_sources(targets, source, device)
    folder = Path(PREDICTED) if save_txt and save is None else save
    cpu_threads = threads or cores()
    # What follows needs time of its own before there is a frame to look at.
    with opening(engine, device, threads=cpu_threads, trust=trust, warn=warn) as loaded:
        from yolotrt.data.named import local_paths
        from yolotrt.data.sources import open_source, video_rates
        from yolotrt.pipeline.tile_choice import TileChoice
        from yolotrt.pipeline.tiled import PASS_MODES, PipelineSettings, TiledPipeline
        from yolotrt.report.figures import milliseconds
        from yolotrt.workflow.accuracy_bound.thresholds import threshold_note
        from yolotrt.workflow.predict import predict as run

        # Last: while a large library is loaded no other thread goes on, and by now the other one computes.
        import_module("yolotrt.data.decoders")

        settings = PipelineSettings(
            mode=choice(mode, "--mode", PASS_MODES),
            groups=groups,
            overlap=overlap,
            cpu_threads=cpu_threads,
            decode=detection_settings(conf, iou, max_det),
            merge=merge_settings(merge, merge_overlap),
            tiles=TileChoice.parse(tiles),
            track=track,
            **chosen_classes(classes, agnostic),
        )
        own = own_predictions(
            [engine, *local_paths(read), annotations, tiles_file(tiles)],
            folder,
            [(option, Path(target)) for option, target, _ in outputs if target != "-"],
            overwrite=overwrite,
        )
        with (
            own,
            closing(_begun(open_source(read))) as frames,
            TiledPipeline(loaded(), settings) as pipeline,
            ExitStack() as files,
            progress_bars() as progress,
        ):
            if known := threshold_note(engine, conf):
                note(known)
            names = pipeline.names
            pictures = None if video_rates(frames) else frames.names
            takes: list[Take] = []
            misfits: Misfits | None = None
            if outputs:
                ids, misfits = _identities(names, pictures, annotations, several=len(frames.names) > 1)
                takes = [
                    files.enter_context(_record_file(option, target, ids)) for option, target, _ in outputs
                ]
            if save_txt and folder is not None:
                from yolotrt.workflow.label_files import label_files

                takes.append(files.enter_context(label_files(folder)))

            def drawn(frame: Frame, found: Found) -> Frame:
                from yolotrt.report.draw import draw

                wh = (frame.shape[1], frame.shape[0])
                grid = settings.grid(wh, pipeline.input_wh) if show_tiles else None
                shown, labels = found.detections, not hide_labels
                return draw(
                    frame, shown, names, **found.marks, line_width=line_width, labels=labels, grid=grid
                )

            found = run(pipeline, frames, drawn, save=save, limit=limit, progress=progress, say=say)
            use: UseTally | None = None
            with closing(found):
                for entry in found:
                    if entry.looked is not None:
                        use = use or _tally()
                        use.add(entry.looked)
                    if misfits is not None:
                        misfits.see(entry.name, entry.moment, entry.frame_wh, entry.detections.classes)
                    for take in takes:
                        take(entry)
                    if not to_stdout:
                        counts = Counter(names[int(c)] for c in entry.detections.classes)
                        what = ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "nothing"
                        tell(f"{entry.name}: {what} ({milliseconds(entry.seconds)} ms)")
        if misfits is not None and annotations is not None:
            for remark in misfits.remarks(annotations, names):
                warn(remark)
        if use is not None and (used := use.report()) is not None:
            from yolotrt.report.tile_words import tile_words

            say(f"tiles: {tile_words(used)}")
        if save is not None:
            say(f"drawn: {save}")
        if save_txt and folder is not None:
            from yolotrt.workflow.label_files import FOLDER

            say(f"labels: {folder / FOLDER}")
        for _, target, what in outputs:
            if target != "-":
                say(f"{what}: {target}")


def _begun(source: Source) -> Source:
    """Return a source, its first picture read: while an engine is loaded there is time for that."""
    from yolotrt.data.sources import Pictures

    if isinstance(source, Pictures):
        source.read_ahead()
    return source


def _tally() -> UseTally:
    from yolotrt.pipeline.tile_use import UseTally

    return UseTally()


def _identities(
    names: Sequence[str], pictures: Sequence[str] | None, annotations: Path | None, *, several: bool
) -> tuple[RecordIds, Misfits | None]:
    """Return what pictures and classes are called in records, and what counts those that have no name."""
    from yolotrt.workflow.identity import Misfits, ids_of, own_ids

    if annotations is None:
        return own_ids(names, pictures, several=several), None
    ids = ids_of(annotations, names, pictures)
    return ids, Misfits(ids)


def _record_file(option: str, target: str, ids: RecordIds) -> AbstractContextManager[Take]:
    from yolotrt.workflow import records

    kinds = {
        "--json": records.result_file,
        "--jsonl": records.line_file,
        "--coco": records.dataset_file,
    }
    return kinds[option](target, ids)
