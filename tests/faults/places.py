"""Folders on a full disk and on a read-only one, for real: mounted in a namespace of the command's own.

Permission bits would prove nothing to a test that runs as root. The mounts vanish with the command.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
_FULL = (
    'out="$1"; mount -t tmpfs -o size="$2" tmpfs "$0" && cp -a "$out/." "$0/" || exit 99; shift 2;'
    '(cd "$0" && "$@"); code=$?; rm -rf "$out"; cp -a "$0/." "$out/"; exit $code'
)

PAGE = 4096
"""A tmpfs counts whole pages."""


@functools.cache
def _unshare() -> tuple[str, ...] | None:
    """Return the command that gives a namespace in which mounting works, or None where nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        for command in (("unshare", "-m"), ("unshare", "-Urm")):
            try:
                tried = subprocess.run(
                    [*command, "sh", "-c", _READ_ONLY, folder, "true"], capture_output=True
                )
            except FileNotFoundError:
                return None
            if tried.returncode == 0:
                return command
    return None


def _require_mounts() -> tuple[str, ...]:
    command = _unshare()
    if command is None:
        pytest.skip("mounting is not allowed here, not even in a namespace (unshare -Urm)")
    return command


def yolotrt(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "yolotrt", *map(str, arguments)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": paths}
    )


def in_read_only(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``, which is on a read-only file system for it."""
    return _run([*_require_mounts(), "sh", "-c", _READ_ONLY, str(folder), *command])


def in_full(folder: Path, command: list[str], room: int) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy of ``folder`` on a disk with ``room`` bytes to spare, and copy it back."""
    blocks = [-(-p.lstat().st_size // PAGE) for p in folder.rglob("*") if p.is_file()]
    size = max(PAGE, sum(blocks) * PAGE + room)  # 0 would be no limit
    with tempfile.TemporaryDirectory() as place:
        done = _run(
            [*_require_mounts(), "sh", "-c", _FULL, place, str(folder), str(size), *command],
        )
    assert done.returncode != 99, done.stderr
    return done


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files under their final names."""
    files = (p for p in folder.rglob("*") if p.is_file())
    found = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    return {
        name: data for name, data in found.items() if not any(s.startswith(".") for s in Path(name).parts)
    }


def assert_one_clear_error(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert reason in errors[0]
    assert "\nhint:  " in done.stderr
