"""The program as a process: the command line, and an end that does not tidy up what goes anyway."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

from yolotrt.cli.app import main

_TIDY = ("yolotrt.cuda.device", "torch")
"""Whoever loaded these leaves as usual: profilers of GPUs write their reports when C's ``exit`` runs."""


def program() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    code: object = 1
    try:
        main()
    except SystemExit as left:
        code = left.code
    if not isinstance(code, int) or any(name in sys.modules for name in _TIDY):
        sys.exit(code if isinstance(code, int) else 1)
    # All that an interpreter does at its end but freeing every object of every module, which takes 15 ms.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            code = code or 1
    os._exit(code)
