"""Folders that a verb fills with pictures, videos and annotations, which look like anybody's.

So a hidden list in the folder says which of them are whose. A verb may replace what it wrote there itself;
beside files of others, in whose place or among which its own would come, it writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from yolotrt.artifacts.claims import suggested
from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count
from yolotrt.artifacts.files import exclusive, mapped_os_errors, real
from yolotrt.artifacts.hidden import is_hidden_name
from yolotrt.artifacts.kinds import Kind
from yolotrt.errors import StorageError, YoloTrtError
from yolotrt.text import shell_words

NAME = ".yolotrt-files.json"

DRAWN = "yolotrt predict"
"""Who draws what was found: pictures that are no pictures of a camera any more."""


@dataclass(frozen=True)
class OwnFiles:
    """What one verb wrote into a folder.

    Attributes:
        finished: It ended; until then all in the folder counts as its own.
        files: Sizes of its files, bytes, by their paths in the folder.
    """

    finished: bool = True
    files: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class FolderList:
    """Which files of a folder are whose.

    Attributes:
        made: By the verb that wrote them, with the file's name where it is one file only.
    """

    made: dict[str, OwnFiles]


DOCUMENT = Document("yolotrt.files", 1, FolderList, "the list of what yolotrt wrote into a folder")

Watched = Callable[[Path], Iterable[Path]]
"""Lists the files of a folder among or over which a verb would write."""


def named(*names: str) -> Watched:
    """Watch these files and subfolders; hidden files in subfolders are left out."""

    def found(folder: Path) -> Iterator[Path]:
        for name in names:
            path = folder / name
            if path.is_dir():
                yield from with_ending()(path)
            elif path.exists():
                yield path

    return found


def with_ending(*endings: str) -> Watched:
    """Watch files of these endings in the folder and its subfolders, or without any all but hidden ones.

    Links to folders are followed: a verb would write through them.
    """

    def found(folder: Path) -> Iterator[Path]:
        seen = set()
        for place, subfolders, names in os.walk(folder, followlinks=True):
            identity = os.stat(place)
            again = (identity.st_dev, identity.st_ino) in seen
            seen.add((identity.st_dev, identity.st_ino))
            subfolders[:] = [] if again else [name for name in subfolders if not name.startswith(".")]
            for name in () if again else names:
                path = Path(place) / name
                wanted = name.lower().endswith(endings) if endings else not name.startswith(".")
                if wanted and not is_hidden_name(path):
                    yield path

    return found


def outside(watched: Watched, part: Path) -> Watched:
    """Watch as ``watched`` does, but for what lies in a folder that nothing will be written to."""
    left = real(part)
    return lambda folder: (p for p in watched(folder) if not real(p.parent).is_relative_to(left))


@contextmanager
def owning(
    folder: Path, maker: str, watched: Watched, *, option: str = "--out", overwrite: bool = False
) -> Iterator[None]:
    """Let a verb write into a folder where nothing of others would be replaced or mixed with its own.

    While the block runs the list says so: what a killed verb left is its own, too.

    Args:
        folder: The folder; made where it is missing.
        maker: Who writes, such as ``yolotrt scenes``; the same one may replace its files later.
        watched: Which files of the folder are at stake.
        option: The option that names the folder, for the hint.
        overwrite: Take over what others put there.

    Raises:
        StorageError: The folder holds watched files of others, or cannot be written.
    """
    with mapped_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    known = (folder / NAME).exists()
    if not known and not overwrite:
        _require_own(folder, {}, watched, maker, option)  # before there is even a lock in it
    with exclusive(folder / NAME, _silent):
        made = _read(folder)
        own = made.get(maker, OwnFiles())
        if known and own.finished and not overwrite:
            _require_own(folder, own.files, watched, maker, option)
        _write(folder, {**made, maker: replace(own, finished=False)})
    try:
        yield
    finally:  # a list that cannot be written still says that all is ours
        with suppress(StorageError), exclusive(folder / NAME, _silent):
            made = _read(folder)
            before = made.get(maker, OwnFiles()).files
            files = {**before, **{_name(folder, path): path.stat().st_size for path in watched(folder)}}
            _write(folder, {**made, maker: OwnFiles(True, dict(sorted(files.items())))})


def owning_file(
    target: Path, maker: str, *, option: str, overwrite: bool = False
) -> AbstractContextManager[None]:
    """Let a verb write one file that nothing in it tells from others; see :func:`owning`."""
    key = f"{maker} {target.name}"
    return owning(target.parent, key, named(target.name), option=option, overwrite=overwrite)


def by_list(what: str, maker: str) -> Kind:
    """Return the kind of files that :func:`owning_file` lists, as long as nobody else changed them."""

    def is_own(path: Path) -> bool:
        known = _read(path.parent).get(f"{maker} {path.name}")
        return known is not None and (not known.finished or known.files.get(path.name) == path.stat().st_size)

    return Kind(what, is_own)


class FilesOfVerb:
    """What a verb wrote into folders, told while they are walked from the top.

    Attributes:
        count: Files of its so far.
    """

    def __init__(self, maker: str) -> None:
        """Know nothing yet.

        Args:
            maker: Who wrote them.
        """
        self.count = 0
        self._maker = maker
        self._wholly: list[Path] = []
        self._files: dict[Path, int] = {}

    def look_into(self, folder: Path, names: Iterable[str]) -> None:
        """Read the list in a folder of these files, if it has one."""
        made = _read(folder).get(self._maker) if NAME in names else None
        if made is not None and not made.finished:  # a verb is at work there, or was killed
            self._wholly.append(folder)
        elif made is not None:
            self._files |= {folder / name: size for name, size in made.files.items()}

    def hold(self, path: Path) -> bool:
        """Return whether a file is a result, as it was written."""
        size = self._files.get(path)
        found = any(folder in path.parents for folder in self._wholly) or (
            size is not None and size == path.lstat().st_size
        )
        self.count += found
        return found


def foreign_files(folder: Path, maker: str, watched: Watched) -> Iterator[Path]:
    """Yield the watched files of a folder that are not a verb's own."""
    own = _read(folder).get(maker, OwnFiles())
    return _others(folder, own.files, watched) if own.finished else iter(())


def _others(folder: Path, own: Mapping[str, int], watched: Watched) -> Iterator[Path]:
    # A size tells a changed file well enough, and also after the folder was copied.
    return (path for path in watched(folder) if own.get(_name(folder, path)) != path.lstat().st_size)


def _require_own(folder: Path, own: Mapping[str, int], watched: Watched, maker: str, option: str) -> None:
    for path in _others(folder, own, watched):
        raise StorageError(
            f"Cannot write to {folder}: it holds files that {maker} did not write, such as "
            f"{path.relative_to(folder)}.",
            hint=f"Name a new folder, such as {option} {shell_words(str(suggested(folder)))}; or add "
            "--overwrite if what is there may be replaced.",
        )


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read(folder: Path) -> dict[str, OwnFiles]:
    """Return what is known of each maker; nothing where there is no list or it is damaged."""
    with suppress(YoloTrtError):
        return DOCUMENT.read(folder / NAME).made
    return {}


def _write(folder: Path, made: Mapping[str, OwnFiles]) -> None:
    DOCUMENT.write(folder / NAME, FolderList(dict(made)))


def _silent(_message: str) -> None:
    """The list is locked for moments only."""
