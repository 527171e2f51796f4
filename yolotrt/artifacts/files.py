"""Atomic writes and locks.

A file under its final name is always complete: it is written under a temporary name in the same
folder, flushed to disk and renamed. A process that dies leaves at most a ``.part`` file or folder, which
the next writer of the same target removes (see :mod:`yolotrt.artifacts.hidden`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from yolotrt.artifacts.hidden import hidden_name, is_at, temporary_file, temporary_folder
from yolotrt.errors import InputError, StorageError
from yolotrt.text import closest

OVERNIGHT_S = 24 * 3600.0
"""How long to wait for work that some leave alone overnight, to be taken up again."""

_MOST_NAMES = 2000
"""Of a folder, that are compared with one that is not in it."""

_COPY = "Only regular files can be used; copy its content into one."


def require_file(path: Path, what: str) -> Path:
    """Return ``path`` if it is a readable regular file.

    Args:
        path: The file.
        what: What it should be, for the message ("an ONNX file").

    Raises:
        InputError: It is missing, a directory, a pipe, a device, or not readable.
    """
    try:
        os.stat(path)
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise InputError(f"{path} is too long for a file name.", hint="Check the path.") from exc
    except ValueError:  # a null byte in the name
        raise InputError(f"{path} is no file name.", hint="Check the path.") from None
    if path.is_dir():
        raise InputError(f"{path} is a directory, not {what}.", hint="Name the file itself.")
    if strange := strange_kind(path):
        raise InputError(f"{path} is {strange}, not {what}.", hint=_COPY)
    if not path.exists():
        raise InputError(f"{path} does not exist.", hint=f"{meant(path)}It should be {what}; check the path.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read.", hint="Check its permissions.")
    return path


def meant(path: Path | str) -> str:
    """Return ``Did you mean X? `` for a path that is not there, where something of nearly that name is."""
    folder, name = os.path.split(os.fspath(path).rstrip("/"))
    try:
        with os.scandir(folder or ".") as entries:
            near = closest(name, [entry.name for entry in islice(entries, _MOST_NAMES)])
    except (OSError, ValueError):
        return ""
    return f"Did you mean {os.path.join(folder, near)}? " if near else ""


def real(path: Path) -> Path:
    """Return the absolute path without links and dots; of a loop of links what can be said of it."""
    return Path(os.path.realpath(path))


def strange_kind(path: Path) -> str | None:
    """Return what a path is in words ("a named pipe") if it is neither a regular file nor a directory.

    Reading such a thing may wait for ever, or never end. None also for what is missing or out of reach.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return None
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode))


@contextlib.contextmanager
def mapped_os_errors(target: Path) -> Iterator[None]:
    """Turn the operating system's write errors into :class:`StorageError`."""
    try:
        yield
    except OSError as exc:
        reasons = {
            errno.ENOSPC: ("the disk is full", "Free some space and run the command again."),
            errno.EDQUOT: ("the disk quota is used up", "Free some space and run it again."),
            errno.EFBIG: ("the file would be larger than allowed here", "Raise the limit (ulimit -f)."),
            errno.EROFS: ("the file system is read-only", "Choose another output folder."),
            errno.EACCES: ("permission denied", "Choose an output folder you may write to."),
            errno.EPERM: ("permission denied", "Choose an output folder you may write to."),
            errno.ENOTDIR: ("a part of the path is a file", "Choose another output path."),
            errno.EEXIST: ("a file is where a folder is needed", "Choose another output path."),
            errno.EIO: ("the disk reports an error", "Check the disk, or choose another output folder."),
            errno.EISDIR: ("it is a directory", "Name a file, not a directory."),
            errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
            errno.ENOLCK: ("the file system has no locks", "Choose an output folder on a local disk."),
            errno.EOPNOTSUPP: ("the file system has no locks", "Choose an output folder on a local disk."),
        }
        if exc.errno not in reasons:
            raise
        reason, hint = reasons[exc.errno]
        raise StorageError(f"Cannot write {target}: {reason}.", hint=hint) from exc


@contextlib.contextmanager
def atomic_target(target: Path, suffix: str = "") -> Iterator[Path]:
    """Give a temporary path next to ``target``; rename it to ``target`` when the block succeeds.

    For libraries that insist on writing a file themselves. Nothing remains if the block raises.

    Args:
        target: The file to be.
        suffix: Ending of the temporary name, for libraries that choose a format by it, such as ``.mp4``.

    Raises:
        StorageError: Disk full, read-only folder and the like. Earlier content stays intact.
    """
    with mapped_os_errors(target):
        _require_replaceable(target)
        _make_folder(target.parent)
        with temporary_file(target, suffix) as temporary:
            yield temporary
            _sync_file(temporary)
            os.replace(temporary, target)
            _sync_folder(target.parent)


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside ``target`` that goes when the block ends.

    For work that needs files on its way to ``target``. Unlike one in the system's temporary folder, what a
    killed process leaves here is found and removed by the next one.

    Raises:
        StorageError: It cannot be made.
    """
    with contextlib.ExitStack() as stack:
        with mapped_os_errors(target):
            _make_folder(target.parent)
            folder = stack.enter_context(temporary_folder(target))
        yield folder


def ensure_writable(target: Path) -> None:
    """Find out now, before long work, whether ``target`` can be written at all.

    Raises:
        StorageError: See :func:`atomic_target`.
    """
    with mapped_os_errors(target):
        _require_replaceable(target)
        _make_folder(target.parent)
        with temporary_file(target, "") as temporary:
            temporary.write_bytes(b"\n")  # an empty file fits on a full disk


def write_bytes(target: Path, data: bytes, *, mode: int | None = None) -> Path:
    """Write ``data`` to ``target`` atomically and return ``target``.

    Args:
        target: The file to be.
        data: Its content.
        mode: Its permission bits, such as those of a file of the user's that it replaces; None gives it those
            of any new file.

    Raises:
        StorageError: See :func:`atomic_target`.
    """
    with atomic_target(target) as temporary:
        temporary.write_bytes(data)
        if mode is not None:
            temporary.chmod(mode)
    return target


def write_text(target: Path, text: str) -> Path:
    """Write UTF-8 ``text`` to ``target`` atomically and return ``target``.

    Raises:
        StorageError: See :func:`atomic_target`.
    """
    return write_bytes(target, text.encode())


@contextlib.contextmanager
def exclusive(target: Path, on_wait: Callable[[str], None], timeout_s: float = 3600.0) -> Iterator[bool]:
    """Hold an exclusive lock for producing ``target``; wait while another process holds it.

    The lock is ``flock`` on ``.<name>.lock`` beside the target, which goes with it: the kernel drops it when
    its owner dies, so a dead process never blocks, and it holds across containers. Two processes that build
    the same file thus take turns, and the second finds the file ready.

    Args:
        target: The file that the block produces.
        on_wait: Called once with a message if the lock is not free at once.
        timeout_s: Seconds to wait before giving up; 0 refuses at once.

    Yields:
        Whether it had to wait. What is there by then another process has just made: it may be used, but is
        not to be replaced by something else.

    Raises:
        StorageError: The lock was not free within ``timeout_s``, or cannot be created.
    """
    import fcntl

    lock = hidden_name(target, ".lock")
    with mapped_os_errors(lock):
        _make_folder(target.parent)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    held = False
    try:
        deadline = time.monotonic() + timeout_s
        announced = False
        while True:
            try:
                with mapped_os_errors(lock):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if held := is_at(handle, lock):
                    break
                # Who held it before has removed it, and the name may lead to another by now.
                with mapped_os_errors(lock):
                    other = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
                os.close(handle)
                handle = other
            except BlockingIOError:
                if timeout_s <= 0:
                    raise StorageError(
                        f"Another process is writing {target}.",
                        hint="Wait for it, or name another file.",
                    ) from None
                if not announced:
                    on_wait(f"Another process is producing {target.name}; waiting for it.")
                    announced = True
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"{target.name} has been locked by another process for {timeout_s:.0f} s.",
                        hint="End that process, or wait for it and run the command again.",
                    ) from None
                time.sleep(0.1)
        yield announced
    finally:
        if held and os.fstat(handle).st_size == 0:  # else it is somebody's who calls files like that
            with contextlib.suppress(OSError):  # whoever waits on it sees that it is gone
                os.unlink(lock)
        os.close(handle)


def _require_replaceable(target: Path) -> None:
    """Refuse a target that is there and no regular file: a rename would put a file in a device's place."""
    if target.is_dir():  # a name that is too long raises here
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if strange := strange_kind(target):
        raise StorageError(
            f"Cannot write {target}: it is {strange}.",
            hint="Name a file; it is written beside its place and then renamed.",
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as exc:
        # Of a missing folder that was to be made, only file systems such as /proc say that it is missing.
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder)) from exc


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
