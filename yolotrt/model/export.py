"""Ultralytics weights to ONNX: the only module that imports torch and ultralytics.

The exporter's public interface makes the graph; height and width are then fixed, the graph is
slimmed, and it is compared with the torch network before it gets its final name.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.files import exclusive, mapped_os_errors, require_file, scratch_folder, write_bytes
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.distribution import __version__, install_hint
from yolotrt.errors import ExportError, InputError, MissingDependency, ModelError, YoloTrtError
from yolotrt.model.exported import EXPORTED, WEIGHTS, mind_other_weights
from yolotrt.model.finite import require_finite_weights
from yolotrt.model.onnxfile import load_onnx, metadata, onnx_key, read_spec
from yolotrt.model.spec import Head, ModelSpec
from yolotrt.progress import Progress, no_progress

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Newest opset that torch's exporter writes without converting and that every backend here reads."""

MAX_DIFFERENCE = 5e-3
"""Largest accepted difference to the torch network, relative to the largest value of each output."""

_REFUSED = re.compile(
    r"[Uu]nsupported (?:global: )?GLOBAL ([\w.]+)|(unsupported activation)|(unsafe getattr)|(unsafe \w+)"
)
"""What Ultralytics' and torch's restricted loaders say when they refuse something."""

HEADS: tuple[Head | Literal["auto"], ...] = ("auto", "end2end", "raw")
STEPS = ("load weights", "trace", "fix shapes and slim", "compare with torch")


@dataclass(frozen=True)
class ExportResult:
    """An exported network.

    Attributes:
        path: The ONNX file.
        spec: Its interface.
        key: Content key of the graph and weights, without metadata.
        difference: Largest relative difference to the torch network over both outputs, or None when
            the file was already there.
        cached: Whether an up-to-date file was found and nothing was done.
        untrained: Whether the weights are random because a ``.yaml`` was exported.
    """

    path: Path
    spec: ModelSpec
    key: str
    difference: float | None
    cached: bool
    untrained: bool


def export(
    weights: Path,
    target: Path,
    *,
    imgsz: int = 640,
    head: Head | Literal["auto"] = "auto",
    force: bool = False,
    overwrite: bool = False,
    trust: bool = False,
    progress: Progress = no_progress,
    on_wait: Callable[[str], None] = print,
) -> ExportResult:
    """Export segmentation weights to an ONNX file with only the batch dimension dynamic.

    Args:
        weights: Ultralytics ``.pt`` checkpoint, or a model ``.yaml`` for an untrained network.
        target: The ONNX file to write; left alone if it already comes from these weights and options.
        imgsz: Height and width of the input, px; a multiple of the network's stride.
        head: ``end2end`` needs a network with a one-to-one head (YOLO26); ``auto`` takes it where it
            exists and ``raw`` elsewhere.
        force: Export even if the target is up to date.
        overwrite: Replace also a file in the target's place that no export wrote.
        trust: Also load weights that Ultralytics' restricted loader refuses. They can run any code.
        progress: Told about each step.
        on_wait: Told when another process is exporting the same target, and before weights are loaded
            without restrictions.

    Raises:
        MissingDependency: torch or ultralytics is not installed.
        ModelError: The weights cannot be read, hold NaN, or are not of a segmentation model.
        ExportError: The exported graph does not have the specified shapes or values.
        StorageError: The target cannot be written, is no export, or was just exported from other weights.
    """
    require_file(weights, WEIGHTS)
    require_own(target, EXPORTED, overwrite=overwrite)
    if imgsz < 32 or imgsz % 32:
        raise InputError(f"--imgsz {imgsz} is not a positive multiple of 32.", hint="Try --imgsz 640.")
    source = {"source_sha256": sha256_file(weights), "imgsz_px": str(imgsz), "head_option": head}
    with exclusive(target, on_wait) as waited:
        if not force and (found := _up_to_date(target, source)):
            return found
        mind_other_weights(target, weights, source["source_sha256"], waited, on_wait)
        with scratch_folder(target) as folder, _quiet():
            copy = folder / weights.name  # the exporter writes beside its source
            with mapped_os_errors(copy):
                shutil.copyfile(weights, copy)
            progress(STEPS[0], 0, len(STEPS))
            yolo = _load(copy, weights, trust, on_wait)
            chosen = _choose_head(yolo, head, weights)
            progress(STEPS[1], 1, len(STEPS))
            traced = _trace(yolo, weights, imgsz, chosen)
        progress(STEPS[2], 2, len(STEPS))
        model = _fix_and_slim(traced, weights, imgsz)
        require_finite_weights(model, weights.name)
        _write_metadata(model, yolo, weights, source)
        spec = read_spec(model, weights.stem)
        if spec.head != chosen or spec.batch is not None or spec.input_wh != (imgsz, imgsz):
            raise ExportError(
                f"The export of {weights.name} came out as head {spec.head}, batch {spec.batch}, "
                f"input {spec.input_wh}; asked for {chosen}, dynamic, {imgsz}.",
                hint="This Ultralytics version behaves differently; try: pip install -U ultralytics",
            )
        progress(STEPS[3], 3, len(STEPS))
        with _quiet():
            difference = _compare(model, spec, yolo)
        if not difference <= MAX_DIFFERENCE:  # also true for NaN
            raise ExportError(
                f"The export of {weights.name} differs from the torch network by {difference:.2g} relative.",
                hint="Please report this with the output of: yolotrt doctor --json -",
            )
        write_bytes(target, model.SerializeToString())
        progress(STEPS[3], 4, len(STEPS))
    return ExportResult(target, spec, onnx_key(model), difference, False, _is_untrained(weights))


def obtain_weights(target: Path) -> Path | None:
    """Let Ultralytics download its official weights of this name; None if it is missing or cannot.

    Raises:
        StorageError: The weights cannot be written.
    """
    with scratch_folder(target) as folder, _quiet():
        try:
            from ultralytics.utils.downloads import attempt_download_asset

            found = Path(attempt_download_asset(str(folder / target.name)))
        except Exception:  # not installed, offline, no such model: the caller names the other ways
            return None
        return write_bytes(target, found.read_bytes()) if found.is_file() else None


def _is_untrained(weights: Path) -> bool:
    return weights.suffix.lower() in {".yaml", ".yml"}


def _up_to_date(target: Path, source: dict[str, str]) -> ExportResult | None:
    """Return the existing export if it was made from the same source with the same options."""
    if not target.exists():
        return None
    try:
        model = load_onnx(target)
        spec = read_spec(model, target.stem)
    except YoloTrtError:
        return None
    properties = metadata(model)
    if any(properties.get(k) != v for k, v in source.items()):
        return None
    return ExportResult(target, spec, onnx_key(model), None, True, properties.get("untrained") == "true")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's deprecation warnings and Ultralytics' log, which goes to stdout, from the user.

    Failures still arrive: as exceptions.
    """
    logger = logging.getLogger("ultralytics")
    level = logger.level
    os.environ["YOLO_VERBOSE"] = "false"  # read when ultralytics is imported, which may be in this block
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _load(copy: Path, weights: Path, trust: bool, warn: Callable[[str], None]) -> Any:
    """Load weights through Ultralytics' restricted loader, or without it if they are trusted.

    Weights are a pickle, and a model description holds expressions that are evaluated: both can run any code.
    The restricted loader makes known classes only and evaluates nothing (``ULTRALYTICS_SAFE_LOAD`` in
    ``ultralytics.nn.tasks``; it needs torch 2.6).
    """
    if trust:
        warn(f"warning: {weights} is loaded without restrictions because you trust it: it can run any code.")
    # Ultralytics installs missing packages by itself unless told not to; a tool must not do that.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    try:
        import onnxslim  # noqa: F401
        import torch
        from ultralytics import YOLO
    except ImportError as exc:
        raise MissingDependency(
            f"Exporting {weights.name} needs Ultralytics and onnxslim ({exc.name} is missing).",
            hint=f"{install_hint('export')}  (an ONNX file that you already have needs neither)",
        ) from exc
    torch.manual_seed(0)  # an untrained network gets the same weights every time
    try:
        with _loader(restricted=not trust) as restricted:
            if not trust and not restricted:
                raise ModelError(
                    f"{weights} can run any code when it is loaded, and the Ultralytics or torch installed "
                    "here cannot prevent it.",
                    hint="pip install -U ultralytics 'torch>=2.6'; or, if you know who made it, add --trust.",
                )
            yolo = YOLO(str(copy), task="segment" if _is_untrained(weights) else None)
        yolo.model.float().eval()
        # Where the exporter writes; for a model description it would be the current folder.
        yolo.model.pt_path = str(copy.with_suffix(".pt"))
    except ModelError:
        raise
    except Exception as exc:  # loading may run foreign code: any exception may come out of it
        if not trust and (foreign := _refused(exc)):
            raise ModelError(
                f"{weights} was not loaded: it holds more than Ultralytics' own classes ({foreign}), which "
                "can run any code.",
                hint="Take weights from someone you trust; if these are, add --trust.",
            ) from exc
        raise ModelError(
            f"{weights} cannot be read as Ultralytics weights "
            f"({type(exc).__name__}: {_first_line(exc).replace(str(copy), str(weights))}).",
            hint="It may be truncated or made for another framework; download it again.",
        ) from exc
    if yolo.task != "segment" or not hasattr(yolo.model.model[-1], "proto"):
        raise ModelError(
            f"{weights} is a {yolo.task} model, not a segmentation model.",
            hint="Use segmentation weights, for example yolo26n-seg.pt or yolo11n-seg.pt.",
        )
    return yolo


@contextlib.contextmanager
def _loader(*, restricted: bool) -> Iterator[bool]:
    """Restrict Ultralytics' loader or not while the block runs, and say whether it is restricted.

    The application may have imported Ultralytics already, so its variable in the environment comes too late.
    """
    from ultralytics.nn import tasks

    possible = hasattr(tasks, "SAFE_LOAD") and tasks._SafeLoad.SUPPORTED
    before = getattr(tasks, "SAFE_LOAD", None)
    if possible:
        tasks.SAFE_LOAD = restricted
    try:
        yield bool(possible and restricted)
    finally:
        if possible:
            tasks.SAFE_LOAD = before


def _refused(exc: BaseException) -> str | None:
    """Return what the restricted loader found and refused, or None if something else went wrong."""
    cause: BaseException | None = exc
    while cause is not None:
        if found := _REFUSED.search(str(cause)):
            return str(next(filter(None, found.groups())))
        cause = cause.__cause__ or cause.__context__
    return None


def _choose_head(yolo: Any, head: Head | Literal["auto"], weights: Path) -> Head:
    one_to_one = hasattr(yolo.model.model[-1], "one2one_cv2")
    if head == "end2end" and not one_to_one:
        raise ModelError(
            f"{weights.name} has no one-to-one head, so it cannot be exported end to end.",
            hint="Use --head raw; yolotrt does the NMS.",
        )
    if head == "auto":
        return "end2end" if one_to_one else "raw"
    return head


def _trace(yolo: Any, weights: Path, imgsz: int, head: Head) -> onnx.ModelProto:
    """Run Ultralytics' exporter and return its graph, with batch, height and width dynamic."""
    try:
        made = yolo.export(
            format="onnx",
            imgsz=imgsz,
            dynamic=True,
            simplify=False,
            opset=OPSET,
            # False keeps the one-to-one head, None the raw one; the default changed between versions.
            nms=False if head == "end2end" else None,
            device="cpu",
            verbose=False,
        )
    except Exception as exc:  # the exporter runs torch and user code: any exception may come out of it
        raise ExportError(
            f"Ultralytics could not export {weights.name} ({type(exc).__name__}: {_first_line(exc)}).",
            hint="Try: pip install -U ultralytics",
        ) from exc
    return load_onnx(Path(made))


def _fix_and_slim(model: onnx.ModelProto, weights: Path, imgsz: int) -> onnx.ModelProto:
    """Fix height and width and fold everything that follows from them; the batch stays dynamic.

    A dynamic height and width costs about 270 extra layers in TensorRT and keeps shape arithmetic on
    the host, which forbids CUDA graphs.
    """
    import onnxslim

    dims = model.graph.input[0].type.tensor_type.shape.dim
    for axis in (2, 3):
        dims[axis].dim_value = imgsz
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    slim = onnxslim.slim(model)
    if slim is None:
        raise ExportError(f"onnxslim returned nothing for {weights.name}.", hint="pip install -U onnxslim")
    return slim


def _write_metadata(model: onnx.ModelProto, yolo: Any, weights: Path, source: dict[str, str]) -> None:
    properties = {
        "name": weights.stem,
        "task": "segment",
        # a Python literal, as Ultralytics itself writes and reads it
        "names": repr({int(k): str(v) for k, v in yolo.names.items()}),
        "stride": str(int(max(yolo.model.stride))),
        "imgsz": repr([int(source["imgsz_px"])] * 2),
        "license": "AGPL-3.0",
        "untrained": str(_is_untrained(weights)).lower(),
        "source_file": str(weights),
        **source,
        **{f"version_{p}": version(p) for p in ("ultralytics", "torch", "onnxslim")},
        "version_yolotrt": __version__,
    }
    del model.metadata_props[:]
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)


def _compare(model: onnx.ModelProto, spec: ModelSpec, yolo: Any) -> float:
    """Return the largest difference between ONNX Runtime and torch on a random batch of two.

    Relative to each output's largest value. End-to-end rows are ordered by score, and rows of nearly
    equal scores may change places, so of that head only the scores are compared.
    """
    import onnxruntime as ort
    import torch

    width, height = spec.input_wh
    images = np.random.default_rng(0).random((2, 3, height, width), dtype=np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ours = session.run([spec.head_output, spec.proto_output], {spec.input_name: images})
    net = yolo.model
    net.end2end = spec.head == "end2end"
    net.model[-1].export, net.model[-1].format = True, "onnx"
    net.fuse(verbose=False)
    with torch.no_grad():
        theirs = [t.numpy() for t in net(torch.from_numpy(images))]
    if spec.head == "end2end":
        ours[0], theirs[0] = ours[0][..., 4], theirs[0][..., 4]
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in pairs)


def _first_line(exc: BaseException) -> str:
    text = str(exc).strip()
    return text.splitlines()[0] if text else ""
