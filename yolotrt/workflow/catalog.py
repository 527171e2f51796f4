"""Finding models and engines by name or by being the newest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.backends.admission import admit
from yolotrt.backends.base import EngineFile
from yolotrt.backends.names import NAMES
from yolotrt.backends.placement import place, require_device
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar import FORMAT, has_sidecar, read_sidecar
from yolotrt.data.foreign import VIDEO_ENDINGS
from yolotrt.data.images import EXTENSIONS
from yolotrt.distribution import install_hint
from yolotrt.errors import InputError, ModelError, YoloTrtError
from yolotrt.progress import Say
from yolotrt.text import shell_words

DEFAULT_MODEL = "yolo26n-seg"

MayFetch = Callable[[Path], bool]
"""Asked whether weights may be fetched to this path."""


def find_model(
    name: str | None, engines: Path, *, may_fetch: MayFetch = lambda _: False, say: Say = lambda _: None
) -> Path:
    """Return the weights or ONNX file to build from.

    Args:
        name: A path; the name of weights that Ultralytics publishes, which are looked for in ``engines``,
            too, and fetched into it; or None for :data:`DEFAULT_MODEL`.
        engines: Folder of ONNX files and engines.
        may_fetch: Asked before weights are fetched.
        say: Told where fetched weights are, with their hash.

    Raises:
        InputError: The path does not exist, or there is no default model.
        ModelError: The file is neither weights nor ONNX.
    """
    from yolotrt.model.weights import is_published  # whoever has an engine needs nothing of weights

    if name is None:
        for folder in (engines, Path()):
            for suffix in (".onnx", ".pt"):
                if (found := folder / f"{DEFAULT_MODEL}{suffix}").is_file():
                    return found
        return _published(f"{DEFAULT_MODEL}.pt", engines, may_fetch, say)
    path = Path(name)
    if is_published(name) and not path.exists():
        return _published(name, engines, may_fetch, say)
    path = require_file(path, "weights (.pt), a model .yaml or an ONNX file")
    if path.suffix.lower() not in {".pt", ".onnx", ".yaml", ".yml"}:
        raise ModelError(
            f"{path} is neither weights (.pt, .yaml) nor an ONNX file.",
            hint="yolotrt build MODEL.onnx, or yolotrt build WEIGHTS.pt",
        )
    return path


def _published(name: str, engines: Path, may_fetch: MayFetch, say: Say) -> Path:
    """Return weights that Ultralytics publishes: those that are here, or fetched ones."""
    from yolotrt.model.weights import RELEASES, can_obtain, obtain_weights

    target = engines / name
    if target.is_file():
        return target
    by_hand = f"Download {name} from {RELEASES} into {engines}/, or name the file: yolotrt build PATH/{name}."
    if not can_obtain():
        raise InputError(
            f"There is no {name} here or in {engines}/, and Ultralytics, which fetches it, is not installed.",
            hint=f"{install_hint('export')}\n{by_hand}",
        )
    if not may_fetch(target):
        raise InputError(
            f"There is no {name} here or in {engines}/.",
            hint=f"Add -y, and Ultralytics fetches its own weights (AGPL-3.0) into {engines}/.\n{by_hand}",
        )
    obtained = obtain_weights(target)
    if obtained is None:
        raise InputError(f"Ultralytics could not fetch {name} (no network?).", hint=by_hand)
    say(f"weights: {obtained} (sha256 {sha256_file(obtained)})")
    return obtained


def newest_engine(engines: Path, device: str = "auto", say: Say = lambda _: None) -> Path:
    """Return the engine in a folder whose sidecar was written last, of those that can run here.

    Args:
        engines: The folder.
        device: Where it is to run; see :func:`yolotrt.backends.placement.place`.
        say: Told which was taken and why, and which others there are.

    Raises:
        UsageError: The device is none.
        InputError: There is none, or none that can run here.
    """
    require_device(device)
    sidecars = [p for p in engines.glob("*.json") if p.with_suffix("").is_file() and _is_sidecar(p)]
    if not sidecars:
        raise InputError(
            f"There is no engine in {engines}/.",
            hint="Build one: yolotrt build MODEL --fp16 (a GPU) or --int8 (a processor); or: yolotrt demo",
        )
    sidecars.sort(key=lambda p: (p.stat().st_mtime_ns, p.name), reverse=True)
    fitting, unfit = [], []
    for engine in (p.with_suffix("") for p in sidecars):
        reason = _unusable(engine, device)
        if reason is None:
            fitting.append(engine)
        else:
            unfit.append(f"{engine.name}: {reason}")
    if not fitting:
        raise InputError(
            f"None of the {len(unfit)} engines in {engines}/ can run here: {'; '.join(unfit[:4])}.",
            hint="Build one for this machine: yolotrt build MODEL; see: yolotrt doctor",
        )
    others = [str(path) for path in fitting[1:]]
    which = f"the newest of {len(fitting)} in {engines}/ that can run here" if others else "the only one"
    if unfit and not others:
        which = f"the only one of {len(sidecars)} in {engines}/ that can run here"
    say(f"engine: {fitting[0]} ({which})")
    if others:
        say(f"note: name one to take it instead: {', '.join(others[:4])}{', ...' if others[4:] else ''}")
    if unfit:
        say(f"note: left out: {'; '.join(unfit[:4])}")
    return fitting[0]


def _unusable(engine: Path, device: str) -> str | None:
    """Return why an engine cannot run here, or None."""
    try:
        file = read_sidecar(engine)
        state = backend(file.backend).availability()
        if state.usable:
            place(file, device)
    except YoloTrtError as exc:
        return exc.message.rstrip(".")
    return None if state.usable else state.reason.rstrip(".")


def is_engine_name(text: str) -> bool:
    """Return whether a word on the command line names an engine or a model rather than pictures."""
    path = Path(text)
    ending = path.suffix.lower()
    if ending in (".onnx", ".pt", ".pth", ".yaml", ".yml"):
        return True
    if ending in (*EXTENSIONS, *VIDEO_ENDINGS) or not ending:  # no backend need be imported to know
        return path.is_file() and has_sidecar(path)
    endings = {ending for name in NAMES for ending in _endings(name)}
    return ending in endings or (path.is_file() and has_sidecar(path))


def _endings(name: str) -> tuple[str, ...]:
    found = backend(name)
    return (Path(f"x{found.suffix}").suffix, *found.foreign_suffixes)


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
