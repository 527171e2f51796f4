"""What an engine could take at least on a GPU, layer by layer, and what it takes on the one here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolotrt.backends.admission import Warn, admit, require_unchanged
from yolotrt.backends.base import EngineFile
from yolotrt.backends.fused.file import Damaged, read
from yolotrt.backends.fused.roofline import Figures, figures_of, roofline
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.cuda import opened
from yolotrt.errors import ArtifactError, DeviceError, MissingDependency, UsageError


def describe_roofline(
    path: Path, gpu: str | None, batch: int | None, *, trust: bool = False, warn: Warn = lambda _: None
) -> dict[str, Any]:
    """Return every layer's work, its floor on a GPU, and its time if that GPU is here, as JSON values.

    Args:
        path: An engine of the fused backend.
        gpu: Name of a GPU; None takes the one here.
        batch: Number of images; None takes the engine's largest.
        trust: Also an engine that no sidecar vouches for.
        warn: Told when that was needed.

    Raises:
        ArtifactError: The engine is damaged, or of another backend.
        UsageError: No figures of the GPU are known, or none is named and none is here.
    """
    file = admit(path, trust=trust, warn=warn)
    if file.backend != "fused":
        raise ArtifactError(
            f"{path} is an engine of {file.backend}, which does not say what its layers have to do.",
            hint=rebuild_command(file, backend="fused"),
        )
    try:
        content = read(require_unchanged(file, path.read_bytes()))
    except Damaged as exc:
        raise ArtifactError(f"{path} is damaged ({exc}).", hint=rebuild_command(file)) from exc
    here = _name_here()
    if gpu is None and here is None:
        raise UsageError("There is no GPU here.", hint='Name one, such as --gpu "RTX 5060 Ti".')
    name, figures = figures_of(gpu or here or "")
    images = batch or max(p.largest for p in content.programs)
    rows = roofline(content, images, figures)
    measured = _measured(file, images) if here is not None and name == _known(here) else None
    table = []
    for i, row in enumerate(rows):
        seconds = measured[i] if measured else None
        table.append(
            {
                "layer": row.name,
                "bytes": row.nbytes,
                "operations": row.operations,
                "floor_s": row.floor,
                "bound": row.bound,
                "measured_s": seconds,
            }
        )
    return {
        "kind": "roofline",
        "gpu": name,
        **_shown(figures),
        "batch": images,
        "floor_s": sum(row.floor for row in rows),
        "measured_s": sum(measured) if measured else None,
        "layers": table,
    }


def _shown(figures: Figures) -> dict[str, Any]:
    return {
        "bandwidth_bytes_per_s": figures.bandwidth,
        "operations_per_s": figures.operations,
        "source": figures.source,
    }


def _name_here() -> str | None:
    try:
        return opened.gpu().info.name
    except (DeviceError, MissingDependency):
        return None


def _known(name: str) -> str | None:
    try:
        return figures_of(name)[0]
    except UsageError:
        return None


def _measured(file: EngineFile, batch: int) -> list[float] | None:
    """Return the seconds of each layer on the GPU here, or None if the engine does not fit it."""
    from yolotrt.backends.fused.profiler import step_seconds
    from yolotrt.backends.fused.runtime import load

    try:
        engine = load(file, opened.gpu())
    except ArtifactError:
        return None
    try:
        return [seconds for _, seconds in step_seconds(engine, batch)]
    finally:
        engine.close()
