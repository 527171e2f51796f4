"""Write an engine over an earlier one, and die before the first, the second, ... thing done to a file.

    python -m tests.faults.dying_writer FOLDER_WITH_AN_ENGINE ENGINE

Every death is a process of its own that kills itself; what it left is read by this one. Prints, for each,
which engine was found, and which after the same write was repeated.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from yolotrt.artifacts.files import exclusive
from yolotrt.backends.sidecar import finish_interrupted, read_engine, write_engine

TOUCHES_FILES = {"open", "os.mkdir", "os.remove", "os.rename", "os.utime"}
"""Events of Python's audit hooks that come before a file is touched; os.replace is an ``os.rename``."""

NEW = b"the new engine" * 1000


def write(engine: Path) -> None:
    write_engine(replace(read_engine(engine), precision="int8"), NEW)


def dies_before(step: int, engine: Path) -> bool:
    """Return whether the writer died, or had nothing left to do at that step."""
    child = os.fork()
    if child == 0:
        done = 0

        def hook(event: str, _arguments: object) -> None:
            nonlocal done
            if event in TOUCHES_FILES:
                if done == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                done += 1

        old = read_engine(engine)
        sys.addaudithook(hook)
        write_engine(replace(old, precision="int8"), NEW)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path, name: str) -> None:
    step = 0
    while True:
        place = Path(shutil.copytree(folder, folder.parent / f"died-{step}"))
        died = dies_before(step, place / name)
        found = read_engine(place / name).precision
        loose = [p.name for p in place.iterdir() if p.name.startswith(".") and not p.name.endswith(".lock")]
        with exclusive(place / name, print):
            finish_interrupted(place / name)
            finished = read_engine(place / name).precision
            write(place / name)
        left = sorted(p.name for p in place.iterdir() if not p.name.endswith(".lock"))
        print(step, "died" if died else "lived", found, finished, f"{len(loose)} loose", *left)
        if not died:
            return
        step += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
