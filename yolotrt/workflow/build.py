"""From a model's name to an engine file; every step is skipped while nothing it depends on changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from yolotrt.artifacts.files import exclusive
from yolotrt.artifacts.hashing import content_key
from yolotrt.backends.base import RECORDED_ONLY, Backend, BuildConfig, EngineFile, Precision
from yolotrt.backends.profiles import Profile, batch_sizes
from yolotrt.backends.registry import choose
from yolotrt.backends.sidecar import read_engine, write_engine
from yolotrt.calibration.algorithms import Algorithm
from yolotrt.calibration.cache import load_or_calibrate, read_ranges
from yolotrt.calibration.ranges import CalibrationRanges
from yolotrt.calibration.trt_table import trt_table
from yolotrt.data.images import list_images
from yolotrt.errors import ArtifactError, CalibrationError, YoloTrtError
from yolotrt.model.export import export
from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec
from yolotrt.model.spec import Head, ModelSpec
from yolotrt.progress import Progress, no_progress
from yolotrt.workflow.precision import NEEDS_RANGES, in_precision

if TYPE_CHECKING:
    import onnx

RECIPE = 1
"""Version of the way from FP32 to other precisions; part of every engine's key."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        model: Weights (.pt), a model description (.yaml) or an ONNX file.
        precision: Precision of the engine.
        backend: A backend's name or ``auto``.
        profiles: Batch sizes the engine is to accept; backends that take any batch ignore it.
        images: Folder or file to calibrate INT8 on; None uses the calibration cache of the same network.
        limit: Use at most this many calibration images.
        algorithm: How activation ranges are chosen.
        tile_overlap: Calibrate on tiles with this overlap, too; None on whole images only.
        imgsz: Input size of an export, px.
        head: Head of an export.
        output: The engine file; None names it by model, precision and backend in ``engines``.
        engines: Folder for ONNX files and engines.
        calib_data: Folder for calibration caches.
        implicit: Leave INT8 to TensorRT 10 and its calibration table instead of writing Q/DQ nodes.
        force: Build again even if everything is up to date.
        options: Further fields of :class:`BuildConfig`.
    """

    model: Path
    precision: Precision = "fp32"
    backend: str = "auto"
    profiles: tuple[Profile, ...] = (Profile.fixed(1),)
    images: Path | None = None
    limit: int | None = None
    algorithm: Algorithm = "mse"
    tile_overlap: float | None = None
    imgsz: int = 640
    head: Head | Literal["auto"] = "auto"
    output: Path | None = None
    engines: Path = Path("engines")
    calib_data: Path = Path("calib_data")
    implicit: bool = False
    force: bool = False
    options: dict[str, object] = field(default_factory=dict)


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
    found, reason = choose(request.backend, "build")
    say(f"backend: {found.name} ({reason})")
    onnx_path = export_if_weights(request, progress, say)
    model = load_onnx(onnx_path)
    spec = read_spec(model, onnx_path.stem)
    ranges = None
    if request.precision in NEEDS_RANGES:
        ranges = _ranges(request, onnx_path, model, spec, progress, say)
    implicit = request.implicit and ranges is not None
    table = trt_table(ranges) if ranges is not None and implicit else None
    config = BuildConfig(
        spec,
        request.profiles,
        request.precision,
        calibration_table=table,
        **request.options,  # type: ignore[arg-type]
    )
    wanted = _wanted(request, found, config, model, ranges, onnx_path)
    with exclusive(wanted.path, say):
        if not request.force and (ready := _up_to_date(wanted)):
            say(f"engine: {ready.path} is up to date")
            return BuildOutcome(ready, cached=True)
        precision: Precision = "fp32" if implicit else request.precision
        network = in_precision(model, spec, precision, found.qdq_style, ranges)
        built = found.build(network, config, progress)
        file = write_engine(EngineFile(**{**vars(wanted), "layers": built.layers}), built.data)
    say(f"engine: {file.path} ({len(built.data) / 1e6:.1f} MB)")
    return BuildOutcome(file, cached=False)


def export_if_weights(request: BuildRequest, progress: Progress, say: Say) -> Path:
    """Return the ONNX file of the request, exporting it first when the model is weights."""
    if request.model.suffix.lower() == ".onnx":
        return request.model
    target = request.engines / f"{request.model.stem}.onnx"
    result = export(
        request.model, target, imgsz=request.imgsz, head=request.head, progress=progress, on_wait=say
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
            hint=f"yolotrt build {onnx_path} --{request.precision} --images DIR  (about 100 pictures like "
            "those of your camera; --images coco downloads some of COCO val2017)",
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


def _wanted(
    request: BuildRequest,
    backend: Backend,
    config: BuildConfig,
    model: onnx.ModelProto,
    ranges: CalibrationRanges | None,
    onnx_path: Path,
) -> EngineFile:
    """Return the engine file as its sidecar will describe it, still without a hash."""
    sources = {"onnx": onnx_key(model), "onnx_file": onnx_path.name, "recipe": str(RECIPE)}
    if ranges is not None:
        sources["calibration"] = content_key({n: asdict(r) for n, r in ranges.tensors.items()})
        sources["calibration_algorithm"] = ranges.key.algorithm
    name = f"{onnx_path.stem}.{request.precision}.{backend.name}{backend.suffix}"
    return EngineFile(
        path=request.output or request.engines / name,
        backend=backend.name,
        precision=request.precision,
        spec=config.spec,
        batches=() if backend.name == "onnxruntime" else batch_sizes(config.profiles),
        sha256="",
        sources=sources,
        environment=backend.environment(config),
    )


def _up_to_date(wanted: EngineFile) -> EngineFile | None:
    """Return the engine on disk if it is what would be built now."""
    try:
        ready = read_engine(wanted.path)
    except YoloTrtError:
        return None
    same = (
        ready.backend == wanted.backend
        and ready.precision == wanted.precision
        and ready.spec == wanted.spec
        and ready.batches == wanted.batches
        and ready.sources == wanted.sources
        and _tied(ready) == _tied(wanted)
    )
    return ready if same else None


def _tied(file: EngineFile) -> dict[str, str]:
    return {k: v for k, v in file.environment.items() if k not in RECORDED_ONLY}
