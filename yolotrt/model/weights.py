"""Loading Ultralytics weights, which are code, without running what others put into them."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import scratch_folder, write_bytes
from yolotrt.distribution import install_hint
from yolotrt.errors import MissingDependency, ModelError

_REFUSED = re.compile(
    r"[Uu]nsupported (?:global: )?GLOBAL ([\w.]+)|(unsupported activation)|(unsafe getattr)|(unsafe \w+)"
)
"""What Ultralytics' and torch's restricted loaders say when they refuse something."""


RELEASES = "https://github.com/ultralytics/assets/releases"
"""Where Ultralytics publishes its weights."""

_PUBLISHED = re.compile(r"yolo(?:v?\d{1,2}|e-\d\w*)[nsmlxtbce](?:-seg)\.pt")


def is_published(name: str) -> bool:
    """Return whether a name without folder is that of segmentation weights as Ultralytics publishes them."""
    return _PUBLISHED.fullmatch(name) is not None


def can_obtain() -> bool:
    """Return whether Ultralytics is installed; imports nothing."""
    return find_spec("ultralytics") is not None


def obtain_weights(target: Path) -> Path | None:
    """Let Ultralytics download its official weights of this name; None if it is missing or cannot.

    Raises:
        StorageError: The weights cannot be written.
    """
    with scratch_folder(target) as folder, quiet():
        try:
            from ultralytics.utils.downloads import attempt_download_asset

            found = Path(attempt_download_asset(str(folder / target.name)))
        except Exception:  # not installed, offline, no such model: the caller names the other ways
            return None
        return write_bytes(target, found.read_bytes()) if found.is_file() else None


def is_untrained(weights: Path) -> bool:
    """Return whether this is a model description, which has no weights yet."""
    return weights.suffix.lower() in {".yaml", ".yml"}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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


def load_weights(copy: Path, weights: Path, trust: bool, warn: Callable[[str], None]) -> Any:
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
            yolo = YOLO(str(copy), task="segment" if is_untrained(weights) else None)
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
            f"({type(exc).__name__}: {first_line(exc).replace(str(copy), str(weights))}).",
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


def first_line(exc: BaseException) -> str:
    """Return the first line of what an exception says."""
    text = str(exc).strip()
    return text.splitlines()[0] if text else ""
