"""``yolotrt inspect``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from yolotrt.cli.console import emit_json, stdout, warn
from yolotrt.cli.options import JsonTarget, Trust
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.errors import UsageError

_SHORT = 12
"""Entries of a list that are shown unless all are asked for."""


def inspect(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Networks, weights, engines, pictures, videos, or whatever yolotrt wrote."
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Lists in full, such as all ranges of a calibration.")
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also list every layer with its types and ONNX nodes.")
    ] = False,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Fused engines: what each layer takes at least on a GPU.")
    ] = False,
    gpu: Annotated[
        str | None, typer.Option(metavar='"RTX 5060 Ti"', help="--roofline: which. [default: the one here]")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="--roofline: images. [default: the engine's largest batch]")
    ] = None,
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Show what files are and what they were made from.

    \b
    Examples:
      yolotrt inspect engines/yolo26n-seg.onnx
      yolotrt inspect engines/yolo26n-seg.int8.onnxruntime.onnx
      yolotrt inspect engines/yolo26n-seg.fp16.tensorrt.engine --layers
      yolotrt inspect engines/yolo11n-seg.fp16.fused --roofline --gpu "RTX 5060 Ti" --batch 8
      yolotrt inspect calib_data/yolo26n-seg.calib.json --all
      yolotrt inspect yolo26n-seg.pt
      yolotrt inspect engines/*.onnx
    """
    from yolotrt.artifacts.kinds import either, json_with
    from yolotrt.workflow.describe import KINDS, describe, describe_roofline, inspected
    from yolotrt.workflow.replies import INSPECTED

    if not roofline and (gpu or batch):
        raise UsageError("--gpu and --batch belong to --roofline.", hint="Add --roofline.")
    if json is not None and len(files) > 1:
        raise UsageError("--json tells of one file.", hint="Inspect the files one by one.")
    # The first ones did not say what they are.
    first = json_with(INSPECTED.what, ("kind",), fits=lambda found: found["kind"] in KINDS)
    claim_outputs([json_output(json, either(INSPECTED.kind, first))], files, overwrite=overwrite)
    for file in files:
        if roofline:
            found = describe_roofline(file, gpu, batch, trust=trust, warn=warn)
        else:
            found = describe(file, trust=trust, warn=warn)
        if json != "-" and roofline:
            _print_roofline(file, found)
        elif json != "-":
            _print(file, found, everything=everything, layers=layers)
        emit_json(json, INSPECTED.to_json(inspected(found)))


def _print(file: Path, found: dict[str, Any], *, everything: bool, layers: bool) -> None:
    from rich.table import Table

    from yolotrt.cli.terminal import lines

    rows = found.get("layer_table", [])
    table = Table(title=f"{file}: {found['kind']}", title_justify="left", show_header=False)
    for key, value in found.items():
        if key not in ("kind", "layer_table"):
            table.add_row(key.replace("_", " "), lines(_shown(value, None if everything else _SHORT)))
    stdout().print(table)
    if layers and rows:
        listed = Table(*(name.replace("_", " ") for name in rows[0]), title="Layers", title_justify="left")
        for row in rows:
            listed.add_row(*row.values())
        stdout().print(listed)


def _print_roofline(file: Path, found: dict[str, Any]) -> None:
    from rich.table import Table

    title = (
        f"{file}, batch {found['batch']}, {found['gpu']}: {found['bandwidth_bytes_per_s'] / 1e9:.0f} GB/s, "
        f"{found['operations_per_s'] / 1e12:.0f} TFLOP/s ({found['source']})"
    )
    table = Table("layer", title=title, title_justify="left")
    for name in ("MB", "GFLOP", "at least µs", "bound", "measured µs"):
        table.add_column(name, justify="right")
    for row in found["layers"]:
        measured = row["measured_s"]
        table.add_row(
            row["layer"],
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['operations'] / 1e9:.1f}",
            f"{row['floor_s'] * 1e6:.1f}",
            row["bound"],
            "-" if measured is None else f"{measured * 1e6:.1f}",
        )
    whole = found["measured_s"]
    ends = "-" if whole is None else f"{whole * 1e6:.0f}"
    table.add_row("all", "", "", f"{found['floor_s'] * 1e6:.0f}", "", ends)
    stdout().print(table)


def _shown(value: Any, limit: int | None) -> list[str]:
    """Return the lines of a value; of a longer list or table only the first."""
    if isinstance(value, dict):
        entries: list[tuple[Any, Any]] = list(value.items())
        shown = [line for k, v in entries[:limit] for line in _named(k, _shown(v, limit))]
    elif isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value):
        entries = list(enumerate(value, 1))
        shown = [line for k, v in entries[:limit] for line in _named(str(k), _shown(v, limit))]
    elif isinstance(value, (list, tuple)):
        cut = f", ... ({len(value)})" if limit is not None and len(value) > limit else ""
        return [", ".join(map(str, value[:limit])) + cut]
    else:
        return ["-" if value is None else str(value)]
    more = limit is not None and len(entries) > limit
    return [*shown, *([f"... ({len(entries)}; all of them: --all)"] if more else [])]


def _named(key: str, lines: list[str]) -> list[str]:
    return [f"{key}: {lines[0]}", *lines[1:]] if lines else [f"{key}: "]
