"""Where frames come from: an image, a folder of images, or a synthetic scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.hashing import sha256_file
from yolotrt.data.images import list_images, read_image
from yolotrt.errors import ImageError

SCENE = "scene"
MAX_FRAMES = 16
"""Frames of a folder that are held in memory; a 4K frame takes 25 MB."""


def read_frames(source: str, *, seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Return at least one frame.

    Args:
        source: Path of an image or folder, or ``scene`` for a synthetic 3840x2160 frame.
        seed: Seed of the scene.

    Returns:
        (h, w, 3) uint8 BGR each; the first :data:`MAX_FRAMES` of a folder in the order of their names.

    Raises:
        ImageError: Nothing is there, or an image cannot be read.
    """
    if source == SCENE:
        from yolotrt.data.scenes.scene import make_scene

        return [make_scene(seed).image]
    return [read_image(path) for path in list_images(Path(source))[:MAX_FRAMES]]


def source_files(source: str) -> tuple[tuple[str, str], ...]:
    """Return name and sha256 of every picture that :func:`read_frames` reads; nothing for a scene.

    Names are relative to a folder, which may move.

    Raises:
        ImageError: Nothing is there, or an image cannot be read.
    """
    if source == SCENE:
        return ()
    root = Path(source)
    return tuple(
        (path.name if path == root else path.relative_to(root).as_posix(), _digest(path))
        for path in list_images(root)[:MAX_FRAMES]
    )


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as exc:
        raise ImageError(f"{path} cannot be read ({exc.strerror}).", hint="Check the path.") from exc
