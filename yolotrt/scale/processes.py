"""Python processes of our own that end with this one, each with a connection to it.

Each is a Python of its own, which runs nothing of the caller's script: ``multiprocessing`` would import that,
and a script without a guard would start its work again in every process.
"""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

_FOR_WHO_STARTED_IT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a terminal or a supervisor sends to all processes of a command: one of them acts on them."""


def started(
    entry: str, *, stdin: int | None = subprocess.DEVNULL
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that calls a function with a connection to this one; call it in the main thread.

    It goes on when Ctrl-C or SIGTERM are sent to it, too: end it by a word, or kill it.

    Args:
        entry: ``module:function``.
        stdin: As in :class:`subprocess.Popen`; None inherits this process's.
    """
    ours, theirs = Pipe()
    with theirs, _held_back():
        process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, entry, str(theirs.fileno()), *sys.path],
            stdin=stdin,
            pass_fds=[theirs.fileno()],
        )
    return process, ours


@contextmanager
def _held_back() -> Iterator[None]:
    """Let processes that are started meanwhile hear of signals only when they ask: Python starts slowly."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_WHO_STARTED_IT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
    for one in _FOR_WHO_STARTED_IT:
        signal.signal(one, lambda *_: None)  # unlike SIG_IGN, it does not pass on to what this one starts
        signal.siginterrupt(one, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FOR_WHO_STARTED_IT)
    module, _, name = entry.partition(":")
    with suppress(EOFError, OSError), Connection(pipe) as driver:
        getattr(importlib.import_module(module), name)(driver)


def _end_with_parent() -> None:
    """Let the kernel end this process when its parent is killed (prctl(2)): nothing is written behind it."""
    import ctypes

    death_signal = 1
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
