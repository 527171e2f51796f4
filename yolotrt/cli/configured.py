"""The engines and options of an application's pipeline.yaml, for the verbs that measure what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.cli.console import say, warn
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
