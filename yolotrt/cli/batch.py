"""``yolotrt batch``: what an engine finds in very many pictures and videos, by many workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, note, progress_bars, say, stdout, tell, warn
from yolotrt.cli.detecting import Detecting, with_detecting
from yolotrt.cli.options import Device, JsonTarget, Trust, choice
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.cli.scaling import Gpus, RayAddress, WorkerCount, chosen_workers
from yolotrt.errors import ExecutionError


@with_detecting
def batch(
    *,
    engine: Annotated[Path, typer.Argument(help="The engine.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS...",
            help="Pictures, videos, folders, patterns ('*.jpg'), lists (.txt, a path a line) or the "
            "manifest.json of yolotrt download.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the plan, results and report.")],
    workers: WorkerCount = None,
    gpus: Gpus = None,
    ray: RayAddress = None,
    shard: Annotated[
        int, typer.Option("--shard", min=1, max=1000, help="Frames that are computed and written at once.")
    ] = 32,
    format: Annotated[
        str, typer.Option("--format", help="Of results: jsonl, or parquet (needs pyarrow).")
    ] = "jsonl",
    detecting: Detecting,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads of each worker.")] = 1,
    device: Device = "auto",
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Detect objects in any number of pictures and videos, on all cores, GPUs or machines.

    The inputs are cut into shards, listed with hashes in OUT/manifest.jsonl; videos are cut at key frames.
    Each shard's result is a file of its own in OUT/shards, complete once it is there. Run the same command
    again after whatever ended it: it computes what is missing. Results do not depend on workers or timing.

    \b
    Examples:
      yolotrt batch engines/m.int8.onnxruntime.onnx street/ -o found/
      yolotrt batch engines/m.engine recordings/*.mp4 list.txt -o found/ --gpus all
      yolotrt batch engines/m.int8.onnxruntime.onnx street/ -o found/ --workers 4 --ray local
      yolotrt batch /nfs/m.engine /nfs/recordings -o /nfs/found --ray auto --gpus all --format parquet
    """
    from yolotrt.backends.admission import admit
    from yolotrt.report.batch_table import worker_table
    from yolotrt.scale.layouts import LAYOUTS
    from yolotrt.scale.run import batch as run
    from yolotrt.workflow.batched import BATCH

    settings = detecting.settings(cpu_threads=threads)
    layout = choice(format, "--format", LAYOUTS)
    claim_outputs([json_output(json, BATCH.kind)], engine, map(Path, inputs), overwrite=overwrite)
    file = admit(engine, trust=trust, warn=warn)
    with progress_bars() as progress:
        report = run(
            file,
            inputs,
            out,
            settings,
            chosen_workers(workers, gpus, ray, device),
            layout_name=layout,
            frames=shard,
            device=device,
            trust=trust,
            overwrite=overwrite,
            progress=progress,
            say=say,
        )
    if json != "-":
        tell(
            f"{out}: {report.shards} shards of {report.frames} frames; {report.reused} were there, "
            f"{report.computed} computed in {report.seconds:.1f} s ({report.frames_per_s:.1f} frames/s), "
            f"{report.objects} objects in these"
        )
        if report.workers:
            stdout().print(worker_table(report, stdout().width))
    emit_json(json, BATCH.to_json(report))
    for slow in report.stragglers[:3]:
        note(f"slow: shard {slow.shard}, {slow.frames} frames in {slow.seconds:.1f} s at {slow.where}")
    if report.unread:
        warn(f"{report.unread} inputs could not be read; their records say why.")
    if report.failed:
        first = report.failures[0]
        raise ExecutionError(
            f"{report.failed} of {report.shards} shards have no result. The first, {first.shard} (with "
            f"{first.first}): {first.message}",
            hint="Run the same command again: it tries these only.",
        )
