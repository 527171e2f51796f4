"""``yolotrt tune``: the fastest way to run a model that keeps its budgets and its accuracy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.calibration_images import may_fetch
from yolotrt.cli.console import emit_json, progress_bars, say, stdout, tell
from yolotrt.cli.gates import BudgetStat, BudgetTerms, announce_few, percentage
from yolotrt.cli.options import (
    CALIB_DATA,
    ENGINES,
    GROUPS,
    Backend,
    Device,
    Images,
    JsonTarget,
    Limit,
    MeasuredSources,
    Method,
    Mode,
    Overlap,
    Threads,
    Trust,
    Yes,
    choice,
    choices,
    cores,
    whole_numbers,
)
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output, made_of
from yolotrt.errors import GateFailed, UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE

if TYPE_CHECKING:
    from yolotrt.workflow.tune.choice import Candidate

PRECISIONS = ("fp32", "fp16", "int8")


def tune(
    model: Annotated[
        str | None, typer.Argument(help="Weights (.pt) or an ONNX file. [default: yolo26n-seg in engines/]")
    ] = None,
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="What it looks at; as --source.")
    ] = None,
    budget: BudgetTerms = None,
    budget_stat: BudgetStat = "p50",
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="1%|0.5pt",
            help="Largest accepted loss of mAP: measured on --eval-images, else estimated (INT8, FP16).",
        ),
    ] = None,
    min_recall: Annotated[
        str | None,
        typer.Option(
            metavar="99%",
            help="Offer --tiles adaptive if it finds this part of what all tiles find on a clip of yours "
            "(the video among --source).",
        ),
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option(
            help="Precisions to try. [default: fp32,int8 on a processor; fp32,fp16 with ONNX Runtime on a "
            "GPU; fp32,fp16,int8 with TensorRT]"
        ),
    ] = None,
    groups: Annotated[
        str | None, typer.Option(help=f"Numbers of tile groups to try. [default: {GROUPS}]")
    ] = None,
    chunk: Annotated[
        str | None,
        typer.Option(
            help="Tiles per batch to try instead of --groups, such as 32,16,8: tiles / chunk groups."
        ),
    ] = None,
    dispatch: Annotated[
        str | None, typer.Option(help="Dispatch modes to try. [default: all that the device offers]")
    ] = None,
    mode: Mode = DEFAULT_MODE,
    source: MeasuredSources = None,
    overlap: Overlap = 0.2,
    images: Images = None,
    limit: Limit = None,
    method: Method = "mse",
    backend: Backend = "auto",
    eval_images: Annotated[
        Path | None, typer.Option(help="Annotated images, for accuracy. [default: no accuracy]")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO instances JSON of --eval-images, or a data.yaml without them.")
    ] = None,
    eval_limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first annotated images.")
    ] = None,
    threads: Threads = None,
    device: Device = "auto",
    trust: Trust = False,
    yes: Yes = False,
    state: Annotated[
        Path, typer.Option(help="What is known so far; the same command continues from it.")
    ] = Path("runs/tune.json"),
    write: Annotated[
        Path | None, typer.Option(help="Write the recommendation into this pipeline.yaml; keeps a backup.")
    ] = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Search precisions, dispatch modes and group counts; recommend one way, with reasons.

    Engines that lose too much accuracy are not timed. Without annotations the loss is estimated, and INT8
    built as build --max-drop does it: less and less of it, until the bound is kept. Cases are
    compared by successive halving: those that cannot win any more are given up early. An interrupted search
    continues where it was. Exit code 3 if nothing keeps the budgets.

    \b
    Examples:
      yolotrt tune yolo26n-seg.pt --images street/ --budget tiles=10ms --budget end_to_end=33ms
      yolotrt tune m.onnx --images street/ --max-drop 1% --eval-images coco/val --annotations coco/val.json
      yolotrt tune m.onnx --images street/ --max-drop 1%
      yolotrt tune m.onnx --precisions fp32 --chunk 32,16,8,4
      yolotrt tune --precisions int8 --groups 1,2,4,8 --write pipeline.yaml
      yolotrt tune m.onnx --source street.mp4 --min-recall 99%
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.kinds import EDITED
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.halving import RUNGS
    from yolotrt.bench.sweep import SweepSettings
    from yolotrt.data.kinds import SCENE
    from yolotrt.data.measured import read_frames, source_files
    from yolotrt.data.named import local_paths
    from yolotrt.pipeline.settings import DISPATCHES, PASS_MODES
    from yolotrt.quantization.algorithms import ALGORITHMS
    from yolotrt.report.tune_tables import given_up_table, tune_table
    from yolotrt.workflow.build import BuildRequest
    from yolotrt.workflow.catalog import find_model
    from yolotrt.workflow.evaluate import MaxDrop
    from yolotrt.workflow.pipeline_yaml import require_editable
    from yolotrt.workflow.tune.outcome_file import DOCUMENT, outcome_file
    from yolotrt.workflow.tune.request import TuneRequest
    from yolotrt.workflow.tune.search import tune as search
    from yolotrt.workflow.tune.state import STATE
    from yolotrt.workflow.tune.tiles_offer import offer_tiles, the_clip

    sources = [*(pictures or ()), *(source or ())] or [SCENE]
    if min_recall is not None:
        wanted, clip = percentage(min_recall, "--min-recall"), the_clip(sources)
        if "tiled" not in mode:
            raise UsageError("--min-recall is about tiles.", hint="Use --mode tiled+global or tiled.")
    if groups and chunk:
        raise UsageError("--groups and --chunk say the same thing twice.", hint="Give one of them.")
    path = find_model(model, ENGINES, may_fetch=may_fetch(yes), say=say)
    request = TuneRequest(
        build=BuildRequest(
            path,
            backend=backend,
            images=images,
            limit=limit,
            algorithm=choice(method, "--method", ALGORITHMS),
            trust=trust,
            overwrite=overwrite,
            engines=ENGINES,
            calib_data=CALIB_DATA,
        ),
        precisions=choices(precisions, "--precisions", PRECISIONS) if precisions else (),  # type: ignore[arg-type]
        sweep=SweepSettings(
            modes=(choice(mode, "--mode", PASS_MODES),),
            dispatch=choices(dispatch, "--dispatch", DISPATCHES[1:]) if dispatch else (),
            groups=whole_numbers(groups or GROUPS, "--groups"),
            overlap=overlap,
            threads=threads or cores(),
        ),
        budgets=Budgets.parse(budget or (), budget_stat),
        max_drop=None if max_drop is None else MaxDrop.parse(max_drop),
        images=eval_images,
        annotations=annotations,
        limit=eval_limit,
        state=state,
        device=device,
        pictures=source_files(sources),
        chunk=() if chunk is None else whole_numbers(chunk, "--chunk"),
    )
    outputs = [json_output(json, DOCUMENT.kind), Output("--state", state, STATE)]
    announce_few(request.budgets, RUNGS[-1], "Prove what it recommends with bench -n {needed}.")
    if write is not None:
        outputs.append(Output("--write", write, EDITED))
        require_editable(write, request.sweep.modes[0])
    read = (path, local_paths(sources), images, eval_images, annotations)
    claim_outputs(outputs, *read, overwrite=overwrite, folders=made_of(path, engine=True))
    with progress_bars() as progress:
        outcome = search(request, read_frames(sources), progress=progress, say=say)
    offer = None
    if min_recall is not None:
        case, runs = outcome.best.result.case, threads or cores()
        offer = offer_tiles(outcome.best.file, device, clip, case, wanted, overlap=overlap, threads=runs)
    written = outcome_file(outcome, offer)
    if json != "-":
        console = stdout()
        console.print(tune_table(written, console.width))
        if outcome.dropped or outcome.refused:
            console.print(given_up_table(written, console.width))
        said = "recommended" if outcome.kept else "nothing keeps the budgets; the fastest is"
        tell(f"{said}: {outcome.best.result.case}")
        for reason in outcome.reasons:
            tell(f"  {reason}")
        if offer is not None:
            tell(f"  {offer.words}")
    emit_json(json, DOCUMENT.to_json(written))
    if not outcome.kept:
        raise GateFailed(
            f"Nothing keeps the budgets: {'; '.join(outcome.best.misses)}.",
            hint="Nothing was written. Try fewer tiles (--overlap), a smaller model, or a larger budget.",
        )
    if write is not None:
        _write(write, outcome.best)


def _write(target: Path, best: Candidate) -> None:
    from yolotrt.workflow.pipeline_yaml import changes_for, update_pipeline

    case = best.result.case
    engine = os.path.relpath(best.file.path, target.resolve().parent)
    changes = changes_for(target, case.mode, engine, case.dispatch, case.groups)
    backup = update_pipeline(target, changes)
    for key, value in changes.items():
        say(f"{target}: {'.'.join(key)} = {value}")
    say(f"backup: {backup}")
