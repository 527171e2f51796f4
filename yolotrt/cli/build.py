"""``yolotrt build``: from a model to an engine, in one command."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.build_ways import build_bounded, build_fastest, emit_built, require_automatic
from yolotrt.cli.calibration_images import coco_images, may_fetch, offered_images
from yolotrt.cli.console import note, progress_bars, say, tell
from yolotrt.cli.gates import percentage
from yolotrt.cli.options import (
    CALIB_DATA,
    ENGINES,
    Backend,
    Force,
    Images,
    ImageSize,
    JsonTarget,
    Limit,
    Method,
    Tiles,
    Trust,
    Yes,
    choice,
    cores,
    image_size,
)
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output, made_of, timing_outputs
from yolotrt.data.coco.layout import means_coco
from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.artifacts.claims import Output

_LOG = "yolotrt build --log"


def build(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Weights (.pt; Ultralytics' own are fetched by name) or an ONNX file. [default: yolo26n-seg]"
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit; calibrates first.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="16-bit (gains nothing on a CPU).")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="32-bit. [default]")] = False,
    fp8: Annotated[bool, typer.Option("--fp8", help="8-bit float, TensorRT on Ada and newer.")] = False,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="auto|NAME",
            help="One of these by name, or auto: build those that may be fastest, measure here, choose.",
        ),
    ] = None,
    backend: Backend = "auto",
    images: Images = None,
    limit: Limit = None,
    method: Method = "mse",
    tiles: Tiles = False,
    batch: Annotated[
        str,
        typer.Option(
            help="Batch sizes, one optimization profile each (1,4,8), or a range tuned for one size (1-8-32)."
        ),
    ] = "1,4,8,16,32",
    imgsz: ImageSize = "640",
    head: Annotated[str, typer.Option(help="Head when weights are exported: auto, end2end, raw.")] = "auto",
    yes: Yes = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Engine file. [default: engines/NAME.PRECISION.BACKEND...]"),
    ] = None,
    workspace: Annotated[
        int | None, typer.Option(min=1, metavar="MIB", help="TensorRT: scratch memory a layer may use.")
    ] = None,
    optimization_level: Annotated[
        int | None, typer.Option(min=0, max=5, help="TensorRT: 0 builds fast, 5 gives the fastest engine.")
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="TensorRT, fused: timings of earlier builds. [default: engines/timing.cache]"),
    ] = None,
    retune: Annotated[
        bool, typer.Option("--retune", help="fused: time all kernels anew on the GPU here.")
    ] = False,
    compute_capability: Annotated[
        str | None,
        typer.Option(
            "--compute-capability",
            "--targets",
            metavar="SM86,SM120",
            help="TensorRT-RTX and fused: build for these GPUs.",
        ),
    ] = None,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="TensorRT: runs on other GPUs, Ampere and newer.")
    ] = False,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="TensorRT: loads in newer versions, too.")
    ] = False,
    implicit: Annotated[
        bool, typer.Option("--implicit", help="TensorRT 10: INT8 by its own calibrator from our cache.")
    ] = False,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="1%|0.5pt", help="INT8: quantise less until mAP (or agreement with FP32) loses no more."
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="--max-drop: COCO instances JSON of --eval-images, or a data.yaml; else agreement."
        ),
    ] = None,
    eval_images: Annotated[
        Path | None, typer.Option(help="--max-drop: images to judge on. [default: --images]")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(help="--max-drop: judge in global, tiled or tiled+global mode. [default: global]"),
    ] = None,
    least_int8: Annotated[
        str | None,
        typer.Option(
            metavar="50%", help="--max-drop: fail with less of the multiply-adds in INT8. [default: 50%]"
        ),
    ] = None,
    max_drop_small: Annotated[
        str | None, typer.Option(metavar="5%|1pt", help="--max-drop: the same for boxes of small objects.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="TensorRT: file for everything it says.")] = None,
    trust: Trust = False,
    force: Force = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Build an engine: export and calibrate first where needed, each step from its cache when it holds.

    --precision auto answers whether INT8 is worth it on this machine: a lower precision is chosen if it is
    certainly faster, and within --max-drop if that is given.

    --max-drop is an accuracy bound: layers are taken out of INT8 until the measured loss is within it. The
    loss itself counts, not its interval, so this is stricter than --max-drop of eval. The build fails
    (exit 3) if no engine keeps the bound with at least --least-int8 of the work in INT8.

    \b
    Examples:
      yolotrt build yolo26n-seg.pt --int8 --images street/
      yolotrt build engines/yolo26n-seg.onnx --fp32
      yolotrt build yolo11n-seg.pt --int8 --images coco
      yolotrt build yolo26n-seg.pt --fp16 --backend tensorrt --batch 1,4,8,16,32
      yolotrt build yolo26n-seg.pt --fp16 --backend tensorrt-rtx --compute-capability SM120
      yolotrt build yolo11n-seg.pt --fp16 --backend fused --targets sm_86,sm_120
      yolotrt build yolo11n-seg.pt --fp16 --backend fused --retune
      yolotrt build --int8
      yolotrt build yolo11n-seg.pt --precision auto --images street/ --max-drop 1%
      yolotrt build yolo11n-seg.pt --int8 --images street/ --max-drop 1% \
        --eval-images coco/val --annotations coco/instances.json
      yolotrt build yolo26n-seg.pt --int8 --tiles --images street/ --max-drop 1% --mode tiled+global
    """
    from yolotrt.backends.base import Precision
    from yolotrt.backends.profiles import parse_profiles
    from yolotrt.backends.registry import backend as backend_named
    from yolotrt.model.export import HEADS
    from yolotrt.pipeline.settings import PASS_MODES
    from yolotrt.quantization.algorithms import ALGORITHMS
    from yolotrt.quantization.places import family
    from yolotrt.workflow.accuracy_bound.search import LEAST_INT8, BoundRequest
    from yolotrt.workflow.build import BuildRequest, build_engine, calibration_cache
    from yolotrt.workflow.catalog import find_model
    from yolotrt.workflow.evaluate import MaxDrop
    from yolotrt.workflow.precision import is_calibrated

    flags: dict[Precision, bool] = {"int8": int8, "fp16": fp16, "fp32": fp32, "fp8": fp8}
    chosen = [name for name, wanted in flags.items() if wanted]
    automatic = precision == "auto"
    if precision is not None and not automatic:
        chosen.append(choice(precision, "--precision", (*flags, "auto")))  # type: ignore[arg-type]
    if len(set(chosen)) > 1:
        raise UsageError(
            f"--{' and --'.join(chosen)} exclude each other.", hint="Build one engine at a time."
        )
    if automatic:
        require_automatic(chosen, output, implicit=implicit)
        chosen = ["int8"]  # what needs images, and what a bound is about
    int8, fp8 = "int8" in chosen, "fp8" in chosen
    if implicit and not int8:
        raise UsageError("--implicit is a way to INT8.", hint="Add --int8.")
    needs_bound = (annotations, eval_images, least_int8, max_drop_small, None if automatic else mode)
    if max_drop is None and any(needs_bound):
        raise UsageError(
            "--annotations, --eval-images, --mode, --least-int8 and --max-drop-small belong to --max-drop.",
            hint="Add --max-drop 1%.",
        )
    least = LEAST_INT8 if least_int8 is None else percentage(least_int8, "--least-int8")
    judged_in = choice(mode or "global", "--mode", PASS_MODES)
    bound = None if max_drop is None else MaxDrop.parse(max_drop)
    small = None if max_drop_small is None else MaxDrop.parse(max_drop_small, "--max-drop-small")
    path = find_model(model, ENGINES, may_fetch=may_fetch(yes), say=say)
    inputs = (images, annotations, eval_images)
    _claim(path, output, log, timing_outputs(timing_cache, backend), json, inputs, overwrite=overwrite)
    calibrates = (int8 or fp8) and is_calibrated(path)
    if calibrates and means_coco(images):
        images = coco_images()
    elif calibrates and images is None and not family(calibration_cache(path, CALIB_DATA)):
        images = offered_images(yes)
    request = BuildRequest(
        model=path,
        precision=chosen[0] if chosen else "fp32",
        backend=backend,
        profiles=parse_profiles(batch),
        images=images,
        limit=limit,
        algorithm=choice(method, "--method", ALGORITHMS),
        tile_overlap=0.2 if tiles else None,
        imgsz=image_size(imgsz),
        head=choice(head, "--head", HEADS),
        output=output,
        engines=ENGINES,
        calib_data=CALIB_DATA,
        implicit=implicit,
        trust=trust,
        force=force or retune,
        overwrite=overwrite,
        options={
            "workspace_mib": workspace,
            "optimization_level": optimization_level,
            "timing_cache": timing_cache or ENGINES / "timing.cache",
            "compute_capabilities": tuple(compute_capability.split(",")) if compute_capability else (),
            "hardware_compatible": hardware_compatible,
            "version_compatible": version_compatible,
            "log": log,
            "retune": retune,
        },
    )
    limits = None
    if bound is not None:
        limits = BoundRequest(request, bound, annotations, eval_images, cores(), judged_in, least, small)
    with _own_log(log, overwrite=overwrite):
        if automatic:
            build_fastest(request, limits, judged_in, json)
            return
        if limits is not None:
            build_bounded(limits, json)
            return
        with progress_bars() as progress:
            outcome = build_engine(request, progress=progress, say=say)
    file = outcome.file
    for remark in backend_named(file.backend).notes(file):
        note(remark)
    if json != "-":
        tell(str(file.path))
    emit_built(json, file, outcome.cached)


def _claim(
    model: Path,
    engine: Path | None,
    log: Path | None,
    timings: Sequence[Output],
    json: str | None,
    inputs: Sequence[Path | None],
    *,
    overwrite: bool,
) -> None:
    """Meet outputs that cannot be written before the model is exported and calibrated.

    An engine's default name is known once the network is; the build looks at it then.
    """
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.folders import by_list
    from yolotrt.backends.own import engine_outputs
    from yolotrt.workflow.built import BUILT

    outputs = [json_output(json, BUILT.kind), *timings]
    outputs += engine_outputs("-o", engine) if engine else ()
    if log is not None:
        outputs.append(Output("--log", log, by_list("a log of yolotrt", _LOG)))
    claim_outputs(outputs, model, *inputs, overwrite=overwrite, folders=made_of(model, engine=engine is None))


def _own_log(log: Path | None, *, overwrite: bool) -> AbstractContextManager[None]:
    from yolotrt.artifacts.folders import owning_file

    return owning_file(log, _LOG, option="--log", overwrite=overwrite) if log else nullcontext()
