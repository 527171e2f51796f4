"""Which engine files are loaded at all.

An engine is a program: TensorRT copies the machine code in it onto the GPU, and its reader was not written
for untrusted files. So an engine is loaded only if its sidecar names the hash of its bytes, unless the
user says that he trusts it. The hash finds files that were exchanged or damaged on their way; it is no
signature, since whoever makes an engine can write a sidecar for it.

An ONNX file holds no code, and one without external data reads no other file (see
:func:`yolotrt.model.onnxfile.load_onnx`), so ``yolotrt build`` takes any. Running it as an engine without
building it needs the same word: nothing says that it is the network that was measured.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.base import EngineFile
from yolotrt.backends.names import NAMES
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar import WEIGHTS, has_sidecar, read_engine, read_sidecar
from yolotrt.cuda.machine import HERE, Machine
from yolotrt.errors import ArtifactError, EnvironmentFault, MissingDependency, YoloTrtError
from yolotrt.model.notes import lost_names
from yolotrt.progress import Say


def admit(
    path: Path,
    *,
    trust: bool = False,
    warn: Say = lambda _: None,
    machine: Machine = HERE,
    loading: bool = False,
) -> EngineFile:
    """Return an engine file that may be loaded.

    Args:
        path: The engine: yolotrt's own, a TensorRT engine of Ultralytics or trtexec, or an ONNX file.
        trust: Also take one that no sidecar vouches for.
        warn: Told when ``trust`` was needed, before anything of the file is loaded, and when class numbers
            stand for names.
        machine: Whose GPU is asked about an engine of another tool.
        loading: It is loaded next; see :func:`yolotrt.backends.sidecar.read_engine`.

    Raises:
        InputError: It is missing or unreadable.
        ArtifactError: No sidecar vouches for it, or it is damaged or does not fit this machine.
        ModelError: It is not a YOLO segmentation network.
        EnvironmentFault: It is a TensorRT engine without a sidecar, and TensorRT or a GPU is missing.
    """
    require_file(path, "an engine")
    file = _trusted(path, warn, machine) if trust else read_engine(path, loading=loading)
    if note := lost_names(file.spec):
        warn(note)
    return file


def _trusted(path: Path, warn: Say, machine: Machine) -> EngineFile:
    """Describe an engine that its user trusts, whether a sidecar vouches for it or not."""
    if has_sidecar(path):
        file, found = read_sidecar(path), sha256_file(path)
        if found != file.sha256:
            warn(f"{path} does not match the hash in its sidecar; it is loaded because you trust it.")
        return replace(file, sha256=found)
    if path.suffix.lower() in WEIGHTS:
        read_engine(path)  # which says how an engine is made of them
    warn(f"{path} has no sidecar; it is loaded because you trust it.")
    return _adopted(path, machine)


def _adopted(path: Path, machine: Machine) -> EngineFile:
    """Describe an engine that was not built here, by whichever backend can."""
    refusals: list[YoloTrtError] = []
    for name in NAMES:
        try:
            if (file := backend(name).adopt(path, machine)) is not None:
                return file
        except (EnvironmentFault, ArtifactError) as exc:
            refusals.append(exc)
    # A refusal of the engine says most, the absence of a library least.
    raise min(refusals, key=lambda e: (not isinstance(e, ArtifactError), isinstance(e, MissingDependency)))
