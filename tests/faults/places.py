"""Folders on a full disk and on a read-only one, for real: mounted in a namespace of the command's own.

Permission bits would prove nothing to a test that runs as root. The mounts vanish with the command.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.forked import Commands, Done

READ_ONLY, FULL = "tests.faults.within:become_read_only", "tests.faults.within:become_full"

PAGE = 4096
"""A tmpfs counts whole pages."""


@functools.cache
def _can_mount() -> bool:
    """Return whether a process may have a namespace in which mounting works."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as folder:
        code = f"from tests.faults.within import become_read_only as b; b({folder!r})"
        return (
            subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment()).returncode
            == 0
        )


def environment() -> dict[str, str]:
    """Return the environment of a process that imports what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def require_mounts() -> None:
    if not _can_mount():
        pytest.skip("mounting is not allowed here, not even in a namespace (unshare -Urm)")


def in_read_only(commands: Commands, folder: Path, arguments: Sequence[object]) -> Done:
    """Run a command in ``folder``, which is on a read-only file system for it."""
    require_mounts()
    return commands.start(arguments, folder, [READ_ONLY, folder]).done()


def in_full(commands: Commands, folder: Path, arguments: Sequence[object], room: int) -> Done:
    """Run a command in a copy of ``folder`` on a disk with ``room`` bytes to spare, and copy it back."""
    require_mounts()
    with tempfile.TemporaryDirectory() as place:
        within = [FULL, place, folder, size_of(folder, room)]
        return commands.start(arguments, folder, within).done()


def size_of(folder: Path, room: int) -> int:
    """Return the size in bytes of a disk that holds a folder's files and has so much room besides."""
    blocks = [-(-p.lstat().st_size // PAGE) for p in folder.rglob("*") if p.is_file()]
    return max(PAGE, sum(blocks) * PAGE + room)  # 0 would be no limit


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files under their final names."""
    files = (p for p in folder.rglob("*") if p.is_file())
    found = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    return {
        name: data for name, data in found.items() if not any(s.startswith(".") for s in Path(name).parts)
    }


def assert_one_clear_error(done: Done, reason: str) -> None:
    assert done.code == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert reason in errors[0]
    assert "\nhint:  " in done.stderr
