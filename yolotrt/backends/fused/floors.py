"""What an engine could take at least on a GPU, layer by layer, and what it takes on the one here."""

from __future__ import annotations

from typing import Any

from yolotrt.backends.base import EngineFile
from yolotrt.backends.fused.file import Damaged, read
from yolotrt.backends.fused.roofline import Figures, figures_of, roofline
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.sidecar import require_unchanged
from yolotrt.cuda.machine import Machine
from yolotrt.errors import ArtifactError, DeviceError, MissingDependency, UsageError


def describe_roofline(
    file: EngineFile, gpu: str | None, batch: int | None, machine: Machine
) -> dict[str, Any]:
    """See :meth:`yolotrt.backends.base.Backend.roofline`."""
    try:
        content = read(require_unchanged(file, file.path.read_bytes()))
    except Damaged as exc:
        raise ArtifactError(f"{file.path} is damaged ({exc}).", hint=rebuild_command(file)) from exc
    here = _name_here(machine)
    if gpu is None and here is None:
        raise UsageError("There is no GPU here.", hint='Name one, such as --gpu "RTX 5060 Ti".')
    name, figures = figures_of(gpu or here or "")
    images = batch or max(p.largest for p in content.programs)
    rows = roofline(content, images, figures)
    measured = _measured(file, images, machine) if here is not None and name == _known(here) else None
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


def _name_here(machine: Machine) -> str | None:
    try:
        return machine.gpu().info.name
    except (DeviceError, MissingDependency):
        return None


def _known(name: str) -> str | None:
    try:
        return figures_of(name)[0]
    except UsageError:
        return None


def _measured(file: EngineFile, batch: int, machine: Machine) -> list[float] | None:
    """Return the seconds of each layer on the GPU here, or None if the engine does not fit it."""
    from yolotrt.backends.fused.profiler import step_seconds
    from yolotrt.backends.fused.runtime import load

    try:
        engine = load(file, machine.gpu())
    except ArtifactError:
        return None
    try:
        return [seconds for _, seconds in step_seconds(engine, batch)]
    finally:
        engine.close()
