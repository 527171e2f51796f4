"""What a COCO subset is asked to be, what comes of it, and what to say where there is no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from yolotrt.data.coco.layout import DATASET, TYPICAL_IMAGE, base_url
from yolotrt.data.coco.select import Split
from yolotrt.data.fetch.proxy import proxy_of
from yolotrt.errors import UsageError
from yolotrt.text import shell_words

DEFAULT_FOLDER = Path("calib_data") / DATASET


@dataclass(frozen=True)
class SubsetRequest:
    """A subset of COCO val2017.

    Attributes:
        folder: Where it is kept.
        images: How many images.
        seed: Chooses among equally good images; see :mod:`yolotrt.data.coco.select`.
        classes: Only images that show one of these classes; empty for all.
        annotations: Whether to write the images' annotations (``instances.json``). They are read in any
            case, because the choice needs them.
        calib_split: How many of the images are for calibration only, the others for evaluation; 0 keeps
            all in one part.
        base_url: A mirror's URL, a ``file://`` URL, a folder or an archive; None for the one in
            ``YOLOTRT_COCO_URL``, or COCO's own server.
        fewer: Whether all that a smaller source has will do as well.
        overwrite: Replace also files in the folder that no download of ours wrote.
    """

    folder: Path = DEFAULT_FOLDER
    images: int = 500
    seed: int = 0
    classes: tuple[str, ...] = ()
    annotations: bool = True
    calib_split: int = 0
    base_url: str | None = None
    fewer: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what can never be done.

        Raises:
            UsageError: A number is out of range.
        """
        if self.images < 1:
            raise UsageError(f"--images {self.images} is not a number of images.", hint="Ask for at least 1.")
        if not 0 <= self.calib_split < self.images:
            raise UsageError(
                f"--calib-split {self.calib_split} leaves nothing of {self.images} images to evaluate on.",
                hint=f"Choose a number from 1 to {self.images - 1}, or ask for more --images.",
            )

    def of(self, available: int) -> SubsetRequest:
        """Return this request for a source of ``available`` images; up to half of fewer are to calibrate."""
        if not self.fewer or not 0 < available < self.images:
            return self
        return replace(self, images=available, calib_split=min(self.calib_split, available // 2))

    def choice(self) -> dict[str, Any]:
        """Return the options that decide which files the subset has, for the manifest."""
        return {
            "dataset": DATASET,
            "images": self.images,
            "seed": self.seed,
            "classes": sorted({name.lower() for name in self.classes}),
            "annotations": self.annotations,
            "calib_split": self.calib_split,
        }

    def command(self) -> str:
        """Return the command that makes this subset, ready to be typed."""
        words = ["yolotrt", "download", "--images", str(self.images), "--seed", str(self.seed)]
        words += ["--classes", ",".join(self.classes)] if self.classes else []
        words += [] if self.annotations else ["--no-annotations"]
        words += ["--calib-split", str(self.calib_split)] if self.calib_split else []
        return shell_words(*words, "--out", str(self.folder))


@dataclass(frozen=True)
class FetchProgress:
    """How far a download is.

    Attributes:
        step: What is going on.
        files: Files done.
        total_files: Files in all; 0 when the step has none.
        bytes: Bytes done.
        total_bytes: Bytes in all; 0 when unknown.
    """

    step: Literal["annotations", "checksums", "checking", "images"]
    files: int = 0
    total_files: int = 0
    bytes: int = 0
    total_bytes: int = 0


FetchWatch = Callable[[FetchProgress], None]


def unwatched(_progress: FetchProgress) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class SubsetPart:
    """One part of a subset.

    Attributes:
        split: ``all``, ``calib`` or ``eval``.
        images: Folder of its images.
        annotations: Its COCO instances file; None when annotations were not wanted.
        count: Number of images.
    """

    split: Split
    images: Path
    annotations: Path | None
    count: int


@dataclass(frozen=True)
class SubsetResult:
    """A complete, verified subset and what it took.

    Attributes:
        folder: Where it is.
        manifest: The list of its files with their SHA-256.
        source: URL or path it came from.
        parts: One part, or calibration and evaluation.
        bytes: Size of all images.
        fetched: Images that had to be fetched.
        kept: Images that were there already.
        received: Bytes that came over the network, annotations and checksums included.
        repaired: Files that were damaged and have been fetched again.
        removed: Files of an earlier choice that are no part of this one and were removed.
        foreign_files: Files in the image folders that are not the subset's; they were left alone.
        unproven: Images without a published checksum to compare with.
    """

    folder: Path
    manifest: Path
    source: str
    parts: tuple[SubsetPart, ...]
    bytes: int
    fetched: int
    kept: int
    received: int
    repaired: tuple[str, ...]
    removed: tuple[str, ...]
    foreign_files: tuple[str, ...]
    unproven: int

    @property
    def calibration_images(self) -> Path:
        """Folder of the images to calibrate on."""
        return self.parts[0].images


def offer(request: SubsetRequest) -> str:
    """Say in one sentence what a download would bring, to ask whether it is wanted."""
    size = f"{request.images * TYPICAL_IMAGE / 1e6:,.0f} MB"
    return f"{request.images} images of COCO val2017 (about {size}) can be downloaded to {request.folder}."


def ways_out(request: SubsetRequest) -> str:
    """Name what works without (this way to) the network, for a hint."""
    base = base_url(request.base_url)
    if proxy := proxy_of(base):
        first = f"Requests go through the proxy {proxy.address} of {proxy.variable}: correct or unset it. "
    else:
        first = f"Behind a proxy, set {urlsplit(base).scheme.upper()}_PROXY. "
    return first + (
        "With another server or COCO's archives on disk (val2017.zip and "
        "annotations_trainval2017.zip in one folder), set YOLOTRT_COCO_URL=URL|FOLDER, or give "
        "'yolotrt download' that as --base-url. "
        "Any folder of your own pictures calibrates too: --images DIR. "
        f"Or make {request.folder} on a machine with a network and copy it here:\n{request.command()}"
    )
