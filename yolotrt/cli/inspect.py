"""``yolotrt inspect``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from yolotrt.cli.console import emit_json, stdout
from yolotrt.cli.options import JsonTarget


def inspect(
    file: Annotated[Path, typer.Argument(help="ONNX, engine, sidecar, calibration cache or result file.")],
    json: JsonTarget = None,
) -> None:
    r"""Show what a file is and what it was made from.

    \b
    Examples:
      yolotrt inspect engines/yolo26n-seg.onnx
      yolotrt inspect engines/yolo26n-seg.int8.onnxruntime.onnx
      yolotrt inspect calib_data/yolo26n-seg.calib.json --json -
    """
    from rich.table import Table

    from yolotrt.workflow.describe import describe

    found = describe(file)
    if json != "-":
        table = Table(title=f"{file}: {found['kind']}", title_justify="left", show_header=False)
        for key, value in found.items():
            if key != "kind":
                table.add_row(key.replace("_", " "), _shown(value))
        stdout().print(table)
    emit_json(json, found)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_shown(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value[:12])) + (f", ... ({len(value)})" if len(value) > 12 else "")
    return "-" if value is None else str(value)
