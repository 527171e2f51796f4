"""``yolotrt bench``: tiled against global, over groups and dispatch modes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.bench_steps import measure_engines, show_result
from yolotrt.cli.configured import announce, from_config
from yolotrt.cli.console import emit_json, note, say, warn
from yolotrt.cli.detecting import engines_and_sources
from yolotrt.cli.gates import (
    Arrivals,
    BudgetStat,
    BudgetTerms,
    Deadline,
    JUnit,
    Undecided,
    announce_few,
    check_budgets,
    fails_undecided,
    percentage,
)
from yolotrt.cli.options import (
    ENGINES,
    GROUPS,
    Depth,
    Device,
    JsonTarget,
    MeasuredSources,
    MergeOption,
    MergeOverlap,
    Overlap,
    Threads,
    TileOption,
    Trust,
    choices,
    cores,
    merge_settings,
    tiles_file,
    whole_numbers,
)
from yolotrt.cli.outputs import (
    Csv,
    Html,
    Markdown,
    Overwrite,
    claim_outputs,
    json_output,
    page_outputs,
    write_outputs,
)
from yolotrt.cli.scaling import RayAddress
from yolotrt.errors import UsageError
from yolotrt.pipeline.modes import COMPARED_MODES

if TYPE_CHECKING:
    from yolotrt.bench.result import RunResult

MODES = ",".join(COMPARED_MODES)


def bench(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENGINE]... [SOURCE]...",
            help="Engines [default: the newest in engines/ that can run here], and what they look at; as "
            "--source.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Measure what an application's pipeline.yaml says instead.")
    ] = None,
    source: MeasuredSources = None,
    groups: Annotated[
        str | None, typer.Option(help=f"Numbers of tile groups to compare. [default: {GROUPS}]")
    ] = None,
    mode: Annotated[str | None, typer.Option(help=f"Passes to measure. [default: {MODES}]")] = None,
    dispatch: Annotated[
        str | None,
        typer.Option(help="How groups run: serial, threads; on a GPU also streams, graph. [default: all]"),
    ] = None,
    imgsz: Annotated[
        str | None,
        typer.Option(
            "--imgsz",
            "--tile",
            help="Tile size, px: 640 or 384x640; must be the engine's input. [default: that]",
        ),
    ] = None,
    overlap: Overlap = 0.2,
    tiles: TileOption = "all",
    merge: MergeOption = "seams",
    merge_overlap: MergeOverlap = None,
    iterations: Annotated[
        int, typer.Option("-n", "--iterations", min=1, help="Measured frames per case.")
    ] = 20,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Measure for this many seconds instead of --iterations.")
    ] = None,
    until_stable: Annotated[
        str | None,
        typer.Option(
            help="Measure until every median is known to within this share, such as 5%, or --duration ends."
        ),
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(min=0, help="Unmeasured frames per case. [default: until stable]")
    ] = None,
    threads: Threads = None,
    device: Device = "auto",
    pipeline_depth: Depth = 1,
    global_order: Annotated[
        str,
        typer.Option(
            help="For tiled+global on a GPU: the global pass beside the tiles (concurrent) or after them."
        ),
    ] = "concurrent,after",
    budget: BudgetTerms = None,
    budget_stat: BudgetStat = "p50",
    undecided: Undecided = None,
    arrival: Arrivals = None,
    deadline: Deadline = None,
    energy: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds for which each case runs alone to read its joules, where a GPU tells."
        ),
    ] = 0.5,
    loadgen: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also run the fastest tiled+global case under MLPerf's LoadGen; logs go here.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Result file with every raw sample, saved while measuring."),
    ] = None,
    trust: Trust = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what --output holds.")] = False,
    overwrite: Overwrite = False,
    ray: RayAddress = None,
    html: Html = None,
    markdown: Markdown = None,
    csv: Csv = None,
    junit: JUnit = None,
    json: JsonTarget = None,
) -> None:
    r"""Measure latency per frame: tiles of the native resolution against the letterboxed frame.

    Every case is measured in turn, round by round, so that drift of the machine hits all alike. The
    number of CPU threads stays the same however many groups there are. Before anything is measured, each
    engine is checked: a tile has to give the same in the largest batch as alone.

    \b
    Examples:
      yolotrt bench
      yolotrt bench --groups 1,2,4,8 --mode tiled,global --html bench.html
      yolotrt bench engines/a.int8.onnxruntime.onnx engines/a.fp32.onnxruntime.onnx street.jpg
      yolotrt bench -n 130 -o result.json --budget end_to_end=33ms --budget-stat p95
      yolotrt report result.json --budget end_to_end=25ms   # judges what is there, without measuring
      yolotrt bench --mode tiled+global -n 700 --arrival 30fps --deadline 33ms
      yolotrt bench --config pipeline.yaml --json -
      yolotrt bench --device cuda:0 --mode tiled+global --dispatch graph --pipeline-depth 2
      yolotrt bench --device cuda:0,1 --groups 2,4,8
      yolotrt bench engines/m.engine --ray auto -o result.json   # result-MACHINE.json for each machine
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.result import RESULT
    from yolotrt.bench.run import RunRequest, locked_output
    from yolotrt.bench.sweep import SweepSettings, with_fitting_groups
    from yolotrt.data.measured import read_frames, source_files
    from yolotrt.data.named import label, local_paths
    from yolotrt.pipeline.settings import DISPATCHES, GLOBAL_ORDERS, PASS_MODES
    from yolotrt.pipeline.tile_choice import TileChoice
    from yolotrt.workflow.calibrated_light import light_note
    from yolotrt.workflow.catalog import newest_engine, read_engines

    if resume and output is None:
        raise UsageError("--resume needs --output: the file of the interrupted run.")
    engines, sources = engines_and_sources(targets, source)
    if ray is not None:
        from yolotrt.cli.bench_machines import bench_machines

        here = {"--resume": resume, "--config": config, "--loadgen": loadgen, "--html": html, "--csv": csv,
                "--markdown": markdown, "--junit": junit, "--json": json}  # fmt: skip
        bench_machines(ray, output, engines, here, cpus=threads or cores(), overwrite=overwrite)
        return
    pairs, chosen = from_config(config, engines, trust) if config else ([], {})
    ways = dispatch or chosen.get("dispatch")
    settings = SweepSettings(
        modes=choices(mode or chosen.get("mode", MODES), "--mode", PASS_MODES),
        dispatch=choices(ways, "--dispatch", DISPATCHES[1:]) if ways else (),
        groups=whole_numbers(groups or chosen.get("groups", GROUPS), "--groups"),
        overlap=overlap,
        merge=merge_settings(merge, merge_overlap),
        tiles=TileChoice.parse(tiles),
        threads=threads or cores(),
        iterations=iterations,
        duration_s=duration,
        until_stable=None if until_stable is None else percentage(until_stable, "--until-stable"),
        warmup=warmup,
        depth=pipeline_depth,
        arrival=arrival,
        energy_s=energy,
        orders=choices(global_order, "--global-order", GLOBAL_ORDERS),
    )
    if loadgen is not None:
        from yolotrt.bench.loadgen import require_loadgen

        require_loadgen(settings)
        loadgen.mkdir(parents=True, exist_ok=True)
    budgets = Budgets.parse(budget or (), budget_stat, deadline)
    strict = fails_undecided(undecided, asked=True)
    if deadline is not None and arrival is None and not resume:
        raise UsageError(
            "--deadline counts from a frame's arrival, and frames come back to back here.",
            hint="Add --arrival 30fps, or put a budget on the frame: --budget end_to_end=33ms",
        )
    read = engines or [file.path for pair in pairs for file in pair] or [newest_engine(ENGINES, device, say)]
    outputs = [json_output(json, RESULT), *page_outputs(html, markdown, csv, junit)]
    if output is not None:
        outputs.append(Output("-o", output, RESULT))
    claim_outputs(outputs, read, config, local_paths(sources), tiles_file(tiles), overwrite=overwrite)
    counted = duration is None and until_stable is None
    announce_few(budgets, iterations if counted else None)
    request = RunRequest(settings, label(sources), budgets, output, resume, overwrite, source_files(sources))
    with locked_output(request, say):
        pairs = pairs or [(file,) for file in read_engines(read, ENGINES, trust=trust, warn=warn)]
        files = [file for pair in pairs for file in pair]
        for file in files:
            announce(file, imgsz, device)
        frames = read_frames(sources)
        for remark in filter(None, (light_note(file.path, frames) for file in files)):
            note(remark)
        if groups is None and "groups" not in chosen and any("tiled" in name for name in settings.modes):
            frame_wh = (frames[0].shape[1], frames[0].shape[0])
            fitting = with_fitting_groups(settings, frame_wh, [pair[0] for pair in pairs])
            request = replace(request, settings=fitting)
            if fitting.groups != settings.groups:
                note(f"the frame has few tiles: groups {', '.join(map(str, fitting.groups))}")
        result = measure_engines(pairs, request, frames, device, loadgen)
    show_result(result, json)
    if output is not None:
        say(f"result: {output}")
    write_outputs([result], html=html, markdown=markdown, csv=csv, junit=junit)
    emit_json_result(json, result)
    check_budgets(result, result.budgets, announced=counted, strict=strict)


def emit_json_result(target: str | None, result: RunResult) -> None:
    """Write the result as JSON to a file or stdout; see :func:`emit_json`."""
    if target is not None:
        from yolotrt.bench.result import to_json

        emit_json(target, to_json(result))
