"""Which engine files are loaded at all.

An engine is a program: TensorRT copies the machine code in it onto the GPU, and its reader was not written
for files from strangers. So an engine is loaded only if its sidecar names the hash of its bytes, unless the
user says that he trusts it. The hash finds files that were exchanged or damaged on their way; it is no
signature, since whoever makes an engine can write a sidecar for it.

An ONNX file holds no code, and one without external data reads no other file (see
:func:`yolotrt.model.onnxfile.load_onnx`), so ``yolotrt build`` takes any. Running it as an engine without
building it needs the same word: nothing says that it is the network that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.sidecar import read_engine, read_sidecar, sidecar_path
from yolotrt.errors import ArtifactError
from yolotrt.model.notes import lost_names

Warn = Callable[[str], None]


def admit(path: Path, *, trust: bool = False, warn: Warn = lambda _: None) -> EngineFile:
    """Return an engine file that may be loaded.

    Args:
        path: The engine: yolotrt's own, a TensorRT engine of Ultralytics or trtexec, or an ONNX file.
        trust: Also take one that no sidecar vouches for.
        warn: Told when ``trust`` was needed, before anything of the file is loaded, and when class numbers
            stand for names.

    Raises:
        InputError: It is missing or unreadable.
        ArtifactError: No sidecar vouches for it, or it is damaged or does not fit this machine.
        ModelError: It is not a YOLO segmentation network.
        EnvironmentFault: It is a TensorRT engine without a sidecar, and TensorRT or a GPU is missing.
    """
    require_file(path, "an engine")
    file = _trusted(path, warn) if trust else read_engine(path)
    if note := lost_names(file.spec):
        warn(note)
    return file


def _trusted(path: Path, warn: Warn) -> EngineFile:
    """Describe an engine that its user trusts, whether a sidecar vouches for it or not."""
    if sidecar_path(path).exists():
        file, found = read_sidecar(path), sha256_file(path)
        if found != file.sha256:
            warn(f"{path} does not match the hash in its sidecar; it is loaded because you trust it.")
        return replace(file, sha256=found)
    warn(f"{path} has no sidecar; it is loaded because you trust it.")
    return _onnx(path) if path.suffix == ".onnx" else _foreign(path)


def require_unchanged(file: EngineFile, data: bytes) -> bytes:
    """Return the bytes that are about to be loaded if they are still those that were admitted.

    Raises:
        ArtifactError: They are not.
    """
    from yolotrt.artifacts.hashing import sha256_bytes

    if sha256_bytes(data) != file.sha256:
        raise ArtifactError(f"{file.path} was changed while it was being loaded.", hint="Run it again.")
    return data


def _onnx(path: Path) -> EngineFile:
    """Describe an ONNX file that was not built here, to be run as it stands."""
    from yolotrt.model.held import held_precision
    from yolotrt.model.onnxfile import load_onnx, onnx_key, read_spec

    model = load_onnx(path)
    precision: Precision = held_precision(model)
    sources = {"onnx": onnx_key(model), "onnx_file": path.name}
    spec = read_spec(model, path.stem)
    return EngineFile(path, "onnxruntime", precision, spec, (), sha256_file(path), sources)


def _foreign(path: Path) -> EngineFile:
    """Describe a TensorRT engine of another tool; only TensorRT can, so it is loaded once for it."""
    from yolotrt.backends.tensorrt.backend import load_foreign

    engine = load_foreign(path)
    try:
        return engine.file
    finally:
        engine.close()
