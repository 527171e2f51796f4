"""Say what a file is, by its content and not by its name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.files import require_file
from yolotrt.backends.admission import Warn, admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import FORMAT as SIDECAR
from yolotrt.backends.sidecar import read_sidecar, sidecar_path
from yolotrt.backends.tensorrt.describe import describe_engine, describe_foreign, describe_layers
from yolotrt.bench.result import FORMAT as RESULT
from yolotrt.bench.result import read_result
from yolotrt.calibration.cache import FORMAT as CALIBRATION
from yolotrt.calibration.cache import read_ranges
from yolotrt.errors import ArtifactError
from yolotrt.model.onnxfile import load_onnx, metadata, onnx_key, read_spec

FOREIGN = (".engine", ".plan", ".trt")
"""File name endings of TensorRT engines that were not built here."""


def describe(path: Path, *, trust: bool = False, warn: Warn = lambda _: None) -> dict[str, Any]:
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
    if sidecar_path(path).exists():
        return _engine(admit(path, trust=trust, warn=warn))
    if path.suffix == ".onnx":
        return _onnx(path)
    if path.suffix == ".json":
        return _document(path, trust, warn)
    if path.suffix in FOREIGN:
        return {"kind": "engine of another tool", **describe_foreign(admit(path, trust=trust, warn=warn))}
    raise ArtifactError(
        f"{path} is no file that yolotrt knows.",
        hint="inspect takes .onnx files, engines with a sidecar, and yolotrt's JSON files.",
    )


def _engine(file: EngineFile) -> dict[str, Any]:
    inside = describe_engine(file) if file.path.exists() and file.backend.startswith("tensorrt") else {}
    if file.backend == "fused":  # whose sidecar holds all that the engine itself does
        inside = describe_layers(file.layers)
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


def _document(path: Path, trust: bool, warn: Warn) -> dict[str, Any]:
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
