"""Which engines a verb measures: those of an application's pipeline.yaml; and where each of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.cli.console import say, warn
from yolotrt.cli.options import image_size
from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.backends.base import EngineFile


def from_config(
    config: Path, engines: list[Path] | None, trust: bool
) -> tuple[list[tuple[EngineFile, ...]], dict[str, str]]:
    """Return the engines and options that a pipeline.yaml stands for."""
    from yolotrt.backends.admission import admit
    from yolotrt.workflow.pipeline_yaml import read_pipeline

    if engines:
        raise UsageError("--config names the engines already.", hint="Drop the ENGINE arguments.")
    wanted = read_pipeline(config)
    say(f"config: {config}: {wanted.mode}, {wanted.dispatch}, groups={wanted.groups}")
    options = {"mode": wanted.mode, "dispatch": wanted.dispatch, "groups": str(wanted.groups)}
    return [tuple(admit(path, trust=trust, warn=warn) for path in wanted.engines)], options


def announce(file: EngineFile, imgsz: str | None, device: str) -> None:
    """Say where an engine will run, and why.

    Raises:
        UsageError: It takes pictures of another size.
    """
    from yolotrt.backends.placement import place

    placement = place(file, device)
    say(f"engine: {file.path} ({file.precision}, {file.backend}) on {placement}: {placement.reason}")
    width, height = file.spec.input_wh
    if imgsz is not None and image_size(imgsz) != (height, width):
        raise UsageError(
            f"--imgsz {imgsz} does not fit {file.path}, which takes {height}x{width} px.",
            hint=f"Export the weights with --imgsz {imgsz} and build that.",
        )
