"""``yolotrt bench``: tiled against global, over groups and dispatch modes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, say, stdout
from yolotrt.cli.options import ENGINES, JsonTarget, Threads, choices, cores, whole_numbers
from yolotrt.errors import UsageError


def bench(
    engines: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[ENGINE]...", help="Engines. [default: the newest in engines/]"),
    ] = None,
    source: Annotated[
        str, typer.Option(help="An image, a folder of images, or 'scene' (a synthetic 4K frame).")
    ] = "scene",
    groups: Annotated[str, typer.Option(help="Numbers of tile groups to compare.")] = "1,2,4,8",
    mode: Annotated[str, typer.Option(help="tiled, global, tiled+global.")] = "tiled,global",
    dispatch: Annotated[str, typer.Option(help="How groups run: serial, threads.")] = "serial,threads",
    tile: Annotated[
        int | None, typer.Option(help="Tile size, px; must be the engine's input size. [default: that]")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Part of a tile shared with its neighbour.")] = 0.2,
    iterations: Annotated[
        int, typer.Option("-n", "--iterations", min=1, help="Measured frames per case.")
    ] = 20,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Measure for this many seconds instead of --iterations.")
    ] = None,
    warmup: Annotated[int, typer.Option(min=0, help="Unmeasured frames per case, first.")] = 2,
    threads: Threads = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Result file with every raw sample.")
    ] = None,
    json: JsonTarget = None,
) -> None:
    r"""Measure latency per frame: tiles of the native resolution against the letterboxed frame.

    Every case is measured in turn, round by round, so that drift of the machine hits all alike. The
    number of CPU threads stays the same however many groups there are.

    \b
    Examples:
      yolotrt bench
      yolotrt bench --groups 1,2,4,8 --mode tiled,global
      yolotrt bench engines/a.int8.onnxruntime.onnx engines/a.fp32.onnxruntime.onnx --source street.jpg
      yolotrt bench --duration 60 --threads 4 --json -
    """
    from yolotrt.backends.registry import load_engine
    from yolotrt.bench.environment import environment
    from yolotrt.bench.result import RunResult, to_json, write_result
    from yolotrt.bench.sweep import SweepSettings, sweep
    from yolotrt.data.sources import read_frames
    from yolotrt.pipeline.dispatch import DISPATCH_MODES
    from yolotrt.pipeline.tiled import PASS_MODES
    from yolotrt.report.tables import latency_table, stage_table
    from yolotrt.workflow.catalog import read_engines

    settings = SweepSettings(
        modes=choices(mode, "--mode", PASS_MODES),
        dispatch=choices(dispatch, "--dispatch", DISPATCH_MODES),
        groups=whole_numbers(groups, "--groups"),
        overlap=overlap,
        threads=threads or cores(),
        iterations=iterations,
        duration_s=duration,
        warmup=warmup,
    )
    files = read_engines(engines or [], ENGINES)
    for file in files:
        say(f"engine: {file.path} ({file.precision}, {file.backend})")
        if tile is not None and file.spec.input_wh != (tile, tile):
            raise UsageError(
                f"--tile {tile} does not fit {file.path}, which takes {file.spec.input_wh[0]} px.",
                hint=f"Export the weights with --imgsz {tile} and build that.",
            )
    frames = read_frames(source)
    say(f"source: {source}, {len(frames)} frame(s) of {frames[0].shape[1]}x{frames[0].shape[0]} px")
    loaded = [load_engine(file) for file in files]
    try:
        with progress_bars() as progress:
            cases = sweep(loaded, frames, settings, progress)
    finally:
        for engine in loaded:
            engine.close()
    result = RunResult(
        settings={**vars(settings), "source": source, "frames": len(frames)},
        environment={
            **environment(settings.threads),
            "engines": {f.path.name: {"sha256": f.sha256, **f.environment} for f in files},
        },
        cases=cases,
        notes=("ONNX Runtime's CPU provider computes inside enqueue; there is no stream to wait for.",),
    )
    if json != "-":
        console = stdout()
        console.print(latency_table(result))
        console.print(stage_table(result))
        for note in result.notes:
            say(f"note: {note}")
    if output is not None:
        say(f"result: {write_result(output, result)}")
    emit_json(json, to_json(result))
