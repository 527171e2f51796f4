"""What verbs say of their work with ``--json``, where that is no result, comparison or other document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count, Few
from yolotrt.backends.files import LayerTime
from yolotrt.model.spec import Head

T = TypeVar("T")


@dataclass(frozen=True)
class Calibrated:
    """A calibration.

    Attributes:
        path: The cache.
        cached: It was up to date.
        changed: What differed from an earlier one.
        images: Number of images behind the ranges.
        skipped: Messages about images that could not be read.
        tensors: Number of ranges.
        method: How ranges were chosen.
        warnings: What makes them doubtful.
    """

    path: str
    cached: bool
    changed: tuple[str, ...]
    images: Count
    skipped: tuple[str, ...]
    tensors: Count
    method: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """A network that was exported.

    Attributes:
        path: The ONNX file.
        key: Its content key.
        head: Its detection head.
        classes: Number of classes.
        input_wh: Width and height of its input, px.
        cached: It was up to date.
        untrained: Whether its weights are random.
        difference_to_torch: Largest difference of an output to that of PyTorch; None if not compared.
    """

    path: str
    key: str
    head: Head
    classes: Count
    input_wh: tuple[int, int]
    cached: bool
    untrained: bool
    difference_to_torch: float | None


@dataclass(frozen=True)
class Mosaics:
    """Frames made of annotated images.

    Attributes:
        images: Their folder.
        annotations: Their annotations.
        frames: How many there are.
        size_wh: Their width and height, px.
        seed: What they were drawn from.
        notes: What of the annotations was left out or mended.
    """

    images: str
    annotations: str
    frames: Count
    size_wh: tuple[int, int]
    seed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenes:
    """Synthetic scenes.

    Attributes:
        seed: The first one's seed.
        size_wh: Width and height, px.
        scenes: How many pictures were written; None for none.
        images: Their folder.
        annotations: Their annotations.
        video: The video; None for none.
        truth: What its frames show; None for nothing written.
    """

    seed: int
    size_wh: tuple[int, int]
    scenes: Count | None = None
    images: str | None = None
    annotations: str | None = None
    video: str | None = None
    truth: str | None = None


@dataclass(frozen=True)
class Profiled:
    """The time that each layer of an engine takes.

    Attributes:
        engine: The engine.
        batch: Pictures in a batch.
        layers: The slowest first.
    """

    engine: str
    batch: Few
    layers: tuple[LayerTime, ...]


@dataclass(frozen=True)
class Part:
    """One part of a downloaded subset.

    Attributes:
        split: Which one.
        images: Folder of its images.
        annotations: Its annotations; None for none.
        count: Number of images.
    """

    split: str
    images: str
    annotations: str | None
    count: Count


@dataclass(frozen=True)
class Downloaded:
    """A subset that was downloaded; see :class:`yolotrt.data.coco.request.SubsetResult`.

    Attributes:
        folder: Where it is.
        manifest: The list of its files.
        source: URL or path it came from.
        parts: One part, or calibration and evaluation.
        bytes: Size of all images.
        fetched: Images that had to be fetched.
        kept: Images that were there already.
        received_bytes: Bytes that came over the network.
        repaired: Files that were damaged and have been fetched again.
        removed: Files of an earlier choice that were removed.
        foreign_files: Files among the images that are not the subset's.
        unproven: Images without a published checksum.
    """

    folder: str
    manifest: str
    source: str
    parts: tuple[Part, ...]
    bytes: Count
    fetched: Count
    kept: Count
    received_bytes: Count
    repaired: tuple[str, ...]
    removed: tuple[str, ...]
    foreign_files: tuple[str, ...]
    unproven: Count


@dataclass(frozen=True)
class Problem:
    """A file that is not what it should be.

    Attributes:
        file: The file.
        problem: What is wrong.
    """

    file: str
    problem: str


@dataclass(frozen=True)
class Verified:
    """A subset that was checked.

    Attributes:
        folder: Where it is.
        files: Number of its files.
        bytes: Their size.
        complete: Whether the download was finished.
        good: Whether all is as recorded.
        problems: What is not.
        foreign_files: Files among the images that are not the subset's.
        unproven: Images without a published checksum.
        request: What was asked for.
    """

    folder: str
    files: Count
    bytes: Count
    complete: bool
    good: bool
    problems: tuple[Problem, ...]
    foreign_files: tuple[str, ...]
    unproven: Count
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Inspected:
    """What a file is.

    Attributes:
        kind: Its kind, in words.
        found: What is in it; which facts these are depends on the kind.
    """

    kind: str
    found: Mapping[str, Any]


Fields = dict[str, Any]


def reply(
    verb: str, type: type[T], *unmarked: str, first: Callable[[Fields], Fields] = lambda found: found
) -> Document[T]:
    """Return the document of a verb; at first these did not say what they are.

    Args:
        verb: The verb.
        type: What it says.
        unmarked: Fields by which a document that does not say what it is is known.
        first: Makes the fields of today of those of such a document.
    """
    return Document(
        f"yolotrt.{verb.replace(' --', '-')}.reply",
        1,
        type,
        f"what yolotrt {verb} --json wrote",
        older={0: first},
        unmarked=frozenset(unmarked),
    )


def _foreign_files(found: Fields) -> Fields:
    return {("foreign_files" if name == "strangers" else name): value for name, value in found.items()}


CALIBRATED = reply("calibrate", Calibrated, "path", "cached", "tensors", "method")
EXPORTED = reply("export", Exported, "path", "key", "head", "untrained")
MOSAICS = reply("mosaics", Mosaics, "frames", "size_wh", "seed")
SCENES = reply("scenes", Scenes, "seed", "size_wh")
PROFILED = reply("profile", Profiled, "engine", "batch", "layers")
DOWNLOADED = reply("download", Downloaded, "folder", "manifest", "parts", first=_foreign_files)
INSPECTED = reply("inspect", Inspected)
VERIFIED = reply("download --verify", Verified, "folder", "complete", "problems", first=_foreign_files)

REPLIES: tuple[Document[Any], ...] = (
    CALIBRATED, EXPORTED, MOSAICS, SCENES, PROFILED, DOWNLOADED, VERIFIED, INSPECTED,
)  # fmt: skip
"""The order matters for files that do not say what they are: mosaics have all fields of scenes."""
