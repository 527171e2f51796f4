"""Read annotated pictures, and notice where picture and annotations are turned or scaled differently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolotrt.data.formats.annotated import AnnotatedImage
from yolotrt.data.formats.orientation import HEAD_BYTES, UPRIGHT, orientation
from yolotrt.data.headers import HeaderError, image_size
from yolotrt.data.images import read_image
from yolotrt.data.jpeg import MAGIC
from yolotrt.errors import ArtifactError, ImageError

_MAY_BE_TURNED = (b"eXIf", b"EXIF", b"II*\0", b"MM\0*")
"""What PNG, WebP and TIFF files hold if they can be turned as well; that is left to the decoder."""

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


def read_annotated(image: AnnotatedImage, path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of an annotated picture, (h, w, 3) uint8 BGR, upright.

    Raises:
        ImageError: It cannot be read.
        ArtifactError: It has not the size that the annotations give.
    """
    pixels = read_image(path)
    size_wh = (pixels.shape[1], pixels.shape[0])
    if size_wh == image.size_wh:
        return pixels
    said = "{} is {}x{} px, but {}x{} px in the annotations".format(path, *size_wh, *image.size_wh)
    if size_wh == image.size_wh[::-1] and _orientation(path) in SIDEWAYS:
        raise ArtifactError(
            f"{said}: it is stored on its side, which its EXIF tag says, and was annotated as stored.",
            hint="Remove the tag, so that all see what was annotated: exiftool -Orientation= FILE.",
        )
    raise ArtifactError(f"{said}.", hint="Give the original images, or annotations made for these.")


def upright_size(path: Path) -> tuple[int, int]:
    """Return the width and height of a picture as :func:`yolotrt.data.images.read_image` reads it.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        data = path.read_bytes()
        width, height = image_size(data)
    except OSError as exc:
        raise ImageError(f"{path} cannot be read ({exc.strerror}).", hint="Check the path.") from exc
    except HeaderError as exc:
        raise ImageError(f"{path} cannot be used: {exc}.", hint="Replace or remove the file.") from exc
    if data.startswith(MAGIC):
        return (height, width) if orientation(data[:HEAD_BYTES]) in SIDEWAYS else (width, height)
    if any(mark in data for mark in _MAY_BE_TURNED):
        height, width = read_image(path).shape[:2]
    return width, height


def about_turned(images: Sequence[AnnotatedImage]) -> tuple[str, ...]:
    """Return a note on pictures turned by their EXIF tag whose size does not tell if annotations are, too.

    Args:
        images: Images whose files are known.
    """
    turned = [image for image in images if image.path is not None and _undecided(image, image.path)]
    if not turned:
        return ()
    return (
        f"{len(turned)} of {len(images)} images are turned by their EXIF tag, and their size does not tell "
        f"whether their annotations are: they are taken to be of the upright picture (the first: "
        f"{ascii(turned[0].name)[:60]})",
    )


def _undecided(image: AnnotatedImage, path: Path) -> bool:
    found = _orientation(path)
    return found != UPRIGHT and (found not in SIDEWAYS or image.size_wh[0] == image.size_wh[1])


def _orientation(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            return orientation(stream.read(HEAD_BYTES))
    except OSError:
        return UPRIGHT  # reading it will say so
