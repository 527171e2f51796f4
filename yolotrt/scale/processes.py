"""Python processes of our own that end with this one, each with a connection to it.

Each is a Python of its own, which runs nothing of the caller's script: ``multiprocessing`` would import that,
and a script without a guard would start its work again in every process.
"""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection


def started(
    entry: str, *, stdin: int | None = subprocess.DEVNULL
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that calls a function with a connection to this one; call it in the main thread.

    Args:
        entry: ``module:function``.
        stdin: As in :class:`subprocess.Popen`; None inherits this process's.
    """
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, entry, str(theirs.fileno()), *sys.path],
            stdin=stdin,
            pass_fds=[theirs.fileno()],
        )
    return process, ours


_BEGIN = (
    "import sys; entry, pipe = sys.argv[1:3]; sys.path[:] = sys.argv[3:]; "
    "from yolotrt.scale.processes import begin; begin(entry, int(pipe))"
)


def begin(entry: str, pipe: int) -> None:
    """Be such a process, until the function returns or whoever started it is gone.

    Args:
        entry: ``module:function``.
        pipe: File descriptor of the connection.
    """
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started it, who ends it
    module, _, name = entry.partition(":")
    with suppress(EOFError, OSError), Connection(pipe) as driver:
        getattr(importlib.import_module(module), name)(driver)


def _end_with_parent() -> None:
    """Let the kernel end this process when its parent is killed (prctl(2)): nothing is written behind it."""
    import ctypes

    death_signal = 1
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
