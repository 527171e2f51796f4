"""``yolotrt run``: keeps up with cameras for as long as it takes, and hands on what it finds."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, note, say, stderr, stdout, warn
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
from yolotrt.cli.gates import Arrivals, Deadline
from yolotrt.cli.metrics import address, serving
from yolotrt.cli.options import (
    Depth,
    Device,
    JsonTarget,
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
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.cli.run_apart import process_apart
from yolotrt.cli.run_job import Left, RunJob, process_here
from yolotrt.cli.run_live import live
from yolotrt.cli.run_outputs import Lines, OnFrame, RunOutputs, Show, Video
from yolotrt.errors import InputError, StorageError, UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE

if TYPE_CHECKING:
    from yolotrt.bench.sustain import Sustained


def run(
    targets: Targets = None,
    source: Sources = None,
    mode: Mode = DEFAULT_MODE,
    tiles: TileOption = "all",
    track: Track = False,
    groups: Annotated[int, typer.Option(min=1, help="Number of tile groups.")] = 1,
    dispatch: Annotated[
        str, typer.Option(help="How groups run: auto, serial, threads; on a GPU also streams, graph.")
    ] = "auto",
    conf: Conf = 0.25,
    iou: Iou = 0.7,
    max_det: MaxDet = 300,
    classes: Classes = None,
    agnostic: Agnostic = False,
    overlap: Overlap = 0.2,
    merge: MergeOption = "seams",
    merge_overlap: MergeOverlap = None,
    global_engine: Annotated[
        Path | None, typer.Option("--global-engine", help="Another engine for the global pass.")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, help="Take at most so many frames per second. [default: the file's]"),
    ] = None,
    drop: Annotated[
        str,
        typer.Option(help="When frames come too fast: latest drops old ones, block lets the source wait."),
    ] = "latest",
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds to run. [default: to the source's end]")
    ] = None,
    arrival: Arrivals = None,
    deadline: Deadline = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST]:PORT", help="Serve figures for Prometheus; on localhost unless a host is named."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a frame after which a stream is opened again.")
    ] = 5.0,
    jsonl: Lines = None,
    save: Video = None,
    on_frame: OnFrame = None,
    show: Show = False,
    decoder: Annotated[
        str,
        typer.Option(help="What decodes: auto, nvdec, pyav or opencv; yolotrt doctor tells which works."),
    ] = "auto",
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Of the raw frames on stdin, for the source -.")
    ] = None,
    pixel_format: Annotated[
        str | None,
        typer.Option(
            "--pixel-format", help="Of those: bgr24, rgb24, gray, nv12 or yuv420p. [default: bgr24]"
        ),
    ] = None,
    pipeline_depth: Depth = 1,
    threads: Threads = None,
    device: Device = "auto",
    deal: Annotated[
        str,
        typer.Option(
            help="What several GPUs share: tiles of every frame, or sources, each with all its frames; auto "
            "deals out sources if there are several, to a process for each GPU. batches: sources share those "
            "of a processor's engine."
        ),
    ] = "auto",
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Process videos or cameras continuously, hand their results on, and report what came out.

    For each source a thread fills a short queue; several take turns. A stream that stalls, ends or changes
    its size is opened again and the run goes on; Ctrl-C or an error ends it with the report. Results go
    where --jsonl, --save, --show and --on-frame say, each at its own speed: what one cannot take in time is
    dropped and counted, or with --drop block waited for. On several GPUs each has a process with its sources,
    which also calls the function of --on-frame for them.

    \b
    Examples:
      yolotrt run engines/m.int8.onnxruntime.onnx street.mp4 --duration 60
      yolotrt run engines/m.engine --source rtsp://camera/main --fps 30 --groups 4 --device cuda:0
      yolotrt run engines/m.engine --source street.mp4 --drop block --json run.json
      yolotrt run engines/m.engine --source street.mp4 --arrival poisson:30 --deadline 33ms
      yolotrt run engines/m.engine --source rtsp://camera/main --metrics :9400
      yolotrt run engines/m.engine rtsp://camera/main --tiles adaptive --track -o found.jsonl
      yolotrt run engines/m.engine --source rtsp://a/1 --source rtsp://b/1 -o found.jsonl --save seen.mp4
      yolotrt run engines/m.engine --source rtsp://a/1 --source rtsp://b/1 --device cuda:0,1   # one each
      ffmpeg -i street.mp4 -f rawvideo -pix_fmt nv12 - | yolotrt run engines/m.engine - --size 1920x1080 \
        --pixel-format nv12 -o -
    """
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.lanes import DEALS, lanes_of
    from yolotrt.bench.percentiles import left_out
    from yolotrt.bench.run_file import DOCUMENT, RunReport
    from yolotrt.data.feed import DROP_POLICIES
    from yolotrt.data.named import label, local_paths
    from yolotrt.data.piped import RawFormat
    from yolotrt.data.video_decoders import DECODERS
    from yolotrt.machine.environment import packages
    from yolotrt.pipeline.settings import DISPATCHES, PASS_MODES, PipelineSettings
    from yolotrt.pipeline.tile_choice import TileChoice
    from yolotrt.report.prometheus import CONTENT_TYPE, exposition
    from yolotrt.report.sustain_tables import camera_tables, sustain_table
    from yolotrt.workflow.accuracy_bound.thresholds import threshold_note

    engine, wanted = engine_and_sources(targets, source, device)
    read = (engine, global_engine, local_paths(wanted), tiles_file(tiles))
    if json == "-" == jsonl:
        raise UsageError("Two outputs cannot share stdout.", hint="Give one of them a file.")
    settings = PipelineSettings(
        mode=choice(mode, "--mode", PASS_MODES),
        groups=groups,
        dispatch=choice(dispatch, "--dispatch", DISPATCHES),
        overlap=overlap,
        merge=merge_settings(merge, merge_overlap),
        cpu_threads=threads or cores(),
        depth=pipeline_depth,
        decode=detection_settings(conf, iou, max_det),
        tiles=TileChoice.parse(tiles),
        track=track,
        **chosen_classes(classes, agnostic),
    )
    policy = choice(drop, "--drop", DROP_POLICIES)
    job = RunJob(
        engine=engine,
        global_engine=global_engine,
        trust=trust,
        settings=settings,
        words=(wanted,) if isinstance(wanted, str) else tuple(wanted),
        timeout_s=timeout,
        decoder=choice(decoder, "--decoder", DECODERS),
        raw=RawFormat.asked(size, pixel_format),
        policy=policy,
        fps=fps,
        arrival=arrival,
        duration_s=duration,
        deadline_s=Budgets.parse((), deadline=deadline).deadline_s,
    )
    found = job.sources()
    dealt = choice(deal, "--deal", DEALS)
    lanes = lanes_of(device, len(found), dealt)
    outputs = RunOutputs(jsonl, save, on_frame, len(found), show=show)
    apart = len(lanes) > 1 and dealt != "batches"
    if not apart:
        outputs.load()
    claim_outputs([json_output(json, DOCUMENT.kind), *outputs.claims], *read, overwrite=overwrite)
    name = found[0].name if len(found) == 1 else label(wanted)
    if arrival is not None and (fps is not None or policy == "block"):
        raise UsageError(
            "--arrival says when frames come: --fps and --drop block would say otherwise.",
            hint="Leave out one of them.",
        )
    where = None if metrics is None else address(metrics)
    last: list[Sustained] = []
    left = Left()
    failure: BaseException | None = None
    with (
        live(name) as display,
        nullcontext() if where is None else serving(where, CONTENT_TYPE, say) as publish,
    ):
        if known := threshold_note(engine):
            note(known)

        def tick(seen: Sustained) -> None:
            last[:] = [seen]
            display(seen)
            if publish is not None:
                publish(exposition(seen, engine.name, name))

        try:
            if apart:
                ended = process_apart(job, found, outputs, tick, left, devices=lanes)
            else:
                ended = process_here(job, found, outputs, tick, left, device=device, lanes=lanes, deal=dealt)
            last[:] = [ended]
        except BaseException as exc:  # hours of a run are worth their report, whatever ended it
            if not last:
                raise
            failure = None if isinstance(exc, KeyboardInterrupt) else exc
    (end,) = last
    if json != "-":
        console = stderr() if jsonl == "-" else stdout()
        console.print(sustain_table(end, f"{name} through {engine.name}"))
        for table in camera_tables(end, console.width):
            console.print(table)
    if end.latency is not None and (rough := left_out(end.latency.count)):
        note(rough)
    report = RunReport(
        **vars(end), remarks=tuple(left.remarks), packages=packages(), deliveries=tuple(left.deliveries)
    )
    emit_json(json, DOCUMENT.to_json(report) if json else None)
    for remark in left.remarks:
        warn(remark)
    if failure is not None:
        raise failure
    if not end.processed:
        raise InputError(f"{name} gave no frame.", hint="Try it with ffprobe, or raise --timeout.")
    for delivery in left.deliveries:
        if delivery.complaint is not None:
            raise StorageError(
                f"{delivery.target} got {delivery.written} results of {end.processed}: {delivery.complaint}",
                hint="The figures above hold; the other outputs are complete.",
            )
        if delivery.dropped:
            warn(f"{delivery.target} was too slow for {delivery.dropped} of {end.processed} results.")
