"""Find the image files that annotations name, in the folder that the user names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from yolotrt.data.formats.annotated import AnnotatedImage
from yolotrt.errors import InputError


def located(images: Sequence[AnnotatedImage], folder: Path) -> tuple[AnnotatedImage, ...]:
    """Return the images with the paths of their files.

    A name is tried as it stands, then with backslashes as slashes and with URL escapes resolved. If none of
    the images is there under its whole name, leading folders are dropped: ``images/a.jpg`` in the folder
    ``images`` is ``a.jpg``. No file outside of the folder is ever taken, and no file for two images.

    Args:
        images: The images; those with a path keep it.
        folder: Where their files are.

    Raises:
        InputError: Some are not there, or two are one file.
    """
    paths = _places(images, folder)
    missing = [image for image, path in zip(images, paths, strict=True) if path is None]
    if missing:
        name = missing[0].name
        tried = list(dict.fromkeys((*_whole(name, folder), *_shortened(name, folder))))[:3]
        raise InputError(
            f"{len(missing)} of {len(images)} annotated images are not in {folder} (the first is {name}; "
            f"looked for {' and '.join(map(str, tried)) or 'nothing, since its name leads nowhere'}).",
            hint="Give the folder that belongs to the annotations.",
        )
    taken: dict[Path, AnnotatedImage] = {}
    found = []
    for image, path in zip(images, paths, strict=True):
        assert path is not None
        if (other := taken.setdefault(path, image)) is not image:
            raise InputError(
                f"Images {other.name} and {image.name} of the annotations would both be {path}.",
                hint="Give the folder above, in which each name is another file.",
            )
        found.append(replace(image, path=path))
    return tuple(found)


def present(images: Sequence[AnnotatedImage], folder: Path) -> tuple[AnnotatedImage, ...]:
    """Return the images that :func:`located` finds, as they are; all of them if it finds none."""
    there = [image for image, path in zip(images, _places(images, folder), strict=True) if path is not None]
    return tuple(there or images)


def _places(images: Sequence[AnnotatedImage], folder: Path) -> list[Path | None]:
    paths = [image.path or _first(_whole(image.name, folder)) for image in images]
    return paths if any(paths) else [_first(_shortened(image.name, folder)) for image in images]


def _first(candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if is_there(path, Path.is_file)), None)


def is_there(path: Path, test: Callable[[Path], bool]) -> bool:
    """Whether a path from a file passes a test; it may be too long for a path, or none at all."""
    try:
        return test(path)
    except (OSError, ValueError):
        return False


def _whole(name: str, folder: Path) -> Iterator[Path]:
    """Yield where an image may be under its whole name, the most exact place first."""
    for spelling in spellings(name):
        inner, absolute = _inner(spelling)
        if inner and not absolute:
            yield folder.joinpath(*inner)


def _shortened(name: str, folder: Path) -> Iterator[Path]:
    """Yield where an image may be without its leading folders, the longest name first."""
    for spelling in spellings(name):
        inner, absolute = _inner(spelling)
        for start in range(0 if absolute else 1, len(inner)):
            yield folder.joinpath(*inner[start:])


def _inner(name: str) -> tuple[list[str], bool]:
    """Return the parts of a name that lead nowhere else than down, and whether they begin elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    leaves = [k for k, part in enumerate(parts) if part == ".." or part.endswith(":")]
    inner = parts[leaves[-1] + 1 :] if leaves else parts
    return inner, bool(leaves) or name.startswith("/")


def spellings(name: str) -> Iterator[str]:
    """Yield a name as it stands, with backslashes as slashes, and with URL escapes resolved."""
    plain = _plain_path(name)
    yield from dict.fromkeys((name, name.replace("\\", "/"), plain, plain.replace("\\", "/")))


def _plain_path(name: str) -> str:
    """Return the path of a URL, or a name with its URL escapes resolved."""
    _, scheme, rest = name.partition("://")
    if not scheme:
        return unquote(name)
    return "/" + unquote(rest.partition("?")[0].partition("#")[0].partition("/")[2])
