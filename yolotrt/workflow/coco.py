"""COCO pictures to calibrate on, for those who have none of their own camera yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from yolotrt.data.coco.manifest import NAME, image_file, read_manifest
from yolotrt.data.coco.request import FetchWatch, SubsetRequest, unwatched
from yolotrt.data.coco.subset import fetch_subset


def calibration_request(folder: Path) -> SubsetRequest:
    """Return the subset that is fetched: apart from calibration, enough to measure accuracy on.

    A mirror may hold less of COCO.
    """
    return SubsetRequest(folder, images=300, calib_split=128, fewer=True)


def calibration_images(
    folder: Path, watch: FetchWatch = unwatched, on_wait: Callable[[str], None] = print
) -> Path:
    """Return a folder of COCO images: of the subset that is there, whatever its choice, or fetched now.

    Raises:
        DownloadError: The images cannot be fetched; the hint names the ways out.
        InputError: The manifest of the subset is damaged.
        StorageError: The disk is full.
    """
    if (folder / NAME).exists() and read_manifest(folder).complete:
        for split in ("calib", "all"):
            images = folder / Path(image_file(split, "any")).parent
            if images.is_dir():
                return images
    return fetch_subset(calibration_request(folder), watch, on_wait=on_wait).calibration_images
