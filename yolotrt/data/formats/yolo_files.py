"""Where the images and labels of a YOLO dataset are, from its ``data.yaml``.

The rules are Ultralytics': https://docs.ultralytics.com/datasets/segment/. Only paths, splits and names are
read; a ``download`` script is not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.yaml_text import YamlText
from yolotrt.data.formats.files import is_there
from yolotrt.data.formats.values import as_whole
from yolotrt.data.images import EXTENSIONS, list_images
from yolotrt.errors import InputError

ENDINGS = (".yaml", ".yml")
_USUAL = ("data.yaml", "dataset.yaml")
_OTHER_NAMES = {"val": ("validation", "valid")}
_LIST_BYTES = 256 << 20


@dataclass(frozen=True)
class YoloFiles:
    """One split of a dataset.

    Attributes:
        description: Its ``data.yaml``.
        names: Class names by index.
        images: The image files, in order; each once.
        repeated: How many were named more than once.
    """

    description: Path
    names: dict[int, str]
    images: tuple[Path, ...]
    repeated: int

    @property
    def outside(self) -> Path | None:
        """The first image that is not below the folder of the description; None if all are."""
        home = self.description.parent.resolve()
        return next((path for path in self.images if home not in path.resolve().parents), None)


def is_description(path: Path) -> bool:
    """Whether a path is a ``data.yaml``, or a folder with one."""
    return path.suffix.lower() in ENDINGS or any(os.path.isfile(path / n) for n in _USUAL)


def find_split(path: Path, split: str) -> YoloFiles:
    """Read a ``data.yaml`` and list the images of a split.

    Args:
        path: The file, or its folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        InputError: It cannot be read, lacks the split or class names, or its images are not there.
    """
    path = next(p for p in (*(path / n for n in _USUAL), path) if os.path.isfile(p) or p == path)
    text = YamlText.read(path)
    entries = next((e for k in (split, *_OTHER_NAMES.get(split, ())) if (e := text.strings((k,)))), [])
    if not entries:
        known = ", ".join(k for k in ("train", "val", "test") if text.strings((k,))) or "none"
        raise InputError(f"{path} has no {split} images.", hint=f"Splits that it has: {known}.")
    roots = _roots(path, text.string(("path",)))
    named = [image for entry in entries for image in _images(path, entry, roots)]
    images = tuple(dict.fromkeys(named))
    return YoloFiles(path, _names(text), images, len(named) - len(images))


def label_files(images: Sequence[Path]) -> list[Path]:
    """Return where the labels of images are: in ``labels/`` instead of the last ``images/``, or beside them.

    Raises:
        InputError: None is there.
    """
    instead = [_in_labels(image) for image in images]
    beside = [image.with_suffix(".txt") for image in images]
    for labels in (instead, beside):
        if any(label.is_file() for label in labels):
            return labels
    raise InputError(
        f"None of {len(images)} images has a label file (looked for {instead[0]}).",
        hint="Labels are in a folder labels/ beside images/, a .txt file for each image.",
    )


def _in_labels(image: Path) -> Path:
    parts = list(image.absolute().parts)
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] == "images":
            parts[k] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _names(text: YamlText) -> dict[int, str]:
    entries = text.entries(("names",))
    if not entries:
        count = as_whole(text.string(("nc",)))
        if count is None or not 0 < count <= 100_000:
            raise InputError(f"{text.path} has no class names.", hint="Add them: names: [cat, dog]")
        return {k: f"class_{k}" for k in range(count)}
    names = {}
    for key, name in entries:
        number = as_whole(key)
        if number is None or number < 0 or number in names:
            raise InputError(
                f"{text.path}: {key!r:.40} among the names is no class number, or there twice.",
                hint="Number the names from 0, or write them as a list.",
            )
        names[number] = name
    return names


def _roots(description: Path, given: str | None) -> list[Path]:
    """Return the folders that relative paths may be relative to, the likeliest first."""
    folder = description.parent
    if not given:
        return [folder]
    try:
        root = Path(given).expanduser()
    except RuntimeError:  # of a user that is not known
        root = Path(given)
    return [root] if root.is_absolute() else [folder / root, root, folder]


def _images(description: Path, entry: str, roots: Sequence[Path]) -> list[Path]:
    # Exports of some tools write ../ for the folder of the description itself.
    spellings = [entry, entry[3:]] if entry.startswith("../") else [entry]
    places = [root / spelling for spelling in spellings for root in roots]
    for place in dict.fromkeys(places):
        if is_there(place, Path.is_dir):
            return [image.absolute() for image in list_images(place)]
        if place.suffix.lower() in (".txt", *EXTENSIONS) and is_there(place, Path.is_file):
            return list(_listed(place, roots)) if place.suffix.lower() == ".txt" else [place.absolute()]
    looked = " and ".join(f"{place!s:.200}" for place in dict.fromkeys(places))
    raise InputError(
        f"{description} names {entry:.100} for its images, and it is not there (looked for {looked}).",
        hint="Set 'path:' in it to the folder of the dataset, as an absolute path.",
    )


def _listed(path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the images that a text file lists, a path in each line."""
    require_file(path, "a list of images")
    if path.stat().st_size > _LIST_BYTES:
        raise InputError(f"{path} is larger than {_LIST_BYTES >> 20} MiB.", hint="Is it a list of images?")
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise InputError(f"{path} is not UTF-8 text ({exc.reason} at byte {exc.start}).") from exc
    missing = []
    for line in filter(None, map(str.strip, lines)):
        places = [place / line for place in (path.parent, *roots)]
        found = next((place for place in places if is_there(place, Path.is_file)), None)
        if found is None:
            missing.append(places[0])
        else:
            yield found.absolute()
    if missing:
        raise InputError(
            f"{len(missing)} images that {path} lists are not there (the first is {missing[0]!s:.200}).",
            hint="Write paths relative to the list, or absolute ones.",
        )
