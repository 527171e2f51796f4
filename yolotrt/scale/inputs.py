"""What a batch works through, one input after another: nothing here holds a list of them all.

Names on the command line are pictures, videos, folders, patterns, a text file of paths, a line each, or the
manifest of ``yolotrt download``. An input is called as the user's words lead to it, so that two folders with
a ``1.jpg`` give two names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import has_magic, iglob
from pathlib import Path

from yolotrt.artifacts.files import require_file, strange_kind
from yolotrt.data.coco.manifest import DOCUMENT
from yolotrt.data.foreign import VIDEO_ENDINGS
from yolotrt.data.images import EXTENSIONS
from yolotrt.errors import InputError

LISTS = (".txt", ".lst", ".list")
"""Endings of files that name inputs, a path a line; relative ones count from the list's folder."""

HINT = "An input is a picture, a video, a folder, a pattern ('*.jpg'), a list (.txt) or a manifest.json."


@dataclass(frozen=True)
class Input:
    """A file to look at.

    Attributes:
        name: What it is called in results, with ``/``.
        path: Where it is; absolute, since workers may be at work in another folder.
        sha256: Hash of its bytes, where somebody wrote it down already.
    """

    name: str
    path: Path
    sha256: str | None = None


def inputs(words: Sequence[str]) -> Iterator[Input]:
    """Give the inputs behind words, in their order; folders and patterns are sorted.

    Raises:
        InputError: A word names nothing. A list may: its missing files fail one by one.
    """
    for word in words:
        path = Path(word)
        if has_magic(word) and not os.path.lexists(word):
            found = sorted(match for match in iglob(word, recursive=True) if _is_input(match))
            if not found:
                raise InputError(f"{word} matches no picture or video.", hint=HINT)
            yield from (_named(match) for match in found)
        elif path.is_dir():
            yield from _folder(path)
        elif not os.path.lexists(path):
            raise InputError(f"{word} does not exist.", hint=HINT)
        elif strange := strange_kind(path):
            raise InputError(f"{word} is {strange}, not a picture or video.", hint=HINT)
        elif path.suffix.lower() in LISTS:
            yield from _listed(require_file(path, "a list of inputs"))
        elif path.suffix.lower() == ".json":
            yield from _manifest(path)
        else:
            yield _named(word)


def _named(word: str) -> Input:
    return Input(Path(word).as_posix(), Path(os.path.abspath(word)))


def _is_input(name: str) -> bool:
    return name.lower().endswith((*EXTENSIONS, *VIDEO_ENDINGS))


def _folder(root: Path) -> Iterator[Input]:
    """Give pictures and videos of a folder and its subfolders, in the order of their paths."""
    empty = True
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and _is_input(name):
                empty = False
                yield _named(os.path.join(folder, name))
    if empty:
        raise InputError(f"{root} holds no pictures or videos.", hint=HINT)


def _listed(path: Path) -> Iterator[Input]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in lines:
            name = line.strip()
            if name and not name.startswith("#"):
                yield Input((path.parent / name).as_posix(), Path(os.path.abspath(path.parent / name)))


def _manifest(path: Path) -> Iterator[Input]:
    manifest = DOCUMENT.read(path)
    for entry in manifest.files:
        if entry.size_wh is not None:
            name = (path.parent / entry.file).as_posix()
            yield Input(name, Path(os.path.abspath(path.parent / entry.file)), entry.sha256)
