"""Ultralytics weights to ONNX.

The exporter's public interface makes the graph; height and width are then fixed, the graph is
slimmed, and it is compared with the torch network before it gets its final name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.files import exclusive, mapped_os_errors, require_file, scratch_folder, write_bytes
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.distribution import __version__
from yolotrt.errors import ExportError, InputError, ModelError, YoloTrtError
from yolotrt.model.exported import EXPORTED, WEIGHTS, mind_other_weights
from yolotrt.model.finite import require_finite_weights
from yolotrt.model.onnxfile import load_onnx, metadata, onnx_key, read_spec
from yolotrt.model.spec import Head, ModelSpec
from yolotrt.model.weights import first_line, is_untrained, load_weights, quiet
from yolotrt.progress import Progress, no_progress

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Newest opset that torch's exporter writes without converting and that every backend here reads."""

MAX_DIFFERENCE = 5e-3
"""Largest accepted difference to the torch network, relative to the largest value of each output."""

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
    imgsz: int | tuple[int, int] = 640,
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
        imgsz: Side of the input, or its height and width, px; multiples of the network's stride.
        head: ``end2end`` needs a network with a one-to-one head (YOLO26); ``auto`` takes it where it
            exists and ``raw`` elsewhere.
        force: Export even if the target is up to date.
        overwrite: Replace also a file in the target's place that no export wrote.
        trust: Also load weights that Ultralytics' restricted loader refuses. They can run any code.
        progress: Told about each step.
        on_wait: Told when the work begins, when another process is exporting the same target, and before
            weights are loaded without restrictions.

    Raises:
        MissingDependency: torch or ultralytics is not installed.
        ModelError: The weights cannot be read, hold NaN, or are not of a segmentation model.
        ExportError: The exported graph does not have the specified shapes or values.
        StorageError: The target cannot be written, is no export, or was just exported from other weights.
    """
    require_file(weights, WEIGHTS)
    require_own(target, EXPORTED, overwrite=overwrite)
    height, width = hw = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    shown = str(height) if height == width else f"{height}x{width}"
    if min(hw) < 32 or height % 32 or width % 32:
        near = "x".join(dict.fromkeys(str(max(32, round(side / 32) * 32)) for side in hw))
        raise InputError(f"--imgsz {shown} is not a positive multiple of 32.", hint=f"Try --imgsz {near}.")
    source = {"source_sha256": sha256_file(weights), "imgsz_px": shown, "head_option": head}
    with exclusive(target, on_wait) as waited:
        if not force and (found := _up_to_date(target, source)):
            return found
        mind_other_weights(target, weights, source["source_sha256"], waited, on_wait)
        with scratch_folder(target) as folder, quiet():
            copy = folder / weights.name  # the exporter writes beside its source
            with mapped_os_errors(copy):
                shutil.copyfile(weights, copy)
            on_wait(f"export: {weights.name} ({', '.join(STEPS)}), half a minute or so")
            progress(STEPS[0], 0, len(STEPS))
            yolo = load_weights(copy, weights, trust, on_wait)
            chosen = _choose_head(yolo, head, weights)
            progress(STEPS[1], 1, len(STEPS))
            traced = _trace(yolo, weights, hw, chosen)
        progress(STEPS[2], 2, len(STEPS))
        model = _fix_and_slim(traced, weights, hw)
        require_finite_weights(model, weights.name)
        _write_metadata(model, yolo, weights, hw, source)
        spec = read_spec(model, weights.stem)
        if spec.head != chosen or spec.batch is not None or spec.input_wh != (width, height):
            raise ExportError(
                f"The export of {weights.name} came out as head {spec.head}, batch {spec.batch}, "
                f"input {spec.input_wh}; asked for {chosen}, dynamic, {shown}.",
                hint="This Ultralytics version behaves differently; try: pip install -U ultralytics",
            )
        progress(STEPS[3], 3, len(STEPS))
        with quiet():
            difference = _compare(model, spec, yolo)
        if not difference <= MAX_DIFFERENCE:  # also true for NaN
            raise ExportError(
                f"The export of {weights.name} differs from the torch network by {difference:.2g} relative.",
                hint="Please report this with the output of: yolotrt doctor --json -",
            )
        write_bytes(target, model.SerializeToString())
        progress(STEPS[3], 4, len(STEPS))
    return ExportResult(target, spec, onnx_key(model), difference, False, is_untrained(weights))


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


def _trace(yolo: Any, weights: Path, hw: tuple[int, int], head: Head) -> onnx.ModelProto:
    """Run Ultralytics' exporter and return its graph, with batch, height and width dynamic."""
    try:
        made = yolo.export(
            format="onnx",
            imgsz=list(hw),
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
            f"Ultralytics could not export {weights.name} ({type(exc).__name__}: {first_line(exc)}).",
            hint="Try: pip install -U ultralytics",
        ) from exc
    return load_onnx(Path(made))


def _fix_and_slim(model: onnx.ModelProto, weights: Path, hw: tuple[int, int]) -> onnx.ModelProto:
    """Fix height and width and fold everything that follows from them; the batch stays dynamic.

    A dynamic height and width costs about 270 extra layers in TensorRT and keeps shape arithmetic on
    the host, which forbids CUDA graphs.
    """
    import onnxslim

    dims = model.graph.input[0].type.tensor_type.shape.dim
    for axis, side in zip((2, 3), hw, strict=True):
        dims[axis].dim_value = side
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    slim = onnxslim.slim(model)
    if slim is None:
        raise ExportError(f"onnxslim returned nothing for {weights.name}.", hint="pip install -U onnxslim")
    return slim


def _write_metadata(
    model: onnx.ModelProto, yolo: Any, weights: Path, hw: tuple[int, int], source: dict[str, str]
) -> None:
    properties = {
        "name": weights.stem,
        "task": "segment",
        # a Python literal, as Ultralytics itself writes and reads it
        "names": repr({int(k): str(v) for k, v in yolo.names.items()}),
        "stride": str(int(max(yolo.model.stride))),
        "imgsz": repr(list(hw)),
        "license": "AGPL-3.0",
        "untrained": str(is_untrained(weights)).lower(),
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
