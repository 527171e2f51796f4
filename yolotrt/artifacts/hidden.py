"""Hidden files beside a target: temporaries, locks, and what waits for its turn.

Their names are made of the target's, and shortened where that is long: a legal name of 255 bytes must not
become an illegal one by what is added to it.

A temporary belongs to a living writer as long as that holds ``flock`` on it. Process numbers would prove
nothing: in another container they count from 1 again, and ``/proc`` shows only one's own. The kernel's locks
hold for every process of the machine, and vanish with their owner. On network file systems they hold as far
as the server keeps them; where there are none, nothing is ever taken for left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

LONGEST = 100
"""Bytes of a target's name that hidden names repeat; with their endings they fit the 143 of eCryptfs."""

_PART = re.compile(r"\.[0-9a-f-]+\.part(\.\w+)?$")
_HELPER = re.compile(r"\..+\.(lock|next|[0-9a-f-]+\.part(\.\w+)?)|\.yolotrt-files\.json")


def hidden_name(target: Path, ending: str) -> Path:
    """Return the path of a hidden file beside ``target``, the same in every process.

    Args:
        target: The file that it is about.
        ending: What tells it apart, such as ``.lock``.
    """
    return target.with_name(f".{_short(target.name)}{ending}")


def is_hidden_name(path: Path) -> bool:
    """Return whether a path looks like a lock, list or temporary of ours, which no output may replace."""
    return _HELPER.fullmatch(path.name) is not None


@contextlib.contextmanager
def temporary_file(target: Path, suffix: str) -> Iterator[Path]:
    """Give the name of an empty file beside ``target`` that is ours alone; whatever has it then is removed.

    Raises:
        OSError: It cannot be made.
    """
    _remove_stale_parts(target)
    while True:
        path = _part(target, suffix)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if _taken(handle, path):
            break
        os.close(handle)  # another writer took it for left behind in the moment before it was locked
    try:
        yield path
    finally:
        _remove(path)
        os.close(handle)


@contextlib.contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside ``target`` that is ours alone, and remove it in the end.

    Raises:
        OSError: It cannot be made.
    """
    _remove_stale_parts(target)
    while True:
        path = _part(target, "")
        path.mkdir()
        handle = -1
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if _taken(handle, path):
                break
        if handle >= 0:
            os.close(handle)
    try:
        yield path
    finally:
        _remove(path)
        os.close(handle)


def _part(target: Path, suffix: str) -> Path:
    return hidden_name(target, f".{os.urandom(4).hex()}.part{suffix}")


def _short(name: str) -> str:
    raw = os.fsencode(name)
    if len(raw) <= LONGEST:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{raw[: LONGEST - 17].decode('utf-8', 'ignore')}~{digest}"


def _taken(handle: int, path: Path) -> bool:
    """Lock a file that was just made; return False if it is no longer what its name leads to."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, where nothing is taken for left behind either
        return True
    return is_at(handle, path)


def is_at(handle: int, path: Path) -> bool:
    """Return whether an open file is what a name still leads to."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _remove_stale_parts(target: Path) -> None:
    """Remove what killed writers of the same target left behind."""
    for part in target.parent.glob(f".{glob.escape(_short(target.name))}.*.part*"):
        if _PART.search(part.name):
            _remove_if_left(part)


def _remove_if_left(part: Path) -> None:
    kind = os.O_RDONLY | os.O_DIRECTORY if part.is_dir() else os.O_RDWR | os.O_NOFOLLOW
    with contextlib.suppress(OSError):
        handle = os.open(part, kind)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its writer lives
            _remove(part)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
