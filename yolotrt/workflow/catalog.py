"""Finding models and engines by name or by being the newest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from yolotrt.artifacts.files import require_file
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import FORMAT, read_sidecar
from yolotrt.errors import InputError, ModelError
from yolotrt.model.weights import obtain_weights
from yolotrt.progress import Say
from yolotrt.text import shell_words

DEFAULT_MODEL = "yolo26n-seg"


def find_model(name: str | None, engines: Path) -> Path:
    """Return the weights or ONNX file to build from.

    Args:
        name: A path, or None for :data:`DEFAULT_MODEL` as found in ``engines`` or the current folder, or
            as Ultralytics downloads it.
        engines: Folder of ONNX files and engines.

    Raises:
        InputError: The path does not exist, or there is no default model.
        ModelError: The file is neither weights nor ONNX.
    """
    if name is not None:
        path = require_file(Path(name), "weights (.pt), a model .yaml or an ONNX file")
        if path.suffix.lower() not in {".pt", ".onnx", ".yaml", ".yml"}:
            raise ModelError(
                f"{path} is neither weights (.pt, .yaml) nor an ONNX file.",
                hint="yolotrt build MODEL.onnx, or yolotrt build WEIGHTS.pt",
            )
        return path
    for folder in (engines, Path()):
        for suffix in (".onnx", ".pt"):
            if (found := folder / f"{DEFAULT_MODEL}{suffix}").is_file():
                return found
    if obtained := obtain_weights(engines / f"{DEFAULT_MODEL}.pt"):
        return obtained
    raise InputError(
        f"There is no {DEFAULT_MODEL}.onnx or {DEFAULT_MODEL}.pt in {engines}/ or here, and Ultralytics "
        "cannot download it (not installed, or no network).",
        hint=f"Either name a model (yolotrt build MODEL.pt or MODEL.onnx), or download {DEFAULT_MODEL}.pt "
        f"from Ultralytics' releases into {engines}/.",
    )


def newest_engine(engines: Path) -> Path:
    """Return the engine in a folder whose sidecar was written last.

    Raises:
        InputError: There is none.
    """
    sidecars = [p for p in engines.glob("*.json") if p.with_suffix("").is_file() and _is_sidecar(p)]
    if not sidecars:
        raise InputError(f"There is no engine in {engines}/.", hint="Build one: yolotrt build MODEL --int8")
    return max(sidecars, key=lambda p: (p.stat().st_mtime_ns, p.name)).with_suffix("")


def read_engines(
    paths: list[Path], engines: Path, *, trust: bool = False, warn: Say = lambda _: None
) -> list[EngineFile]:
    """Return the named engines, or the newest one if none is named.

    Args:
        paths: The engines.
        engines: Folder to take the newest one from.
        trust: Also take engines that no matching sidecar vouches for.
        warn: Told about each that needed it.

    Raises:
        InputError: An engine is missing.
        ArtifactError: No sidecar vouches for an engine.
    """
    return told_apart([admit(path, trust=trust, warn=warn) for path in paths or [newest_engine(engines)]])


def told_apart(files: Sequence[EngineFile]) -> list[EngineFile]:
    """Return engines whose names differ, by as many of their folders as it takes.

    Every training calls its model best.
    """
    parts = [file.path.absolute().parts for file in files]

    def label(own: tuple[str, ...]) -> str:
        others = [other for other in parts if other != own and other[-1] == own[-1]]
        depth = next(n for n in range(1, len(own) + 1) if all(other[-n:] != own[-n:] for other in others))
        return "/".join(own[-depth:])

    return [replace(file, label=label(own)) for file, own in zip(files, parts, strict=True)]


def find_reference(
    name: str, file: EngineFile, engines: Path, *, trust: bool = False, warn: Say = lambda _: None
) -> EngineFile:
    """Return the engine to compare with.

    Args:
        name: An engine's path, or ``fp32`` for the FP32 engine of the same network in ``engines``.
        file: The engine that is compared.
        engines: Folder to look in.
        trust: As in :func:`read_engines`, for a path.
        warn: As there.

    Raises:
        InputError: It does not exist.
        ArtifactError: It is damaged.
    """
    if name != "fp32":
        return admit(Path(name), trust=trust, warn=warn)
    for sidecar in sorted(p for p in engines.glob("*.json") if _is_sidecar(p)):
        engine = sidecar.with_suffix("")
        if not engine.is_file():
            continue
        found = read_sidecar(engine)
        if found.precision == "fp32" and found.sources.get("onnx") == file.sources.get("onnx"):
            return admit(engine)
    source = file.sources.get("onnx_file", "MODEL.onnx")
    raise InputError(
        f"There is no fp32 engine of the network of {file.path.name} in {engines}/.",
        hint=f"Build it: yolotrt build {shell_words(source)} --fp32",
    )


def _is_sidecar(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return FORMAT.encode() in stream.read(200)
