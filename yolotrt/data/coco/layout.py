"""Where COCO 2017 keeps its validation images and annotations, on its server and in its archives."""

from __future__ import annotations

import os
import re
from pathlib import Path

from yolotrt.errors import ArtifactError

DATASET = "coco-val2017"
SHORT = "coco"
"""What may be given in place of a folder to calibrate on COCO."""

# Plain http on purpose: the host is a bare S3 bucket name, and the certificate served for https is
# Amazon's and does not match it. What arrives is checked against the archive's CRC-32 instead.
OFFICIAL_URL = "http://images.cocodataset.org"

URL_VARIABLE = "YOLOTRT_COCO_URL"

IMAGES = "val2017"
"""Folder of the images, on the server and in their archive."""

INSTANCES = "annotations/instances_val2017.json"
"""The annotations, as a member of their archive (and unpacked, on some mirrors)."""

ANNOTATIONS_ARCHIVE = "annotations/annotations_trainval2017.zip"
IMAGES_ARCHIVE = "zips/val2017.zip"

TYPICAL_IMAGE = 165_000
"""Mean size of a validation image in bytes; used only where a source does not tell sizes."""

MAX_IMAGE = 32 << 20
"""No COCO image is near this size; more bytes than this are never accepted for one."""

_SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}\.(?:jpg|jpeg|JPG|JPEG)")


def means_coco(images: Path | None) -> bool:
    """Return whether ``--images`` asks for COCO; a folder of that name that is there means itself."""
    return images == Path(SHORT) and not os.path.exists(SHORT)


def base_url(given: str | None) -> str:
    """Return the source to use: ``given``, else ``YOLOTRT_COCO_URL``, else COCO's own server."""
    return given or os.environ.get(URL_VARIABLE) or OFFICIAL_URL


def safe_name(name: object) -> str:
    """Return an image's file name if it is a plain name and nothing more.

    Names come from JSON files and manifests; with folders, dots or control characters in them they
    could point outside the output folder.

    Raises:
        ArtifactError: It is anything else than letters, digits, ``-`` and ``_`` with a JPEG ending.
    """
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise ArtifactError(f"{str(name)[:80]!r} is not a plain JPEG file name.")
    return name
