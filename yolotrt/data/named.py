"""What a user names as a source, told apart in one place: every verb that reads frames takes the same.

A picture, a folder of pictures, a video, a pattern such as ``street/*.jpg``, a camera by its number, the
address of a stream, ``scene``, ``-`` for raw frames on stdin; and several of them.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from yolotrt.artifacts.files import meant, strange_kind
from yolotrt.data.images import EXTENSIONS, has_known_ending, list_images
from yolotrt.data.kinds import SCENE, is_picture
from yolotrt.errors import ImageError, InputError, PictureWarning

_STREAM = re.compile(r"(rtsps?|rtmp|https?|tcp|udp|srt)://", re.IGNORECASE)
_CAMERA = re.compile(r"\d{1,2}")
_SECRET = re.compile(r"(?<=://)[^/@]*@")

HINT = (
    "A source is a picture, a folder, a video, a pattern ('*.jpg'), a camera (0) or an address (rtsp://...)."
)


@dataclass(frozen=True)
class Synthetic:
    """The synthetic frame."""

    name: str = SCENE


@dataclass(frozen=True)
class Live:
    """A camera or stream.

    Attributes:
        name: What it is called in messages and results; without passwords.
        address: What opens it: the number of a camera, or an address.
    """

    name: str
    address: int | str


@dataclass(frozen=True)
class VideoPath:
    """A file that is no picture.

    Attributes:
        name: Its path below the folder that all sources lie in, with ``/``.
        path: Where it is.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Stills:
    """Pictures.

    Attributes:
        name: What the user named.
        paths: Where each is, by its name: its path below the folder that was named, or that all sources lie
            in, with ``/``.
    """

    name: str
    paths: dict[str, Path]


@dataclass(frozen=True)
class Piped:
    """Raw frames on stdin."""

    name: str = "stdin"


Named = Synthetic | Live | VideoPath | Stills | Piped
PIPE = "-"


def named(texts: str | Sequence[str]) -> tuple[Named, ...]:
    """Return what stands behind names, in their order; pictures that follow each other are one entry.

    A file is a picture or a video by its content, whatever it is called.

    Args:
        texts: One or several names. What a pattern finds is sorted; there, files that are neither pictures
            nor called like videos are left out with a warning.

    Raises:
        InputError: Something is not there, or is no file that can be read.
        ImageError: A folder holds no pictures.
    """
    given = [texts] if isinstance(texts, str) else list(texts)
    places = [place for text in given for place in _places(text)]
    base = _common(place for place in places if isinstance(place, Path))
    alone = len(places) == 1
    found: list[Named] = []
    for place in places:
        if not isinstance(place, Path):
            found.append(place)
        elif os.path.isfile(place) and _is_video(place):
            video = VideoPath(_below(base, place), place)
            found += [video] if video not in found else []
        else:
            root = place if alone and os.path.isdir(place) else base
            paths = {_below(root, path): path for path in list_images(place)}
            if found and isinstance(found[-1], Stills):
                found[-1].paths.update(paths)
            else:
                found.append(Stills(str(place), paths))
    return tuple(found)


def label(texts: str | Sequence[str]) -> str:
    """Return what the user named, for messages and results; without passwords."""
    given = [texts] if isinstance(texts, str) else list(texts)
    shown = [_SECRET.sub("", text) for text in given]
    return ", ".join(shown if len(shown) <= 3 else [*shown[:2], f"... ({len(shown)})"])


def local_paths(texts: str | Sequence[str]) -> list[Path]:
    """Return the files and folders that names stand for, to keep outputs away from them."""
    given = [texts] if isinstance(texts, str) else list(texts)
    found: list[Path] = []
    for text in given:
        if text in (SCENE, PIPE) or _STREAM.match(text) or _CAMERA.fullmatch(text):
            continue
        matches = [] if os.path.lexists(text) or not has_magic(text) else glob(text, recursive=True)
        found += [Path(match) for match in sorted(matches)] or [Path(text)]
    return found


def _places(text: str) -> Iterator[Synthetic | Live | Piped | Path]:
    if text == PIPE:
        yield Piped()
    elif text == SCENE or _CAMERA.fullmatch(text):
        if os.path.exists(text):
            what = "the synthetic frame" if text == SCENE else f"camera {text}"
            said = f"{text} is {what}; what is called so here is ./{text}."
            warnings.warn(PictureWarning(said, SCENE), stacklevel=3)
        yield Synthetic() if text == SCENE else Live(f"camera {text}", int(text))
    elif _STREAM.match(text):
        yield Live(_SECRET.sub("", text), text)
    elif has_magic(text) and not os.path.lexists(text):
        yield from _matches(text)
    elif not os.path.lexists(text):
        raise InputError(f"{text} does not exist.", hint=f"{meant(text)}{HINT}")
    elif strange := strange_kind(Path(text)):
        raise InputError(f"{text} is {strange}, not a picture or video.", hint=HINT)
    else:
        yield Path(text)


def _matches(pattern: str) -> Iterator[Path]:
    """Give what a pattern finds: a shell that was kept from expanding it would have given the same."""
    others = []
    for match in sorted(glob(pattern, recursive=True)):
        path = Path(match)
        if os.path.isdir(path):
            if "**" not in pattern:  # there the pictures of folders are found themselves
                yield path
        elif has_known_ending(match) or is_picture(path):
            yield path
        else:
            others.append(path.name)
    if others:
        said = f"{pattern}: left out as neither pictures nor videos: {', '.join(others[:3])}."
        warnings.warn(PictureWarning(said, pattern), stacklevel=4)
    elif not glob(pattern, recursive=True):
        raise InputError(f"{pattern} matches nothing.", hint=HINT)


def _is_video(path: Path) -> bool:
    """Return whether a file is no picture; what is called like one has to prove to be a video."""
    if is_picture(path):
        return False
    if path.suffix.lower() not in EXTENSIONS:
        return True
    from yolotrt.data.video_file import VideoFile  # pictures need nothing of it

    try:
        VideoFile(path).close()
    except ImageError:
        return False  # the reader of pictures knows better what is wrong with one
    return True


def _common(paths: Iterable[Path]) -> str:
    parents = [os.path.dirname(os.path.abspath(path)) for path in paths]
    return os.path.commonpath(parents) if parents else ""


def _below(base: str | Path, path: Path) -> str:
    return Path(os.path.relpath(os.path.abspath(path), os.path.abspath(base))).as_posix()
