"""The program as a process: the command line, and an end that does not tidy up what goes anyway."""

from __future__ import annotations

import atexit
import errno
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn, TextIO

from yolotrt.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TIDY = ("yolotrt.cuda.device", "torch", "coverage", "_lsprof", "bdb")
"""Whoever loaded these leaves as usual: profilers of GPUs write their reports when C's ``exit`` runs, and
whatever runs this module under a profiler or a debugger has work to do behind it."""


def program() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    _open_closed_streams()
    sys.stderr = _unfailing(sys.stderr)
    code: object = 1
    try:
        from yolotrt.cli.app import main  # here: Ctrl-C may come while that is imported

        main()
    except SystemExit as left:
        code = left.code
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        code = EXIT_INTERRUPTED
    if not isinstance(code, int) or any(name in sys.modules for name in _TIDY):
        sys.exit(code if isinstance(code, int) else 1)
    # All that an interpreter does at its end but freeing every object of every module, which takes 15 ms.
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            code = code or 1
    os._exit(code)


def _open_closed_streams() -> None:
    """Give streams that the process was started without (``2>&-``) a place that takes everything.

    Otherwise files would get their numbers, and what native libraries say, and talk would go to stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            place = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: the stream's own
            os.set_inheritable(place, True)
            stream = os.fdopen(place, mode)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # kept: a stream that nobody holds closes its file


class _Unfailing(io.FileIO):
    """A file that takes what its full disk does not."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what can be written."""
        try:
            return super().write(data)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return memoryview(data).nbytes


def _unfailing(talk: TextIO) -> TextIO:
    """Return a stream for talk: a log on a full disk must not end what it is about."""
    try:
        raw = _Unfailing(talk.fileno(), "w", closefd=False)
    except OSError:  # a stream without a file
        return talk
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=talk.encoding, errors=talk.errors, line_buffering=True
    )
