"""Run yolotrt commands as processes that start at once: forked from one that has imported what they need.

    python -m benchmarks.forked MODULE...    (used by benchmarks.kills; reads one command per line)

Importing torch takes ten times as long as exporting a small network. A command forked here is a process of
its own in every respect, and all of its time is work.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

LIMIT_S = 300.0


@dataclass(frozen=True)
class Kill:
    """When a command is killed.

    Attributes:
        after_s: Seconds from its start, or from the first temporary file.
        writing: It is the first temporary file that counts. The command sees itself open it: from outside,
            a small file would be there and gone between two looks.
    """

    after_s: float
    writing: bool = False


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (negative: the signal) and what it printed."""

    code: int
    stdout: str
    stderr: str


class Commands:
    """Runs commands one after another.

    Args:
        modules: What to import beforehand.
        outputs: Folder for what they print.
    """

    def __init__(self, modules: Sequence[str], outputs: Path) -> None:
        outputs.mkdir(parents=True, exist_ok=True)
        self._outputs = outputs
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.forked", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self._say(self._hear())  # imports are done

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, arguments: Sequence[str], place: Path, kill: Kill | None = None) -> Done:
        """Run ``yolotrt ARGUMENTS`` in a folder, and kill it (SIGKILL) if asked to."""
        printed = [self._outputs / "stdout", self._outputs / "stderr"]
        writing_s = kill.after_s if kill and kill.writing else None
        limit_s = kill.after_s if kill and not kill.writing else LIMIT_S
        pid = int(self._say(json.dumps([writing_s, str(place), *map(str, printed), *arguments])))
        if not self._ended(limit_s):
            os.kill(pid, signal.SIGKILL)
        return Done(int(self._hear()), *(p.read_text() for p in printed))

    def _ended(self, timeout_s: float) -> bool:
        return bool(select.select([self._process.stdout], [], [], timeout_s)[0])

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "ready\n":
            print("go", flush=True)
            continue
        child = os.fork()
        if child == 0:
            _become(*json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def is_temporary(name: str) -> bool:
    """Return whether a file or folder has one of the names under which yolotrt writes."""
    return name.endswith(".next") or ".part" in Path(name).suffixes[-2:]


def _die_writing(then_s: float) -> None:
    pid, timers = os.getpid(), list[threading.Timer]()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or timers:
            return
        path, mode, _ = arguments  # no mode: os.open, by which a folder is tried and a file flushed to disk
        if set(str(mode or "r")) & set("wax+") and any(map(is_temporary, Path(str(path)).parts)):
            timers.append(threading.Timer(then_s, os.kill, (pid, signal.SIGKILL)))
            timers[0].start()

    sys.addaudithook(hook)


def _become(writing_s: float | None, place: str, stdout: str, stderr: str, *arguments: str) -> NoReturn:
    os.chdir(place)
    if writing_s is not None:
        _die_writing(writing_s)
    for path, descriptor in ((os.devnull, 0), (stdout, 1), (stderr, 2)):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags, 0o644), descriptor)
    from yolotrt.cli.app import main as run

    sys.argv = ["yolotrt", *arguments]
    code = 1
    try:
        run()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
