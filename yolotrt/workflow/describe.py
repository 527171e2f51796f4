"""Say what a file is, by its content and not by its name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import as_values, read_json
from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.kinds import is_json
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.names import NAMES
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar import has_sidecar, read_sidecar
from yolotrt.backends.sidecar_file import DOCUMENT as SIDECAR
from yolotrt.bench.case import Case
from yolotrt.bench.result import DOCUMENT as RESULT
from yolotrt.bench.result import RunResult
from yolotrt.cuda.machine import HERE, Machine
from yolotrt.errors import ArtifactError
from yolotrt.model.onnxfile import load_onnx, metadata, onnx_key, read_spec
from yolotrt.progress import Say
from yolotrt.quantization.cache_file import CalibrationFile
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.workflow.describe_others import (
    OTHER_KINDS,
    describe_annotations,
    describe_lines,
    describe_other,
    is_lines,
)
from yolotrt.workflow.documents import DOCUMENTS, document_in
from yolotrt.workflow.replies import INSPECTED, Inspected

DESCRIPTION = INSPECTED.what

KINDS = (
    DESCRIPTION,
    "empty list",
    *(
        "engine",
        "engine of another tool",
        "ONNX model",
        "benchmark result",
        "benchmark results",
        "documents",
        "predictions",
        "roofline",
    ),
    *("calibration cache", *(document.what for document in DOCUMENTS)),
    *OTHER_KINDS,
)
"""What a description says under ``kind``."""

PREDICTION = frozenset({"category_id", "bbox", "score"})
"""Fields of each record that ``predict --json`` writes."""


def describe(
    path: Path, *, trust: bool = False, warn: Say = lambda _: None, machine: Machine = HERE
) -> dict[str, Any]:
    """Return what is in a file, as JSON values; ``kind`` says what it is.

    Args:
        path: The file.
        trust: Also load engines that no matching sidecar vouches for.
        warn: Told when that was needed.
        machine: Whose GPU engines may be asked on.

    Raises:
        InputError: It is missing, a directory, or unreadable.
        ArtifactError: It is none of the known kinds, or damaged.
        ModelError: It is a damaged ONNX file or not a segmentation model.
    """
    require_file(path, "a network, an engine, or what yolotrt wrote")
    if has_sidecar(path):
        return _engine(admit(path, trust=trust, warn=warn, machine=machine), machine)
    if path.suffix == ".onnx":
        return _onnx(path)
    if path.suffix == ".json":
        return _document(path, trust, warn, machine)
    if any(path.suffix in backend(name).foreign_suffixes for name in NAMES):
        return _foreign(admit(path, trust=trust, warn=warn, machine=machine), machine)
    try:
        other = describe_other(path)
    except (ValueError, AttributeError, StopIteration) as exc:  # its ending promises more than it holds
        raise ArtifactError(f"{path} cannot be read as its ending says.", hint="Is it complete?") from exc
    if other is not None:
        return other
    if is_json(path):
        return _document(path, trust, warn, machine)
    raise ArtifactError(
        f"{path} is no file that yolotrt knows.",
        hint="inspect takes networks, weights, engines, pictures, videos, and whatever yolotrt writes.",
    )


def inspected(found: dict[str, Any]) -> Inspected:
    """Return a description as the document that ``inspect --json`` writes."""
    return Inspected(found["kind"], {key: value for key, value in found.items() if key != "kind"})


def describe_roofline(
    path: Path,
    gpu: str | None,
    batch: int | None,
    *,
    trust: bool = False,
    warn: Say = lambda _: None,
    machine: Machine = HERE,
) -> dict[str, Any]:
    """Return an engine's layers against what a GPU can do; see :meth:`.Backend.roofline`.

    Raises:
        YoloTrtError: It is no engine, or its backend cannot say.
    """
    file = admit(path, trust=trust, warn=warn, machine=machine)
    return backend(file.backend).roofline(file, gpu, batch, machine)


def _engine(file: EngineFile, machine: Machine) -> dict[str, Any]:
    inside = backend(file.backend).describe(file, machine) if file.path.exists() else {}
    return {
        "kind": "engine",
        "backend": file.backend,
        "precision": file.precision,
        "batches": list(file.batches) or "any",
        "bytes": file.path.stat().st_size if file.path.exists() else None,
        "sha256": file.sha256,
        "model": file.spec.name,
        "head": file.spec.head,
        "input_wh": list(file.spec.input_wh),
        "classes": list(file.spec.names),
        "made_from": dict(file.sources),
        "environment": dict(file.environment),
        **inside,
    }


def _foreign(file: EngineFile, machine: Machine) -> dict[str, Any]:
    return {
        "kind": "engine of another tool",
        "backend": file.backend,
        "precision": file.precision,
        "bytes": file.path.stat().st_size,
        "head": file.spec.head,
        "input_wh": list(file.spec.input_wh),
        "classes": list(file.spec.names),
        **backend(file.backend).describe(file, machine),
    }


def _onnx(path: Path) -> dict[str, Any]:
    model = load_onnx(path)
    spec = read_spec(model, path.stem)
    counts = Counter(node.op_type for node in model.graph.node)
    shown = {k: v for k, v in metadata(model).items() if k != "names"}
    return {
        "kind": "ONNX model",
        "key": onnx_key(model),
        "bytes": path.stat().st_size,
        "head": spec.head,
        "input": f"{spec.input_name} ({spec.batch or 'batch'}, 3, {spec.input_wh[1]}, {spec.input_wh[0]})",
        "outputs": [spec.head_output, spec.proto_output],
        "mask_coeffs": spec.mask_coeffs,
        "classes": list(spec.names),
        "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "operators": dict(counts.most_common()),
        "metadata": shown,
    }


def _document(path: Path, trust: bool, warn: Say, machine: Machine) -> dict[str, Any]:
    if is_lines(path):
        return describe_lines(path)
    found = read_json(path)
    if found == []:
        return {"kind": "empty list", "perhaps": "what yolotrt predict --json wrote, and nothing was found"}
    if isinstance(found, list) and all(RESULT.is_in(entry) for entry in found):
        return {"kind": "benchmark results", "results": [_result(RESULT.parse(path, e)) for e in found]}
    if isinstance(found, list) and all(isinstance(e, dict) and e.keys() >= PREDICTION for e in found):
        return _predictions(found)
    if isinstance(found, list) and all(document_in(entry) for entry in found):
        return {"kind": "documents", "documents": [_told(path, entry) for entry in found]}
    if isinstance(found, dict) and "format" not in found and found.get("kind") in KINDS:
        return {"kind": DESCRIPTION, "of": found}
    if (annotations := describe_annotations(found)) is not None and "format" not in found:
        return annotations
    if SIDECAR.is_in(found):
        engine = path.with_suffix("")
        there = engine.exists()
        described = admit(engine, trust=trust, warn=warn, machine=machine) if there else read_sidecar(engine)
        return _engine(described, machine)
    return _told(path, found)


def _told(path: Path, found: Any) -> dict[str, Any]:
    document = document_in(found)
    if document is None:
        raise ArtifactError(
            f"{path} is JSON, but none of yolotrt's documents.", hint="Its 'format' is unknown."
        )
    value = document.parse(path, found)
    if isinstance(value, RunResult):
        return _result(value)
    if isinstance(value, CalibrationFile):
        return _calibration(value.ranges)
    if isinstance(value, Inspected):
        return {"kind": DESCRIPTION, "of": {"kind": value.kind, **value.found}}
    marks = ("format", "version")
    return {"kind": document.what, **{k: v for k, v in document.to_json(value).items() if k not in marks}}


def _result(result: RunResult) -> dict[str, Any]:
    return {
        "kind": "benchmark result",
        "settings": as_values(result.settings),
        "environment": as_values(result.environment),
        "cases": {_case(e.case): f"{len(e.samples['end_to_end'])} frames" for e in result.cases},
    }


def _predictions(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the records that COCO's tools read, which have no place to say what they are."""
    named = Counter(str(entry.get("category", entry["category_id"])) for entry in found)
    return {
        "kind": "predictions",
        "records": len(found),
        "images": len({str(entry.get("image", entry.get("image_id"))) for entry in found}),
        "categories": dict(named.most_common()),
    }


def _calibration(ranges: CalibrationRanges) -> dict[str, Any]:
    return {
        "kind": "calibration cache",
        "algorithm": ranges.key.algorithm,
        "network": ranges.key.onnx,
        "images": len(ranges.key.images),
        "preprocessing": dict(ranges.key.preprocessing),
        "ranges": {
            name: f"{found.lo:.4g} to {found.hi:.4g}, symmetric {found.amax:.4g}"
            for name, found in ranges.tensors.items()
        },
    }


def _case(case: Case) -> str:
    return f"{case.engine} {case.precision} {case.mode} {case.way} {case.groups}"
