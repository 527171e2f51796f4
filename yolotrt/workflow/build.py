"""From a model's name to an engine file; every step is skipped while nothing it depends on changed."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.artifacts.files import exclusive
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.registry import choose
from yolotrt.backends.sidecar import finish_interrupted, write_engine
from yolotrt.calibration.cache import load_or_calibrate, read_ranges
from yolotrt.calibration.ranges import CalibrationRanges
from yolotrt.data.images import list_images
from yolotrt.errors import ArtifactError, CalibrationError
from yolotrt.model.export import export
from yolotrt.model.finite import require_finite_weights
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress, no_progress
from yolotrt.workflow.plan import BuildPlan, up_to_date
from yolotrt.workflow.plan import BuildRequest as BuildRequest
from yolotrt.workflow.precision import NEEDS_RANGES, in_precision

if TYPE_CHECKING:
    import onnx

Say = Callable[[str], None]


@dataclass(frozen=True)
class BuildOutcome:
    """An engine, and whether anything had to be done for it."""

    file: EngineFile
    cached: bool


def calibration_cache(model: Path, calib_data: Path) -> Path:
    """Return where the calibration of a model, weights or ONNX, is kept."""
    return calib_data / f"{model.stem}.calib.json"


def build_engine(
    request: BuildRequest, *, progress: Progress = no_progress, say: Say = print
) -> BuildOutcome:
    """Export, calibrate and build as far as needed.

    Args:
        request: What to build.
        progress: Told about long steps.
        say: Told one line about each decision and step.

    Raises:
        YoloTrtError: A step failed; see :func:`yolotrt.model.export.export`,
            :func:`yolotrt.calibration.cache.load_or_calibrate` and the backend.
    """
    return build_planned(plan_build(request, progress, say), progress=progress, say=say)


def plan_build(request: BuildRequest, progress: Progress = no_progress, say: Say = print) -> BuildPlan:
    """Do everything before the build itself: export and calibrate as far as needed.

    Raises:
        YoloTrtError: As :func:`build_engine`.
    """
    found, reason = choose(request.backend, "build", request.precision)
    say(f"backend: {found.name} ({reason})")
    onnx_path = export_if_weights(request, progress, say)
    model = load_onnx(onnx_path)
    spec = read_spec(model, onnx_path.stem)
    require_finite_weights(model, onnx_path.name)
    plan = BuildPlan(request, found, onnx_path, model, spec, None)
    found.check(plan.config())
    if request.precision in NEEDS_RANGES:
        plan = replace(plan, ranges=_ranges(request, onnx_path, model, spec, progress, say))
    return plan


def build_planned(plan: BuildPlan, *, progress: Progress = no_progress, say: Say = print) -> BuildOutcome:
    """Build what was planned, unless it is there.

    Raises:
        YoloTrtError: As :func:`build_engine`.
    """
    request, wanted = plan.request, plan.engine()
    with exclusive(wanted.path, say):
        finish_interrupted(wanted.path)
        if not request.force and (ready := up_to_date(wanted)):
            say(f"engine: {ready.path} is up to date")
            return BuildOutcome(ready, cached=True)
        precision: Precision = "fp32" if plan.implicit else request.precision
        network = in_precision(
            plan.model, plan.spec, precision, plan.backend.qdq_style, plan.ranges, request.exclude
        )
        built = plan.backend.build(network, plan.config(), progress)
        file = write_engine(EngineFile(**{**vars(wanted), "layers": built.layers}), built.data)
    say(f"engine: {file.path} ({len(built.data) / 1e6:.1f} MB)")
    return BuildOutcome(file, cached=False)


def export_if_weights(request: BuildRequest, progress: Progress, say: Say) -> Path:
    """Return the ONNX file of the request, exporting it first when the model is weights."""
    if request.model.suffix.lower() == ".onnx":
        return request.model
    target = request.engines / f"{request.model.stem}.onnx"
    result = export(
        request.model,
        target,
        imgsz=request.imgsz,
        head=request.head,
        trust=request.trust,
        progress=progress,
        on_wait=say,
    )
    say(f"onnx: {target} ({'up to date' if result.cached else 'exported'}, {result.spec.head} head)")
    if result.untrained:
        say(f"warning: {request.model.name} describes an UNTRAINED network; it finds nothing.")
    return target


def _ranges(
    request: BuildRequest,
    onnx_path: Path,
    model: onnx.ModelProto,
    spec: ModelSpec,
    progress: Progress,
    say: Say,
) -> CalibrationRanges:
    cache = calibration_cache(onnx_path, request.calib_data)
    if request.images is None:
        if known := _cached_ranges(cache, model, say):
            return known
        raise CalibrationError(
            f"{request.precision.upper()} needs images to calibrate on, and none were named.",
            hint=f"yolotrt build {shlex.quote(str(onnx_path))} --{request.precision} --images DIR  "
            "(about 100 pictures like those of your camera; --images coco downloads some of COCO val2017)",
        )
    images = list_images(request.images)[: request.limit]
    ranges, status = load_or_calibrate(
        onnx_path,
        spec,
        images,
        cache,
        algorithm=request.algorithm,
        tile_overlap=request.tile_overlap,
        force=request.force,
        progress=progress,
        on_wait=say,
    )
    if status.warning:
        say(f"warning: {status.warning}")
    if status.changed:
        say(f"calibration: {', '.join(status.changed)} changed since {cache}")
    for message in status.skipped:
        say(f"warning: skipped: {message}")
    say(f"calibration: {cache} ({'cached' if status.cached else 'made'}, {status.images} images)")
    return ranges


def _cached_ranges(cache: Path, model: onnx.ModelProto, say: Say) -> CalibrationRanges | None:
    """Return the ranges of an earlier calibration of the same network, without needing its images."""
    if not cache.exists():
        return None
    try:
        ranges = read_ranges(cache)
    except ArtifactError as exc:
        say(f"warning: {exc.message}")
        return None
    if ranges.key.onnx != onnx_key(model):
        say(f"warning: {cache} was made for another network; it is not used.")
        return None
    say(f"calibration: {cache} (cached, {len(ranges.key.images)} images)")
    return ranges
