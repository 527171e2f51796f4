"""Say what a file is, by its content and not by its name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.files import require_file
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.names import NAMES
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar import FORMAT as SIDECAR
from yolotrt.backends.sidecar import has_sidecar, read_sidecar
from yolotrt.bench.result import FORMAT as RESULT
from yolotrt.bench.result import read_result
from yolotrt.cuda.machine import HERE
from yolotrt.errors import ArtifactError
from yolotrt.model.onnxfile import load_onnx, metadata, onnx_key, read_spec
from yolotrt.progress import Say
from yolotrt.quantization.cache import FORMAT as CALIBRATION
from yolotrt.quantization.cache import read_ranges

KINDS = (
    "engine",
    "engine of another tool",
    "ONNX model",
    "benchmark result",
    "calibration cache",
    "roofline",
)
"""What a description says under ``kind``."""


def describe(path: Path, *, trust: bool = False, warn: Say = lambda _: None) -> dict[str, Any]:
    """Return what is in a file, as JSON values; ``kind`` says what it is.

    Args:
        path: The file.
        trust: Also load engines that no matching sidecar vouches for.
        warn: Told when that was needed.

    Raises:
        InputError: It is missing, a directory, or unreadable.
        ArtifactError: It is none of the known kinds, or damaged.
        ModelError: It is a damaged ONNX file or not a segmentation model.
    """
    require_file(path, "an ONNX file, engine, sidecar, calibration cache or result file")
    if has_sidecar(path):
        return _engine(admit(path, trust=trust, warn=warn))
    if path.suffix == ".onnx":
        return _onnx(path)
    if path.suffix == ".json":
        return _document(path, trust, warn)
    if any(path.suffix in backend(name).foreign_suffixes for name in NAMES):
        return _foreign(admit(path, trust=trust, warn=warn))
    raise ArtifactError(
        f"{path} is no file that yolotrt knows.",
        hint="inspect takes .onnx files, engines with a sidecar, and yolotrt's JSON files.",
    )


def describe_roofline(
    path: Path, gpu: str | None, batch: int | None, *, trust: bool = False, warn: Say = lambda _: None
) -> dict[str, Any]:
    """Return an engine's layers against what a GPU can do; see :meth:`.Backend.roofline`.

    Raises:
        YoloTrtError: It is no engine, or its backend cannot say.
    """
    file = admit(path, trust=trust, warn=warn)
    return backend(file.backend).roofline(file, gpu, batch, HERE)


def _engine(file: EngineFile) -> dict[str, Any]:
    inside = backend(file.backend).describe(file, HERE) if file.path.exists() else {}
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


def _foreign(file: EngineFile) -> dict[str, Any]:
    return {
        "kind": "engine of another tool",
        "backend": file.backend,
        "precision": file.precision,
        "bytes": file.path.stat().st_size,
        "head": file.spec.head,
        "input_wh": list(file.spec.input_wh),
        "classes": list(file.spec.names),
        **backend(file.backend).describe(file, HERE),
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


def _document(path: Path, trust: bool, warn: Say) -> dict[str, Any]:
    document = read_json(path)
    kind = document.get("format") if isinstance(document, dict) else None
    if kind == SIDECAR:
        engine = path.with_suffix("")
        return _engine(admit(engine, trust=trust, warn=warn) if engine.exists() else read_sidecar(engine))
    if kind == RESULT:
        result = read_result(path)
        cases = {
            " ".join(map(str, vars(entry.case).values())): f"{len(entry.samples['end_to_end'])} frames"
            for entry in result.cases
        }
        return {
            "kind": "benchmark result",
            "settings": dict(result.settings),
            "environment": dict(result.environment),
            "cases": cases,
        }
    if kind == CALIBRATION:
        ranges = read_ranges(path)
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
    raise ArtifactError(f"{path} is JSON, but none of yolotrt's documents.", hint="Its 'format' is unknown.")
