"""Finding and reading images: whatever the file holds, the result is upright 8-bit BGR."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import strange_kind
from yolotrt.data.foreign import ENDINGS, VIDEO_ENDINGS
from yolotrt.data.headers import HeaderError, holds_several, image_size
from yolotrt.errors import ImageError, PictureWarning

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
"""File name endings that count as images in a folder, in any case."""

MAX_PIXELS = 256_000_000
"""Largest image that is decoded: 768 MB of memory. A larger one is refused by its header."""


def has_known_ending(text: str) -> bool:
    """Return whether a name ends as a picture's or a video's does."""
    return text.lower().endswith((*EXTENSIONS, *VIDEO_ENDINGS))


def list_images(path: Path) -> list[Path]:
    """Return the images of a folder and its subfolders, sorted; or the one file that was named.

    Hidden files and folders are left out, and in subfolders the pictures of what was found. A file is taken
    as it is, whatever its name.

    Raises:
        ImageError: Nothing is there, or the folder holds no image file.
    """
    if os.path.isfile(path):
        return [path]
    if strange := strange_kind(path):
        raise ImageError(f"{path} is {strange}, not an image.", hint="Name an image or a folder of images.")
    if not os.path.isdir(path):
        raise ImageError(f"{path} does not exist.", hint="Name an image or a folder of images.")
    from yolotrt.artifacts.folders import DRAWN, FilesOfVerb  # one file needs no list

    found, links, others, videos = [], list[str](), Counter[str](), Counter[str]()
    results = FilesOfVerb(DRAWN)
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        shown = (Path(folder, s) for s in subfolders)
        links += [str(place.relative_to(path)) for place in shown if place.is_symlink()]
        if folder != os.fspath(path):
            results.look_into(Path(folder), names)
        for name in names:
            if name.startswith(".") or results.hold(Path(folder, name)):
                continue
            if name.lower().endswith(EXTENSIONS):
                found.append(Path(folder) / name)
            for counted, endings in ((others, ENDINGS), (videos, VIDEO_ENDINGS)):
                if name.lower().endswith(endings):
                    counted[Path(name).suffix.lower()] += 1
    if links:
        _warn(
            path, f"links to folders are not followed: name these themselves ({', '.join(sorted(links)[:3])})"
        )
    if results.count:
        _warn(path, f"what {DRAWN} drew in subfolders is left out ({results.count} files)")
    if not found:
        but = f", but pictures that have to be converted: {_listed(others)}" if others else ""
        but += f", but videos: {_listed(videos)}" if videos else ""
        raise ImageError(f"{path} holds no images{but}.", hint=f"Images end in {', '.join(EXTENSIONS)}.")
    if others:
        _warn(path, f"pictures that are not read are left out; convert them first ({_listed(others)})")
    if videos:
        _warn(path, f"videos in a folder are left out ({_listed(videos)})")
    return sorted(found)


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read one image as (h, w, 3) uint8 BGR.

    EXIF rotation is applied; gray, CMYK, 16-bit and floating-point images are converted; transparency is
    dropped; of several pictures the first is taken. Colour profiles are not applied: numbers count as sRGB.
    What had to be guessed is said by a :class:`yolotrt.errors.PictureWarning`.

    Raises:
        ImageError: The file is missing, a pipe or device, empty, truncated, no image, larger than
            ``max_pixels``, or its samples have no known brightness.
    """
    if strange := strange_kind(path):
        raise ImageError(f"{path} is {strange}, not an image.", hint="Replace or remove it.")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ImageError(f"{path} cannot be read ({exc.strerror}).", hint="Check the path.") from exc
    return decode_image(data, path, max_pixels=max_pixels)


def decode_image(data: bytes, path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode the bytes of an image file; ``path`` is only named in messages.

    Raises:
        ImageError: As :func:`read_image`.
    """
    from yolotrt.data.decoders import decode

    try:
        width, height = image_size(data)
        if width * height > max_pixels:
            raise HeaderError(
                f"it announces {width}x{height} px, more than the limit of {max_pixels:,} pixels",
                "Cut or scale it down first.",
            )
        image, note = decode(data)
        several = holds_several(data)
    except HeaderError as exc:
        raise ImageError(f"{path} cannot be used: {exc}.", hint=exc.hint) from exc
    if several:
        _warn(path, "it holds several pictures, and the first is read")
    if note:
        _warn(path, note)
    return image


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))


def _warn(path: Path, text: str) -> None:
    kind = re.sub(r"\d[\d,]*", "N", text)
    warnings.warn(PictureWarning(f"{path}: {text}.", kind), stacklevel=3)
