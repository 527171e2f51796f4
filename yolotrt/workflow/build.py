"""From a model's name to an engine file; every step is skipped while nothing it depends on changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.artifacts.files import exclusive
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.names import NAMES
from yolotrt.backends.own import mind_another_network, require_own_engine
from yolotrt.backends.registry import backend, choose
from yolotrt.backends.sidecar import finish_interrupted, write_engine
from yolotrt.data.formats.reader import images_of
from yolotrt.errors import ArtifactError, CalibrationError, ModelError, UsageError
from yolotrt.model.export import export
from yolotrt.model.exported import default_target
from yolotrt.model.finite import require_finite_weights
from yolotrt.model.held import held_precision
from yolotrt.model.notes import lost_names
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.quantization.algorithms import Algorithm
from yolotrt.quantization.audit import EVERYTHING, Wanted
from yolotrt.quantization.cache import default_cache, load_or_calibrate, read_ranges
from yolotrt.quantization.places import ENDING, of_network
from yolotrt.quantization.ranges import METHOD_VERSION, CalibrationRanges
from yolotrt.quantization.styles import QdqStyle, measured_as
from yolotrt.quantization.witness import doubts
from yolotrt.text import shell_words
from yolotrt.workflow.plan import BuildPlan, up_to_date
from yolotrt.workflow.plan import BuildRequest as BuildRequest
from yolotrt.workflow.precision import NEEDS_RANGES, as_held, in_precision, require_held

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class BuildOutcome:
    """An engine, and whether anything had to be done for it."""

    file: EngineFile
    cached: bool


def calibration_cache(model: Path, calib_data: Path) -> Path:
    """Return where the calibration of a model, weights or ONNX, is kept."""
    if model.suffix.lower() == ".onnx":
        return default_cache(model, calib_data)
    return calib_data / f"{model.stem}{ENDING}"


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
            :func:`yolotrt.quantization.cache.load_or_calibrate` and the backend.
    """
    return build_planned(plan_build(request, progress, say), progress=progress, say=say)


def plan_build(
    request: BuildRequest, progress: Progress = no_progress, say: Say = print, *, bounded: bool = False
) -> BuildPlan:
    """Do everything before the build itself: export and calibrate as far as needed.

    Args:
        request: What to build.
        progress: Told about long steps.
        say: Told one line about each decision and step.
        bounded: An accuracy bound is kept: scores are put right by what judges it, not by the calibration.

    Raises:
        YoloTrtError: As :func:`build_engine`.
    """
    found, reason = choose(request.backend, "build", request.precision)
    if request.options.get("retune") and not found.retunes:
        able = [f"--backend {name}" for name in NAMES if backend(name).retunes]
        raise UsageError(f"{found.name} does not --retune.", hint=f"Choose one that does: {', '.join(able)}.")
    say(f"backend: {found.name} ({reason})")
    if request.images is not None and request.precision in NEEDS_RANGES:
        images_of(request.images)  # an empty folder is told before the minutes of an export
    onnx_path = export_if_weights(request, progress, say)
    model = load_onnx(onnx_path)
    spec = read_spec(model, onnx_path.stem)
    require_finite_weights(model, onnx_path.name)
    if note := lost_names(spec):
        say(f"warning: {note}")
    request, as_held = _with_held_precision(request, held_precision(model), onnx_path, say)
    plan = BuildPlan(request, found, onnx_path, model, spec, None, as_held)
    found.check(plan.config())
    require_own_engine(plan.engine().path, overwrite=request.overwrite)
    if request.precision in NEEDS_RANGES and not as_held:
        plan = replace(plan, ranges=_ranges(plan, bounded, progress, say))
    return plan


def build_planned(plan: BuildPlan, *, progress: Progress = no_progress, say: Say = print) -> BuildOutcome:
    """Build what was planned, unless it is there.

    Raises:
        YoloTrtError: As :func:`build_engine`.
    """
    request, wanted = plan.request, plan.engine()
    with exclusive(wanted.path, say) as waited:
        finish_interrupted(wanted.path)
        if not request.force and (ready := up_to_date(wanted)):
            say(f"engine: {ready.path} is up to date")
            return BuildOutcome(ready, cached=True)
        mind_another_network(wanted, waited=waited, say=say)
        precision: Precision = "fp32" if plan.implicit else request.precision
        style = plan.backend.qdq_style
        if plan.as_held:
            network = as_held(plan.model, plan.spec, style)
        else:
            network = in_precision(plan.fp32, plan.spec, precision, style, plan.ranges, request.exclude)
        if request.exclude is None:  # else nothing may be left on purpose
            require_held(network, precision, plan.onnx_path.name)
        built = plan.backend.build(network, plan.config(), progress)
        file = write_engine(EngineFile(**{**vars(wanted), "layers": built.layers}), built.data)
    say(f"engine: {file.path} ({len(built.data) / 1e6:.1f} MB)")
    return BuildOutcome(file, cached=False)


def _with_held_precision(
    request: BuildRequest, held: Precision, onnx_path: Path, say: Say
) -> tuple[BuildRequest, bool]:
    """Return the request for the precision that the engine will truly have.

    Returns:
        The request, and whether the file already holds that precision.

    Raises:
        ModelError: The file is in a lower precision than the one wanted.
    """
    wanted = request.precision
    if held == "fp32":
        return request, False
    if held in NEEDS_RANGES:
        if wanted != held or request.implicit:
            asked = "--implicit" if wanted == held else f"--{wanted}"
            raise ModelError(
                f"{onnx_path} is already quantised ({held.upper()}, by Q/DQ or integer operators); {asked} "
                "cannot be made from it.",
                hint=f"--{held} builds it as it is. For another precision, build from the FP32 network that "
                "it was made from.",
            )
        say(
            f"warning: {onnx_path} is already quantised ({held.upper()}): it is built as it is, with the "
            "ranges of the tool that quantised it; nothing is calibrated."
        )
        return request, True
    if wanted in NEEDS_RANGES:
        raise ModelError(
            f"{onnx_path} holds FP16 weights; {wanted.upper()} is made from an FP32 network.",
            hint="Export it again without half precision: yolotrt export WEIGHTS.pt",
        )
    if wanted == "fp32":
        say(f"warning: {onnx_path} holds FP16 weights, so the engine is FP16 and is recorded as that.")
    return replace(request, precision=held), True


def export_if_weights(request: BuildRequest, progress: Progress, say: Say) -> Path:
    """Return the ONNX file of the request, exporting it first when the model is weights.

    Raises:
        YoloTrtError: See :func:`yolotrt.model.export.export`.
    """
    if request.model.suffix.lower() == ".onnx":
        return request.model
    target = default_target(request.model, request.engines)
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


def _ranges(plan: BuildPlan, bounded: bool, progress: Progress, say: Say) -> CalibrationRanges:
    request, onnx_path, model, spec = plan.request, plan.onnx_path, plan.model, plan.spec
    style = measured_as(plan.backend.qdq_style)
    wanted = Wanted((style,), ()) if bounded else EVERYTHING
    cache = calibration_cache(onnx_path, request.calib_data)
    if request.images is None:
        if known := _cached_ranges(cache, model, request.algorithm, say):
            aligned = not bounded and request.precision == "int8" and not request.implicit
            for unknown in _unknown(known, plan.backend.name, style, aligned=aligned):
                say(f"warning: {unknown}; name its --images, and that is measured")
            return known
        raise CalibrationError(
            f"{request.precision.upper()} needs images to calibrate on, and none were named.",
            hint=f"yolotrt build {shell_words(str(onnx_path))} --{request.precision} --images DIR  "
            "(about 100 pictures like those of your camera; --images coco downloads some of COCO val2017)",
        )
    images = images_of(request.images)[: request.limit]
    ranges, status = load_or_calibrate(
        onnx_path,
        spec,
        images,
        cache,
        algorithm=request.algorithm,
        tile_overlap=request.tile_overlap,
        force=request.force,
        overwrite=request.overwrite,
        beside=True,
        wanted=wanted,
        progress=progress,
        on_wait=say,
    )
    if status.warning:
        say(f"warning: {status.warning}")
    if status.changed:
        stays = ", which stays" if status.path != cache else ""
        say(f"calibration: {', '.join(status.changed)} changed since {cache}{stays}")
    for message in (*(f"skipped: {m}" for m in status.skipped), *status.doubts):
        say(f"warning: {message}")
    say(f"calibration: {status.path} ({'cached' if status.cached else 'made'}, {status.images} images)")
    if status.saw:
        say(f"calibration saw: {status.saw}")
    return ranges


def _unknown(
    ranges: CalibrationRanges, backend_name: str, style: QdqStyle, *, aligned: bool
) -> Iterator[str]:
    """Yield what a calibration does not tell of a backend, and what follows from that."""
    lacking = Wanted((style,), (style,) if aligned else ()).lacking(ranges)
    if lacking is not None and lacking.noise:
        yield (
            f"this calibration does not tell which layers 8 bits hurt most in {backend_name}, so they are in "
            "8 bits like the others"
        )
    if lacking is not None and lacking.shift:
        yield "this calibration did not measure how far scores move, so they are left where INT8 puts them"


def _cached_ranges(
    cache: Path, model: onnx.ModelProto, algorithm: Algorithm, say: Say
) -> CalibrationRanges | None:
    """Return the ranges of an earlier calibration of the same network, without needing its images."""
    found = of_network(cache, onnx_key(model), algorithm, read_ranges)
    if not found:
        _say_why_not(cache, say)
        return None
    (taken, ranges), *others = found
    if ranges.key.method != METHOD_VERSION:
        say(
            f"warning: {taken} is by the method of another version; today's may find other ranges: name its "
            "--images to calibrate anew"
        )
    for doubt in doubts(ranges):
        say(f"warning: {doubt}")
    count = len(ranges.key.images)
    say(f"calibration: {taken} (cached, {_described(ranges) if others else f'{count} images'})")
    for path, other in others:
        say(f"calibration: not taken: {path} ({_described(other)}); name its --images to take it")
    return ranges


def _described(ranges: CalibrationRanges) -> str:
    count = len(ranges.key.images)
    return f"{count} image{'s' * (count != 1)}, {ranges.key.algorithm}"


def _say_why_not(cache: Path, say: Say) -> None:
    if not cache.exists():
        return
    try:
        read_ranges(cache)
    except ArtifactError as exc:
        say(f"warning: {exc.message}")
        return
    say(f"warning: {cache} was made for another network; it is not used.")
