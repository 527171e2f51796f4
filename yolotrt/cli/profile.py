"""``yolotrt profile``: where the time inside an engine goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, say, stdout, warn
from yolotrt.cli.options import JsonTarget, Trust
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output

if TYPE_CHECKING:
    from yolotrt.backends.base import LayerTime


def profile(
    engine: Annotated[
        Path, typer.Argument(help="A TensorRT or fused engine, also of Ultralytics or trtexec.")
    ],
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images per batch. [default: the engine's largest profile]")
    ] = None,
    iterations: Annotated[int, typer.Option("-n", "--iterations", min=1, help="Measured runs.")] = 100,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 30,
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Measure every layer of a TensorRT or fused engine on the GPU.

    \b
    Examples:
      yolotrt profile engines/yolo26n-seg.int8.tensorrt.engine --batch 8
      yolotrt profile engines/yolo26n-seg.fp16.tensorrt-rtx.engine --json layers.json
      yolotrt profile trtexec.plan --trust
    """
    from yolotrt.backends.loading import open_engine
    from yolotrt.backends.registry import backend
    from yolotrt.workflow.replies import PROFILED, Profiled

    claim_outputs([json_output(json, PROFILED.kind)], engine, overwrite=overwrite)
    loaded = open_engine(engine, trust=trust, warn=warn)
    try:
        chosen, rows = backend(loaded.file.backend).layer_times(loaded, batch, iterations)
    finally:
        loaded.close()

    if json != "-":
        _print(f"{engine}, batch {chosen}", rows[:top])
        if len(rows) > top:
            rest = sum(row.share for row in rows[top:])
            say(f"{len(rows) - top} more layers take {rest:.1%}; see them with --top {len(rows)}.")
    emit_json(json, PROFILED.to_json(Profiled(str(engine), chosen, tuple(rows))))


def _print(title: str, rows: list[LayerTime]) -> None:
    from rich.table import Table

    table = Table("layer", title=title, title_justify="left")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for row in rows:
        table.add_row(row.name, f"{row.seconds * 1e3:.3f}", f"{row.share:.1%}")
    stdout().print(table)
