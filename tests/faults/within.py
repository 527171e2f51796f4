"""What a process does to itself before it runs a command: see ``within`` in ``benchmarks.forked``."""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
_FULL = 'mount -t tmpfs -o size="$2" tmpfs "$0" && cp -a "$1/." "$0/"'
_BACK = 'rm -rf "$1" && cp -a "$0/." "$1/"'

_NEWNS, _NEWUSER = 0x00020000, 0x10000000


def become_read_only(folder: str) -> None:
    """Let this process see a folder on a read-only file system, and go there."""
    _unshare()
    _shell(_READ_ONLY, folder)
    os.chdir(folder)


def become_full(place: str, folder: str, size: str) -> None:
    """Go on as a process in a copy of a folder on a small disk; its parent then copies that back."""
    _unshare()
    _shell(_FULL, place, folder, size)
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _shell(_BACK, place, folder)
        os._exit(code)
    os.chdir(place)


def become_limited(size: str) -> None:
    """Let this process write no file of more bytes, nor half of a compiled module."""
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))


def _shell(script: str, *arguments: str) -> None:
    subprocess.run(["sh", "-c", script, *arguments], check=True)


def _unshare() -> None:
    """Give this process mounts of its own; as another user than root, in a namespace where it is root."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS):
        if libc.unshare(_NEWUSER | _NEWNS):
            raise OSError(ctypes.get_errno(), "no namespace")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _shell("mount --make-rprivate /", "")


def hold(module: str, name: str, begun: str, go: str) -> None:
    """Let this process stop in the middle of its work, in a function, until a file appears."""
    where = importlib.import_module(module)
    real = getattr(where, name)

    def held(*args: Any, **options: Any) -> Any:
        Path(begun).touch()
        while not Path(go).exists():
            time.sleep(0.01)
        return real(*args, **options)

    setattr(where, name, held)
