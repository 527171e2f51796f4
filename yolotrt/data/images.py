"""Finding and reading images: whatever the file holds, the result is upright 8-bit BGR."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import strange_kind
from yolotrt.data.headers import HeaderError, image_size
from yolotrt.errors import ImageError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""File name endings that count as images in a folder, in any case."""

MAX_PIXELS = 256_000_000
"""Largest image that is decoded: 768 MB of memory. A larger one is refused by its header."""


def list_images(path: Path) -> list[Path]:
    """Return the images of a folder and its subfolders, sorted; or the one file that was named.

    Hidden files and folders are left out. A file is taken as it is, whatever its name.

    Raises:
        ImageError: Nothing is there, or the folder holds no image file.
    """
    if path.is_file():
        return [path]
    if strange := strange_kind(path):
        raise ImageError(f"{path} is {strange}, not an image.", hint="Name an image or a folder of images.")
    if not path.is_dir():
        raise ImageError(f"{path} does not exist.", hint="Name an image or a folder of images.")
    found = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS):
                found.append(Path(folder) / name)
    if not found:
        raise ImageError(f"{path} holds no images.", hint=f"Images end in {', '.join(EXTENSIONS)}.")
    return sorted(found)


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read one image as (h, w, 3) uint8 BGR.

    EXIF rotation is applied; gray, CMYK and 16-bit images are converted; transparency is dropped.

    Raises:
        ImageError: The file is missing, a pipe or device, empty, truncated, no image, or larger than
            ``max_pixels``.
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
    import cv2

    try:
        width, height = image_size(data)
    except HeaderError as exc:
        raise ImageError(f"{path} cannot be used: {exc}.", hint="Replace or remove the file.") from exc
    if width * height > max_pixels:
        raise ImageError(
            f"{path} announces {width}x{height} px, more than the limit of {max_pixels:,} pixels.",
            hint="Cut or scale it down first.",
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"{path} cannot be decoded; it is damaged.", hint="Replace or remove the file.")
    return np.asarray(image, np.uint8)
